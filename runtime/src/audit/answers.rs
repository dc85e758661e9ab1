//! Dead letters that were redriven or discarded: the rows that answer requests, and the requests that nobody has answered yet.
//!
//! | a record's letter is       | silver                    | the gold table                                          |
//! |----------------------------|---------------------------|---------------------------------------------------------|
//! | open or discarded          | has no row                | has none                                                |
//! | redriven                   | has its rows, or it was skipped | has them once it is past the request's number     |
//! | late, open or discarded    | has its rows              | lacks them                                              |
//! | late, redriven             | has its rows              | has them once it is past the request's number           |
//! | requested and not answered | may have rows already: silver is opened later | lacks them                          |

use super::Error;
use super::origins::{Origins, Source, partition_of, show};
use super::report::{Check, Offenders};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::record::Stage;
use crate::sink::Snapshot;
use crate::sink::redrives::{Action, first_of_file, sequence_of, topic_of};
use crate::sink::system::LetterStatus;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// A row that answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) module: Arc<str>,
    pub(super) topic: Arc<str>,
    pub(super) source: Source,
    pub(super) offset: i64,
    /// The gold product for which the record's rows came too late; `None` where it had no rows.
    pub(super) late_for: Option<Arc<str>>,
    pub(super) status: LetterStatus,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// By sequence and the request's number.
    by_sequence: BTreeMap<SourcePartition, BTreeMap<i64, Answer>>,
    /// Names that many answers share.
    names: BTreeSet<Arc<str>>,
    /// Records of letters that are requested to be redriven, by module and topic.
    unsettled: BTreeMap<(Arc<str>, Arc<str>), Origins>,
    bad: Offenders,
}

impl Answers {
    /// One copy of a name.
    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Takes a row that answers the request of this number; `next` is the number that the table answers next.
    pub(super) fn add(&mut self, number: i64, next: impl Fn(&SourcePartition) -> i64, answer: Answer) {
        let sequence = sequence_of(&answer.topic, answer.source.1);
        let record = show(&answer.topic, answer.source, answer.offset);
        if number >= next(&sequence) {
            self.bad.add(|| format!("{record} answers request {number} of {sequence}, which the table has not got to"));
        }
        if self.by_sequence.entry(sequence).or_default().insert(number, answer).is_some() {
            self.bad.add(|| format!("{record} answers a request that is answered already"));
        }
    }

    /// Reads the requests that `answered` does not reach.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn read_unsettled(&mut self, requests: &Snapshot, answered: &Checkpoint) -> Result<(), Error> {
        const COLUMNS: [&str; 7] = ["sequence", "action", "incarnation", "offset", "module", "stage", "product"];
        for part in requests.parts() {
            let value = |column: &str| part.partition_values.get(column).and_then(Option::as_deref);
            let (Some(topic), Some(Ok(partition))) = (value("topic"), value("partition").map(str::parse)) else {
                continue;
            };
            let next = answered.get(&sequence_of(topic, partition)).unwrap_or(0);
            let end = first_of_file(part.path()).map(|first| first + part.rows.cast_signed());
            if end.is_some_and(|end| end <= next) {
                continue;
            }
            let topic = self.name(topic);
            let mut rows = requests.rows(part, &COLUMNS).await?;
            while let Some(batch) = rows.batches.try_next().await? {
                if self.add_unsettled(&batch, &topic, partition, next).is_none() {
                    self.bad.add(|| format!("a file of {} without its columns", requests.path()));
                }
            }
        }
        Ok(())
    }

    fn add_unsettled(&mut self, rows: &RecordBatch, topic: &Arc<str>, partition: i32, next: i64) -> Option<()> {
        let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
        let long = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let incarnations = rows.column_by_name("incarnation")?.as_primitive_opt::<Int32Type>()?;
        let (numbers, offsets, actions) = (long("sequence")?, long("offset")?, text("action")?);
        let (modules, stages, products) = (text("module")?, text("stage")?, text("product")?);
        for row in (0..rows.num_rows()).filter(|row| numbers.value(*row) >= next) {
            let is_late = stages.value(row) == Stage::Aggregate.name() && products.is_valid(row);
            if actions.value(row) == Action::Redrive.name() && !is_late {
                let key = (self.name(modules.value(row)), Arc::clone(topic));
                let source = (incarnations.value(row), partition);
                self.unsettled.entry(key).or_default().insert(source, offsets.value(row));
            }
        }
        Some(())
    }

    /// The answers to the requests of a sequence in a range of numbers.
    pub(super) fn of(&self, sequence: &SourcePartition, range: &Range<i64>) -> impl Iterator<Item = &Answer> {
        let of_sequence = self.by_sequence.get(sequence).filter(|_| !range.is_empty());
        of_sequence.into_iter().flat_map(|answers| answers.range(range.clone())).map(|(_, answer)| answer)
    }

    fn redriven(&self) -> impl Iterator<Item = (&SourcePartition, i64, &Answer)> {
        let all = self.by_sequence.iter();
        let all = all.flat_map(|(sequence, answers)| answers.iter().map(move |(number, of)| (sequence, *number, of)));
        all.filter(|(.., answer)| answer.status == LetterStatus::Redriven)
    }

    /// Records without rows of a module and a topic whose letters are redriven from this number of their sequence on.
    fn redriven_from(&self, module: &str, topic: &str, from: impl Fn(&SourcePartition) -> i64) -> Origins {
        let mut origins = Origins::default();
        for (sequence, number, answer) in self.redriven() {
            let is_its = *answer.module == *module && *answer.topic == *topic && answer.late_for.is_none();
            if is_its && number >= from(sequence) {
                origins.insert(answer.source, answer.offset);
            }
        }
        origins
    }

    /// Records that were dead letters of a module once, and have rows by a redrive, or may have them already.
    #[must_use]
    pub(super) fn set_aside(&self, module: &str, topic: &str) -> Origins {
        self.set_aside_from(module, topic, |_| 0)
    }

    /// Of these, the records that a gold table that is as far as `cut` does not have.
    #[must_use]
    pub(super) fn not_in_gold(&self, module: &str, topic: &str, cut: &Checkpoint) -> Origins {
        self.set_aside_from(module, topic, |sequence| cut.get(sequence).unwrap_or(0))
    }

    fn set_aside_from(&self, module: &str, topic: &str, from: impl Fn(&SourcePartition) -> i64) -> Origins {
        let mut origins = self.redriven_from(module, topic, from);
        let unsettled = self.unsettled.iter();
        let own = unsettled.filter(|((of, on), _)| **of == *module && **on == *topic);
        own.for_each(|(_, unsettled)| origins.merge(unsettled));
        origins
    }

    /// Late records that a gold table that is as far as `cut` has in spite of that.
    #[must_use]
    pub(super) fn restated(&self, gold: &str, cut: &Checkpoint) -> Origins {
        let mut origins = Origins::default();
        for (sequence, number, answer) in self.redriven() {
            let is_its = answer.late_for.as_deref() == Some(gold);
            if is_its && number < cut.get(sequence).unwrap_or(0) {
                origins.insert(answer.source, answer.offset);
            }
        }
        origins
    }

    /// The verdict on the answers themselves: each is about a letter, and none settles a letter that is settled. `is_letter` says whether
    /// there is a first row.
    #[must_use]
    pub(super) fn check(&self, table: &Snapshot, is_letter: impl Fn(&Answer) -> bool) -> Option<Check> {
        if self.by_sequence.is_empty() {
            return None;
        }
        let mut bad = self.bad.clone();
        let mut settled: BTreeMap<(&str, &str, Option<&str>), Origins> = BTreeMap::new();
        let mut counts = [0_u64; 3];
        for answer in self.by_sequence.values().flat_map(BTreeMap::values) {
            let record = || partition_of(&answer.topic, answer.source);
            if !is_letter(answer) {
                bad.add(|| format!("{} offset {} is answered and was no letter", record(), answer.offset));
            }
            counts[answer.status as usize] += 1;
            let settled = settled.entry((&answer.module, &answer.topic, answer.late_for.as_deref())).or_default();
            let is_again = match answer.status {
                LetterStatus::Open => settled.contains(answer.source, answer.offset),
                _ => !settled.insert(answer.source, answer.offset),
            };
            if is_again {
                bad.add(|| format!("{} offset {} was settled before", record(), answer.offset));
            }
        }
        let [failed, redriven, discarded] = counts;
        let detail = format!("{redriven} redriven, {failed} failed again, {discarded} discarded, none twice");
        Some(Check::of("origins", format!("{}, answered", table.path()), detail, bad))
    }
}

/// Whether offsets count the requests about a topic's letters, or are the topic's own.
#[must_use]
pub(super) fn is_of_topic(partition: &SourcePartition, topic: &str) -> bool {
    *partition.topic == *topic || topic_of(partition) == Some(topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use LetterStatus::{Discarded, Open, Redriven};

    fn answer(offset: i64, late_for: Option<&str>, status: LetterStatus) -> Answer {
        let late_for = late_for.map(Arc::from);
        Answer { module: "retail".into(), topic: "orders".into(), source: (0, 3), offset, late_for, status }
    }

    fn answers(all: &[(i64, Answer)]) -> Answers {
        let mut answers = Answers::default();
        all.iter().for_each(|(number, answer)| answers.add(*number, |_| 100, answer.clone()));
        answers
    }

    fn offsets(origins: &Origins) -> Vec<i64> {
        origins.named((0, 3), 0..i64::MAX).collect()
    }

    #[test]
    fn a_gold_table_has_what_was_redriven_before_its_number() {
        let late = Some("retail/by_hour");
        let mut answers = answers(&[
            (0, answer(10, None, Redriven)),
            (1, answer(11, None, Open)),
            (2, answer(12, late, Redriven)),
            (3, answer(13, None, Redriven)),
            (4, answer(14, late, Redriven)),
            (5, answer(15, late, Discarded)),
        ]);
        assert_eq!(offsets(&answers.set_aside("retail", "orders")), [10, 13]);
        let cut = [(sequence_of("orders", 3), 3)].into_iter().collect();
        assert_eq!(offsets(&answers.not_in_gold("retail", "orders", &cut)), [13]);
        assert_eq!(offsets(&answers.restated("retail/by_hour", &cut)), [12]);
        assert_eq!(offsets(&answers.restated("retail/by_day", &cut)), [0_i64; 0]);
        answers.unsettled.entry(("retail".into(), "orders".into())).or_default().insert((0, 3), 20);
        assert_eq!(offsets(&answers.not_in_gold("retail", "orders", &cut)), [13, 20]);
        assert_eq!(offsets(&answers.set_aside("logistics", "orders")), [0_i64; 0]);
    }

    #[test]
    fn a_request_is_answered_once_and_in_its_turn() {
        let again = answers(&[(0, answer(10, None, Redriven)), (0, answer(10, None, Redriven))]);
        assert_eq!(again.bad.count(), 1);
        let early = answers(&[(100, answer(10, None, Redriven))]);
        assert_eq!(early.bad.count(), 1);
        let sequence = sequence_of("orders", 3);
        let two = answers(&[(0, answer(10, None, Open)), (7, answer(10, None, Redriven))]);
        assert_eq!(
            (two.bad.count(), two.of(&sequence, &(1..8)).count(), two.of(&sequence, &(0..0)).count()),
            (0, 1, 0)
        );
    }
}
