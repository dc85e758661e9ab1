//! Which records of a topic are gone because the topic was deleted and made anew.

use super::Error;
use super::history::Row;
use super::session;
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use crate::sink::{Snapshot, Warehouse, system};
use lakeward_manifest::Manifest;
use std::collections::{BTreeMap, BTreeSet};

/// By topic: the first incarnation whose records are not gone.
#[derive(Debug, Default)]
pub(super) struct Incarnations(BTreeMap<String, u32>);

impl Incarnations {
    /// The newest incarnation that any row of the commits table names; none of those where the broker has another topic of that name by now
    /// than the tables know, whose records nobody has read. The module's own tables know it as well as the commits table, and longer where
    /// that one's commits are of other topics since. It waits for brokers.
    pub(super) async fn find(
        config: &Config,
        lake: &Warehouse,
        rows: &[Row],
        module: &Manifest,
        own: &[String],
    ) -> Result<Self, Error> {
        let mut stored = BTreeSet::new();
        for path in own.iter().map(String::as_str).chain([system::COMMITS]) {
            if let Some(table) = Snapshot::open(lake, &config.pipeline, path, None).await? {
                stored.extend(table.topic_ids().clone());
            }
        }
        let topics: Vec<&str> = module.inputs.iter().map(|input| &*input.topic).collect();
        let found = tokio::task::block_in_place(|| ask(config, &topics))?;
        Ok(Self::new(rows, &stored, &found))
    }

    /// The same where the tables have `stored` these ids, by `orders#0`, and the broker has those, by `orders`.
    fn new(rows: &[Row], stored: &BTreeSet<(String, String)>, found: &BTreeMap<String, String>) -> Self {
        let mut first = BTreeMap::new();
        for of in rows.iter().flat_map(|row| row.offsets.keys()).filter_map(|of| SourcePartition::parse(of)) {
            let first = first.entry(of.topic.to_string()).or_insert(0);
            *first = of.incarnation.max(*first);
        }
        for (topic, first) in &mut first {
            let (of_topic, found) = (format!("{topic}#{first}"), found.get(topic));
            let is_other = |(of, id): &(String, String)| *of == of_topic && found.is_some_and(|found| found != id);
            *first += u32::from(stored.iter().any(is_other));
        }
        Self(first)
    }

    /// Whether what was read of a partition cannot be read again.
    pub(super) fn is_gone(&self, of: &SourcePartition) -> bool {
        self.0.get(&*of.topic).is_some_and(|first| of.incarnation < *first)
    }
}

/// The ids of topics that come from brokers.
fn ask(config: &Config, topics: &[&str]) -> Result<BTreeMap<String, String>, Error> {
    let is_of_broker = |topic: &&str| config.topics.get(*topic).is_none_or(|settings| settings.path.is_none());
    let topics: Vec<&str> = topics.iter().copied().filter(is_of_broker).collect();
    match topics.first() {
        Some(first) => Ok(session::connect(config, first)?.topic_ids().ask(&topics, session::ANSWER)?),
        None => Ok(BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_an_earlier_topic_are_gone() {
        let row = |of: &str| Row {
            micro_batch: 1,
            kind: system::CommitKind::MicroBatch.name().to_owned(),
            at_ms: 0,
            offsets: [(of.to_owned(), [0, 10])].into(),
            tables: BTreeMap::new(),
            modules: BTreeMap::new(),
        };
        let ids = |key: &str, id: &str| (key.to_owned(), id.to_owned());
        let found = |id: &str| BTreeMap::from([ids("orders", id)]);
        let check = |rows: &[&str], stored: &str, has: &str, gone: [bool; 2]| {
            let rows: Vec<Row> = rows.iter().map(|of| row(of)).collect();
            let newest = rows.len() - 1;
            let stored = BTreeSet::from([ids(&format!("orders#{newest}"), stored), ids("shipments#0", "s")]);
            let incarnations = Incarnations::new(&rows, &stored, &found(has));
            let is_gone = |incarnation| incarnations.is_gone(&SourcePartition::new("orders", incarnation, 3));
            assert_eq!([is_gone(0), is_gone(1)], gone, "{incarnations:?}");
        };
        check(&["orders#0/0"], "a", "a", [false, false]);
        check(&["orders#0/0"], "a", "b", [true, false]);
        // Whoever moved it, and whichever partition.
        check(&["orders#0/3", "orders#1/0@wholesale"], "b", "b", [true, false]);
        check(&["orders#0/3", "orders#1/0"], "b", "c", [true, true]);
        let unknown = Incarnations::new(&[row("orders#0/0")], &BTreeSet::new(), &found("a"));
        assert!(!unknown.is_gone(&SourcePartition::new("orders", 0, 0)));
    }
}
