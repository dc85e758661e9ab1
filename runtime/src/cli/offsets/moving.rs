//! Carries a move out: the tables first, then a row in the commits table that says so.

use super::super::Error;
use super::lake::{self, TableName};
use super::plan::{Plan, Target, Wanted, What};
use super::torn::Torn;
use crate::audit::{Log, Subjects, client, first_at_or_behind};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline;
use crate::sink::bronze::{self, Held};
use crate::sink::system::{self, CommitKind, CommitRow};
use crate::sink::{Commit, DataFile, FileWriter, Layout, OffsetMove, Table, Warehouse};
use crate::source::{Files, LogRange};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Moves what is wanted. Returns what was done, for a person.
pub(super) async fn run(
    config: &Config,
    warehouse: &Warehouse,
    subjects: &Subjects,
    wanted: &Wanted,
) -> Result<String, Error> {
    let mut all = lake::tables(subjects);
    all.extend(lake::bronze_tables(config, subjects));
    let mut standing = lake::standing(config, warehouse, subjects, &all).await?;
    // Bronze is read from, and never moved.
    let (kept, moved): (BTreeMap<_, _>, _) =
        standing.offsets.into_iter().partition(|(table, _)| table.starts_with("bronze/"));
    standing.offsets = moved;
    let mut incarnations = lake::incarnations(config, subjects, &standing.offsets);
    let before = incarnations.clone();
    if wanted.new_incarnation {
        for topic in wanted.topics(subjects) {
            *incarnations.entry(topic).or_default() += 1;
        }
    }
    let mut targets = BTreeMap::new();
    for topic in wanted.topics(subjects) {
        let incarnation = incarnations.get(&topic).copied().unwrap_or(0);
        let of = |partition| SourcePartition::new(topic.clone(), incarnation, partition);
        let kept = kept.get(&bronze::path(&topic));
        let held = |partition| kept.and_then(|kept| Held::of(kept, &of(partition)));
        let found = tokio::task::block_in_place(|| targets_of(config, &topic, wanted.to, wanted.partition, &held))?;
        targets.extend(found.into_iter().map(|(partition, target)| (of(partition), target)));
    }
    let found = lake::topics(config, subjects).await;
    let recreated =
        |topic: &str| found.is_recreated(topic, before.get(topic).copied().unwrap_or(0), &standing.topic_ids);
    if !wanted.new_incarnation {
        refuse_recreated(wanted.topics(subjects).iter().find(|topic| recreated(topic) == Some(true)))?;
    } else if !wanted.yes {
        refuse_known(&standing.offsets, &targets, &recreated)?;
    }
    let tables = wanted.tables(subjects);
    if let Some(missing) = tables.iter().find(|table| !standing.offsets.contains_key(&table.path)) {
        return refused(format!(
            "there is no table {} yet: `start` in the configuration says where a new one begins",
            missing.path
        ));
    }
    let torn = refuse_torn(subjects, &tables, &standing.offsets, &targets)?;
    let plan = Plan::new(&tables, wanted.module(), &standing.offsets, &targets, &torn)?;
    refuse_doubles(config, warehouse, subjects, &plan).await?;
    refuse_letters(config, warehouse, subjects, wanted, &plan).await?;
    if plan.unread() > 0 && !wanted.yes {
        let words = match wanted.what {
            What::Product(_) => "by this product",
            What::Module(_) => "by this module",
            What::All => "by anything",
        };
        return refused(format!("{} records would never be read {words}; say --yes if that is meant", plan.unread()));
    }
    if plan.steps.is_empty() {
        return Ok("everything is there already\n".to_owned());
    }
    carry_out(config, warehouse, &tables, wanted, &plan, &targets, &found.ids).await
}

fn refused<T>(reason: String) -> Result<T, Error> {
    Err(Error::Move { reason })
}

/// Offsets of a topic that is gone mean nothing in the one that has its name now.
fn refuse_recreated(topic: Option<&Arc<str>>) -> Result<(), Error> {
    let Some(topic) = topic else { return Ok(()) };
    refused(format!(
        "topic {topic} was deleted and made anew, so its offsets count from the start again: say --all --topic {topic} --new-incarnation"
    ))
}

/// Where every stored offset is within its log, the topic may well be the one that it was; unless its id says otherwise.
fn refuse_known(
    standing: &BTreeMap<String, Checkpoint>,
    targets: &BTreeMap<SourcePartition, (i64, Log)>,
    recreated: &dyn Fn(&str) -> Option<bool>,
) -> Result<(), Error> {
    let mut topics: BTreeMap<&str, bool> = BTreeMap::new();
    for (partition, (_, log)) in targets {
        let before = SourcePartition { incarnation: partition.incarnation.saturating_sub(1), ..partition.clone() };
        let stored = standing.values().filter_map(|offsets| offsets.get(&before));
        let is_known = stored.into_iter().all(|offset| (log.start..=log.end).contains(&offset));
        *topics.entry(&partition.topic).or_insert(true) &= is_known;
    }
    let is_same = |(topic, is_known): &(&str, bool)| recreated(topic).map_or(*is_known, |recreated| !recreated);
    match topics.into_iter().find(is_same) {
        None => Ok(()),
        Some((topic, _)) if recreated(topic) == Some(false) => refused(format!(
            "topic {topic} has the id that the tables know, so it was not made anew: its records would be read, and be in the tables, once \
             more; say --yes if that is meant"
        )),
        Some((topic, _)) => refused(format!(
            "every offset of topic {topic} is within its log, as if the topic had not been made anew: its records would be read, and be in \
             the tables, once more; say --yes if it was made anew"
        )),
    }
}

/// Where each partition of a topic is to be read from, and what can be read of it.
fn targets_of(
    config: &Config,
    topic: &str,
    to: Target,
    only: Option<i32>,
    held: &dyn Fn(i32) -> Option<Held>,
) -> Result<BTreeMap<i32, (i64, Log)>, Error> {
    let source = |error| Error::from(pipeline::Error::Source(error));
    let mut targets = BTreeMap::new();
    if let Some(path) = config.topics.get(topic).and_then(|settings| settings.path.as_ref()) {
        let log = readable(Files::new(path).and_then(|files| files.log_range()).map_err(source)?, held(0));
        let target = match to {
            Target::Earliest => log.start,
            Target::Latest => log.end,
            Target::Offset(offset) => offset,
            Target::Time(_) => return refused(format!("topic {topic} is read from files, which have no times")),
        };
        targets.insert(0, (target, log));
    } else {
        let kafka = client(config).map_err(source)?;
        let Some(kafka) = kafka else { return Err(pipeline::Error::NoBrokers { topic: topic.to_owned() }.into()) };
        for partition in kafka.partitions(topic).map_err(source)? {
            let log = readable(kafka.log_range(topic, partition).map_err(source)?, held(partition));
            let target = match to {
                Target::Earliest => log.start,
                Target::Latest => log.end,
                Target::Offset(offset) => offset,
                Target::Time(ms) => kafka.offset_at(topic, partition, ms).map_err(source)?.unwrap_or(log.end),
            };
            targets.insert(partition, (target, log));
        }
    }
    if let Some(only) = only {
        targets.retain(|partition, _| *partition == only);
        if targets.is_empty() {
            return refused(format!("topic {topic} has no partition {only}"));
        }
    }
    Ok(targets)
}

/// What can be read of a partition: its log, and before it what bronze holds without a gap.
fn readable(log: LogRange, held: Option<Held>) -> Log {
    Log { start: Held::oldest(held, log.start), end: log.end }
}

/// Refuses to move what a start of the pipeline finishes. The partitions in which that is not possible any more.
fn refuse_torn(
    subjects: &Subjects,
    tables: &[TableName],
    standing: &BTreeMap<String, Checkpoint>,
    targets: &BTreeMap<SourcePartition, (i64, Log)>,
) -> Result<BTreeSet<SourcePartition>, Error> {
    let mut lost = BTreeSet::new();
    for (partition, (_, log)) in targets {
        let Some(torn) = Torn::find(subjects, tables, standing, partition) else { continue };
        if torn.can_be_finished(*log) {
            return refused(torn.say(partition));
        }
        lost.insert(partition.clone());
    }
    Ok(lost)
}

/// Refuses to read for one product again what is a dead letter of its module: redriven, that has its rows a second time.
async fn refuse_letters(
    config: &Config,
    warehouse: &Warehouse,
    subjects: &Subjects,
    wanted: &Wanted,
    plan: &Plan,
) -> Result<(), Error> {
    let What::Product(product) = wanted.what else { return Ok(()) };
    let silver = &subjects.silver[product];
    let Some(again) = plan.again.get(&silver.table()).filter(|_| !wanted.yes) else { return Ok(()) };
    let of_module = again.iter().map(|(partition, from)| (partition.of_reader(&silver.module), *from)).collect();
    match first_at_or_behind(warehouse, &config.pipeline, subjects, system::DEAD_LETTERS, &of_module).await? {
        None => Ok(()),
        Some(found) => refused(format!(
            "what came from {found} is a dead letter of module {}: read again and redriven it would be in {} twice; redrive or discard such \
             letters first, and say --yes if those that are left stay what they are",
            silver.module, silver.path
        )),
    }
}

/// Refuses to read again what has rows or dead letters already.
async fn refuse_doubles(config: &Config, warehouse: &Warehouse, subjects: &Subjects, plan: &Plan) -> Result<(), Error> {
    for (table, again) in &plan.again {
        let found = first_at_or_behind(warehouse, &config.pipeline, subjects, table, again).await?;
        if let Some(found) = found {
            return refused(format!(
                "{table} has what came from {found} already, and would have it twice; reading again what was read is not \
                 possible yet, only what was moved over; --partition moves one that has stopped alone"
            ));
        }
    }
    Ok(())
}

async fn carry_out(
    config: &Config,
    warehouse: &Warehouse,
    tables: &[TableName],
    wanted: &Wanted,
    plan: &Plan,
    targets: &BTreeMap<SourcePartition, (i64, Log)>,
    ids: &BTreeMap<String, String>,
) -> Result<String, Error> {
    let id = |partition: &SourcePartition| Some((partition.of_topic(), ids.get(&*partition.topic)?.clone()));
    let topic_ids: BTreeMap<String, String> = targets.keys().filter_map(id).collect();
    let failed = |error| Error::from(pipeline::Error::Sink(error));
    let find = async |path: &str| {
        let found = Table::find(warehouse, &config.pipeline, path).await.map_err(failed)?;
        let mut table = found.ok_or_else(|| Error::Move { reason: format!("there is no table {path}") })?;
        let moved = plan.steps.get(path).into_iter().flatten().map(|step| step.partition.clone());
        table.find_offsets(warehouse, &moved.collect::<Vec<_>>()).await.map_err(failed)?;
        Ok::<_, Error>(table)
    };
    let mut commits = find(system::COMMITS).await?;
    let (mut versions, mut done) = (serde_json::Map::new(), String::new());
    let at_ms = Clock::system().now_ms();
    let mut micro_batch = commits.micro_batch();
    for TableName { path, .. } in tables.iter().filter(|table| table.path != system::COMMITS) {
        let mut table = find(path).await?;
        micro_batch = micro_batch.max(table.micro_batch());
        if let Some(steps) = plan.steps.get(path) {
            let (offsets, topic_ids) = (steps.clone(), topic_ids.clone());
            let commit = Commit { offsets, micro_batch: micro_batch + 1, at_ms, topic_ids, ..Commit::default() };
            table.commit(&commit, &uuid::Uuid::new_v4().to_string()).await.map_err(failed)?;
            done += &describe(path, steps);
        }
        versions.insert(path.clone(), table.version().into());
    }
    // Of one module, what all share stays.
    let of_all = targets.iter().filter(|_| wanted.module().is_none());
    let mut offsets: BTreeMap<String, [i64; 2]> = of_all
        .map(|(partition, (next, _))| {
            (partition.to_string(), [plan.from.get(partition).copied().unwrap_or(*next), *next])
        })
        .collect();
    // Modules that stand apart from the others come from elsewhere.
    let apart = plan.steps.get(system::COMMITS).into_iter().flatten().filter(|step| step.partition.reader.is_some());
    offsets.extend(apart.map(|step| (step.partition.to_string(), [step.from.unwrap_or(step.next), step.next])));
    let row = CommitRow {
        micro_batch: micro_batch + 1,
        kind: CommitKind::Moved,
        committed_at_ms: at_ms,
        offsets: serde_json::to_string(&offsets).unwrap_or_default(),
        tables: serde_json::Value::Object(versions).to_string(),
        modules: "{}".to_owned(),
        ..CommitRow::default()
    };
    let files = encode(&row).map_err(failed)?;
    for file in &files {
        commits.write_file(file).await.map_err(failed)?;
    }
    let own = plan.steps.get(system::COMMITS).cloned().unwrap_or_default();
    done += &describe(system::COMMITS, &own);
    let commit =
        Commit { add: files, offsets: own, micro_batch: micro_batch + 1, at_ms, topic_ids, ..Commit::default() };
    commits.commit(&commit, &uuid::Uuid::new_v4().to_string()).await.map_err(failed)?;
    Ok(done)
}

fn describe(table: &str, steps: &[OffsetMove]) -> String {
    let line = |step: &OffsetMove| {
        let from = step.from.map_or_else(|| "none".to_owned(), |from| from.to_string());
        format!("{table}  {}  {from} -> {}\n", step.partition, step.next)
    };
    steps.iter().map(line).collect()
}

fn encode(row: &CommitRow) -> Result<Vec<DataFile>, crate::sink::Error> {
    let mut writer = FileWriter::new(Layout::new(system::COMMITS, &system::commits_schema(), &[], &[]));
    writer.write(row.columns())?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bronze_holds_can_be_read_and_is_not_moved_over_silently() {
        let log = LogRange { start: 500, end: 700 };
        let partition = SourcePartition::new("orders", 0, 0);
        let tables = [TableName { path: "silver/a/b".into(), topic: Some("orders".into()) }];
        let stands: Checkpoint = [(partition.clone(), 100)].into_iter().collect();
        let standing = BTreeMap::from([("silver/a/b".to_owned(), stands)]);
        let plan = |held, target: Option<i64>| {
            let log = readable(log, held);
            let targets = [(partition.clone(), (target.unwrap_or(log.start), log))].into();
            Plan::new(&tables, None, &standing, &targets, &BTreeSet::new()).unwrap()
        };
        let held = Some(Held { since: 100, next: 500 });
        assert!(plan(held, None).steps.is_empty(), "the earliest is where the table stands");
        assert_eq!(plan(held, Some(500)).unread(), 400);
        assert_eq!(plan(None, None).unread(), 0, "what is nowhere cannot be read");
        let gap = Some(Held { since: 100, next: 400 });
        assert_eq!(plan(gap, None).steps["silver/a/b"][0].next, 500);
    }
}
