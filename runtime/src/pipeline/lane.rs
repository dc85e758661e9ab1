//! One partition in its worker's hands: how far it is, what each table has of it already, and its aggregate state.

use super::plan::{COMMITS, DEAD_LETTERS, Plan};
use crate::aggregate::PartitionState;
use crate::checkpoint::SourcePartition;

/// A partition that a worker owns.
#[derive(Debug)]
pub(super) struct Lane {
    /// The lane's index among all of the pipeline's.
    pub(super) slot: usize,
    /// The topic's index in the plan.
    pub(super) topic: usize,
    pub(super) partition: SourcePartition,
    /// The offset to read next.
    pub(super) next: i64,
    /// The offset up to which the live answers have been shown.
    pub(super) shown: i64,
    /// By table: records below this offset are in it already.
    pub(super) floors: Vec<i64>,
    /// The same of the tables that all modules feed, by module of the plan that has progress of its own there.
    pub(super) own_floors: Vec<OwnFloors>,
    /// The largest floor: from here on nothing needs to be left out.
    pub(super) settled: i64,
    /// The aggregate state, by gold product.
    pub(super) states: Vec<(usize, PartitionState)>,
    /// The partition's dead letters that somebody asked for: a source of their own.
    pub(super) redrive: Redrive,
    /// Whether the session leaves the partition alone, because modules that it does not run have something to finish there.
    pub(super) is_held: bool,
    /// See `Assigned::from_beginning`.
    pub(super) from_beginning: bool,
}

/// How far the requests about a partition's dead letters are executed.
#[derive(Debug, Clone, Default)]
pub(super) struct Redrive {
    /// The number of the next one.
    pub(super) next: i64,
    /// By table: requests below this number are in it already.
    pub(super) floors: Vec<i64>,
}

/// Where the tables that all modules feed stand for one module.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnFloors {
    /// The module's index in the plan.
    pub(super) module: usize,
    pub(super) dead_letters: i64,
    pub(super) commits: i64,
}

impl Lane {
    /// A lane at its smallest floor.
    pub(super) fn new(
        plan: &Plan,
        slot: usize,
        topic: usize,
        partition: SourcePartition,
        floors: Vec<i64>,
        own_floors: Vec<OwnFloors>,
    ) -> Self {
        let follows = |(table, _): &(usize, &i64)| plan.tables[*table].topic.is_none_or(|fed_by| fed_by == topic);
        let mut relevant: Vec<i64> = floors.iter().enumerate().filter(follows).map(|(_, floor)| *floor).collect();
        relevant.extend(own_floors.iter().flat_map(|own| [own.dead_letters, own.commits]));
        let next = relevant.iter().copied().min().unwrap_or(0);
        let settled = relevant.iter().copied().max().unwrap_or(0);
        Self {
            slot,
            topic,
            partition,
            next,
            shown: next,
            floors,
            own_floors,
            settled,
            states: Vec::new(),
            redrive: Redrive::default(),
            is_held: false,
            from_beginning: false,
        }
    }

    /// Where a table stands for a module.
    pub(super) fn floor(&self, table: usize, module: usize) -> i64 {
        let own = self.own_floors.iter().find(|own| own.module == module);
        match own {
            Some(own) if table == DEAD_LETTERS => own.dead_letters,
            Some(own) if table == COMMITS => own.commits,
            _ => self.floors[table],
        }
    }
}
