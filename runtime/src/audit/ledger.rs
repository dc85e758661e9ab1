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
mod tests {
    use super::*;

    fn at(partition: i32) -> SourcePartition {
        SourcePartition::new("orders", 0, partition)
    }

    fn entry(micro_batch: i64, offsets: &[(i32, i64, i64)]) -> Entry {
        let range = |(partition, from, next): &(i32, i64, i64)| (at(*partition), Range { start: *from, end: *next });
        Entry { micro_batch, offsets: offsets.iter().map(range).collect(), ..Entry::default() }
    }

    #[test]
    fn a_module_apart_from_the_others_has_a_chain_of_its_own() {
        let run = |micro_batch, modules: &[&str], offsets: &[(SourcePartition, Range<i64>)]| Entry {
            micro_batch,
            modules: Arc::new(modules.iter().map(|name| (*name).to_owned()).collect()),
            offsets: offsets.iter().cloned().collect(),
            ..Entry::default()
        };
        let own = at(0).of_reader("retail");
        let ledger = |from| {
            Ledger::of(vec![
                run(1, &["retail", "wholesale"], &[(at(0), 0..10)]),
                // Paused, and resumed: it catches up while the others have nothing to read.
                run(2, &["wholesale"], &[(at(0), 10..30)]),
                run(3, &["retail", "wholesale"], &[(at(0), 30..30), (own.clone(), from..25)]),
                run(4, &["retail", "wholesale"], &[(at(0), 30..40), (own.clone(), 25..40)]),
                run(5, &["retail", "wholesale"], &[(at(0), 40..50)]),
            ])
        };
        let found = ledger(10);
        assert_eq!((found.chains[&at(0)].next, found.chains[&at(0)].faults.len()), (50, 0));
        assert_eq!((found.chains[&own].next, found.chains[&own].faults.len()), (50, 0));
        let ranges = found.entries.iter().flat_map(|entry| entry.ranges_of("retail")).map(|(_, range)| range.clone());
        assert_eq!(ranges.collect::<Vec<_>>(), [0..10, 10..30, 10..25, 25..40, 40..50]);
        assert_eq!(ledger(12).chains[&own].faults, ["no micro-batch accounts for offsets 10 to 11"]);
    }

    #[test]
    fn a_module_that_catches_up_beside_the_others_stands_alone_in_a_row() {
        let run = |micro_batch, module: &str, offsets: &[(SourcePartition, Range<i64>)]| Entry {
            micro_batch,
            modules: Arc::new([module.to_owned()].into()),
            offsets: offsets.iter().cloned().collect(),
            ..Entry::default()
        };
        let own = at(0).of_reader("retail");
        let both = Arc::new(["retail".to_owned(), "wholesale".to_owned()].into());
        let first = Entry { modules: Arc::clone(&both), ..run(1, "", &[(at(0), 0..10)]) };
        let last = Entry { modules: both, ..run(6, "", &[(at(0), 40..60), (own.clone(), 35..60)]) };
        let ledger = Ledger::of(vec![
            first,
            run(2, "wholesale", &[(at(0), 10..30)]),
            run(3, "retail", &[(own.clone(), 10..25)]),
            run(4, "wholesale", &[(at(0), 30..40)]),
            run(5, "retail", &[(own.clone(), 25..35)]),
            last,
        ]);
        for of in [&own, &at(0)] {
            assert_eq!((ledger.chains[of].next, ledger.chains[of].faults.len()), (60, 0), "{of}");
        }
        let ranges = |micro_batch: usize, module| -> Vec<_> {
            ledger.entries[micro_batch - 1].ranges_of(module).map(|(_, range)| (range.start, range.end)).collect()
        };
        assert_eq!((ranges(3, "retail"), ranges(3, "wholesale")), (vec![(10, 25)], vec![]));
        assert_eq!((ranges(6, "retail"), ranges(6, "wholesale")), (vec![(35, 60)], vec![(40, 60)]));
    }

    #[test]
    fn a_module_that_was_rewound_is_read_again_alone() {
        let own = at(0).of_reader("retail");
        let modules = Arc::new(["retail".to_owned(), "wholesale".to_owned()].into());
        let run = |micro_batch, offsets| Entry { modules: Arc::clone(&modules), ..entry(micro_batch, offsets) };
        let offsets = [(own.clone(), Range { start: 20, end: 5 })].into_iter().collect();
        let tables = Arc::new([system::DEAD_LETTERS.to_owned()].into());
        let only = Arc::new(["retail".to_owned()].into());
        let rewound = Entry { is_move: true, micro_batch: 3, offsets, tables, modules: only, ..Entry::default() };
        let mut again = run(4, &[(0, 20, 30)]);
        again.offsets.insert(own.clone(), 5..30);
        let ledger = Ledger::of(vec![run(1, &[(0, 0, 5)]), run(2, &[(0, 5, 20)]), rewound, again]);
        assert_eq!((ledger.chains[&own].next, ledger.chains[&own].faults.len()), (30, 0));
        assert_eq!((ledger.chains[&at(0)].next, ledger.chains[&at(0)].faults.len()), (30, 0));
        assert_eq!(ledger.own_range(2, "retail", &at(0), &(5..20)), 5..5);
        assert_eq!(ledger.own_range(2, "wholesale", &at(0), &(5..20)), 5..20);
        let undone = ledger.entries.iter().filter(|entry| ledger.may_be_undone(entry));
        assert_eq!(undone.map(|entry| entry.micro_batch).collect::<Vec<_>>(), [1, 2]);
        let wholesale = Entry { modules: Arc::new(["wholesale".to_owned()].into()), ..entry(2, &[]) };
        assert!(!ledger.may_be_undone(&wholesale));
    }

    #[test]
    fn a_module_that_came_later_has_a_chain_from_where_it_began() {
        let modules = |names: &[&str]| Arc::new(names.iter().map(|name| (*name).to_owned()).collect());
        let own = at(0).of_reader("retail_v2");
        let before = Entry { modules: modules(&["retail"]), ..entry(1, &[(0, 5, 30)]) };
        let mut first = Entry { modules: modules(&["retail", "retail_v2"]), ..entry(3, &[(0, 50, 50)]) };
        first.offsets.insert(own.clone(), 0..20);
        let mut second = Entry { modules: modules(&["retail", "retail_v2"]), ..entry(4, &[(0, 50, 60)]) };
        second.offsets.insert(own.clone(), 20..60);
        let ledger = Ledger::of(vec![before, moved(2, 30, 50, &[system::DEAD_LETTERS]), first, second]);
        let chain = ledger.chain_of("retail_v2", &at(0)).unwrap();
        assert_eq!((chain.first, chain.next, &chain.faults, &chain.skipped), (0, 60, &Vec::new(), &Vec::new()));
        assert_eq!(ledger.chain_of("retail", &at(0)).unwrap().skipped.first(), Some(&(30..50)));
        assert!(ledger.has_begun("retail_v2", &at(0)) && !ledger.has_begun("retail_v2", &at(1)));
        assert!(!ledger.has_begun("retail_v3", &at(0)));
    }

    fn moved(micro_batch: i64, from: i64, next: i64, tables: &[&str]) -> Entry {
        let tables = Arc::new(tables.iter().map(|table| (*table).to_owned()).collect());
        Entry { is_move: true, tables, ..entry(micro_batch, &[(0, from, next)]) }
    }

    #[test]
    fn instances_share_numbers_and_not_partitions() {
        let ledger = Ledger::of(vec![
            entry(2, &[(1, 7, 9)]),
            entry(1, &[(0, 0, 5)]),
            entry(1, &[(1, 0, 7)]),
            entry(2, &[(0, 5, 6)]),
            // The second takes the first one's partition over, and goes on counting from what the tables say.
            entry(3, &[(0, 6, 20), (1, 9, 9)]),
        ]);
        let found: Vec<_> =
            ledger.chains.iter().map(|(p, chain)| (p.partition, chain.next, chain.faults.len())).collect();
        assert_eq!(found, [(0, 20, 0), (1, 9, 0)]);
    }

    #[test]
    fn a_move_of_one_product_is_no_step_of_the_pipeline() {
        let table = "silver/a/b";
        let back = |next| moved(4, 50, next, &[table]);
        let steps = |last: Option<Entry>| {
            let first = [entry(1, &[(0, 0, 10)]), moved(2, 10, 50, &[table]), entry(3, &[(0, 10, 60)])];
            Ledger::of(first.into_iter().chain(last).collect())
        };
        let ledger = steps(None);
        assert_eq!((ledger.chains[&at(0)].next, ledger.chains[&at(0)].faults.len()), (60, 0));
        assert!(ledger.may_lack(table, &at(0), &(0..11)) && !ledger.may_lack(table, &at(0), &(50..60)));
        assert!(!ledger.may_lack("silver/a/c", &at(0), &(0..60)));

        let mut ledger = steps(Some(back(20)));
        assert_eq!(ledger.passed[table][&at(0)].first(), Some(&(10..20)));
        assert!(!ledger.may_lack(table, &at(0), &(20..60)));
        ledger.note_standing(table, &[(at(0), 30)].into_iter().collect());
        assert!(ledger.may_lack(table, &at(0), &(40..60)) && !ledger.may_lack(table, &at(0), &(20..30)));
    }

    #[test]
    fn what_is_read_again_counts_for_the_later_micro_batch() {
        let all = ["silver/a/b", system::DEAD_LETTERS];
        let ledger = Ledger::of(vec![entry(1, &[(0, 0, 100)]), moved(2, 100, 40, &all), entry(3, &[(0, 40, 120)])]);
        assert!(ledger.chains[&at(0)].faults.is_empty());
        assert_eq!(ledger.own_range(1, "retail", &at(0), &(0..100)), 0..40);
        assert_eq!(ledger.own_range(3, "retail", &at(0), &(40..120)), 40..120);
    }
}
