//! How a point in time is written over HTTP: RFC 3339, in UTC, with as many digits as it needs.

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z; RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Time {
    /// A watermark as the aggregates keep it: `None` before the first row, which is `i64::MIN` there.
    #[must_use]
    pub fn from_watermark_ms(ms: i64) -> Option<Self> {
        (ms != i64::MIN).then_some(Self(ms))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(24);
        write_timestamp(&mut text, self.0.saturating_mul(1000));
        f.write_str(&text)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        parse_ms(&text).map(Self).ok_or_else(|| D::Error::custom(format!("{text:?} is no RFC 3339 time")))
    }
}

/// Reads a point in time: RFC 3339 or whole milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn parse_ms(text: &str) -> Option<i64> {
    if let Ok(ms) = text.parse() {
        return Some(ms);
    }
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// Writes microseconds since 1970-01-01T00:00:00Z. By hand, because an answer has two of these a row and chrono's own
/// formatting costs ten times as much.
pub(super) fn write_timestamp(out: &mut String, micros: i64) {
    let Some(time) = DateTime::<Utc>::from_timestamp_micros(micros) else {
        // Beyond the years that the calendar knows; the number is still the truth.
        out.push_str(&micros.to_string());
        return;
    };
    write_day(out, &time);
    let mut text = *b"T00:00:00.000000Z";
    pair(&mut text[1..3], time.hour());
    pair(&mut text[4..6], time.minute());
    pair(&mut text[7..9], time.second());
    let fraction = time.nanosecond() / 1000;
    pair(&mut text[10..12], fraction / 10_000);
    pair(&mut text[12..14], fraction / 100 % 100);
    pair(&mut text[14..16], fraction % 100);
    match fraction {
        0 => text[9] = b'Z',
        fraction if fraction % 1000 == 0 => text[13] = b'Z',
        _ => {}
    }
    let end = text.iter().position(|byte| *byte == b'Z').map_or(text.len(), |z| z + 1);
    push(out, &text[..end]);
}

/// Writes days since 1970-01-01.
pub(super) fn write_date(out: &mut String, days: i32) {
    match DateTime::<Utc>::from_timestamp(i64::from(days) * 86_400, 0) {
        Some(day) => write_day(out, &day),
        None => out.push_str(&days.to_string()),
    }
}

fn write_day(out: &mut String, day: &DateTime<Utc>) {
    let mut text = *b"0000-00-00";
    pair(&mut text[5..7], day.month());
    pair(&mut text[8..10], day.day());
    match u32::try_from(day.year()) {
        Ok(year @ 0..=9999) => {
            pair(&mut text[0..2], year / 100);
            pair(&mut text[2..4], year % 100);
            push(out, &text);
        }
        // ISO 8601 wants a sign outside the four-digit years.
        _ => {
            out.push_str(&format!("{:+05}", day.year()));
            push(out, &text[4..]);
        }
    }
}

/// Sets two digits; `number` is below a hundred.
fn pair(text: &mut [u8], number: u32) {
    text[0] = b'0' + (number / 10) as u8;
    text[1] = b'0' + (number % 10) as u8;
}

fn push(out: &mut String, text: &[u8]) {
    out.push_str(std::str::from_utf8(text).expect("digits and punctuation are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(micros: i64, expected: &str) {
        let mut text = String::new();
        write_timestamp(&mut text, micros);
        assert_eq!(text, expected);
    }

    #[test]
    fn a_time_has_as_many_digits_as_it_needs() {
        check(0, "1970-01-01T00:00:00Z");
        check(1_293_876_000_000_000, "2011-01-01T10:00:00Z");
        check(1_293_876_000_250_000, "2011-01-01T10:00:00.250Z");
        check(1_293_876_000_000_007, "2011-01-01T10:00:00.000007Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        check(253_402_300_800_000_000, "+10000-01-01T00:00:00Z");
        check(i64::MIN, "-9223372036854775808");
    }

    #[test]
    fn a_date_is_a_day() {
        let mut text = String::new();
        write_date(&mut text, 14_975);
        assert_eq!(text, "2011-01-01");
    }

    #[test]
    fn a_time_is_read_from_text_or_milliseconds() {
        assert_eq!(parse_ms("2011-01-01T10:00:00Z"), Some(1_293_876_000_000));
        assert_eq!(parse_ms("2011-01-01T11:00:00+01:00"), Some(1_293_876_000_000));
        assert_eq!(parse_ms("1293876000000"), Some(1_293_876_000_000));
        assert_eq!(parse_ms("yesterday"), None);
    }

    #[test]
    fn no_watermark_is_null() {
        assert_eq!(Time::from_watermark_ms(i64::MIN), None);
        assert_eq!(Time::from_watermark_ms(5), Some(Time(5)));
    }
}
