//! Which window an event falls into, when that window closes, and which calendar part of the table it stands in.

use chrono::{Datelike, NaiveDate};
use lakeward_manifest::Granularity;

const US_PER_MS: i64 = 1_000;
const US_PER_DAY: i64 = 86_400_000_000;

/// Tumbling windows, aligned to 1970-01-01T00:00:00Z. Starts and ends are in microseconds, ends are exclusive.
///
/// ```text
/// width 10 min, lateness 5 min     row at 00:12 while the watermark is
/// window [00:10, 00:20)            00:19 taken   00:24:59.999 taken   00:25 late
/// ```
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    width_us: i64,
    lateness_us: i64,
}

impl Windows {
    /// Windows of a width; `None` if it is zero or does not fit.
    pub(super) fn new(width_ms: u64, lateness_ms: u64) -> Option<Self> {
        let width_us = i64::try_from(width_ms).ok()?.checked_mul(US_PER_MS).filter(|width| *width > 0)?;
        let lateness_us = i64::try_from(lateness_ms).unwrap_or(i64::MAX).saturating_mul(US_PER_MS);
        Some(Self { width_us, lateness_us })
    }

    /// The start of the window that `time_us` falls into.
    pub(super) fn start_us(self, time_us: i64) -> i64 {
        time_us.saturating_sub(time_us.rem_euclid(self.width_us))
    }

    /// The exclusive end of the window that starts at `start_us`.
    pub(super) fn end_us(self, start_us: i64) -> i64 {
        start_us.saturating_add(self.width_us)
    }

    /// The watermark from which on the window that starts at `start_us` takes no more rows.
    pub(super) fn closes_at_us(self, start_us: i64) -> i64 {
        self.end_us(start_us).saturating_add(self.lateness_us)
    }
}

/// Milliseconds as microseconds; what does not fit stands at the edge.
pub(super) fn us(ms: i64) -> i64 {
    ms.saturating_mul(US_PER_MS)
}

/// Microseconds as milliseconds, rounded down; the edge, which stands for "none yet", stays.
pub(super) fn floor_ms(us: i64) -> i64 {
    if us == i64::MIN { i64::MIN } else { us.div_euclid(US_PER_MS) }
}

/// The calendar part in which a window that starts at `start_us` stands: days since 1970-01-01 of the part's first day.
pub(super) fn part(start_us: i64, by: Granularity) -> i32 {
    const DAYS_TO_1970: i32 = 719_163;
    let day = i32::try_from(start_us.div_euclid(US_PER_DAY)).expect("i64 microseconds are fewer than 2^31 days");
    let Some(date) = NaiveDate::from_num_days_from_ce_opt(day + DAYS_TO_1970) else { return day };
    let first = match by {
        Granularity::Value | Granularity::Day => Some(date),
        Granularity::Month => date.with_day(1),
        Granularity::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
    };
    first.map_or(day, |first| first.num_days_from_ce() - DAYS_TO_1970)
}

/// The first microsecond of a calendar part.
pub(super) fn part_start_us(part: i32) -> i64 {
    i64::from(part).saturating_mul(US_PER_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_falls_into_the_window_that_contains_it_before_1970_too() {
        let windows = Windows::new(10, 0).unwrap();
        let table = [(0, 0), (9_999, 0), (10_000, 10_000), (-1, -10_000), (-10_000, -10_000), (-10_001, -20_000)];
        for (time, start) in table {
            assert_eq!(windows.start_us(time), start, "event at {time} us");
            assert_eq!(windows.end_us(start), start + 10_000);
        }
    }

    #[test]
    fn a_window_closes_lateness_after_its_end() {
        assert_eq!(Windows::new(10, 5).unwrap().closes_at_us(20_000), 35_000);
        assert_eq!(Windows::new(10, u64::MAX).unwrap().closes_at_us(20_000), i64::MAX);
    }

    #[test]
    fn a_window_needs_a_width_that_fits() {
        assert!(Windows::new(0, 0).is_none());
        assert!(Windows::new(u64::MAX, 0).is_none());
        assert!(Windows::new(i64::MAX as u64 / 999, 0).is_none());
    }

    #[test]
    fn a_part_is_named_by_its_first_day() {
        // 2012-03-15T10:00:00Z is day 15_414, 2012-03-01 day 15_400, 2012-01-01 day 15_340.
        let march = 15_414 * US_PER_DAY + 36_000_000_000;
        let table = [
            (march, Granularity::Day, 15_414),
            (march, Granularity::Month, 15_400),
            (march, Granularity::Year, 15_340),
            (-1, Granularity::Day, -1),
            (-1, Granularity::Month, -31),
            (-1, Granularity::Year, -365),
        ];
        for (start, by, expected) in table {
            assert_eq!(part(start, by), expected, "{start} us by {by:?}");
            assert!(part_start_us(expected) <= start);
        }
        let far = part(i64::MAX, Granularity::Month);
        assert!(part_start_us(far) > 0);
    }

    #[test]
    fn milliseconds_round_down_before_1970_too() {
        assert_eq!(floor_ms(-1), -1);
        assert_eq!(floor_ms(1_999), 1);
        assert_eq!(floor_ms(i64::MIN), i64::MIN);
        assert_eq!(us(i64::MIN), i64::MIN);
    }
}
