//! Eight and sixteen bytes at once, without loops: what strings and numbers are scanned with.

/// Where a string's plain part ends within sixteen bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// The first quote, backslash or control character; 16 when there is none.
    pub(super) at: usize,
    /// Whether all bytes before it are ASCII.
    pub(super) ascii: bool,
}

/// Looks for the end of a string's plain part.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn string_stop(block: u128) -> Stop {
    #[expect(unsafe_code, reason = "the compiler wants the feature named, though every x86-64 has it")]
    // SAFETY: SSE2 is part of x86-64.
    let (stops, high) = unsafe { sse2_masks(block) };
    let stops = stops | 1 << 16;
    // The bits below the lowest stop.
    let before = stops.wrapping_sub(1) & !stops;
    Stop { at: stops.trailing_zeros() as usize, ascii: high & before == 0 }
}

/// A bit for each byte: whether it stops a string, and whether it is not ASCII.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_masks(block: u128) -> (u32, u32) {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    // Made of the integer's halves, which compiles to one load.
    let bytes = _mm_set_epi64x((block >> 64) as i64, block as i64);
    let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
    let escape = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
    let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    let stops = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, escape), control));
    (stops.cast_unsigned(), _mm_movemask_epi8(bytes).cast_unsigned())
}

/// Looks for the end of a string's plain part.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn string_stop(block: u128) -> Stop {
    portable_string_stop(block)
}

/// The same on any machine.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) fn portable_string_stop(block: u128) -> Stop {
    const ONES: u128 = u128::MAX / 0xff;
    const TOPS: u128 = ONES << 7;
    // The lowest byte that is zero gets its top bit; higher ones may be wrong, which does not matter.
    let zero = |bytes: u128| bytes.wrapping_sub(ONES) & !bytes & TOPS;
    let control = block.wrapping_sub(ONES * 0x20) & !block & TOPS;
    let stops = zero(block ^ ONES * u128::from(b'"')) | zero(block ^ ONES * u128::from(b'\\')) | control;
    let before = stops.wrapping_sub(1) & !stops;
    Stop { at: (stops.trailing_zeros() / 8) as usize, ascii: block & TOPS & before == 0 }
}

/// The number that eight bytes begin with, and how many digits it has (0 to 8).
#[inline]
pub(super) fn leading_digits(word: u64) -> (u64, u32) {
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // A digit becomes 0..=9; adding 0x76 carries anything larger to its top bit.
    let digits = word ^ 0x3030_3030_3030_3030;
    let others = (((digits & !TOPS) + 0x7676_7676_7676_7676) | digits) & TOPS;
    let count = others.trailing_zeros() / 8;
    // The digits move to the top, zeros come in below them: leading zeros, for the first digit is the lowest byte.
    let aligned = digits.unbounded_shl(64 - 8 * count);
    (eight_digits(aligned), count)
}

/// The number of eight digits, each a byte of 0..=9, the first one lowest.
#[inline]
fn eight_digits(digits: u64) -> u64 {
    const PAIR: u64 = 0x0000_00ff_0000_00ff;
    // Neighbours become two-digit numbers, then both halves of these are weighed by one multiplication each.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & PAIR).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & PAIR).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

#[cfg(test)]
mod tests {
    use super::{Stop, leading_digits, portable_string_stop, string_stop};
    use proptest::prelude::*;

    fn slow_stop(bytes: [u8; 16]) -> Stop {
        let at = bytes.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(16);
        Stop { at, ascii: bytes[..at].is_ascii() }
    }

    #[test]
    fn every_byte_stops_a_string_or_not() {
        for byte in 0..=255 {
            for place in 0..16 {
                let mut bytes = [b'a'; 16];
                bytes[place] = byte;
                let block = u128::from_le_bytes(bytes);
                assert_eq!(string_stop(block), slow_stop(bytes), "{byte} at {place}");
                assert_eq!(portable_string_stop(block), slow_stop(bytes), "{byte} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_block_is_scanned_right(bytes: [u8; 16]) {
            prop_assert_eq!(string_stop(u128::from_le_bytes(bytes)), slow_stop(bytes));
            prop_assert_eq!(portable_string_stop(u128::from_le_bytes(bytes)), slow_stop(bytes));
        }

        #[test]
        fn leading_digits_are_read(text in "[0-9]{0,8}[^0-9]{8}") {
            let bytes: [u8; 8] = text.as_bytes()[..8].try_into().unwrap();
            let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let expected = text[..count].parse().unwrap_or(0);
            prop_assert_eq!(leading_digits(u64::from_le_bytes(bytes)), (expected, count as u32));
        }
    }
}
