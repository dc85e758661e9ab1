//! Exact decimal numbers from text.

/// The most decimal digits that an `i128` holds in every case.
const MAX_DIGITS: usize = 38;

/// Reads a decimal number (`-12.5`, `1e3` too) as an integer scaled by 10^`scale`.
///
/// The syntax is that of a JSON number (RFC 8259, section 6): no `+`, no leading zeros, digits on both sides of the point.
/// `None` when it is not a number, has more digits after the point than `scale` that are not zero, or needs more
/// than `precision` digits.
#[must_use]
pub fn decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let number = Number::split(digits)?;
    let magnitude = number.scaled(usize::from(precision).min(MAX_DIGITS), scale)?;
    Some(if negative { -magnitude } else { magnitude })
}

/// A number without its sign, in parts.
struct Number<'a> {
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Number<'a> {
    fn split(text: &'a [u8]) -> Option<Self> {
        let (integer, rest) = text.split_at(digits(text));
        if integer.is_empty() || (integer.len() > 1 && integer[0] == b'0') {
            return None;
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] if digits(rest) > 0 => rest.split_at(digits(rest)),
            [b'.', ..] => return None,
            _ => (&[][..], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Self { integer, fraction, exponent })
    }

    /// The number times 10^`scale`, when that is an integer of at most `precision` digits.
    fn scaled(&self, precision: usize, scale: u8) -> Option<i128> {
        let length = self.integer.len() + self.fraction.len();
        // All digits, written without the point, are to be multiplied by 10^shift.
        let shift = self.exponent + i64::from(scale) - i64::try_from(self.fraction.len()).ok()?;
        let dropped = usize::try_from(-shift).unwrap_or(0).min(length);
        let all = || self.integer.iter().chain(self.fraction);
        if all().skip(length - dropped).any(|&digit| digit != b'0') {
            return None;
        }
        let mut kept = all().take(length - dropped).skip_while(|&&digit| digit == b'0');
        let mut value = 0_i128;
        let mut count = 0;
        for digit in &mut kept {
            count += 1;
            if count > precision {
                return None;
            }
            value = value * 10 + i128::from(digit - b'0');
        }
        if value == 0 {
            return Some(0);
        }
        let zeros = usize::try_from(shift).unwrap_or(0);
        if count.saturating_add(zeros) > precision {
            return None;
        }
        Some(value * 10_i128.pow(u32::try_from(zeros).ok()?))
    }
}

/// The number of leading digits.
fn digits(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

/// An exponent; what passes a billion stays there, for no other part of a number is as long.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if text.is_empty() || digits(text) != text.len() {
        return None;
    }
    let value = text.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1 << 40));
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::decimal;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_scaled_exactly() {
        for (text, scale, expected) in [
            ("0", 2, 0),
            ("-0", 2, 0),
            ("3.39", 4, 33_900),
            ("-12.5", 1, -125),
            ("1e3", 0, 1_000),
            ("1.5E+2", 0, 150),
            ("1500e-2", 0, 15),
            ("1.230", 2, 123),
            ("0.000000000000000000000000000000000000000000000000001e51", 0, 1),
            ("100000000000000000000000000000000000000000000000000e-50", 0, 1),
            ("0e999999999999999999999999", 2, 0),
            ("99999999999999999999999999999999999999", 0, 10_i128.pow(38) - 1),
        ] {
            assert_eq!(decimal(text.as_bytes(), 38, scale), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_or_does_not_fit_is_refused() {
        for text in
            ["", "-", "+1", "01", "-01", ".5", "1.", "1.e3", "1e", "1e+", "1e1.5", " 1", "1 ", "NaN", "0x1", "1_000"]
        {
            assert_eq!(decimal(text.as_bytes(), 38, 4), None, "{text}");
        }
        assert_eq!(decimal(b"1.005", 18, 2), None, "it would have to be rounded");
        assert_eq!(decimal(b"1000", 5, 2), None, "it needs six digits");
        assert_eq!(decimal(b"999.99", 5, 2), Some(99_999));
        assert_eq!(decimal(b"1e38", 38, 0), None);
        assert_eq!(decimal(b"1e999999999999999999999999", 38, 0), None);
        assert_eq!(decimal(b"1e-999999999999999999999999", 38, 0), None);
    }

    proptest! {
        #[test]
        fn every_value_survives_being_written(value in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0_u8..=38) {
            let digits = format!("{:0width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
            let (integer, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let sign = if value < 0 { "-" } else { "" };
            let point = if scale == 0 { "" } else { "." };
            let text = format!("{sign}{integer}{point}{fraction}");
            prop_assert_eq!(decimal(text.as_bytes(), 38, scale), Some(value));
            let shifted = format!("{value}e-{scale}");
            prop_assert_eq!(decimal(shifted.as_bytes(), 38, scale), Some(value));
        }

        #[test]
        fn no_bytes_break_it(text in proptest::collection::vec(any::<u8>(), 0..60), precision: u8, scale: u8) {
            let _ = decimal(&text, precision, scale);
        }
    }
}
