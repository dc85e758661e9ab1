//! When a module is given no more records: where it fails on too large a share of them.

use crate::config::Ratio;
use std::time::Duration;

/// Failures below which no share means anything, so that the first bad records of a quiet topic park nobody.
const LEAST: u64 = 20;

/// Time in failing calls, within one chunk, after which it is asked whether the rest is worth trying. A panic costs microseconds and never
/// gets there; where every record of a chunk uses up its fuel, the search for those at fault would take hours, and its worker with it.
const ENOUGH: Duration = Duration::from_secs(10);

/// Whether a module that failed on `failed` of `records` records is to be parked, where `limit` is the share that parks it.
#[must_use]
pub fn fails_too_often(failed: u64, records: u64, limit: Ratio) -> bool {
    failed >= LEAST && limit.is_reached(failed, records)
}

/// How the search for the events at fault goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Search {
    /// Events that were in a call that succeeded.
    pub(super) passed: u64,
    /// Events that failed alone.
    pub(super) failed: u64,
    /// Time in calls that failed.
    pub(super) lost: Duration,
}

impl Search {
    /// Events of which it is known what becomes of them.
    pub(super) fn judged(&self) -> u64 {
        self.passed + self.failed
    }

    /// Whether the rest is not tried any more.
    pub(super) fn is_hopeless(&self, limit: Option<Ratio>) -> bool {
        self.lost >= ENOUGH && limit.is_some_and(|limit| fails_too_often(self.failed, self.judged(), limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_fails_too_often_by_its_share_and_by_number() {
        let one_percent: Ratio = "1%".parse().unwrap();
        let table = [
            (3, 3, Ratio::HALF, false),
            (19, 19, Ratio::HALF, false),
            (20, 20, Ratio::HALF, true),
            (20, 40, Ratio::HALF, true),
            (20, 41, Ratio::HALF, false),
            (500, 1_001, Ratio::HALF, false),
            (19, 100, one_percent, false),
            (20, 2_000, one_percent, true),
            (20, 2_001, one_percent, false),
            (0, 0, one_percent, false),
        ];
        for (failed, records, limit, expected) in table {
            assert_eq!(fails_too_often(failed, records, limit), expected, "{failed} of {records} at {limit}");
        }
    }

    #[test]
    fn a_search_is_hopeless_once_it_has_cost_enough() {
        let search = |passed, failed, seconds| Search { passed, failed, lost: Duration::from_secs(seconds) };
        let table = [
            (search(0, 8_000, 9), Some(Ratio::HALF), false),
            (search(0, 20, 10), Some(Ratio::HALF), true),
            (search(0, 20, 10), None, false),
            (search(21, 20, 10), Some(Ratio::HALF), false),
            // One record that uses up its fuel costs a call for every halving of its chunk.
            (search(8_000, 3, 60), Some(Ratio::HALF), false),
        ];
        for (search, limit, expected) in table {
            assert_eq!(search.is_hopeless(limit), expected, "{search:?} at {limit:?}");
        }
    }
}
