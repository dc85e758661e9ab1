//! Where every table stands in every partition, beside what the log holds.

use super::super::{Error, table::Table};
use super::lake;
use crate::audit::{Log, Logs, Recreated, Subjects, Topics};
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use crate::sink::Warehouse;
use crate::sink::bronze::{self, Held};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One partition of one table.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    table: String,
    topic: String,
    incarnation: u32,
    partition: i32,
    /// The offset to read next; `None` before the first.
    next: Option<i64>,
    log_start: Option<i64>,
    log_end: Option<i64>,
    /// Records that can be read and are not in the table; `None` where the log is not known.
    lag: Option<i64>,
    /// Where the record to read next is: `log`, `bronze`, or `nowhere` where it was deleted before it was read; `None` where nothing is read,
    /// or the log is not known.
    next_in: Option<&'static str>,
    /// Whether the topic was made anew since, so that `next` is no offset of it; `None` where that is not known.
    recreated: Option<bool>,
}

/// Where everything stands.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) rows: Vec<Row>,
    /// What is to be said beside the rows, a line each.
    pub(super) notes: Vec<String>,
}

/// Reads all of it. Of each topic the newest incarnation is shown.
pub(super) async fn read(config: &Config, warehouse: &Warehouse, subjects: &Subjects) -> Result<Shown, Error> {
    let mut tables = lake::tables(subjects);
    tables.extend(lake::bronze_tables(config, subjects));
    let standing = lake::standing(config, warehouse, subjects, &tables).await?;
    let incarnations = lake::incarnations(config, subjects, &standing.offsets);
    let topics = lake::topics(config, subjects).await;
    let notes = notes(&incarnations, &topics, &standing.topic_ids);
    let mut rows = Vec::new();
    for table in &tables {
        let Some(offsets) = standing.offsets.get(&table.path) else { continue };
        let follows = |topic: &&Arc<str>| table.topic.as_ref().is_none_or(|fed_by| fed_by == *topic);
        for topic in incarnations.keys().filter(follows) {
            let incarnation = incarnations[topic];
            let log = if let Some(Logs::Ranges(log)) = topics.logs.get(&**topic) { Some(log) } else { None };
            let recreated = topics.is_recreated(topic, incarnation, &standing.topic_ids);
            let stored = offsets
                .iter()
                .filter(|(partition, _)| partition.topic == *topic && partition.incarnation == incarnation);
            let mut ids: BTreeSet<i32> = stored.map(|(partition, _)| partition.partition).collect();
            ids.extend(log.into_iter().flat_map(|log| log.keys()));
            for partition in ids {
                let source = SourcePartition::new(topic.clone(), incarnation, partition);
                let log = log.and_then(|log| log.get(&partition));
                let held = standing.offsets.get(&bronze::path(topic)).and_then(|kept| Held::of(kept, &source));
                let row = Row::new(&table.path, &source, offsets.get(&source), log, held);
                rows.push(Row { recreated, ..row });
            }
        }
    }
    Ok(Shown { rows, notes })
}

/// Topics that nobody could tell of, and those that are no longer what the tables know.
fn notes(incarnations: &BTreeMap<Arc<str>, u32>, topics: &Topics, stored: &BTreeMap<String, String>) -> Vec<String> {
    let mut notes = Vec::new();
    for (topic, incarnation) in incarnations {
        if let Some(Logs::NotAsked(why)) = topics.logs.get(&**topic) {
            notes.push(format!("topic {topic}: its log is not known: {why}"));
        }
        if let Some(Recreated { stored, found }) = topics.recreated(topic, *incarnation, stored) {
            notes.push(format!(
                "topic {topic} was made anew: the tables stand in the one with id {stored}, the broker has one with id {found}; \
                 `lakeward offsets move --all --topic {topic} --to earliest --new-incarnation` reads it from its start"
            ));
        }
    }
    notes
}

impl Row {
    fn new(table: &str, source: &SourcePartition, next: Option<i64>, log: Option<&Log>, held: Option<Held>) -> Self {
        let is_kept = |next: i64, log: &Log| held.is_some_and(|held| held.reaches(next, log.start));
        let next_in = |(next, log): (i64, &Log)| match next {
            _ if next >= log.start => "log",
            _ if is_kept(next, log) => "bronze",
            _ => "nowhere",
        };
        // Gold tables follow their state, and bronze whatever is read.
        let reads = !table.starts_with("gold/") && !table.starts_with("bronze/");
        let next_in = next.zip(log).filter(|_| reads).map(next_in);
        let from = |log: &Log| match next {
            Some(next) if next_in == Some("bronze") => next,
            _ => next.unwrap_or(log.start).max(log.start),
        };
        Self {
            table: table.to_owned(),
            topic: source.topic.to_string(),
            incarnation: source.incarnation,
            partition: source.partition,
            next,
            log_start: log.map(|log| log.start),
            log_end: log.map(|log| log.end),
            lag: log.map(|log| (log.end - from(log)).max(0)),
            next_in,
            recreated: None,
        }
    }
}

/// For a person: a line a partition, a dash for what is not known.
pub(super) fn text(rows: &[Row]) -> String {
    let mut table = Table::new(0);
    table.row(["table", "topic", "incarnation", "partition", "next", "log start", "log end", "lag", "next in"]);
    let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for row in rows {
        let cells = [
            row.table.clone(),
            row.topic.clone(),
            row.incarnation.to_string(),
            row.partition.to_string(),
            number(row.next),
            number(row.log_start),
            number(row.log_end),
            number(row.lag),
            row.next_in.unwrap_or("-").to_owned(),
        ];
        table.row(cells.iter().map(String::as_str));
    }
    table.to_string()
}

/// For a machine: one line.
pub(super) fn json(rows: &[Row]) -> String {
    format!("{}\n", serde_json::to_string(rows).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_or_made_anew_is_said() {
        let ids = |key: &str, id: &str| BTreeMap::from([(key.to_owned(), id.to_owned())]);
        let logs = |log| BTreeMap::from([("orders".to_owned(), log)]);
        let away =
            Topics { logs: logs(Logs::NotAsked("no broker answers at kafka:9092".to_owned())), ids: BTreeMap::new() };
        let incarnations = BTreeMap::from([("orders".into(), 1)]);
        let said = notes(&incarnations, &away, &ids("orders#1", "a"));
        assert_eq!(said, ["topic orders: its log is not known: no broker answers at kafka:9092"]);
        let there = Topics { logs: logs(Logs::Ranges(BTreeMap::new())), ids: ids("orders", "b") };
        let said = notes(&incarnations, &there, &ids("orders#1", "a"));
        assert!(
            said[0].contains("id a") && said[0].contains("id b") && said[0].contains("--new-incarnation"),
            "{said:?}"
        );
        assert!(notes(&incarnations, &there, &ids("orders#0", "a")).is_empty());
        assert_eq!(there.is_recreated("orders", 1, &ids("orders#1", "b")), Some(false));
        assert_eq!(there.is_recreated("orders", 1, &BTreeMap::new()), None);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let at = |partition| SourcePartition::new("orders", 1, partition);
        let log = Log { start: 5, end: 30 };
        let held = Some(Held { since: 2, next: 25 });
        let row = |table: &str, partition, next, log, held| Row::new(table, &at(partition), next, log, held);
        let rows = [
            row("silver/retail/sales", 0, Some(20), Some(&log), None),
            row("silver/retail/sales", 1, None, Some(&log), None),
            row("silver/retail/sales", 2, Some(3), Some(&log), held),
            row("silver/retail/sales", 3, Some(1), Some(&log), held),
            row("_lakeward/commits", 0, Some(20), None, held),
            row("bronze/orders", 2, Some(25), Some(&log), held),
        ];
        insta::assert_snapshot!(text(&rows), @r"
        table                topic   incarnation  partition  next  log start  log end  lag  next in
        silver/retail/sales  orders  1            0          20    5          30       10   log
        silver/retail/sales  orders  1            1          -     5          30       25   -
        silver/retail/sales  orders  1            2          3     5          30       27   bronze
        silver/retail/sales  orders  1            3          1     5          30       25   nowhere
        _lakeward/commits    orders  1            0          20    -          -        -    -
        bronze/orders        orders  1            2          25    5          30       5    -
        ");
    }
}
