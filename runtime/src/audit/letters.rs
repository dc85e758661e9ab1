//! The dead-letter table, read back: which records became no rows, and which rows came too late for a gold product.

use super::Error;
use super::answers::{Answer, Answers};
use super::origins::{Columns, Origins, partition_of, show};
use super::progress::Progress;
use super::report::{Check, Offenders};
use super::subject::Subjects;
use crate::checkpoint::Checkpoint;
use crate::record::{AHEAD, Stage};
use crate::sink::Snapshot;
use crate::sink::system::LetterStatus;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch, StringArray};
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;

const ORIGIN: [&str; 3] = ["incarnation", "partition", "offset"];
const COLUMNS: [&str; 10] =
    ["topic", "incarnation", "partition", "offset", "stage", "reason", "module", "product", "status", "request"];

/// All dead letters.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Records that became no rows when they were read, by module and topic.
    pub(super) dead: BTreeMap<(String, Arc<str>), Origins>,
    /// Records with rows that came too late, by gold product.
    pub(super) late: BTreeMap<String, Origins>,
    /// Of these, records with rows whose time is far ahead.
    pub(super) ahead: BTreeMap<String, Origins>,
    /// What became of them when somebody asked.
    pub(super) answers: Answers,
    letters: u64,
    bad: Offenders,
}

impl Letters {
    /// Reads the table; `offsets` are its own.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn read(
        table: &Snapshot,
        offsets: &Checkpoint,
        subjects: &Subjects,
        progress: &mut Progress<'_>,
    ) -> Result<Self, Error> {
        let mut letters = Self::default();
        let mut files = table.rows_of(table.parts(), &COLUMNS);
        while let Some((_, mut rows)) = files.try_next().await? {
            while let Some(batch) = rows.batches.try_next().await? {
                if letters.add(&batch, offsets, subjects).is_none() {
                    letters.bad.add(|| "a file without the columns of origins".to_owned());
                }
                progress.rows(table.path(), batch.num_rows() as u64);
            }
            progress.file();
        }
        Ok(letters)
    }

    fn add(&mut self, rows: &RecordBatch, offsets: &Checkpoint, subjects: &Subjects) -> Option<()> {
        let text = |name: &str| -> Option<&StringArray> { rows.column_by_name(name)?.as_string_opt::<i32>() };
        let origins = Columns::of(rows, ORIGIN)?;
        let (topics, stages, modules, products) = (text("topic")?, text("stage")?, text("module")?, text("product")?);
        let (reasons, statuses, requests) =
            (text("reason")?, text("status")?, rows.column_by_name("request")?.as_primitive_opt::<Int64Type>()?);
        for row in 0..rows.num_rows() {
            let topic = self.answers.name(topics.value(row));
            let (source, offset) = origins.at(row);
            let module = modules.value(row);
            let is_late = stages.value(row) == Stage::Aggregate.name();
            if requests.is_valid(row) {
                let late_for = is_late.then(|| self.answers.name(products.value(row)));
                let (module, status) = (self.answers.name(module), LetterStatus::parse(statuses.value(row))?);
                let answer = Answer { module, topic, source, offset, late_for, status };
                self.answers.add(requests.value(row), |sequence| offsets.get(sequence).unwrap_or(0), answer);
                continue;
            }
            self.letters += 1;
            let set = if is_late && products.is_valid(row) {
                if reasons.value(row).starts_with(AHEAD) {
                    self.ahead.entry(products.value(row).to_owned()).or_default().insert(source, offset);
                }
                self.late.entry(products.value(row).to_owned()).or_default()
            } else {
                self.dead.entry((module.to_owned(), Arc::clone(&topic))).or_default()
            };
            if !set.insert(source, offset) && (is_late || subjects.reads_once(module, &topic)) {
                self.bad.add(|| format!("{} stands twice", show(&topic, source, offset)));
            }
            let next = offsets.get(&partition_of(&topic, source)).unwrap_or(0);
            if offset >= next {
                self.bad.add(|| format!("{} is beyond the table's offset {next}", show(&topic, source, offset)));
            }
        }
        Some(())
    }

    /// Whether there is a letter that a row answers a request about.
    fn is_letter(&self, answer: &Answer) -> bool {
        let of = match &answer.late_for {
            Some(gold) => self.late.get(&**gold),
            None => self.dead.get(&(answer.module.to_string(), Arc::clone(&answer.topic))),
        };
        of.is_some_and(|letters| letters.contains(answer.source, answer.offset))
    }

    /// The verdict on the rows that answer requests; `None` if there is none.
    #[must_use]
    pub(super) fn check_answers(&self, table: &Snapshot) -> Option<Check> {
        self.answers.check(table, |answer| self.is_letter(answer))
    }

    /// The verdict on the table's origins.
    #[must_use]
    pub(super) fn check(&self, table: &Snapshot) -> Check {
        let late: u64 = self.late.values().map(Origins::len).sum();
        let detail = format!("{} letters, {late} of them late", self.letters);
        Check::of("origins", table.path(), detail, self.bad.clone())
    }
}
