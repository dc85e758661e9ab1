//! Takes the products of a module back to an earlier micro-batch: tables, gold, aggregate state and offsets, so that whatever module is
//! active now reads on from there.
//!
//! ```text
//! order    the micro-batch becomes a target: versions of tables, offsets of partitions   (pure reading; written into the log)
//! start    of the next session, by whichever instance comes first, table by table:
//!          silver ► dead letters ► state ► gold ► the commits table, with a row that says so
//! ```
//!
//! Each table goes back in one commit, files and offsets together, and that commit moves a `txn` of the table to the number of the decision:
//! whoever comes second, or again after a crash, leaves out the tables that have it. An instance that still writes finds its offsets moved,
//! and starts over. The module's progress in the tables that all modules feed goes back with it; the other modules' stays.
//!
//! A rebuild is a rewind to before the first micro-batch: the module's own tables become empty, and get the columns of whatever module is
//! active now in the same commit.

use super::Error;
use super::commit::commit_one;
use super::history::{self, first_read, since_rebuilt};
use super::plan::{COMMITS, DEAD_LETTERS, Plan, TableKind};
use super::releases::Release;
use super::target::own_tables;
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::config::Config;
use crate::fault;
use crate::release::Target;
use crate::sink::redrives::sequence_of;
use crate::sink::system::{CommitKind, CommitRow, incarnation_column};
use crate::sink::{self, Commit, DataFile, FileWriter, OffsetMove, Past, Table, TableSpec, Warehouse};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, BooleanArray, RecordBatch};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The `txn` of a table that says which rewind of a module it has.
pub(super) fn marker(module: &str) -> SourcePartition {
    SourcePartition::new("rewind", 0, 0).of_reader(module)
}

/// A rewind under way.
struct Rewind<'a> {
    config: &'a Config,
    lake: &'a Warehouse,
    plan: &'a Plan,
    module: usize,
    number: i64,
    target: &'a Target,
    offsets: Checkpoint,
    /// How far requests about dead letters are executed, by sequence: own tables that a crash left ahead of that go back there.
    executed: Checkpoint,
    at_ms: i64,
}

/// Finishes the rewinds that the log of deployments asks for.
pub(super) async fn finish(config: &Config, lake: &Warehouse, release: &Release, at_ms: i64) -> Result<(), Error> {
    for (name, number, target) in release.rewinds.iter().filter(|(name, ..)| !release.finishing.contains(name)) {
        let plan = &*release.plan;
        let Some(module) = plan.modules.iter().position(|module| module.manifest().name == *name) else { continue };
        let offsets = target.offsets.iter().filter_map(|(of, next)| Some((SourcePartition::parse(of)?, *next)));
        let (number, offsets) = (*number, offsets.collect());
        let executed = Checkpoint::default();
        let rewind = Rewind { config, lake, plan, module, number, target, offsets, executed, at_ms };
        rewind.run().await.map_err(|error| match error {
            Error::Sink(source @ (sink::Error::Vacuumed { .. } | sink::Error::Forgotten { .. })) => Error::NoWayBack {
                module: name.clone(),
                digest: Arc::clone(plan.modules[module].digest()),
                source: Box::new(source),
            },
            error => error,
        })?;
    }
    Ok(())
}

impl Rewind<'_> {
    async fn run(mut self) -> Result<(), Error> {
        let name = &self.plan.modules[self.module].manifest().name;
        let commits = self.open(COMMITS).await?;
        if commits.offsets().get(&marker(name)).is_some_and(|done| done >= self.number) {
            return Ok(());
        }
        tracing::info!(module = name, micro_batch = self.target.micro_batch, "the module's products go back");
        let history = history::rows(self.config, self.lake).await?;
        let first = first_read(since_rebuilt(&history, name), name);
        let own = commits.offsets().iter().filter(|(of, _)| of.reader.as_deref() == Some(name) && **of != marker(name));
        for (of, stands) in own.map(|(of, stands)| (of.of_all(), stands)) {
            // A partition that the module came to after the decision: nothing of it stays either. Where it has committed nothing, it stands
            // at its beginning.
            if self.offsets.get(&of).is_none() {
                let begin = first.get(&of).copied().unwrap_or(stands);
                self.offsets.set(of, begin);
            }
        }
        let sequences = self.sequences();
        self.executed = sequences.iter().map(|of| (of.clone(), commits.offsets().get(of).unwrap_or(0))).collect();
        self.check().await?;
        let micro_batch = commits.micro_batch().max(self.target.micro_batch) + 1;
        let mut versions = BTreeMap::new();
        for kind in [TableKind::Silver, TableKind::DeadLetters, TableKind::State, TableKind::Gold] {
            for index in self.tables(kind) {
                let table = self.table(index, micro_batch).await?;
                versions.insert(table.path().to_owned(), table.version());
            }
        }
        for path in &self.target.emptied {
            self.left(path, micro_batch).await?;
        }
        self.commits(commits, micro_batch, &versions).await
    }

    /// Looks whether everything that it goes back to is still there, before anything is taken back.
    async fn check(&self) -> Result<(), Error> {
        for index in
            [TableKind::Silver, TableKind::State, TableKind::Gold].into_iter().flat_map(|kind| self.tables(kind))
        {
            let table = self.open(index).await?;
            if let Some(version) = self.target.tables.get(table.path()) {
                let past = Past::of(self.lake, &self.config.pipeline, table.path(), *version, &[]).await?;
                past.check(|path| table.files().contains_key(path)).await?;
            }
        }
        Ok(())
    }

    /// Empties a table that nobody writes any more: whoever does so again begins where the others are.
    async fn left(&self, path: &str, micro_batch: i64) -> Result<(), Error> {
        if Table::find(self.lake, &self.config.pipeline, path).await?.is_none() {
            return Ok(());
        }
        // Whatever its columns are.
        let mut table = Table::open_to_renew(self.lake, &self.config.pipeline, TableSpec::unknown(path)).await?;
        table.find_offsets(self.lake, &self.known()).await?;
        let done = table.offsets().get(&self.marker());
        if done.is_some_and(|done| done >= self.number) {
            return Ok(());
        }
        let mark = OffsetMove { partition: self.marker(), from: done, next: self.number };
        let topic_ids = table.topic_ids().clone();
        let commit = Commit { micro_batch, at_ms: self.at_ms, topic_ids, ..Commit::default() };
        self.emptied(table, commit, mark).await.map(drop)
    }

    fn marker(&self) -> SourcePartition {
        marker(&self.plan.modules[self.module].manifest().name)
    }

    /// All that a table may name of the module's progress.
    fn known(&self) -> Vec<SourcePartition> {
        let name = &self.plan.modules[self.module].manifest().name;
        let all = self.offsets.iter().flat_map(|(of, _)| [of.clone(), of.of_reader(name)]);
        all.chain(self.sequences()).chain([self.marker()]).collect()
    }

    /// The tables of a kind that go back: the module's own, or what all feed.
    fn tables(&self, kind: TableKind) -> Vec<usize> {
        let own = own_tables(self.plan.modules[self.module].manifest());
        let is_it = |index: &usize| {
            let table = &self.plan.tables[*index];
            table.kind == kind && (kind == TableKind::DeadLetters || own.contains(&table.spec.path))
        };
        (0..self.plan.tables.len()).filter(is_it).collect()
    }

    async fn open(&self, index: usize) -> Result<Table, Error> {
        let spec = TableSpec { track_files: true, ..self.plan.tables[index].spec.clone() };
        let is_of_all = matches!(self.plan.tables[index].kind, TableKind::DeadLetters | TableKind::Commits);
        let mut table = if self.target.rebuild && !is_of_all {
            Table::open_to_renew(self.lake, &self.config.pipeline, spec).await?
        } else {
            Table::open(self.lake, &self.config.pipeline, spec).await?
        };
        table.find_offsets(self.lake, &self.known()).await?;
        Ok(table)
    }

    /// Takes one table back, unless it has been.
    async fn table(&self, index: usize, micro_batch: i64) -> Result<Table, Error> {
        let name = &self.plan.modules[self.module].manifest().name;
        let table = self.open(index).await?;
        let done = table.offsets().get(&marker(name));
        if done.is_some_and(|done| done >= self.number) {
            return Ok(table);
        }
        let topic_ids = table.topic_ids().clone();
        let mark = OffsetMove { partition: marker(name), from: done, next: self.number };
        let commit = Commit { micro_batch, at_ms: self.at_ms, topic_ids, ..Commit::default() };
        if self.target.rebuild && index == DEAD_LETTERS {
            return self.letters(table, commit, &self.offsets, None, mark).await;
        }
        let Some(version) = self.target.tables.get(table.path()) else {
            // The table came later: it becomes empty, and is read from where the others are.
            return self.emptied(table, commit, mark).await;
        };
        let known: Vec<SourcePartition> = self.offsets.iter().map(|(partition, _)| partition.clone()).collect();
        let own: Vec<SourcePartition> = known.iter().map(|partition| partition.of_reader(name)).collect();
        let all = [known, own, self.sequences()].concat();
        let past = Past::of(self.lake, &self.config.pipeline, table.path(), *version, &all).await?;
        if index == DEAD_LETTERS {
            let answered = self.answered(&past).await?;
            return self.letters(table, commit, &self.letters_stood(&past), Some(&answered), mark).await;
        }
        let is_gold = self.plan.tables[index].kind == TableKind::Gold;
        let own = table.offsets().iter().filter(|(partition, _)| *partition != &marker(name));
        let step = |(partition, from): (&SourcePartition, i64)| {
            let executed = self.executed.get(partition).map(|executed| executed.min(from));
            // A gold table that had nothing of a partition yet is not where the state is: it is still to be published.
            let begin = || if is_gold { Some(0) } else { self.offsets.get(partition) };
            let stood = past.offsets.get(partition).or(executed).or_else(begin);
            OffsetMove { partition: partition.clone(), from: Some(from), next: stood.unwrap_or(from) }
        };
        let offsets = own.map(step).chain([mark]).collect();
        let commit = table.back_to(&past, Commit { offsets, ..commit }).await?;
        self.commit(table, commit).await
    }

    /// Takes the module's dead letters back to where they stood, and to what was answered of them; the others' stay.
    async fn letters(
        &self,
        table: Table,
        commit: Commit,
        stood: &Checkpoint,
        answered: Option<&Checkpoint>,
        mark: OffsetMove,
    ) -> Result<Table, Error> {
        let name = &self.plan.modules[self.module].manifest().name;
        let (remove, add) = self.letters_left(&table, stood, answered).await?;
        let step = |(partition, next): (&SourcePartition, i64)| OffsetMove {
            from: table.offsets().get(&partition.of_reader(name)),
            partition: partition.of_reader(name),
            next,
        };
        let offsets = stood.iter().map(step).chain([mark]).collect();
        self.commit(table, Commit { remove, add, offsets, ..commit }).await
    }

    async fn commit(&self, mut table: Table, commit: Commit) -> Result<Table, Error> {
        fault::point("rewind.before");
        commit_one(&mut table, commit).await?;
        fault::point("rewind.after");
        Ok(table)
    }

    async fn emptied(&self, table: Table, commit: Commit, mark: OffsetMove) -> Result<Table, Error> {
        let step = |(partition, from): (&SourcePartition, i64)| {
            let executed = self.executed.get(partition).map(|executed| executed.min(from));
            let next = self.offsets.get(partition).or(executed).unwrap_or(from);
            OffsetMove { partition: partition.clone(), from: Some(from), next }
        };
        let name = &self.plan.modules[self.module].manifest().name;
        let own = table.offsets().iter().filter(|(partition, _)| *partition != &marker(name));
        let offsets = own.map(step).chain([mark]).collect();
        let remove = table.files().keys().cloned().collect();
        let renews = self.target.rebuild;
        self.commit(table, Commit { offsets, remove, is_rewind: true, renews, ..commit }).await
    }

    /// Where the dead letters of the module stood then, by partition.
    fn letters_stood(&self, past: &Past) -> Checkpoint {
        let name = &self.plan.modules[self.module].manifest().name;
        let stood = |(partition, target): (&SourcePartition, i64)| {
            let of_all = || past.offsets.get(partition).map(|stood| stood.min(target));
            let of = past.offsets.get(&partition.of_reader(name)).or_else(of_all);
            (partition.clone(), of.unwrap_or(target))
        };
        self.offsets.iter().map(stood).collect()
    }

    /// The redrives of the partitions.
    fn sequences(&self) -> Vec<SourcePartition> {
        self.offsets.iter().map(|(of, _)| sequence_of(&of.topic, of.partition)).collect()
    }

    /// By sequence, the number behind the last request that was answered then. Where a death lies between the two, silver that has the
    /// rows is believed: `letters` are the dead letters as they were then.
    async fn answered(&self, letters: &Past) -> Result<Checkpoint, Error> {
        let mut answered = letters.offsets.clone();
        for silver in self.tables(TableKind::Silver).into_iter().map(|index| &self.plan.tables[index].spec.path) {
            let Some(version) = self.target.tables.get(silver) else { continue };
            let sequences = self.sequences();
            let past = Past::of(self.lake, &self.config.pipeline, silver, *version, &sequences).await?;
            for sequence in sequences {
                let next = past.offsets.get(&sequence).max(answered.get(&sequence));
                next.into_iter().for_each(|next| answered.set(sequence.clone(), next));
            }
        }
        Ok(answered)
    }

    /// The files of the dead-letter table that hold letters of the module from behind `offsets`, or answers to requests that were not
    /// `answered`, and those without these, which are written; without `answered` nothing of the module stays.
    async fn letters_left(
        &self,
        table: &Table,
        offsets: &Checkpoint,
        answered: Option<&Checkpoint>,
    ) -> Result<(Vec<String>, Vec<DataFile>), Error> {
        let (mut remove, mut add) = (Vec::new(), Vec::new());
        for path in table.files().keys() {
            let batches = table.read_rows(path).await?;
            let kept: Vec<BooleanArray> = batches.iter().map(|rows| self.kept(rows, offsets, answered)).collect();
            if kept.iter().all(|kept| kept.false_count() == 0) {
                continue;
            }
            let mut writer = FileWriter::new(Arc::clone(&self.plan.tables[DEAD_LETTERS].layout));
            for (rows, kept) in batches.iter().zip(&kept) {
                let left = arrow_select::filter::filter_record_batch(rows, kept)
                    .map_err(|source| crate::sink::Error::Columns { table: table.path().to_owned(), source })?;
                writer.write(left.columns().to_vec())?;
            }
            remove.push(path.clone());
            for mut file in writer.finish()? {
                table.write_file(&file).await?;
                // There may be many.
                file.bytes = bytes::Bytes::new();
                add.push(file);
            }
        }
        Ok((remove, add))
    }

    /// Which rows of the dead-letter table stay.
    fn kept(&self, rows: &RecordBatch, offsets: &Checkpoint, answered: Option<&Checkpoint>) -> BooleanArray {
        let name = &self.plan.modules[self.module].manifest().name;
        let text = |name: &str| rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let long = |name: &str| rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let int = |name: &str| rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (Some(modules), Some(topics), Some(at), Some(partitions), Some(incarnations)) =
            (text("module"), text("topic"), long("offset"), int("partition"), int("incarnation"))
        else {
            return BooleanArray::from(vec![true; rows.num_rows()]);
        };
        let requests = long("request");
        let is_kept = |row: usize| {
            if modules.value(row) != name {
                return true;
            }
            let Some(answered) = answered else { return false };
            let is_behind = offsets.iter().any(|(of, next)| {
                let is_of = *of.topic == *topics.value(row) && of.partition == partitions.value(row);
                is_of && incarnation_column(of.incarnation) == incarnations.value(row) && at.value(row) >= next
            });
            let request = requests.filter(|requests| requests.is_valid(row)).map(|requests| requests.value(row));
            let is_later = request.is_some_and(|request| {
                request >= answered.get(&sequence_of(topics.value(row), partitions.value(row))).unwrap_or(0)
            });
            !is_behind && !is_later
        };
        (0..rows.num_rows()).map(|row| Some(is_kept(row))).collect()
    }

    /// The rows that say so, and the module's progress in the commits table.
    async fn commits(&self, mut table: Table, micro_batch: i64, versions: &BTreeMap<String, u64>) -> Result<(), Error> {
        let name = &self.plan.modules[self.module].manifest().name;
        let (mut moves, mut back, mut over) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (partition, next) in self.offsets.iter() {
            let own = partition.of_reader(name);
            let from = table.offsets().get(&own);
            let stood = from.or_else(|| table.offsets().get(partition)).unwrap_or(next);
            let lost = self.target.lost.get(&partition.to_string()).copied();
            back.insert(own.to_string(), [stood, lost.unwrap_or(next)]);
            over.extend(lost.map(|lost| (own.to_string(), [lost, next])));
            moves.push(OffsetMove { partition: own, from, next });
        }
        let done = table.offsets().get(&marker(name));
        moves.push(OffsetMove { partition: marker(name), from: done, next: self.number });
        let kind = if self.target.rebuild { CommitKind::Rebuilt } else { CommitKind::Rewound };
        let mut rows = vec![self.row(kind, micro_batch, &back, versions)];
        if !over.is_empty() {
            rows.push(self.row(CommitKind::Moved, micro_batch + 1, &over, versions));
        }
        let micro_batch = rows.last().map_or(micro_batch, |row| row.micro_batch);
        let mut writer = FileWriter::new(Arc::clone(&self.plan.tables[COMMITS].layout));
        for row in &rows {
            writer.write(row.columns())?;
        }
        let add = writer.finish()?;
        for file in &add {
            table.write_file(file).await?;
        }
        let topic_ids = table.topic_ids().clone();
        let commit = Commit { add, offsets: moves, micro_batch, at_ms: self.at_ms, topic_ids, ..Commit::default() };
        fault::point("rewind.before");
        commit_one(&mut table, commit).await?;
        fault::point("rewind.after");
        Ok(())
    }

    fn row(
        &self,
        kind: CommitKind,
        micro_batch: i64,
        offsets: &BTreeMap<String, [i64; 2]>,
        versions: &BTreeMap<String, u64>,
    ) -> CommitRow {
        let module = &self.plan.modules[self.module];
        CommitRow {
            micro_batch,
            kind,
            committed_at_ms: self.at_ms,
            offsets: serde_json::to_string(offsets).unwrap_or_default(),
            tables: serde_json::to_string(versions).unwrap_or_default(),
            modules: serde_json::json!({ &module.manifest().name: &**module.digest() }).to_string(),
            ..CommitRow::default()
        }
    }
}
