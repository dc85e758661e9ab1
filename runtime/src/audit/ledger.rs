//! The commits table, read back: what each micro-batch says it did.

use super::Error;
use super::chain::{Chain, Step, subtract};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::sink::system::RedrivenCounts;
use crate::sink::{Snapshot, system};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The columns that are read.
const COLUMNS: [&str; 16] = [
    "micro_batch",
    "kind",
    "records",
    "with_rows",
    "skips",
    "dead_letters",
    "rows",
    "offsets",
    "tables",
    "modules",
    "redriven",
    "redriven_with_rows",
    "redriven_skips",
    "redriven_dead_letters",
    "redriven_rows",
    "discarded",
];

/// One row of the commits table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The micro-batch.
    pub(super) micro_batch: i64,
    /// Whether offsets were moved on purpose, rather than records read.
    pub(super) is_move: bool,
    /// Records given to modules.
    pub(super) records: i64,
    /// Of these, records that became rows.
    pub(super) with_rows: i64,
    /// Records from which a module made nothing.
    pub(super) skips: i64,
    /// Records that became dead letters.
    pub(super) dead_letters: i64,
    /// Rows written.
    pub(super) rows: i64,
    /// What became of dead letters that somebody asked for.
    pub(super) redriven: RedrivenCounts<i64>,
    /// The range of each partition that the instance owned.
    pub(super) offsets: BTreeMap<SourcePartition, Range<i64>>,
    /// The tables of the pipeline then; of a move, those that were moved.
    pub(super) tables: Arc<BTreeSet<String>>,
    /// The modules that ran.
    pub(super) modules: Arc<BTreeSet<String>>,
}

/// All of the commits table.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The rows, by number.
    pub(super) entries: Vec<Entry>,
    /// Partition by partition, the steps of the pipeline as a whole.
    pub(super) chains: BTreeMap<SourcePartition, Chain>,
    /// Offsets that a single product was moved over, by its table.
    pub(super) passed: BTreeMap<String, BTreeMap<SourcePartition, Vec<Range<i64>>>>,
    /// Where partitions were moved back to, with the move's number: what lies behind was read once more, and counts for later micro-batches.
    back: BTreeMap<SourcePartition, Vec<(i64, i64)>>,
    /// The number of each module's newest rewind.
    rewound: BTreeMap<String, i64>,
    /// Partitions in which a single product was moved back, by its table: it catches up with the others.
    pub(super) moved_back: BTreeSet<(String, SourcePartition)>,
    /// What such a product has not read again yet.
    behind: BTreeMap<String, BTreeMap<SourcePartition, Range<i64>>>,
}

impl Ledger {
    /// Reads the table.
    ///
    /// # Errors
    /// When it cannot be read, or a row is not as Lakeward writes them.
    pub(super) async fn read(table: &Snapshot) -> Result<Self, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        for batch in table.all_rows(&COLUMNS).await? {
            for row in 0..batch.num_rows() {
                let mut entry = Entry::of(&batch, row).ok_or(Error::Ledger { version: table.version() })?;
                // Row after row names the same tables and modules; a hundred thousand copies of them would be large.
                if let Some(last) = entries.last() {
                    share(&mut entry.tables, &last.tables);
                    share(&mut entry.modules, &last.modules);
                }
                entries.push(entry);
            }
        }
        Ok(Self::of(entries))
    }

    /// Puts the rows of the table together.
    #[must_use]
    pub(super) fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.micro_batch);
        let mut steps: BTreeMap<SourcePartition, Vec<Step>> = BTreeMap::new();
        let mut ledger = Self::default();
        // A module that was ever apart from the others in a partition has a chain of its own there, over all micro-batches that it ran in.
        let named = entries.iter().flat_map(|entry| entry.offsets.keys());
        let readers: BTreeSet<SourcePartition> = named.filter(|of| of.reader.is_some()).cloned().collect();
        let ran = |of: &SourcePartition| of.reader.as_ref().and_then(|module| first_run(&entries, module));
        let began: BTreeMap<&SourcePartition, Option<i64>> = readers.iter().map(|of| (of, ran(of))).collect();
        for entry in &entries {
            if entry.is_move && !entry.tables.contains(system::DEAD_LETTERS) {
                ledger.pass(entry);
                continue;
            }
            if entry.is_move && entry.offsets.keys().any(|of| of.reader.is_some()) {
                ledger.rewound.extend(entry.modules.iter().map(|module| (module.clone(), entry.micro_batch)));
            }
            let mut note = |of: &SourcePartition, range: &Range<i64>| {
                if entry.is_move && range.end < range.start {
                    ledger.back.entry(of.clone()).or_default().push((entry.micro_batch, range.end));
                }
                steps.entry(of.clone()).or_default().push(Step {
                    micro_batch: entry.micro_batch,
                    from: range.start,
                    next: range.end,
                    is_move: entry.is_move,
                });
            };
            for (partition, range) in &entry.offsets {
                if partition.reader.is_none() {
                    note(partition, range);
                    // What was moved before a module began is none of its steps.
                    let is_its = |of: &&SourcePartition| {
                        entry.is_of(of) && began[*of].is_none_or(|began| entry.micro_batch >= began)
                    };
                    let own = readers.iter().filter(|of| of.of_all() == *partition).filter(is_its);
                    own.for_each(|of| note(of, entry.offsets.get(of).unwrap_or(range)));
                } else if !entry.offsets.contains_key(&partition.of_all()) {
                    // One module was rewound, the others stay where they are.
                    note(partition, range);
                }
            }
        }
        ledger.chains = steps.into_iter().map(|(partition, steps)| (partition, Chain::of(steps))).collect();
        ledger.entries = entries;
        ledger
    }

    /// The steps of a module in a partition: its own where it was ever apart from the others.
    #[must_use]
    pub(super) fn chain_of(&self, module: &str, of: &SourcePartition) -> Option<&Chain> {
        self.chains.get(&of.of_reader(module)).or_else(|| self.chains.get(of))
    }

    /// Whether a module has read anything of a partition.
    #[must_use]
    pub(super) fn has_begun(&self, module: &str, of: &SourcePartition) -> bool {
        let reads = |entry: &Entry| {
            entry.modules.contains(module) && entry.ranges_of(module).any(|(of_row, _)| of_row.of_all() == *of)
        };
        self.entries.iter().any(|entry| !entry.is_move && reads(entry))
    }

    /// The newest micro-batch that had a table among its own.
    #[must_use]
    pub(super) fn newest_with(&self, table: &str) -> Option<i64> {
        let with = |entry: &&Entry| !entry.is_move && entry.tables.contains(table);
        self.entries.iter().rfind(with).map(|entry| entry.micro_batch)
    }

    /// The part of a micro-batch's range whose rows of a module are its own: nothing behind a place to which somebody moved back later, or
    /// rewound the module.
    #[must_use]
    pub(super) fn own_range(
        &self,
        micro_batch: i64,
        module: &str,
        of: &SourcePartition,
        range: &Range<i64>,
    ) -> Range<i64> {
        let (all, own) = (of.of_all(), of.of_reader(module));
        let back = [all, own].into_iter().filter_map(|of| self.back.get(&of)).flatten();
        let later = back.filter(|(number, _)| *number > micro_batch).map(|(_, next)| *next);
        range.start..later.fold(range.end, i64::min).max(range.start)
    }

    /// Whether what became of dead letters in a micro-batch may have been undone: one of its modules was rewound later. How far back, the
    /// row of a rewind does not say.
    #[must_use]
    pub(super) fn may_be_undone(&self, entry: &Entry) -> bool {
        entry.modules.iter().any(|module| self.rewound.get(module).is_some_and(|number| *number > entry.micro_batch))
    }

    /// A move of one product, the others stay where they are.
    fn pass(&mut self, entry: &Entry) {
        for table in &*entry.tables {
            for (partition, range) in &entry.offsets {
                let passed = self.passed.entry(table.clone()).or_default().entry(partition.clone()).or_default();
                if range.start < range.end {
                    passed.push(range.clone());
                } else {
                    subtract(passed, &(range.end..i64::MAX));
                    self.moved_back.insert((table.clone(), partition.clone()));
                }
            }
        }
    }

    /// Takes the offsets of a table: one product that was moved back lacks rows of micro-batches until it has caught up.
    pub(super) fn note_standing(&mut self, table: &str, offsets: &Checkpoint) {
        for (_, partition) in self.moved_back.iter().filter(|(moved, _)| moved == table) {
            let (own, all) = (offsets.get(partition), self.chains.get(partition));
            if let (Some(own), Some(all)) = (own, all)
                && own < all.next
            {
                let behind = self.behind.entry(table.to_owned()).or_default();
                behind.insert(partition.clone(), own..all.next);
            }
        }
    }

    /// Whether a single product may lack rows of a range: it was moved over some of it, or is to read it again.
    #[must_use]
    pub(super) fn may_lack(&self, table: &str, partition: &SourcePartition, range: &Range<i64>) -> bool {
        let passed = self.passed.get(table).and_then(|passed| passed.get(partition)).into_iter().flatten();
        let behind = self.behind.get(table).and_then(|behind| behind.get(partition));
        passed.chain(behind).any(|lacks| lacks.start < range.end && range.start < lacks.end)
    }
}

/// The first micro-batch that a module ran in.
fn first_run(entries: &[Entry], module: &str) -> Option<i64> {
    let runs = entries.iter().filter(|entry| !entry.is_move && entry.modules.contains(module));
    runs.map(|entry| entry.micro_batch).min()
}

fn share(names: &mut Arc<BTreeSet<String>>, others: &Arc<BTreeSet<String>>) {
    if names == others {
        names.clone_from(others);
    }
}

impl Entry {
    /// Whether the module of a reader ran, or was moved with the others.
    fn is_of(&self, reader: &SourcePartition) -> bool {
        self.is_move || reader.reader.as_ref().is_some_and(|module| self.modules.contains(&**module))
    }

    /// What a module read of each partition.
    pub(super) fn ranges_of<'a>(
        &'a self,
        module: &'a str,
    ) -> impl Iterator<Item = (&'a SourcePartition, &'a Range<i64>)> {
        // A module that catches up beside the others stands alone in a row.
        let is_its = move |partition: &SourcePartition| match &partition.reader {
            None => !self.offsets.contains_key(&partition.of_reader(module)),
            Some(reader) => **reader == *module,
        };
        self.offsets.iter().filter(move |(partition, _)| is_its(partition))
    }

    fn of(batch: &RecordBatch, row: usize) -> Option<Self> {
        let long = |name: &str| {
            let column = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
            column.is_valid(row).then(|| column.value(row))
        };
        let text = |name: &str| {
            let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
            column.is_valid(row).then(|| column.value(row))
        };
        fn json<T: DeserializeOwned>(text: &str) -> Option<BTreeMap<String, T>> {
            serde_json::from_str(text).ok()
        }
        let offsets = json::<[i64; 2]>(text("offsets")?)?;
        let offsets = offsets.into_iter().map(|(partition, [from, next])| {
            // A move back is a range that ends before it starts; it is empty as a range, and both ends are kept.
            SourcePartition::parse(&partition).map(|partition| (partition, Range { start: from, end: next }))
        });
        let names = |text: &str| json::<serde_json::Value>(text).map(|names| Arc::new(names.into_keys().collect()));
        Some(Self {
            micro_batch: long("micro_batch")?,
            is_move: text("kind") != Some(system::CommitKind::MicroBatch.name()),
            records: long("records")?,
            with_rows: long("with_rows")?,
            skips: long("skips")?,
            dead_letters: long("dead_letters")?,
            rows: long("rows")?,
            redriven: RedrivenCounts {
                records: long("redriven")?,
                with_rows: long("redriven_with_rows")?,
                skips: long("redriven_skips")?,
                dead_letters: long("redriven_dead_letters")?,
                rows: long("redriven_rows")?,
                discarded: long("discarded")?,
            },
            offsets: offsets.collect::<Option<_>>()?,
            tables: names(text("tables")?)?,
            modules: names(text("modules")?)?,
        })
    }
}

#[cfg(test)]
mod tests;
