//! The group commit: everything that a micro-batch made becomes visible, table by table, in an order that a crash cannot hurt.
//!
//! ```text
//! 1. write all files (nobody sees them)
//! 2. bronze tables                    side by side, first: what is in any other table can be read again, even if the log loses it meanwhile
//! 3. silver tables and dead letters   side by side
//! 4. state tables                     side by side, after the dead letters: late rows are found by the state, so a dead letter
//!                                     must be there before the state says that its record is done
//! 5. the commits table                one row, last
//! ```
//!
//! Every table carries its own offsets in the same commit as its rows. After a crash between two steps the tables that are ahead skip
//! what they have, and the others catch up. Gold tables are no part of it: they are written from committed state, at their own pace.

use super::Error;
use super::moved::moved;
use super::plan::{COMMITS, Plan, TableKind, TablePlan};
use super::rewind::marker;
use super::target::own_tables;
use super::topics::Topics;
use crate::checkpoint::SourcePartition;
use crate::fault;
use crate::sink::{self, Closed, Commit, DataFile, OffsetMove, Table, bronze, redrives};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Files written at the same time.
const UPLOADS: usize = 8;

/// The tables of a pipeline, and who may write them: one commit at a time.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) tables: Vec<Table>,
    /// Whose offsets the tables hold.
    pub(super) topics: Topics,
    /// By table: what says which rewind of its module it has, and which it had when the session began; of tables that all modules feed, of
    /// each of them.
    rewinds: Vec<Vec<(SourcePartition, Option<i64>)>>,
    /// By table: where state stood of earlier incarnations when it was restored. What follows from that is not written over what somebody
    /// has added since.
    earlier: Vec<Vec<(SourcePartition, Option<i64>)>>,
}

/// A micro-batch as the tables take it.
pub(super) struct Group {
    pub(super) micro_batch: i64,
    pub(super) at_ms: i64,
    /// By table.
    pub(super) files: Vec<Vec<DataFile>>,
    /// By table: files that the commit replaces.
    pub(super) remove: Vec<Vec<String>>,
    /// Every owned partition, the index of its topic, and its next offset.
    pub(super) positions: Vec<(SourcePartition, usize, i64)>,
    /// Sequences of redrives, with the index of their topic, of which nothing was ever asked as far as we know: they must not have moved.
    pub(super) unmoved: Vec<(SourcePartition, usize)>,
    /// By table.
    pub(super) closed: Vec<Closed>,
}

impl Tables {
    pub(super) fn new(plan: &Plan, tables: Vec<Table>, topics: Topics) -> Self {
        let own = plan.modules.iter().map(|module| (own_tables(module.manifest()), marker(&module.manifest().name)));
        let own: Vec<(Vec<String>, SourcePartition)> = own.collect();
        let rewinds = |(table, of): (&Table, &TablePlan)| {
            let is_of_all = matches!(of.kind, TableKind::DeadLetters | TableKind::Commits);
            let goes_back = |paths: &[String]| is_of_all || paths.iter().any(|path| path == table.path());
            let markers = own.iter().filter(|(paths, _)| goes_back(paths)).map(|(_, marker)| marker);
            markers.map(|marker| (marker.clone(), table.offsets().get(marker))).collect()
        };
        let rewinds = tables.iter().zip(&plan.tables).map(rewinds).collect();
        let earlier = tables.iter().zip(&plan.tables).map(|(table, of)| match of.kind {
            TableKind::State => earlier(&tables[COMMITS], table),
            _ => Vec::new(),
        });
        let earlier = earlier.collect();
        Self { tables, topics, rewinds, earlier }
    }

    /// That a table was not taken back since the session began, for a commit: whoever has not begun anew since then has in memory what is
    /// undone, also of partitions that went nowhere.
    pub(super) fn not_rewound(&self, table: usize) -> Vec<(SourcePartition, Option<i64>)> {
        self.rewinds[table].clone()
    }

    /// The same of all tables, for who reads them.
    pub(super) fn none_rewound(&self) -> Result<(), Error> {
        for (table, rewinds) in self.tables.iter().zip(&self.rewinds) {
            if let Some((marker, had)) = rewinds.iter().find(|(marker, had)| table.offsets().get(marker) != *had) {
                return Err(moved(table, marker, *had));
            }
        }
        Ok(())
    }

    /// Writes the files of all tables but the last step's.
    pub(super) async fn upload(&self, group: &Group) -> Result<(), Error> {
        use futures::{StreamExt, TryStreamExt};
        fault::point("upload.before");
        let files =
            self.tables.iter().zip(&group.files).flat_map(|(table, files)| files.iter().map(move |f| (table, f)));
        futures::stream::iter(files)
            .map(|(table, file)| persist("writing a file", move || table.write_file(file)))
            .buffer_unordered(UPLOADS)
            .try_collect::<Vec<()>>()
            .await?;
        fault::point("upload.after");
        Ok(())
    }

    /// Commits the tables of one kind, side by side.
    pub(super) async fn commit(&mut self, plan: &Plan, group: &Group, kind: TableKind) -> Result<(), Error> {
        let (topics, rewinds, earlier) = (&self.topics, &self.rewinds, &self.earlier);
        let of_kind = |(index, _): &(usize, &mut Table)| plan.tables[*index].kind == kind && plan.writes(*index);
        let commits = self.tables.iter_mut().enumerate().filter(of_kind).map(|(index, table)| {
            let offsets = moves(plan, index, table, group);
            // Beside others, who move what all share.
            let is_shared = plan.catches_up && plan.tables[index].topic.is_none();
            let follows = |of: &SourcePartition, topic| feeds(plan, index, of, topic) && !is_shared;
            let unmoved = group.unmoved.iter().filter(|(of, topic)| follows(of, *topic));
            let unmoved = unmoved.map(|(of, _)| (of.clone(), table.offsets().get(of)));
            let unmoved = unmoved.chain(rewinds[index].iter().chain(&earlier[index]).cloned()).collect();
            let commit = Commit {
                add: group.files[index].clone(),
                remove: group.remove[index].clone(),
                topic_ids: topics.of(&offsets),
                modules: Arc::clone(&plan.digests),
                offsets,
                unmoved,
                is_of_newest: true,
                micro_batch: group.micro_batch,
                at_ms: group.at_ms,
                closed: group.closed[index],
                ..Commit::default()
            };
            async move {
                let [before, after] = points(kind);
                fault::point(before);
                commit_one(table, commit).await?;
                fault::point(after);
                Ok::<_, Error>(())
            }
        });
        futures::future::try_join_all(commits).await?;
        Ok(())
    }

    /// The versions of the tables that a micro-batch moved, as JSON.
    pub(super) fn versions(&self) -> String {
        let versions: serde_json::Map<String, serde_json::Value> = self
            .tables
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != COMMITS)
            .map(|(_, table)| (table.path().to_owned(), table.version().into()))
            .collect();
        serde_json::Value::Object(versions).to_string()
    }
}

/// Where a table stands in partitions of which the commits table knows a later incarnation.
fn earlier(commits: &Table, table: &Table) -> Vec<(SourcePartition, Option<i64>)> {
    let newest = |topic: &str| {
        let of_topic = commits.offsets().iter().filter(|(of, _)| *of.topic == *topic);
        of_topic.map(|(of, _)| of.incarnation).max().unwrap_or(0)
    };
    let of_records = table.offsets().iter().filter(|(of, _)| of.reader.is_none());
    of_records.filter(|(of, _)| of.incarnation < newest(&of.topic)).map(|(of, next)| (of.clone(), Some(next))).collect()
}

/// The fault points around a commit of a table.
fn points(kind: TableKind) -> [&'static str; 2] {
    match kind {
        TableKind::Bronze => ["bronze.before", "bronze.after"],
        TableKind::Silver => ["silver.before", "silver.after"],
        TableKind::DeadLetters => ["dead_letters.before", "dead_letters.after"],
        TableKind::State => ["state.before", "state.after"],
        TableKind::Commits => ["commits.before", "commits.after"],
        TableKind::Gold => ["gold.before", "gold.after"],
    }
}

/// Whether a table follows a partition of a topic, or a sequence of its redrives: these bring no new records.
fn feeds(plan: &Plan, table: usize, of: &SourcePartition, topic: usize) -> bool {
    let table = &plan.tables[table];
    let is_for_it = table.kind != TableKind::Bronze || redrives::topic_of(of).is_none();
    is_for_it && table.topic.is_none_or(|fed_by| fed_by == topic)
}

/// Every owned partition of the table's topic, from where the table stands to the micro-batch's end. Where modules have progress of their
/// own in the table, theirs moves too; of what all modules feed it is all that those who catch up move. From where on a bronze table holds
/// everything is told again with each commit.
fn moves(plan: &Plan, index: usize, table: &Table, group: &Group) -> Vec<OffsetMove> {
    let step = |partition: SourcePartition, next: i64| {
        let from = table.offsets().get(&partition);
        OffsetMove { partition, from, next: from.map_or(next, |from| from.max(next)) }
    };
    let (mut moves, fed_by_one) = (Vec::new(), plan.tables[index].topic.is_some());
    for (partition, topic, next) in group.positions.iter().filter(|(of, topic, _)| feeds(plan, index, of, *topic)) {
        if !plan.catches_up || fed_by_one {
            moves.push(step(partition.clone(), *next));
        }
        let own = plan.readers(*topic).map(|reader| partition.of_reader(reader));
        moves.extend(own.filter(|own| table.offsets().get(own).is_some()).map(|own| step(own, *next)));
        let start = bronze::start_of(partition);
        let since = table.offsets().get(&start).filter(|_| plan.tables[index].kind == TableKind::Bronze);
        moves.extend(since.map(|since| OffsetMove { partition: start, from: Some(since), next: since }));
    }
    moves
}

/// One table's commit. Without rows, without progress, and where nothing more is closed, there is nothing to commit.
pub(super) async fn commit_one(table: &mut Table, commit: Commit) -> Result<(), Error> {
    let moved = commit.offsets.iter().any(|step| step.from != Some(step.next));
    if !moved && commit.add.is_empty() && commit.remove.is_empty() && !table.closed().is_behind(commit.closed) {
        return Ok(());
    }
    let id = uuid::Uuid::new_v4().to_string();
    let mut wait = Duration::from_millis(100);
    loop {
        match table.commit(&commit, &id).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() => {
                tracing::warn!(table = table.path(), error = %chain(&error), "the commit is tried again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tries until it works or cannot: a store that is away for a while costs time, not the process. What a store refuses, as when the bucket is
/// gone, a new session is to look at.
pub(super) async fn persist<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, sink::Error>>,
{
    let mut wait = Duration::from_millis(100);
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is_transient() && !error.is_refused() => {
                tracing::warn!(error = %chain(&error), "{what} is tried again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::Error as Store;

    /// How often it is tried where these are the errors, one after the other.
    #[track_caller]
    fn check(errors: Vec<Store>, tries: usize, ends_well: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (mut errors, mut tried) = (errors.into_iter(), 0);
        let ended = runtime.block_on(persist("a test", || {
            tried += 1;
            std::future::ready(errors.next().map_or(Ok(()), |error| Err(sink::Error::Store(error))))
        }));
        assert_eq!((tried, ended.is_ok()), (tries, ends_well));
    }

    #[test]
    fn a_store_that_is_away_is_waited_for_and_one_that_refuses_is_not() {
        let away = || Store::Generic { store: "S3", source: "connection refused".into() };
        let path = || "silver/part.parquet".to_owned();
        check(vec![], 1, true);
        check(vec![away(), away()], 3, true);
        check(vec![Store::NotFound { path: path(), source: "no such bucket".into() }], 1, false);
        check(vec![away(), Store::PermissionDenied { path: path(), source: "no".into() }], 2, false);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_closed_is_committed_without_rows() {
        let folder = tempfile::tempdir().unwrap();
        let lake = sink::Warehouse::open(folder.path().to_str().unwrap(), &std::collections::BTreeMap::new()).unwrap();
        let columns = vec![arrow_schema::Field::new("id", arrow_schema::DataType::Int64, true)];
        let schema = Arc::new(arrow_schema::Schema::new(columns));
        let spec = || sink::TableSpec {
            schema: Arc::clone(&schema),
            ..sink::TableSpec::unknown("_lakeward/state/retail/sales")
        };
        let mut state = Table::open(&lake, "shop", spec()).await.unwrap();
        for (horizon_ms, version) in
            [(None, 0), (Some(i64::MIN), 0), (Some(5), 1), (Some(5), 1), (Some(4), 1), (Some(6), 2)]
        {
            let closed = Closed { horizon_ms, kept_from_us: None };
            commit_one(&mut state, Commit { closed, ..Commit::default() }).await.unwrap();
            assert_eq!(state.version(), version, "{horizon_ms:?}");
        }
        assert_eq!(Table::open(&lake, "shop", spec()).await.unwrap().horizon_ms(), 6);
    }
}
