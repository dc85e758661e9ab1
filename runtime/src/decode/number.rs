//! Numbers: a fast way for the short ones, the exact way for all.

use super::scan::Cursor;
use super::wide::leading_digits;

/// Powers of ten that a `u64` and, up to 10^22, an `f64` hold exactly.
const TENS: [u64; 19] = {
    let mut tens = [1; 19];
    let mut index = 1;
    while index < 19 {
        tens[index] = tens[index - 1] * 10;
        index += 1;
    }
    tens
};

/// A number of at most seven digits before the point and seven behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short {
    pub(super) negative: bool,
    /// All digits, without the point.
    digits: u64,
    /// Digits behind the point, 0 to 7.
    places: u32,
}

impl Short {
    /// The value, when it is an integer as written.
    #[inline]
    pub(super) fn integer(self) -> Option<i64> {
        (self.places == 0).then_some(self.signed(self.digits))
    }

    /// The value times 10^`scale`, when that is an integer below 10^18 as written.
    #[inline]
    pub(super) fn decimal(self, scale: u8) -> Option<i64> {
        // Fourteen digits, and what `scale` adds to the places.
        let shift = u32::from(scale).checked_sub(self.places)?;
        if shift > 4 {
            return None;
        }
        Some(self.signed(self.digits * TENS[shift as usize]))
    }

    /// The nearest float: both parts are exact, so one division rounds right.
    #[inline]
    pub(super) fn float(self) -> f64 {
        let magnitude = self.digits as f64 / TENS[self.places as usize] as f64;
        if self.negative { -magnitude } else { magnitude }
    }

    #[inline]
    fn signed(self, digits: u64) -> i64 {
        if self.negative { -digits.cast_signed() } else { digits.cast_signed() }
    }
}

impl<'a> Cursor<'a> {
    /// Takes a short number, if one stands here.
    #[inline]
    pub(super) fn short_number(&mut self) -> Option<Short> {
        let negative = self.peek() == b'-';
        let start = self.at + usize::from(negative);
        let word = self.word(start);
        let (whole, length) = leading_digits(word);
        if length.wrapping_sub(1) > 6 || (length > 1 && word as u8 == b'0') {
            return None;
        }
        let end = start + length as usize;
        let next = (word >> (8 * length)) as u8;
        if ends_number(next) {
            self.at = end;
            return Some(Short { negative, digits: whole, places: 0 });
        }
        if next != b'.' {
            return None;
        }
        let word = self.word(end + 1);
        let (fraction, places) = leading_digits(word);
        if places.wrapping_sub(1) > 6 || !ends_number((word >> (8 * places)) as u8) {
            return None;
        }
        self.at = end + 1 + places as usize;
        Some(Short { negative, digits: whole * TENS[places as usize] + fraction, places })
    }

    /// Takes an integer of up to 18 digits, if one stands here.
    pub(super) fn long_integer(&mut self) -> Option<i64> {
        let negative = self.peek() == b'-';
        let start = self.at + usize::from(negative);
        let rest = self.bytes.get(start..)?;
        let length = rest.iter().take(19).position(|byte| !byte.is_ascii_digit())?;
        if length == 0 || !ends_number(rest[length]) || (length > 1 && rest[0] == b'0') {
            return None;
        }
        let value = rest[..length].iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        self.at = start + length;
        Some(if negative { -value } else { value })
    }

    /// Takes a number as it stands, if one stands here.
    pub(super) fn number(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let mut end = usize::from(rest.first() == Some(&b'-'));
        let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(end);
        if whole == 0 || (whole > 1 && rest[end] == b'0') {
            return None;
        }
        end += whole;
        if rest.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            if fraction == 0 {
                return None;
            }
            end += 1 + fraction;
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            end += 1 + usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end);
            if exponent == 0 {
                return None;
            }
            end += exponent;
        }
        self.at += end;
        Some(&rest[..end])
    }
}

/// Whether a number may end before this byte. At the end of the payload it may not: an object is open.
#[inline]
fn ends_number(next: u8) -> bool {
    matches!(next, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
}
