//! Hides the values of masked columns.
//!
//! The `hash` mask is the first 128 bits of HMAC-SHA-256 (RFC 2104) over the value's UTF-8 bytes, keyed with the
//! pipeline's secret, as 32 lower-case hexadecimal digits. Whoever may know the secret recomputes it with
//! `printf %s 17850 | openssl dgst -sha256 -hmac "$SECRET" | cut -d' ' -f2 | cut -c1-32`.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray, new_null_array};
use arrow_buffer::{Buffer, OffsetBuffer};
use hashbrown::HashMap;
use hmac::{Hmac, Mac};
use lakeward_manifest::Mask;
use sha2::Sha256;
use std::sync::Arc;

/// The digits of a hashed value.
const DIGITS: usize = 32;

/// How many values of one column and chunk are remembered with their hash: a hash costs 10 to 20 look-ups, and the
/// values of a chunk repeat. All of a chunk's 8,192 values would fit the memory, but values that many do not repeat.
const REMEMBERED: usize = 4096;

/// What a text that must not be null is redacted to.
const REDACTED: &str = "***";

/// The key of the `hash` mask, ready to use: the two blocks of the key are hashed once, not for every value.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    fn hash(&self, value: &str) -> [u8; DIGITS] {
        let mac = self.0.clone().chain_update(value).finalize().into_bytes();
        let mut digits = [0; DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(mac) {
            pair[0] = hex_digit(byte >> 4);
            pair[1] = hex_digit(byte & 15);
        }
        digits
    }
}

fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble)]
}

/// The column as readers may see it. `key` is there whenever the mask is [`Mask::Hash`]: the contract checks it.
pub(super) fn apply(mask: Mask, array: &ArrayRef, nullable: bool, key: Option<&Key>) -> ArrayRef {
    match (mask, key) {
        (Mask::Truncate { keep }, _) => truncated(array.as_string(), keep as usize),
        (Mask::Hash, Some(key)) => hashed(array.as_string(), key),
        // Without a key the value is hidden altogether, never shown.
        (Mask::Redact | Mask::Hash, _) if nullable => new_null_array(array.data_type(), array.len()),
        (Mask::Redact | Mask::Hash, _) => {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(REDACTED, array.len())))
        }
    }
}

fn truncated(array: &StringArray, keep: usize) -> ArrayRef {
    let short = |text: &str| text.char_indices().nth(keep).map_or(text.len(), |(end, _)| end);
    Arc::new(array.iter().map(|text| text.map(|text| &text[..short(text)])).collect::<StringArray>())
}

fn hashed(array: &StringArray, key: &Key) -> ArrayRef {
    let mut known: HashMap<&str, [u8; DIGITS]> = HashMap::new();
    let mut digits = Vec::with_capacity(array.len() * DIGITS);
    let mut lengths = Vec::with_capacity(array.len());
    for text in array {
        let Some(text) = text else {
            lengths.push(0);
            continue;
        };
        let hash = match known.get(text) {
            Some(hash) => *hash,
            None => {
                let hash = key.hash(text);
                if known.len() < REMEMBERED {
                    known.insert(text, hash);
                }
                hash
            }
        };
        digits.extend_from_slice(&hash);
        lengths.push(DIGITS);
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(StringArray::new(offsets, Buffer::from_vec(digits), array.nulls().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mask: Mask, nullable: bool, values: &[Option<&str>], expected: &[Option<&str>]) {
        let array: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let masked = apply(mask, &array, nullable, Some(&Key::new(b"Jefe")));
        assert_eq!(masked.as_string::<i32>(), &StringArray::from(expected.to_vec()));
    }

    #[test]
    fn a_hash_is_the_start_of_the_published_hmac() {
        // RFC 4231, test case 2.
        let value = Some("what do ya want for nothing?");
        let hash = Some("5bdcc146bf60754e6a042426089575c7");
        check(Mask::Hash, true, &[value, None, value], &[hash, None, hash]);
    }

    #[test]
    fn more_values_than_are_remembered_are_all_hashed() {
        let values: Vec<String> = (0..REMEMBERED + 10).map(|value| value.to_string()).collect();
        let key = Key::new(b"secret");
        let masked = hashed(&StringArray::from_iter_values(&values), &key);
        for (value, hash) in values.iter().zip(masked.as_string::<i32>().iter()) {
            assert_eq!(hash.map(str::as_bytes), Some(key.hash(value).as_slice()));
        }
    }

    #[test]
    fn a_truncated_text_keeps_whole_characters() {
        let mask = Mask::Truncate { keep: 2 };
        check(mask, true, &[Some("äöü"), Some("a"), Some(""), None], &[Some("äö"), Some("a"), Some(""), None]);
        check(Mask::Truncate { keep: 0 }, true, &[Some("abc")], &[Some("")]);
    }

    #[test]
    fn a_redacted_text_is_null_or_stars() {
        check(Mask::Redact, true, &[Some("a"), None], &[None, None]);
        check(Mask::Redact, false, &[Some("a"), Some("")], &[Some("***"), Some("***")]);
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::new(b"secret")), "Key(..)");
    }
}
