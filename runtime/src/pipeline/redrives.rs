//! Requests about dead letters on their way to the workers: the redrives of a source partition are a source of their own, whose offsets
//! are the requests' numbers.
//!
//! ```text
//! `_lakeward/redrives`  numbers 0 .. end     written by whoever asks, at any time
//! every other table     next, in a `txn`     moved by the group commit that executes, of each partition that this instance owns
//! ```
//!
//! So whatever covers a topic's records covers these: a crash between two tables (each takes only what is at or past its own number), a
//! zombie (the second commit that starts at the same number is refused) and repetition (a number is executed once).

use super::Error;
use super::commit::chain;
use super::lane::Redrive;
use super::plan::{COMMITS, Plan};
use super::session::Slot;
use crate::checkpoint::SourcePartition;
use crate::clock;
use crate::config::Config;
use crate::record::{Chunk, Record};
use crate::sink::redrives::{self, Action, REDRIVES, first_of_file, sequence_of};
use crate::sink::{self, Table, Warehouse};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked for new requests.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Letters of a partition, and bytes of records of all, that one micro-batch takes; the next ones take the rest.
const LETTERS: usize = 8_192;
const SIZE: usize = 64 << 20;

/// What is asked for, and how far it is done.
pub(super) struct Redrives {
    table: Table,
    looked: Instant,
    /// When requests could not be read: until it is looked again nothing is taken.
    failed: Option<Instant>,
    /// Whether all requests are left to those who read beside.
    is_idle: bool,
    /// By slot.
    sequences: Vec<Sequence>,
}

#[derive(Debug)]
struct Sequence {
    partition: SourcePartition,
    topic: Arc<str>,
    /// The number of the first request that is not committed.
    next: i64,
    /// Whether the session leaves the partition alone.
    is_held: bool,
}

/// Letters of one partition that a worker is to settle.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) groups: Vec<Group>,
    /// The number behind the last request.
    pub(super) next: i64,
    /// By gold product: windows that start before this, in microseconds, are let go of.
    pub(super) forget_us: Vec<i64>,
}

/// Letters that have one way.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) of: Way,
    /// The records, in the order of their requests.
    pub(super) chunk: Chunk,
    /// What is known of each record's letter.
    pub(super) letters: Vec<Asked>,
}

impl Group {
    /// The same without the records from `next` on; `None` where there are none, as nearly always.
    pub(super) fn before(&self, next: i64) -> Option<Self> {
        let offsets = (0..self.letters.len()).map(|index| self.chunk.offset(index));
        if offsets.max().is_none_or(|last| last < next) {
            return None;
        }
        Some(self.only(|offset| offset < next))
    }

    /// The same with the records at these offsets alone.
    pub(super) fn only(&self, is_meant: impl Fn(i64) -> bool) -> Self {
        let chunk = Chunk::new(Arc::clone(self.chunk.topic()), self.chunk.partition(), 0);
        let mut rest = Self { of: self.of.clone(), chunk, letters: Vec::new() };
        for (index, letter) in self.letters.iter().enumerate().filter(|(index, _)| is_meant(self.chunk.offset(*index)))
        {
            rest.chunk.push(self.chunk.record(index));
            rest.letters.push(letter.clone());
        }
        rest
    }
}

/// What becomes of letters, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) action: Action,
    pub(super) module: String,
    pub(super) incarnation: u32,
    /// The gold product for which the rows came too late; of others silver has no rows.
    pub(super) late_for: Option<String>,
}

/// A letter as the request tells of it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The request's number.
    pub(super) number: i64,
    pub(super) digest: String,
    pub(super) stage: String,
    pub(super) reason: String,
    pub(super) product: Option<String>,
    pub(super) tries: i32,
    pub(super) who: String,
}

impl Redrives {
    /// Opens the table; makes it if there is none.
    pub(super) async fn open(config: &Config, lake: &Warehouse, is_idle: bool) -> Result<Self, Error> {
        let layout = redrives::layout();
        let table = Table::open(lake, &config.pipeline, redrives::spec(&layout)).await?;
        Ok(Self { table, looked: clock::instant(), failed: None, is_idle, sequences: Vec::new() })
    }

    /// The sequences of a topic's partitions, or of all, of which something was ever asked.
    pub(super) fn known(&self, topic: Option<&str>) -> Vec<SourcePartition> {
        let known = self.table.offsets().iter().map(|(sequence, _)| sequence);
        known
            .filter(|sequence| topic.is_none_or(|topic| redrives::topic_of(sequence) == Some(topic)))
            .cloned()
            .collect()
    }

    /// Takes on a partition; the slots in order. Says where each table stands.
    ///
    /// | a table's number is       | it means                                                              | it goes on at     |
    /// |---------------------------|-----------------------------------------------------------------------|-------------------|
    /// | that of the commits table | everything up to there is done                                        | that              |
    /// | above it                  | a crash cut the group commit off: what is between is done once more   | its own           |
    /// | below it, or there is none | it did not take part: it is new, or its module was paused            | the commits table's |
    pub(super) fn add(&mut self, slot: &Slot, tables: &[Table]) -> Redrive {
        let topic = Arc::clone(&slot.partition.topic);
        let partition = sequence_of(&topic, slot.partition.partition);
        let stands = |table: &Table| table.offsets().get(&partition).unwrap_or(0);
        let next = stands(&tables[COMMITS]);
        let floors = tables.iter().map(|table| stands(table).max(next)).collect();
        self.sequences.push(Sequence { partition, topic, next, is_held: false });
        Redrive { next, floors }
    }

    /// Looks for new requests, once in a while. A store that does not answer is asked again later.
    pub(super) async fn look(&mut self) -> Result<(), Error> {
        let now = clock::instant();
        if self.is_idle || now.duration_since(self.looked) < LOOK_EVERY {
            return Ok(());
        }
        self.looked = now;
        match self.table.catch_up(None).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_transient() => {
                tracing::warn!(error = %chain(&error), "it is not known whether dead letters are to be redriven");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether something is asked for and not done.
    pub(super) fn is_pending(&self) -> bool {
        !self.is_idle && self.sequences.iter().any(|sequence| self.end(sequence) > sequence.next)
    }

    /// Whether a slot's requests below a number are done, or nobody has them any more.
    pub(super) fn is_done(&self, slot: usize, number: i64) -> bool {
        let sequence = &self.sequences[slot];
        sequence.next >= number.min(self.end(sequence))
    }

    /// Whether the next micro-batch has something of it to do.
    pub(super) fn is_due(&self) -> bool {
        self.is_pending() && self.failed.is_none_or(|at| at.elapsed() >= LOOK_EVERY)
    }

    /// Leaves the requests of a slot alone, or does not.
    pub(super) fn hold(&mut self, slot: usize, is_held: bool) {
        self.sequences[slot].is_held = is_held;
    }

    /// The number behind the last request that the session is to execute.
    fn end(&self, sequence: &Sequence) -> i64 {
        if sequence.is_held {
            return sequence.next;
        }
        self.table.offsets().get(&sequence.partition).unwrap_or(0)
    }

    /// The sequence of a slot.
    pub(super) fn partition(&self, slot: usize) -> &SourcePartition {
        &self.sequences[slot].partition
    }

    /// Whether anything was ever asked of a slot's partition: then every commit names its sequence, unless it is the business of others.
    pub(super) fn is_known(&self, slot: usize) -> bool {
        let sequence = &self.sequences[slot];
        !self.is_idle && (sequence.next > 0 || self.table.offsets().get(&sequence.partition).is_some())
    }

    /// Whether these numbers, by slot, are past what is committed.
    pub(super) fn has_moved(&self, numbers: &[(usize, i64)]) -> bool {
        numbers.iter().any(|(slot, next)| *next > self.sequences[*slot].next)
    }

    /// These numbers, by slot, are committed.
    pub(super) fn committed(&mut self, numbers: &[(usize, i64)]) {
        for (slot, next) in numbers {
            self.sequences[*slot].next = *next;
        }
    }

    /// What the next micro-batch is to settle, by slot.
    pub(super) async fn take(&mut self, forget_us: &[i64]) -> Vec<(usize, Batch)> {
        let (mut batches, mut size) = (Vec::new(), 0);
        self.failed = None;
        for (slot, sequence) in self.sequences.iter().enumerate() {
            if size >= SIZE || self.end(sequence) <= sequence.next {
                continue;
            }
            match self.read(sequence).await {
                Ok((rows, next)) => {
                    size += rows.iter().map(Row::bytes).sum::<usize>();
                    let groups = group(sequence, rows);
                    batches.push((slot, Batch { groups, next, forget_us: forget_us.to_vec() }));
                }
                Err(error) => {
                    self.failed = Some(clock::instant());
                    let sequence = &sequence.partition;
                    tracing::warn!(%sequence, error = %chain(&error), "requests cannot be read, and are tried again");
                }
            }
        }
        batches
    }

    /// The requests of a sequence from its next one on, as far as they are in one file, and the number behind them.
    async fn read(&self, sequence: &Sequence) -> Result<(Vec<Row>, i64), sink::Error> {
        let partition = sequence.partition.partition.to_string();
        let value = |file: &sink::FileEntry, column: &str, wanted: &str| {
            file.partition_values.get(column).and_then(Option::as_deref) == Some(wanted)
        };
        let own = self
            .table
            .files()
            .iter()
            .filter(|(_, file)| value(file, "topic", &sequence.topic) && value(file, "partition", &partition));
        // Only others, by a compaction, write files that do not tell their first request.
        let (told, untold): (Vec<_>, Vec<_>) =
            own.map(|(path, _)| (first_of_file(path), path)).partition(|(first, _)| first.is_some());
        let holding = told.iter().filter(|(first, _)| *first <= Some(sequence.next)).max();
        let (mut rows, mut behind) = (Vec::new(), self.end(sequence));
        for path in holding.into_iter().chain(&untold).map(|(_, path)| *path) {
            for batch in self.table.read_rows(path).await? {
                match Row::all(&batch) {
                    Some(found) => rows.extend(found.into_iter().filter(|row| row.letter.number >= sequence.next)),
                    None => tracing::error!(table = REDRIVES, path, "lacks columns, its requests are left out"),
                }
            }
        }
        rows.sort_by_key(|row| row.letter.number);
        let first = rows.first().map(|row| row.letter.number);
        if first != Some(sequence.next) {
            // Somebody took requests out of the table: then they are not executed.
            let later = told.iter().filter_map(|(first, _)| *first).filter(|first| *first > sequence.next).chain(first);
            behind = later.min().unwrap_or(behind).min(behind);
            return Ok((Vec::new(), behind));
        }
        let expected = sequence.next..;
        let length = rows.iter().zip(expected).take_while(|(row, number)| row.letter.number == *number).count();
        rows.truncate(length.min(LETTERS));
        let behind = rows.last().map_or(behind, |row| row.letter.number + 1);
        Ok((rows, behind))
    }
}

/// Puts the letters that have one way together, in order.
fn group(sequence: &Sequence, rows: Vec<Row>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let at = groups.iter().position(|group| group.of == row.way).unwrap_or_else(|| {
            let chunk = Chunk::new(Arc::clone(&sequence.topic), sequence.partition.partition, 0);
            groups.push(Group { of: row.way.clone(), chunk, letters: Vec::new() });
            groups.len() - 1
        });
        groups[at].chunk.push(Record {
            offset: row.offset,
            timestamp_ms: row.timestamp_ms,
            key: row.key.as_deref(),
            value: row.value.as_deref(),
        });
        groups[at].letters.push(row.letter);
    }
    groups
}

/// A row of the table of requests.
struct Row {
    way: Way,
    letter: Asked,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl Row {
    fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len)
    }

    /// The rows of a batch; `None` if it lacks a column. What an action of a newer version asks for is left out.
    fn all(rows: &RecordBatch) -> Option<Vec<Self>> {
        let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
        let int = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int32Type>();
        let long = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let bytes = |name: &str| rows.column_by_name(name)?.as_binary_opt::<i32>();
        let (numbers, offsets, actions) = (long("sequence")?, long("offset")?, text("action")?);
        let (modules, digests, stages) = (text("module")?, text("module_digest")?, text("stage")?);
        let (reasons, products, who) = (text("reason")?, text("product")?, text("who")?);
        let (incarnations, tries) = (int("incarnation")?, int("tries")?);
        let times = rows.column_by_name("timestamp")?.as_primitive_opt::<TimestampMicrosecondType>()?;
        let (keys, values) = (bytes("key")?, bytes("value")?);
        let row = |row: usize| {
            let product = products.is_valid(row).then(|| products.value(row).to_owned());
            let stage = stages.value(row).to_owned();
            Some(Self {
                way: Way {
                    action: Action::parse(actions.value(row))?,
                    module: modules.value(row).to_owned(),
                    incarnation: incarnations.value(row).cast_unsigned(),
                    late_for: product.clone().filter(|_| stage == crate::record::Stage::Aggregate.name()),
                },
                letter: Asked {
                    number: numbers.value(row),
                    digest: digests.value(row).to_owned(),
                    stage,
                    reason: reasons.value(row).to_owned(),
                    product,
                    tries: tries.value(row),
                    who: who.value(row).to_owned(),
                },
                offset: offsets.value(row),
                timestamp_ms: if times.is_valid(row) { times.value(row).div_euclid(1000) } else { -1 },
                key: keys.is_valid(row).then(|| keys.value(row).to_vec()),
                value: values.is_valid(row).then(|| values.value(row).to_vec()),
            })
        };
        Some((0..rows.num_rows()).filter_map(row).collect())
    }
}

/// The sequences of a topic's redrives that a table names, with their next numbers.
pub(super) fn sequences_of<'a>(
    plan: &Plan,
    topic: usize,
    table: &'a Table,
) -> impl Iterator<Item = (&'a SourcePartition, i64)> + use<'a> {
    let topic = Arc::clone(&plan.topics[topic].name);
    table.offsets().iter().filter(move |(sequence, _)| redrives::topic_of(sequence) == Some(&topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_records_that_are_read_again_are_left_out() {
        let way = Way { action: Action::Redrive, module: "retail".to_owned(), incarnation: 0, late_for: None };
        let mut group = Group { of: way, chunk: Chunk::new("orders".into(), 3, 0), letters: Vec::new() };
        for (number, offset) in [(7, 40), (8, 12), (9, 41)] {
            group.chunk.push(Record { offset, timestamp_ms: 0, key: None, value: Some(&[9]) });
            let (digest, stage, reason, who) = (String::new(), String::new(), String::new(), String::new());
            group.letters.push(Asked { number, digest, stage, reason, product: None, tries: 1, who });
        }
        assert!(group.before(42).is_none());
        let rest = group.before(41).unwrap();
        let found: Vec<(i64, i64)> =
            (0..).zip(&rest.letters).map(|(at, of)| (of.number, rest.chunk.offset(at))).collect();
        assert_eq!(found, [(7, 40), (8, 12)]);
        assert_eq!(group.before(12).unwrap().letters.len(), 0);
    }
}
