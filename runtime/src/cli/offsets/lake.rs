//! The tables of a pipeline with their offsets, and the topics with their logs.

use super::super::Error;
use crate::audit::{Subjects, Topics, ask};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::config::Config;
use crate::pipeline;
use crate::sink::{Snapshot, Warehouse, bronze, system};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A table of the pipeline.
pub(super) struct TableName {
    /// The path below the lake's location.
    pub(super) path: String,
    /// The topic that feeds it; `None` for all.
    pub(super) topic: Option<Arc<str>>,
}

/// All tables, in the order of a group commit, the gold tables last.
pub(super) fn tables(subjects: &Subjects) -> Vec<TableName> {
    let of = |path: String, topic: &Arc<str>| TableName { path, topic: Some(Arc::clone(topic)) };
    let mut tables: Vec<TableName> = subjects.silver.iter().map(|silver| of(silver.table(), &silver.topic)).collect();
    tables.push(TableName { path: system::DEAD_LETTERS.to_owned(), topic: None });
    tables.extend(subjects.golds.iter().map(|gold| of(gold.state_table(), subjects.topic_of(gold))));
    tables.push(TableName { path: system::COMMITS.to_owned(), topic: None });
    tables.extend(subjects.golds.iter().map(|gold| of(gold.table(), subjects.topic_of(gold))));
    tables
}

/// The bronze tables: what was read of the topics, whoever it was for. Nobody moves them, they take what comes.
pub(super) fn bronze_tables(config: &Config, subjects: &Subjects) -> Vec<TableName> {
    let is_kept = |topic: &Arc<str>| config.topics.get(&**topic).is_some_and(|settings| settings.bronze);
    let of = |topic: Arc<str>| TableName { path: bronze::path(&topic), topic: Some(topic) };
    subjects.topics().into_iter().filter(is_kept).map(of).collect()
}

/// Where the tables stand.
pub(super) struct Standing {
    /// By table, the offsets of every partition that some table names.
    pub(super) offsets: BTreeMap<String, Checkpoint>,
    /// By topic and incarnation, `orders#0`: the broker's id of the topic that the offsets count in, as far as the tables say.
    pub(super) topic_ids: BTreeMap<String, String>,
}

/// Reads where the tables stand.
pub(super) async fn standing(
    config: &Config,
    lake: &Warehouse,
    subjects: &Subjects,
    tables: &[TableName],
) -> Result<Standing, Error> {
    let mut opened = Vec::new();
    for table in tables {
        let snapshot = Snapshot::open(lake, &config.pipeline, &table.path, None).await;
        opened.extend(snapshot.map_err(pipeline::Error::from)?);
    }
    let recent = opened.iter().flat_map(|table| table.recent_offsets().iter());
    let mut known: BTreeSet<SourcePartition> = recent.map(|(partition, _)| partition.clone()).collect();
    // Of a module that has stood still for long, the commits since do not name its progress.
    let all: Vec<SourcePartition> = known.iter().map(SourcePartition::of_all).collect();
    for module in &subjects.modules {
        let read = all.iter().filter(|of| module.topics.contains(&of.topic));
        known.extend(read.map(|of| of.of_reader(&module.name)));
    }
    let mut standing = BTreeMap::new();
    for table in &opened {
        let starts: Vec<SourcePartition> = known.iter().map(bronze::start_of).collect();
        let starts = starts.iter().filter(|_| table.path().starts_with("bronze/"));
        let offsets = table.offsets(known.iter().chain(starts)).await.map_err(pipeline::Error::from)?;
        standing.insert(table.path().to_owned(), offsets);
    }
    let topic_ids = opened.iter().flat_map(|table| table.topic_ids().clone()).collect();
    Ok(Standing { offsets: standing, topic_ids })
}

/// The newest incarnation of each topic that the configuration or a table names.
pub(super) fn incarnations(
    config: &Config,
    subjects: &Subjects,
    standing: &BTreeMap<String, Checkpoint>,
) -> BTreeMap<Arc<str>, u32> {
    let newest = |topic: &Arc<str>| {
        let configured = config.topics.get(&**topic).map_or(0, |topic| topic.incarnation);
        let stored = standing.values().flat_map(Checkpoint::iter).filter(|(partition, _)| partition.topic == *topic);
        stored.map(|(partition, _)| partition.incarnation).fold(configured, u32::max)
    };
    subjects.topics().into_iter().map(|topic| (Arc::clone(&topic), newest(&topic))).collect()
}

/// What the topics are and hold; it waits for the broker.
pub(super) async fn topics(config: &Config, subjects: &Subjects) -> Topics {
    let (config, topics) = (config.clone(), subjects.topics());
    let asked = tokio::task::spawn_blocking(move || ask(&config, topics.iter().map(|topic| &**topic)));
    asked.await.unwrap_or_default()
}
