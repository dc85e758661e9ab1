//! The proleptic Gregorian calendar, years 1 to 9999 (what Delta Lake's readers agree on), and clock times.

/// Microseconds in a day.
pub(super) const DAY_US: i64 = 86_400_000_000;

/// Days before each month of a year that is not a leap year.
const DAYS_BEFORE: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const DAYS_IN: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Days from 0001-01-01 to 1970-01-01.
const EPOCH: i32 = 719_162;

/// The first and the last microsecond of the years 1 to 9999.
pub(super) const RANGE_US: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// Reads a calendar day, `YYYY-MM-DD`, as days since 1970-01-01; a day that does not exist is `None`.
#[must_use]
pub fn date(text: &[u8]) -> Option<i32> {
    let text: &[u8; 10] = text.try_into().ok()?;
    let (year, month) = year_month(first(text))?;
    let [tens, ones] = [text[8].wrapping_sub(b'0'), text[9].wrapping_sub(b'0')];
    if tens > 9 || ones > 9 {
        return None;
    }
    days(year, month, u32::from(tens * 10 + ones))
}

/// Days since 1970-01-01 of a day that exists.
pub(super) fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    let index = month.wrapping_sub(1) as usize;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let longest = u32::from(*DAYS_IN.get(index)?) + u32::from(leap && month == 2);
    if day.wrapping_sub(1) >= longest || year.wrapping_sub(1) >= 9999 {
        return None;
    }
    let past = year - 1;
    let in_year = u32::from(DAYS_BEFORE[index]) + u32::from(leap && month > 2) + day - 1;
    let since_one = past * 365 + past / 4 - past / 100 + past / 400 + in_year;
    Some(since_one.cast_signed() - EPOCH)
}

/// Microseconds since 1970-01-01T00:00:00Z of a clock time in UTC; a leap second is refused, since it has no number.
pub(super) fn micros(days: i32, hour: u32, minute: u32, second: u32) -> Option<i64> {
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60 + second;
    Some(i64::from(days) * DAY_US + i64::from(seconds) * 1_000_000)
}

/// Reads `YYYY-MM-DD?HH:MM:SS`, where `?` is one of `between`, by its fixed positions.
pub(super) fn date_time(text: &[u8; 19], between: &[u8]) -> Option<i64> {
    let (year, month) = year_month(first(text))?;
    let middle: [u8; 8] = text[8..16].try_into().ok()?;
    let mut middle = u64::from_le_bytes(middle);
    if !between.contains(&((middle >> 16) as u8)) {
        return None;
    }
    // The byte between is known to be right; as a colon it fits the check of the others.
    middle = middle & !(0xff << 16) | u64::from(b':') << 16;
    let pairs = pairs::<{ u64::from_le_bytes(*b"00:00:00") }>(middle)?;
    let [day, hour, minute] = [pairs & 0xff, pairs >> 24 & 0xff, pairs >> 48 & 0xff].map(|part| part as u32);
    let [tens, ones] = [text[17].wrapping_sub(b'0'), text[18].wrapping_sub(b'0')];
    if text[16] != b':' || tens > 5 || ones > 9 {
        return None;
    }
    micros(days(year, month, day)?, hour, minute, u32::from(tens * 10 + ones))
}

/// Takes one to nine digits of a second's fraction, as microseconds; the digits past these are cut off.
pub(super) fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let length = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(length);
    if !(1..=9).contains(&length) {
        return None;
    }
    let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(6);
    Some((padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')), rest))
}

/// Microseconds east of UTC of an offset's sign and its digits `hhmm`.
pub(super) fn offset(sign: u8, digits: &[u8; 4]) -> Option<i64> {
    let [a, b, c, d] = digits.map(|digit| digit.wrapping_sub(b'0'));
    if a.max(b).max(c).max(d) > 9 || a * 10 + b > 23 || c > 5 {
        return None;
    }
    let east = micros(0, u32::from(a * 10 + b), u32::from(c * 10 + d), 0)?;
    Some(if sign == b'-' { -east } else { east })
}

/// The first eight bytes.
fn first<const N: usize>(text: &[u8; N]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[..8]);
    u64::from_le_bytes(bytes)
}

/// Reads `YYYY-MM-`.
fn year_month(text: u64) -> Option<(u32, u32)> {
    let pairs = pairs::<{ u64::from_le_bytes(*b"0000-00-") }>(text)?;
    let [century, year, month] = [pairs & 0xff, pairs >> 16 & 0xff, pairs >> 40 & 0xff].map(|part| part as u32);
    Some((century * 100 + year, month))
}

/// Checks eight characters at once against a shape in which `0` stands for any digit. Then the byte at each digit
/// that another digit follows holds the two-digit number of both.
fn pairs<const SHAPE: u64>(text: u64) -> Option<u64> {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    // A character that fits becomes 0..=9 where the shape has a digit and 0 elsewhere.
    let digits = text ^ SHAPE;
    if (((digits & LOW) + const { limits(SHAPE) }) | digits) & !LOW != 0 {
        return None;
    }
    Some(digits * 10 + (digits >> 8))
}

/// For each byte of a shape what carries a wrong character to the byte's top bit: anything past 9 where a digit
/// stands, anything past 0 elsewhere.
const fn limits(shape: u64) -> u64 {
    let mut bytes = shape.to_le_bytes();
    let mut index = 0;
    while index < 8 {
        bytes[index] = if bytes[index] == b'0' { 0x76 } else { 0x7f };
        index += 1;
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::{RANGE_US, date, date_time, days, micros};
    use proptest::prelude::*;

    #[test]
    fn days_are_counted_from_1970() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2010-12-01", 14_944),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
        ] {
            assert_eq!(date(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_day_that_does_not_exist_is_refused() {
        for text in [
            "2023-02-29",
            "1900-02-29",
            "2023-02-30",
            "2023-04-31",
            "2023-00-01",
            "2023-13-01",
            "2023-01-00",
            "2023-01-32",
            "0000-01-01",
            "2023-1-01",
            "2023/01/01",
            "20230101",
            "2023-01-01 ",
            "2023-01-0a",
            "2o23-01-01",
            "",
        ] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_range_is_that_of_four_digit_years() {
        assert_eq!(micros(days(1, 1, 1).unwrap(), 0, 0, 0), Some(*RANGE_US.start()));
        assert_eq!(micros(days(9999, 12, 31).unwrap(), 23, 59, 59), Some(*RANGE_US.end() / 1_000_000 * 1_000_000));
    }

    /// The inverse of `days`, by walking: slow, and nothing to get wrong.
    fn walk(mut left: u32) -> (u32, u32, u32) {
        let mut year = 1970;
        loop {
            for month in 1..=12 {
                for day in 1..=31 {
                    if days(year, month, day).is_some() {
                        if left == 0 {
                            return (year, month, day);
                        }
                        left -= 1;
                    }
                }
            }
            year += 1;
        }
    }

    proptest! {
        #[test]
        fn every_day_has_its_number(number in 0_u32..50_000) {
            let (year, month, day) = walk(number);
            prop_assert_eq!(date(format!("{year:04}-{month:02}-{day:02}").as_bytes()), Some(number.cast_signed()));
        }

        #[test]
        fn one_wrong_byte_is_noticed(place in 0_usize..19, byte: u8) {
            let mut text = *b"2010-12-01 08:26:59";
            text[place] = byte;
            let digit = !matches!(place, 4 | 7 | 10 | 13 | 16);
            let fits = if digit { byte.is_ascii_digit() } else { byte == b"2010-12-01 08:26:59"[place] };
            let found = date_time(&text, b" ");
            prop_assert!(fits || found.is_none(), "{:?}", text);
            if place > 17 && fits {
                prop_assert!(found.is_some());
            }
        }
    }
}
