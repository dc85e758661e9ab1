//! How many events are due: a steady rate, caught up in small steps, held back while the reader is behind.

use std::time::Duration;

/// What was missed for longer than this is not caught up: a burst would be no steady flow.
const LONGEST_CATCH_UP: Duration = Duration::from_millis(100);

/// A steady rate of events.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    rate: u64,
    /// Since the start, less what is not caught up.
    origin: Duration,
    made: u64,
}

impl Pace {
    /// `rate` events a second.
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: u64::from(rate), origin: Duration::ZERO, made: 0 }
    }

    /// The number of events that are due `elapsed` after the start; they count as made.
    pub(super) fn due(&mut self, elapsed: Duration) -> u64 {
        let mut owed = self.owed(elapsed);
        let longest = self.events_in(LONGEST_CATCH_UP).max(1);
        if owed > longest {
            self.restart(elapsed);
            owed = longest;
        } else {
            self.made += owed;
        }
        owed
    }

    /// Lets the time pass without an event.
    pub(super) fn skip(&mut self, elapsed: Duration) {
        self.restart(elapsed);
    }

    fn restart(&mut self, elapsed: Duration) {
        self.origin = elapsed;
        self.made = 0;
    }

    fn owed(&self, elapsed: Duration) -> u64 {
        self.events_in(elapsed.saturating_sub(self.origin)).saturating_sub(self.made)
    }

    fn events_in(&self, time: Duration) -> u64 {
        u64::try_from(time.as_micros() * u128::from(self.rate) / 1_000_000).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_second_has_as_many_events_as_the_rate_says_however_it_is_cut() {
        for step in [1, 3, 7, 20, 50] {
            let mut pace = Pace::new(2_000);
            let made: u64 = (0..=1_000 / step).map(|n| pace.due(ms(n * step))).sum();
            assert_eq!(made, 2_000 * (1_000 / step * step) / 1_000, "steps of {step} ms");
        }
    }

    #[test]
    fn a_long_pause_is_caught_up_by_100_ms_of_events_and_no_more() {
        let mut pace = Pace::new(1_000);
        assert_eq!(pace.due(ms(10)), 10);
        assert_eq!(pace.due(ms(5_000)), 100);
        assert_eq!(pace.due(ms(5_010)), 10);
    }

    #[test]
    fn time_that_was_skipped_is_not_owed() {
        let mut pace = Pace::new(1_000);
        pace.skip(ms(90));
        assert_eq!(pace.due(ms(100)), 10);
    }

    #[test]
    fn a_slow_rate_still_comes_through() {
        let mut pace = Pace::new(2);
        let made: u64 = (0..=200).map(|n| pace.due(ms(n * 10))).sum();
        assert_eq!(made, 4);
    }
}
