//! What became of a module's records within the last minute, micro-batch by micro-batch.

use super::ledger::ModuleCounts;
use std::collections::VecDeque;
use std::time::Duration;

/// How long counts are remembered.
const MINUTE_MS: i64 = 60_000;

/// Micro-batches that end within so many milliseconds are one entry, which bounds their number.
const GRAIN_MS: i64 = 1_000;

/// The last minute, by the times at which micro-batches were committed. What is remembered is a function of these times and counts alone.
#[derive(Debug, Default)]
pub(super) struct Minute {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    at_ms: i64,
    counts: ModuleCounts,
    /// How long its micro-batches had been open.
    open: Duration,
}

impl Minute {
    /// Takes in a micro-batch that was committed at `at_ms` and had been open for so long.
    pub(super) fn add(&mut self, at_ms: i64, open: Duration, counts: ModuleCounts) {
        match self.entries.back_mut().filter(|entry| at_ms - entry.at_ms < GRAIN_MS) {
            Some(entry) => {
                entry.counts += counts;
                entry.open += open;
            }
            None => self.entries.push_back(Entry { at_ms, counts, open }),
        }
        self.forget(at_ms);
    }

    /// Lets go of what is older than a minute.
    fn forget(&mut self, now_ms: i64) {
        while self.entries.front().is_some_and(|entry| now_ms - entry.at_ms >= MINUTE_MS) {
            self.entries.pop_front();
        }
    }

    /// Everything of the last minute, and how much time its micro-batches had, which is no more than the minute.
    pub(super) fn sum(&mut self, now_ms: i64) -> (ModuleCounts, Duration) {
        self.forget(now_ms);
        let (mut counts, mut open) = (ModuleCounts::default(), Duration::ZERO);
        for entry in &self.entries {
            counts += entry.counts;
            open += entry.open;
        }
        (counts, open.min(Duration::from_millis(MINUTE_MS.unsigned_abs())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(records: u64, failures: u64) -> ModuleCounts {
        ModuleCounts { records, failures, ..ModuleCounts::default() }
    }

    /// Records, failures and seconds of the minute before `now_ms`.
    #[track_caller]
    fn check(added: &[(i64, u64, u64)], now_ms: i64, expected: (u64, u64, u64)) {
        let mut minute = Minute::default();
        for (at_ms, records, failures) in added {
            minute.add(*at_ms, Duration::from_secs(5), counts(*records, *failures));
        }
        let (sum, open) = minute.sum(now_ms);
        assert_eq!((sum.records, sum.failures, open.as_secs()), expected, "{added:?} at {now_ms}");
    }

    #[test]
    fn what_is_older_than_a_minute_counts_no_more() {
        check(&[], 0, (0, 0, 0));
        check(&[(0, 10, 1), (5_000, 20, 2)], 5_000, (30, 3, 10));
        check(&[(0, 10, 1), (5_000, 20, 2)], 59_999, (30, 3, 10));
        check(&[(0, 10, 1), (5_000, 20, 2)], 60_000, (20, 2, 5));
        check(&[(0, 10, 1), (5_000, 20, 2)], 65_000, (0, 0, 0));
        check(&[(0, 10, 1), (100_000, 20, 2)], 100_000, (20, 2, 5));
        // A clock that was set back makes nothing older.
        check(&[(100_000, 10, 1), (50_000, 20, 2)], 50_000, (30, 3, 10));
    }

    #[test]
    fn however_often_is_committed_a_minute_is_short() {
        let mut minute = Minute::default();
        for at_ms in (0..120_000).step_by(10) {
            minute.add(at_ms, Duration::from_millis(10), counts(1, 0));
        }
        assert!(minute.entries.len() <= 61, "{} entries", minute.entries.len());
        let (sum, open) = minute.sum(120_000);
        assert!((5_900..=6_000).contains(&sum.records), "{sum:?}");
        assert!(open >= Duration::from_secs(59) && open <= Duration::from_secs(60), "{open:?}");
    }
}
