//! Rows whose event time is far ahead of their record: counted, they would move the watermark, and all that follows would be late.

use crate::record::{AHEAD, Chunk};
use arrow_buffer::BooleanBuffer;
use std::time::Duration;

/// The rows whose time, in microseconds, is more than `bound` ahead of their record's timestamp; `None` where there are none. `record` gives
/// the record of a row. A record without a timestamp bounds nothing.
pub(super) fn rows(
    times_us: &[i64],
    chunk: &Chunk,
    record: impl Fn(usize) -> usize,
    bound: Duration,
) -> Option<BooleanBuffer> {
    let bound_ms = i64::try_from(bound.as_millis()).unwrap_or(i64::MAX);
    let limit_us = |timestamp_ms: i64| timestamp_ms.saturating_add(bound_ms).saturating_mul(1_000);
    let latest_us = times_us.iter().copied().fold(i64::MIN, i64::max);
    // Of nearly all chunks no row is ahead of the oldest record.
    if latest_us <= limit_us(chunk.oldest_ms()?) {
        return None;
    }
    let is_ahead = |row: usize| {
        let timestamp_ms = chunk.record(record(row)).timestamp_ms;
        timestamp_ms >= 0 && times_us[row] > limit_us(timestamp_ms)
    };
    let ahead = BooleanBuffer::collect_bool(times_us.len(), is_ahead);
    (ahead.count_set_bits() > 0).then_some(ahead)
}

/// Why such a row is not counted.
pub(super) fn reason(bound: Duration) -> String {
    let bound = humantime::format_duration(bound);
    format!("{AHEAD}its time is more than {bound} after its record's timestamp, see `ahead` under [gold]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn a_row_is_held_against_its_own_record() {
        let mut chunk = Chunk::new("t".into(), 0, 0);
        for (offset, timestamp_ms) in [(0, 1_000), (1, 50_000), (2, -1)] {
            chunk.push(Record { offset, timestamp_ms, key: None, value: None });
        }
        // Two rows of each record.
        let of = |times_ms: [i64; 6], bound_s: u64| {
            let times_us = times_ms.map(|ms| ms * 1_000);
            let ahead = rows(&times_us, &chunk, |row| row / 2, Duration::from_secs(bound_s));
            ahead.map(|ahead| ahead.set_indices().collect::<Vec<_>>())
        };
        assert_eq!(of([0, 11_000, 11_000, 5_000, 0, 11_000], 10), None);
        assert_eq!(of([0, 11_001, 11_001, 60_000, 0, 11_000], 10), Some(vec![1]));
        assert_eq!(of([0, 0, 60_001, 60_000, 0, i64::MAX / 1_000], 10), Some(vec![2]));
        assert_eq!(of([0, 0, i64::MAX / 1_000, 0, 0, 0], u64::MAX), None);
        assert_eq!(rows(&[], &chunk, |row| row, Duration::ZERO), None);
    }

    #[test]
    fn without_timestamps_nothing_is_ahead() {
        let mut chunk = Chunk::new("t".into(), 0, 0);
        chunk.push(Record { offset: 0, timestamp_ms: -1, key: None, value: None });
        assert_eq!(rows(&[i64::MAX], &chunk, |row| row, Duration::ZERO), None);
    }

    #[test]
    fn the_reason_names_the_setting() {
        assert!(reason(Duration::from_secs(86_400)).starts_with("ahead: its time is more than 1day after"));
    }
}
