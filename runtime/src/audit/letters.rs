//! The dead-letter table, read back: which records became no rows, and which rows came too late for a gold product.

use super::Error;
use super::origins::{Columns, Origins, partition_of, show};
use super::progress::Progress;
use super::report::{Check, Offenders};
use super::subject::Subjects;
use crate::checkpoint::Checkpoint;
use crate::record::Stage;
use crate::sink::Snapshot;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;

const ORIGIN: [&str; 3] = ["incarnation", "partition", "offset"];
const COLUMNS: [&str; 7] = ["topic", "incarnation", "partition", "offset", "stage", "module", "product"];

/// All dead letters.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Records that became no rows, by module and topic.
    pub(super) dead: BTreeMap<(String, Arc<str>), Origins>,
    /// Records with rows that came too late, by gold product.
    pub(super) late: BTreeMap<String, Origins>,
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
        for row in 0..rows.num_rows() {
            let topic: Arc<str> = topics.value(row).into();
            let (source, offset) = origins.at(row);
            let module = modules.value(row);
            self.letters += 1;
            let is_late = stages.value(row) == Stage::Aggregate.name();
            let set = if is_late && products.is_valid(row) {
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

    /// The verdict on the table's origins.
    #[must_use]
    pub(super) fn check(&self, table: &Snapshot) -> Check {
        let late: u64 = self.late.values().map(Origins::len).sum();
        let detail = format!("{} letters, {late} of them late", self.letters);
        Check::of("origins", table.path(), detail, self.bad.clone())
    }
}
