//! Records that one module makes dead letters of and the other does not, with the reasons.

use super::Side;
use super::examples::Origin;
use super::report::{Reason, RejectReport};
use crate::record::Chunk;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reasons that are told apart; records with others are counted together.
const REASONS: usize = 100;

/// Reasons that a report shows.
const SHOWN: usize = 5;

/// What was found about dead letters.
#[derive(Debug, Default)]
pub(super) struct RejectTally {
    both: u64,
    gained: Reasons,
    lost: Reasons,
}

#[derive(Debug, Default)]
struct Reasons {
    records: u64,
    /// Records, and the first of them, by stage and reason.
    by_reason: BTreeMap<(&'static str, String), (u64, Origin)>,
}

impl RejectTally {
    pub(super) fn chunk(&mut self, chunk: &Chunk, old: &[Side<'_>], new: &[Side<'_>]) {
        let (before, after) = (dead(old), dead(new));
        for (record, reason) in &after {
            if before.contains_key(record) {
                self.both += 1;
            } else {
                self.gained.add(chunk, *record, *reason);
            }
        }
        for (record, reason) in &before {
            if !after.contains_key(record) {
                self.lost.add(chunk, *record, *reason);
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.both += other.both;
        self.gained.merge(other.gained);
        self.lost.merge(other.lost);
    }

    pub(super) fn report(&self, is_masked: bool) -> RejectReport {
        RejectReport {
            is_masked,
            both: self.both,
            gained: self.gained.records,
            lost: self.lost.records,
            gained_reasons: self.gained.report(),
            lost_reasons: self.lost.report(),
        }
    }
}

/// The records of a chunk that a module makes dead letters of, each with stage and reason; the first where several inputs do.
fn dead<'a>(sides: &[Side<'a>]) -> BTreeMap<u32, (&'static str, &'a str)> {
    let mut dead = BTreeMap::new();
    for Side { events, outcome } in sides.iter().copied() {
        for letter in &events.dead_letters {
            dead.entry(letter.index).or_insert((letter.stage.name(), letter.reason.as_str()));
        }
        for (event, letter) in &outcome.dead {
            dead.entry(events.rows[*event as usize]).or_insert((letter.stage.name(), letter.reason.as_str()));
        }
    }
    dead
}

impl Reasons {
    fn add(&mut self, chunk: &Chunk, record: u32, (stage, reason): (&'static str, &str)) {
        self.records += 1;
        let origin = || Origin {
            topic: Arc::clone(chunk.topic()),
            partition: chunk.partition(),
            offset: chunk.offset(record as usize),
        };
        self.count((stage, reason.to_owned()), 1, origin);
    }

    fn count(&mut self, reason: (&'static str, String), records: u64, origin: impl FnOnce() -> Origin) {
        if let Some((count, first)) = self.by_reason.get_mut(&reason) {
            *count += records;
            let origin = origin();
            if origin < *first {
                *first = origin;
            }
        } else if self.by_reason.len() < REASONS {
            self.by_reason.insert(reason, (records, origin()));
        }
    }

    fn merge(&mut self, other: Self) {
        self.records += other.records;
        for (reason, (records, origin)) in other.by_reason {
            self.count(reason, records, || origin);
        }
    }

    fn report(&self) -> Vec<Reason> {
        let mut reasons: Vec<_> = self.by_reason.iter().collect();
        reasons.sort_by_key(|(_, (records, origin))| (std::cmp::Reverse(*records), origin.clone()));
        let reason = |((stage, reason), (records, origin)): (&(&'static str, String), &(u64, Origin))| Reason {
            stage: (*stage).to_owned(),
            reason: reason.clone(),
            records: *records,
            first: origin.clone(),
        };
        reasons.into_iter().take(SHOWN).map(reason).collect()
    }
}
