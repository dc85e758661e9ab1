//! One partition in its worker's hands: how far it is, what each table has of it already, and its aggregate state.

use super::plan::Plan;
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
    /// The largest floor: from here on nothing needs to be left out.
    pub(super) settled: i64,
    /// The aggregate state, by gold product.
    pub(super) states: Vec<(usize, PartitionState)>,
    /// The partition's dead letters that somebody asked for: a source of their own.
    pub(super) redrive: Redrive,
}

/// How far the requests about a partition's dead letters are executed.
#[derive(Debug, Clone, Default)]
pub(super) struct Redrive {
    /// The number of the next one.
    pub(super) next: i64,
    /// By table: requests below this number are in it already.
    pub(super) floors: Vec<i64>,
}

impl Lane {
    /// A lane at its smallest floor.
    pub(super) fn new(
        plan: &Plan,
        slot: usize,
        topic: usize,
        partition: SourcePartition,
        floors: Vec<i64>,
        states: Vec<(usize, PartitionState)>,
    ) -> Self {
        let follows = |(table, _): &(usize, &i64)| plan.tables[*table].topic.is_none_or(|fed_by| fed_by == topic);
        let relevant: Vec<i64> = floors.iter().enumerate().filter(follows).map(|(_, floor)| *floor).collect();
        let next = relevant.iter().copied().min().unwrap_or(0);
        let settled = relevant.iter().copied().max().unwrap_or(0);
        Self { slot, topic, partition, next, shown: next, floors, settled, states, redrive: Redrive::default() }
    }
}
