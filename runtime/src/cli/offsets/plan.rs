//! What a move would do, table by table and partition by partition; refused before anything is written.
//!
//! | the table stands   | the target     | what happens                                                              |
//! |--------------------|----------------|---------------------------------------------------------------------------|
//! | anywhere           | not readable   | refused                                                                   |
//! | before the target  |                | what lies between is never read: only with `--yes`                        |
//! | at the target      |                | nothing                                                                   |
//! | behind the target  |                | refused if rows or dead letters lie between: they would be written twice  |
//!
//! Where a commit was cut off and what it lacks is gone, a table that is behind the target stays: the others come to it.

use super::super::{Error, MoveArgs};
use super::lake::{self, TableName};
use crate::audit::{Log, Subjects};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::sink::{OffsetMove, system};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What somebody wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) what: What,
    /// The only topic to move.
    pub(super) topic: Option<String>,
    /// The only partition to move.
    pub(super) partition: Option<i32>,
    pub(super) to: Target,
    pub(super) new_incarnation: bool,
    pub(super) yes: bool,
}

/// What is to move.
#[derive(Debug)]
pub(super) enum What {
    /// All tables.
    All,
    /// A silver product, by index.
    Product(usize),
    /// A module: its own tables, and its progress in those that all modules feed.
    Module(String),
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The oldest record.
    Earliest,
    /// The next record.
    Latest,
    /// The first record that is not older, in milliseconds since 1970-01-01T00:00:00Z.
    Time(i64),
    /// This one.
    Offset(i64),
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok().map(Self::Offset),
            time => Some(Self::Time(chrono::DateTime::parse_from_rfc3339(time).ok()?.timestamp_millis())),
        }
    }
}

impl Wanted {
    /// Reads the arguments.
    pub(super) fn of(args: &MoveArgs, subjects: &Subjects) -> Result<Self, Error> {
        let refused = |reason: String| Err(Error::Move { reason });
        let Some(to) = Target::parse(&args.to) else {
            return refused(format!("--to {} is none of earliest, latest, an RFC 3339 time and an offset", args.to));
        };
        let what = match (&args.product, &args.module) {
            (Some(path), _) => match subjects.silver.iter().position(|silver| silver.path == *path) {
                Some(index) => What::Product(index),
                None if subjects.golds.iter().any(|gold| gold.path == *path) => {
                    return refused(format!(
                        "{path} is a gold product: it follows the silver product that it aggregates"
                    ));
                }
                None => return refused(format!("there is no product {path}")),
            },
            (None, Some(module)) if subjects.modules.iter().any(|known| known.name == *module) => {
                What::Module(module.clone())
            }
            (None, Some(module)) => return refused(format!("there is no module {module}")),
            (None, None) => What::All,
        };
        if args.new_incarnation && !args.all {
            return refused("a topic that was made anew is so for all products: use --all".to_owned());
        }
        if let Some(topic) = &args.topic
            && !subjects.topics().iter().any(|known| **known == **topic)
        {
            return refused(format!("no module reads topic {topic}"));
        }
        if args.new_incarnation && args.partition.is_some() {
            return refused("a topic that was made anew is so in all partitions: leave --partition out".to_owned());
        }
        let (topic, partition) = (args.topic.clone(), args.partition);
        Ok(Self { what, topic, partition, to, new_incarnation: args.new_incarnation, yes: args.yes })
    }

    /// The module to move, where it is one.
    pub(super) fn module(&self) -> Option<&str> {
        if let What::Module(module) = &self.what { Some(module) } else { None }
    }

    /// The topics that move.
    pub(super) fn topics(&self, subjects: &Subjects) -> Vec<Arc<str>> {
        let is_it = |topic: &Arc<str>| match &self.what {
            What::Product(product) => subjects.silver[*product].topic == *topic,
            What::Module(module) => {
                subjects.modules.iter().any(|known| known.name == *module && known.topics.contains(topic))
            }
            What::All => true,
        };
        let all = subjects.topics().into_iter().filter(is_it);
        all.filter(|topic| self.topic.as_deref().is_none_or(|only| only == &**topic)).collect()
    }

    /// The tables that move, in the order of a group commit; the gold tables follow by themselves.
    pub(super) fn tables(&self, subjects: &Subjects) -> Vec<TableName> {
        let is_own = |product: usize, table: &TableName| {
            table.path == subjects.silver[product].table()
                || subjects.golds_of(product).any(|gold| table.path == subjects.golds[gold].state_table())
        };
        let is_it = |table: &TableName| match &self.what {
            What::Product(product) => is_own(*product, table),
            What::Module(module) => {
                let mut products = (0..subjects.silver.len()).filter(|at| subjects.silver[*at].module == *module);
                table.topic.is_none() || products.any(|product| is_own(product, table))
            }
            What::All => true,
        };
        let gold = |table: &TableName| table.path.starts_with("gold/");
        lake::tables(subjects).into_iter().filter(|table| !gold(table) && is_it(table)).collect()
    }
}

/// The steps of every table, and what they cost.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By table.
    pub(super) steps: BTreeMap<String, Vec<OffsetMove>>,
    /// Records that are never read, by partition.
    pub(super) unread: BTreeMap<SourcePartition, i64>,
    /// By table, the first offset of each partition that is to be read again: no row may be there or behind.
    pub(super) again: BTreeMap<String, BTreeMap<SourcePartition, i64>>,
    /// Where the commits table's own ranges start.
    pub(super) from: BTreeMap<SourcePartition, i64>,
}

impl Plan {
    /// Plans the move of `tables` to `targets`, each with what its partition holds. Of one `module`, only its own progress moves in the tables
    /// that all feed. In partitions that are `torn`, nothing goes back.
    pub(super) fn new(
        tables: &[TableName],
        module: Option<&str>,
        standing: &BTreeMap<String, Checkpoint>,
        targets: &BTreeMap<SourcePartition, (i64, Log)>,
        torn: &BTreeSet<SourcePartition>,
    ) -> Result<Self, Error> {
        let mut plan = Self::default();
        for (partition, (target, log)) in targets {
            if *target < log.start || *target > log.end {
                let reason = format!(
                    "{partition} holds offsets {} to {}, so it cannot be read from {target}",
                    log.start, log.end
                );
                return Err(Error::Move { reason });
            }
        }
        for table in tables {
            let offsets = standing.get(&table.path);
            let follows =
                |partition: &SourcePartition| table.topic.as_ref().is_none_or(|topic| *topic == partition.topic);
            for (partition, (target, log)) in targets.iter().filter(|(partition, _)| follows(partition)) {
                let from = offsets.and_then(|offsets| offsets.get(partition));
                let stays = |from: Option<i64>| torn.contains(partition) && from > Some(*target);
                if (module.is_none() || table.topic.is_some()) && !stays(from) {
                    plan.add(&table.path, partition, from, *target, *log);
                }
                // In the tables that all feed, modules that stand apart go there with the others.
                let own = offsets.into_iter().flat_map(Checkpoint::iter);
                let moves = |of: &SourcePartition| {
                    let is_wanted = |reader: &Arc<str>| module.is_none_or(|module| **reader == *module);
                    of.of_all() == *partition && of.reader.as_ref().is_some_and(is_wanted)
                };
                for (own, from) in own.filter(|(own, from)| moves(own) && !stays(Some(*from))) {
                    plan.add(&table.path, own, Some(from), *target, *log);
                }
            }
        }
        Ok(plan)
    }

    fn add(&mut self, table: &str, partition: &SourcePartition, from: Option<i64>, target: i64, log: Log) {
        let stands = from.unwrap_or(log.start).max(log.start);
        if table == system::COMMITS {
            self.from.insert(partition.clone(), from.unwrap_or(log.start));
        } else if table.starts_with("silver/") {
            self.from.entry(partition.clone()).or_insert(from.unwrap_or(log.start));
        }
        if from == Some(target) {
            return;
        }
        let step = OffsetMove { partition: partition.clone(), from, next: target };
        self.steps.entry(table.to_owned()).or_default().push(step);
        if target > stands {
            let unread = self.unread.entry(partition.of_all()).or_default();
            *unread = (*unread).max(target - stands);
        } else if from.is_some_and(|from| target < from) {
            self.again.entry(table.to_owned()).or_default().insert(partition.clone(), target);
        }
    }

    /// The records that are never read.
    pub(super) fn unread(&self) -> i64 {
        self.unread.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Log = Log { start: 10, end: 100 };

    fn at(partition: i32) -> SourcePartition {
        SourcePartition::new("orders", 0, partition)
    }

    fn plan(stored: Option<i64>, target: i64) -> Result<Plan, Error> {
        let tables = [TableName { path: "silver/a/b".into(), topic: Some("orders".into()) }];
        let offsets = stored.map(|stored| [(at(0), stored)].into_iter().collect()).unwrap_or_default();
        let standing = [("silver/a/b".to_owned(), offsets)].into_iter().collect();
        Plan::new(&tables, None, &standing, &[(at(0), (target, LOG))].into_iter().collect(), &BTreeSet::new())
    }

    #[test]
    fn a_target_is_a_word_a_time_or_a_number() {
        assert_eq!(Target::parse("earliest"), Some(Target::Earliest));
        assert_eq!(Target::parse("latest"), Some(Target::Latest));
        assert_eq!(Target::parse("42"), Some(Target::Offset(42)));
        assert_eq!(Target::parse("1970-01-01T00:00:01Z"), Some(Target::Time(1_000)));
        assert_eq!(Target::parse("-1"), None);
        assert_eq!(Target::parse("tomorrow"), None);
    }

    #[test]
    fn what_lies_between_is_counted_or_read_again() {
        let forward = plan(Some(20), 50).unwrap();
        assert_eq!((forward.unread(), forward.again.len()), (30, 0));
        let new = plan(None, 50).unwrap();
        assert_eq!((new.unread(), new.from[&at(0)]), (40, 10));
        let behind_the_log = plan(Some(3), 10).unwrap();
        assert_eq!((behind_the_log.unread(), behind_the_log.again.len()), (0, 0));
        let back = plan(Some(50), 20).unwrap();
        assert_eq!((back.unread(), back.again["silver/a/b"][&at(0)]), (0, 20));
        assert!(plan(Some(20), 20).unwrap().steps.is_empty());
    }

    #[test]
    fn a_target_outside_of_the_log_is_refused() {
        assert!(plan(Some(20), 101).is_err());
        assert!(plan(Some(20), 9).is_err());
    }
}
