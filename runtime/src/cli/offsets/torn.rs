//! Whether a partition's tables are between two steps of a group commit that a crash cut off: a start of the pipeline finishes that, and a
//! move would leave records in some tables and not in the others for good.

use super::lake::TableName;
use crate::audit::{Log, Subjects};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::sink::system;
use std::collections::BTreeMap;

/// Two tables that a group commit moves together, and do not stand together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Torn {
    behind: (String, i64),
    ahead: (String, i64),
}

impl Torn {
    /// Looks at the tables that are to move in a partition.
    pub(super) fn find(
        subjects: &Subjects,
        tables: &[TableName],
        standing: &BTreeMap<String, Checkpoint>,
        partition: &SourcePartition,
    ) -> Option<Self> {
        let moves = |path: &str| tables.iter().any(|table| table.path == path);
        let at = |path: &str, of: &SourcePartition| Some((path.to_owned(), standing.get(path)?.get(of)?));
        let mut pairs = Vec::new();
        for (index, silver) in subjects.silver.iter().enumerate().filter(|(_, silver)| silver.topic == partition.topic)
        {
            let states = subjects.golds_of(index).map(|gold| subjects.golds[gold].state_table());
            let states = states.filter(|state| moves(state) && moves(&silver.table()));
            pairs.extend(states.map(|state| (at(&silver.table(), partition), at(&state, partition))));
        }
        if moves(system::COMMITS) {
            let read = subjects.modules.iter().filter(|module| module.topics.contains(&partition.topic));
            let own = read.map(|module| partition.of_reader(&module.name)).chain([partition.clone()]);
            pairs.extend(own.map(|of| (at(system::DEAD_LETTERS, &of), at(system::COMMITS, &of))));
        }
        pairs.into_iter().find_map(|pair| match pair {
            (Some(one), Some(other)) if one.1 > other.1 => Some(Self { behind: other, ahead: one }),
            (Some(one), Some(other)) if one.1 < other.1 => Some(Self { behind: one, ahead: other }),
            _ => None,
        })
    }

    /// Whether a start of the pipeline can finish it: what the table that is behind lacks can be read.
    pub(super) fn can_be_finished(&self, log: Log) -> bool {
        (log.start..=log.end).contains(&self.behind.1)
    }

    /// What is to be done first.
    pub(super) fn say(&self, partition: &SourcePartition) -> String {
        let Self { behind: (behind, from), ahead: (ahead, to) } = self;
        format!(
            "a commit was cut off in {partition}: {behind} is at {from}, {ahead} at {to}; start the pipeline once, which finishes it, and move \
             then. Where it runs, ask again"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::{ModuleFile, sample};

    const TABLES: [&str; 4] =
        ["silver/retail/sales", system::DEAD_LETTERS, "_lakeward/state/retail/sales_by_customer", system::COMMITS];

    /// The sample's tables at these offsets of partition 0, of which these move.
    fn find(at: [i64; 4], moved: &[usize]) -> Option<(i64, i64)> {
        let file = ModuleFile { manifest: sample::manifest(), bytes: Vec::new(), digest: String::new() };
        let (subjects, of) = (Subjects::of(&[file]), SourcePartition::new("orders", 0, 0));
        let standing =
            TABLES.iter().zip(at).map(|(table, at)| ((*table).to_owned(), [(of.clone(), at)].into_iter().collect()));
        let tables: Vec<TableName> =
            moved.iter().map(|index| TableName { path: TABLES[*index].to_owned(), topic: None }).collect();
        let found = Torn::find(&subjects, &tables, &standing.collect(), &of);
        found.map(|torn| (torn.behind.1, torn.ahead.1))
    }

    #[test]
    fn a_commit_that_was_cut_off_anywhere_is_seen() {
        let all = [0, 1, 2, 3];
        assert_eq!(find([6, 6, 6, 6], &all), None);
        assert_eq!(find([6, 5, 5, 5], &all), Some((5, 6)));
        assert_eq!(find([5, 6, 5, 5], &all), Some((5, 6)));
        assert_eq!(find([6, 6, 6, 5], &all), Some((5, 6)));
        // A product that was moved alone is no cut: its tables stand together.
        assert_eq!(find([9, 5, 9, 5], &all), None);
        assert_eq!(find([9, 6, 9, 5], &[0, 2]), None);
        assert_eq!(find([9, 6, 8, 5], &[0, 2]), Some((8, 9)));
    }

    #[test]
    fn what_is_gone_cannot_be_finished() {
        let torn = Torn { behind: ("a".to_owned(), 5), ahead: ("b".to_owned(), 6) };
        assert!(torn.can_be_finished(Log { start: 5, end: 9 }) && !torn.can_be_finished(Log { start: 6, end: 9 }));
    }
}
