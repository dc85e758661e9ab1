//! `Date` and `Timestamp`: calendar days and points in time, always in UTC.

use crate::ParseError;
use lakeward_manifest::text::{self, TimestampFormat};
use std::fmt;
use std::str::FromStr;

const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_DAY: i64 = 86_400 * MICROS_A_SECOND;

/// A calendar day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Date(i32);

impl Date {
    /// The day that is `days` after 1970-01-01.
    #[must_use]
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The year.
    #[must_use]
    pub fn year(self) -> i32 {
        self.civil().0
    }

    /// The month, 1 to 12.
    #[must_use]
    pub fn month(self) -> u32 {
        self.civil().1
    }

    /// The day of the month, 1 to 31.
    #[must_use]
    pub fn day(self) -> u32 {
        self.civil().2
    }

    /// Year, month and day in the proleptic Gregorian calendar. The year is counted from March, so that the leap day is
    /// its last day and months have the regular lengths 31, 30, 31, 30, 31 twice over.
    fn civil(self) -> (i32, u32, u32) {
        const DAYS_IN_400_YEARS: i64 = 146_097;
        const FROM_MARCH_OF_YEAR_0: i64 = 719_468;
        let day = i64::from(self.0) + FROM_MARCH_OF_YEAR_0;
        let cycle = day.div_euclid(DAYS_IN_400_YEARS);
        let in_cycle = day.rem_euclid(DAYS_IN_400_YEARS);
        let year = (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
        let in_year = in_cycle - (365 * year + year / 4 - year / 100);
        let from_march = (5 * in_year + 2) / 153;
        let day = in_year - (153 * from_march + 2) / 5 + 1;
        let (month, next) = if from_march < 10 { (from_march + 3, 0) } else { (from_march - 9, 1) };
        ((cycle * 400 + year + next) as i32, month as u32, day as u32)
    }

    pub(crate) fn from_le_bytes(bytes: [u8; 4]) -> Self {
        Self(i32::from_le_bytes(bytes))
    }

    pub(crate) fn to_le_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Date {
    type Err = ParseError;

    /// Reads `2010-12-01`.
    fn from_str(day: &str) -> Result<Self, ParseError> {
        text::date(day.as_bytes()).map(Self).ok_or(ParseError { expected: "a date such as 2010-12-01" })
    }
}

/// A point in time, to the microsecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time that is `micros` microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The day, in UTC.
    #[must_use]
    pub const fn date(self) -> Date {
        Date(self.0.div_euclid(MICROS_A_DAY) as i32)
    }

    /// The hour of the day, in UTC, 0 to 23.
    #[must_use]
    pub const fn hour(self) -> u32 {
        (self.0.rem_euclid(MICROS_A_DAY) / (3_600 * MICROS_A_SECOND)) as u32
    }

    /// Whole seconds from `earlier` to this time; negative when it is in fact later.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0) / MICROS_A_SECOND
    }

    pub(crate) fn from_le_bytes(bytes: [u8; 8]) -> Self {
        Self(i64::from_le_bytes(bytes))
    }

    pub(crate) fn to_le_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_day = self.0.rem_euclid(MICROS_A_DAY);
        let (seconds, micros) = (in_day / MICROS_A_SECOND, in_day % MICROS_A_SECOND);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}", self.date())?;
        if micros == 0 { f.write_str("Z") } else { write!(f, ".{micros:06}Z") }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    /// Reads RFC 3339, `2010-12-01T08:26:00Z`.
    fn from_str(time: &str) -> Result<Self, ParseError> {
        TimestampFormat::new(None)
            .ok()
            .and_then(|format| format.parse(time.as_bytes()))
            .map(Self)
            .ok_or(ParseError { expected: "a timestamp such as 2010-12-01T08:26:00Z" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_its_date() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (14_944, "2010-12-01"),
            (-719_162, "0001-01-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Date::from_days(days).to_string(), text);
            assert_eq!(text.parse(), Ok(Date::from_days(days)));
        }
    }

    #[test]
    fn a_timestamp_reads_as_it_is_written() {
        for text in ["2010-12-01T08:26:00Z", "1969-12-31T23:59:59.999999Z", "2024-02-29T00:00:00Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let time: Timestamp = "2010-12-01T08:26:00Z".parse().unwrap();
        assert_eq!((time.date().year(), time.date().month(), time.date().day(), time.hour()), (2010, 12, 1, 8));
    }

    #[test]
    fn seconds_between_times_carry_a_sign() {
        let (early, late) = (Timestamp::from_micros(0), Timestamp::from_micros(90_500_000));
        assert_eq!((late.seconds_since(early), early.seconds_since(late)), (90, -90));
    }
}
