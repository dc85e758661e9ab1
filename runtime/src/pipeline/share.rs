//! What all workers made of a micro-batch, put together.

use super::ledger::Counts;
use super::plan::Plan;
use super::redrives::Redrives;
use super::worker::Part;
use crate::aggregate::Changes;
use crate::release::compare::Comparison;
use crate::sink::DataFile;
use std::time::Duration;

/// What all workers made of a micro-batch.
pub(super) struct Share {
    pub(super) positions: Vec<(usize, i64)>,
    pub(super) redriven: Vec<(usize, i64)>,
    pub(super) files: Vec<Vec<DataFile>>,
    pub(super) changes: Vec<Vec<Changes>>,
    pub(super) watermarks: Vec<(usize, usize, i64)>,
    pub(super) counts: Counts,
    /// By worker and shadow.
    pub(super) comparisons: Vec<Vec<Comparison>>,
    pub(super) stood_still: Duration,
}

impl Share {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            positions: Vec::new(),
            redriven: Vec::new(),
            files: vec![Vec::new(); plan.tables.len()],
            changes: vec![Vec::new(); plan.golds.len()],
            watermarks: Vec::new(),
            counts: Counts::new(plan),
            comparisons: Vec::new(),
            stood_still: Duration::ZERO,
        }
    }

    /// Whether anything was read since `committed`, by slot, or asked for and done.
    pub(super) fn has_moved(&self, committed: &[i64], redrives: &Redrives) -> bool {
        self.positions.iter().any(|(slot, next)| *next > committed[*slot]) || redrives.has_moved(&self.redriven)
    }

    pub(super) fn add(&mut self, part: Part) {
        self.positions.extend(part.positions);
        self.redriven.extend(part.redriven);
        self.files.iter_mut().zip(part.files).for_each(|(all, files)| all.extend(files));
        self.changes.iter_mut().zip(part.changes).for_each(|(all, changes)| all.extend(changes));
        self.watermarks.extend(part.watermarks);
        self.counts += &part.counts;
        self.comparisons.push(part.comparisons);
        self.stood_still = self.stood_still.max(part.stood_still);
    }
}
