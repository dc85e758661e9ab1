//! Points in time from text.

use super::calendar::{self, RANGE_US};
use super::decimal::decimal;
use super::pattern::Pattern;

/// How a timestamp is written.
///
/// | format | text | example |
/// |---|---|---|
/// | none | RFC 3339 with `T` or a space between date and time; without an offset it is UTC | `2010-12-01T08:26:00.5+01:00` |
/// | a pattern of `%Y %m %d %H %M %S %f %.f %z %F %T %%` and other characters that stand for themselves | as written | `01/12/2010 08:26` for `%d/%m/%Y %H:%M` |
/// | `unix_s`, `unix_ms`, `unix_us` | seconds, milliseconds or microseconds since 1970-01-01T00:00:00Z | `1291191960.25` |
///
/// Digits past the microsecond are cut off, leap seconds and years outside 1 to 9999 are refused. `%f` takes one to nine
/// digits of the second's fraction, `%.f` the same with its point, or nothing; `%z` takes `Z`, `+hh:mm` or `+hhmm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampFormat(Shape);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Rfc3339,
    /// `%Y-%m-%d %H:%M:%S`, or with another byte than the space.
    DateTime(u8),
    /// A number with this many microseconds' digits after the point.
    Unix {
        scale: u8,
    },
    Pattern(Pattern),
}

/// Why a format cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A directive that is not known.
    #[error("format {format:?} has {directive:?}, which is none of %Y %m %d %H %M %S %f %.f %z %F %T %%")]
    Unknown {
        /// The format.
        format: String,
        /// The directive.
        directive: String,
    },
    /// A part of the time that stands in the format twice.
    #[error("format {format:?} has {directive} twice")]
    Repeated {
        /// The format.
        format: String,
        /// The directive.
        directive: &'static str,
    },
    /// A part of the date that the format leaves open.
    #[error("format {format:?} has no {directive}")]
    Missing {
        /// The format.
        format: String,
        /// The directive.
        directive: &'static str,
    },
}

impl TimestampFormat {
    /// Reads a format; `None` is RFC 3339.
    ///
    /// # Errors
    /// When the format has an unknown directive, lacks the year, month or day, or has a part twice.
    pub fn new(format: Option<&str>) -> Result<Self, FormatError> {
        Ok(Self(match format {
            None => Shape::Rfc3339,
            Some("unix_s") => Shape::Unix { scale: 6 },
            Some("unix_ms") => Shape::Unix { scale: 3 },
            Some("unix_us") => Shape::Unix { scale: 0 },
            Some("%Y-%m-%d %H:%M:%S" | "%F %T" | "%F %H:%M:%S" | "%Y-%m-%d %T") => Shape::DateTime(b' '),
            Some("%Y-%m-%dT%H:%M:%S" | "%FT%T" | "%FT%H:%M:%S" | "%Y-%m-%dT%T") => Shape::DateTime(b'T'),
            Some(format) => Shape::Pattern(Pattern::new(format)?),
        }))
    }

    /// Whether the text is a number, which JSON may hold without quotes.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self.0, Shape::Unix { .. })
    }

    /// Microseconds since 1970-01-01T00:00:00Z; `None` when the text does not follow the format.
    #[must_use]
    pub fn parse(&self, text: &[u8]) -> Option<i64> {
        match &self.0 {
            Shape::DateTime(between) => calendar::date_time(text.try_into().ok()?, &[*between]),
            Shape::Rfc3339 => rfc3339(text),
            Shape::Unix { scale } => unix(text, *scale),
            Shape::Pattern(pattern) => pattern.parse(text),
        }
    }

    /// The day of [`Self::parse`] in UTC, in days since 1970-01-01.
    #[must_use]
    pub fn parse_date(&self, text: &[u8]) -> Option<i32> {
        i32::try_from(self.parse(text)?.div_euclid(calendar::DAY_US)).ok()
    }
}

/// Reads RFC 3339.
fn rfc3339(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_first_chunk::<19>()?;
    let clock = calendar::date_time(date_time, b"T t")?;
    if matches!(rest, [] | [b'Z' | b'z']) {
        return Some(clock);
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => calendar::fraction(rest)?,
        _ => (0, rest),
    };
    let east = match rest {
        [] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => calendar::offset(*sign, &[rest[1], rest[2], rest[4], rest[5]])?,
        [b'Z' | b'z'] => 0,
        _ => return None,
    };
    in_range(clock + fraction - east)
}

/// Reads a number of seconds (`scale` 6), milliseconds (3) or microseconds (0).
fn unix(text: &[u8], scale: u8) -> Option<i64> {
    let digits = text.len() - usize::from(text.starts_with(b"-"));
    let point = text.iter().position(|&byte| byte == b'.');
    let plain = !text.iter().any(|byte| matches!(byte, b'e' | b'E'));
    // A clock that tells more than microseconds writes more digits than fit; they are cut off as in RFC 3339.
    let text = match point {
        Some(point) if plain && text.len() - point - 1 > usize::from(scale) => {
            if !text[point + 1..].iter().all(u8::is_ascii_digit) {
                return None;
            }
            &text[..point + usize::from(scale > 0) + usize::from(scale)]
        }
        _ => text,
    };
    if digits == 0 {
        return None;
    }
    in_range(i64::try_from(decimal(text, 19, scale)?).ok()?)
}

fn in_range(micros: i64) -> Option<i64> {
    RANGE_US.contains(&micros).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::TimestampFormat;
    use proptest::prelude::*;

    const AT: i64 = 1_291_191_960_000_000;

    fn parse(format: Option<&str>, text: &str) -> Option<i64> {
        TimestampFormat::new(format).unwrap().parse(text.as_bytes())
    }

    #[test]
    fn rfc_3339_is_read_with_and_without_its_optional_parts() {
        for (text, expected) in [
            ("2010-12-01T08:26:00Z", AT),
            ("2010-12-01t08:26:00z", AT),
            ("2010-12-01 08:26:00", AT),
            ("2010-12-01T08:26:00.5Z", AT + 500_000),
            ("2010-12-01T08:26:00.123456789", AT + 123_456),
            ("2010-12-01T08:26:00.000001+00:00", AT + 1),
            ("2010-12-01T09:56:00+01:30", AT),
            ("2010-12-01T06:26:00-02:00", AT),
            ("1969-12-31T23:59:59.999999Z", -1),
        ] {
            assert_eq!(parse(None, text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "2010-12-01",
            "2010-12-01T08:26",
            "2010-12-01T08:26:00.",
            "2010-12-01T08:26:00.Z",
            "2010-12-01T08:26:00+1:00",
            "2010-12-01T08:26:00+0100",
            "2010-12-01T08:26:00+24:00",
            "2010-12-01T08:26:00+01:60",
            "2010-12-01T08:26:00ZZ",
            "2010-12-01T08:26:60Z",
            "2010-12-01T24:00:00Z",
            "2010-12-01T08:60:00Z",
            "2010-02-30T08:26:00Z",
            "2010-12-01_08:26:00Z",
            "2010-12-01T08:26:00 Z",
            "2010-12-01T08:26:00.1a",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(parse(None, text), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_is_followed_to_the_letter() {
        for (format, text, expected) in [
            ("%Y-%m-%d %H:%M:%S", "2010-12-01 08:26:00", Some(AT)),
            ("%Y-%m-%d %H:%M:%S", "2010-12-01T08:26:00", None),
            ("%Y-%m-%d %H:%M:%S", "2010-12-01 08:26:00Z", None),
            ("%FT%T", "2010-12-01T08:26:00", Some(AT)),
            ("%d/%m/%Y %H:%M", "01/12/2010 08:26", Some(AT)),
            ("%d/%m/%Y %H:%M", "1/12/2010 08:26", None),
            ("%Y%m%d%H%M%S%f", "201012010826001", Some(AT + 100_000)),
            ("%F %T%.f", "2010-12-01 08:26:00.25", Some(AT + 250_000)),
            ("%F %T%.f", "2010-12-01 08:26:00", Some(AT)),
            ("%F %T%.f %z", "2010-12-01 10:26:00 +0200", Some(AT)),
            ("%F %T%z", "2010-12-01 10:26:00+02:00", Some(AT)),
            ("%F %T%z", "2010-12-01 08:26:00Z", Some(AT)),
            ("%F", "1970-01-02", Some(86_400_000_000)),
            ("%F 100%% %T", "2010-12-01 100% 08:26:00", Some(AT)),
            ("am %F \u{fc}ber %T", "am 2010-12-01 \u{fc}ber 08:26:00", Some(AT)),
            ("unix_s", "1291191960", Some(AT)),
            ("unix_s", "1291191960.25", Some(AT + 250_000)),
            ("unix_s", "1291191960.1234567", Some(AT + 123_456)),
            ("unix_s", "1.29119196e9", Some(AT)),
            ("unix_ms", "1291191960001", Some(AT + 1_000)),
            ("unix_us", "1291191960000001", Some(AT + 1)),
            ("unix_us", "1291191960000001.9", Some(AT + 1)),
            ("unix_us", "1291191960000001.", None),
            ("unix_s", "-1", Some(-1_000_000)),
            ("unix_s", "", None),
            ("unix_s", "-", None),
            ("unix_s", "253402300800", None),
            ("unix_s", "99999999999999999999999", None),
        ] {
            assert_eq!(parse(Some(format), text), expected, "{format} of {text}");
        }
    }

    #[test]
    fn an_unusable_format_says_why() {
        for (format, expected) in [
            ("%Y-%m", r#"format "%Y-%m" has no %d"#),
            ("%F %Y", r#"format "%F %Y" has %Y twice"#),
            ("%F %I", r#"format "%F %I" has "%I", which is none of %Y %m %d %H %M %S %f %.f %z %F %T %%"#),
            ("%F %", r#"format "%F %" has "%", which is none of %Y %m %d %H %M %S %f %.f %z %F %T %%"#),
        ] {
            assert_eq!(TimestampFormat::new(Some(format)).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_day_is_read_by_the_same_formats() {
        let format = TimestampFormat::new(Some("%d.%m.%Y")).unwrap();
        assert_eq!(format.parse_date(b"31.12.1969"), Some(-1));
    }

    proptest! {
        #[test]
        fn the_fixed_shape_and_the_pattern_agree(text in "[0-9]{4}-[0-1][0-9]-[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9]") {
            let fixed = parse(Some("%F %T"), &text);
            prop_assert_eq!(fixed, parse(Some("%Y-%m-%d %H:%M:%S%.f"), &text));
            prop_assert_eq!(fixed, parse(None, &text));
        }

        #[test]
        fn no_bytes_break_it(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            for format in [None, Some("unix_s"), Some("%F %T"), Some("%d/%m/%Y%.f%z")] {
                let _ = TimestampFormat::new(format).unwrap().parse(&text);
            }
        }
    }
}
