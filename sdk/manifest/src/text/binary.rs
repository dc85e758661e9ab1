//! Bytes from text: UUIDs and base64.

/// Reads a UUID: 32 hexadecimal digits, in the groups 8-4-4-4-12 or without hyphens, of either case.
#[must_use]
pub fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut digits = [0; 32];
    match text.len() {
        32 => digits.copy_from_slice(text),
        36 => {
            let mut filled = 0;
            for (start, end) in [(0, 8), (9, 13), (14, 18), (19, 23), (24, 36)] {
                if end < 36 && text[end] != b'-' {
                    return None;
                }
                digits[filled..filled + end - start].copy_from_slice(&text[start..end]);
                filled += end - start;
            }
        }
        _ => return None,
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex(pair[0])? << 4 | hex(pair[1])?;
    }
    Some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Reads base64 with the standard alphabet (RFC 4648, section 4); the padding may be left out, no other character may stand
/// in the text, and the bits that the last character does not need must be zero.
#[must_use]
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    base64_into(text, &mut bytes)?;
    Some(bytes)
}

/// [`base64`] behind what `bytes` holds already. After `None` part of the text may stand there.
#[must_use]
pub fn base64_into(text: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let unpadded = match text {
        [rest @ .., b'=', b'='] | [rest @ .., b'='] if text.len().is_multiple_of(4) => rest,
        _ => text,
    };
    let (groups, tail) = unpadded.as_chunks::<4>();
    for group in groups {
        bytes.extend_from_slice(&sextets(group)?.to_be_bytes()[1..]);
    }
    let (bits, length) = match *tail {
        [] => return Some(()),
        [a, b] => (sextets(&[a, b, b'A', b'A'])?, 1),
        [a, b, c] => (sextets(&[a, b, c, b'A'])?, 2),
        _ => return None,
    };
    let [_, whole @ ..] = bits.to_be_bytes();
    bytes.extend_from_slice(&whole[..length]);
    whole[length..].iter().all(|&byte| byte == 0).then_some(())
}

/// The 24 bits of four characters.
fn sextets(group: &[u8; 4]) -> Option<u32> {
    let [a, b, c, d] = group.map(|character| VALUES[usize::from(character)]);
    if (a | b | c | d) & 0x80 != 0 {
        return None;
    }
    Some(u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d))
}

/// The value of each character, 0xff for one that is not in the alphabet.
const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [0xff; 256];
    let mut index = 0_u8;
    while index < 64 {
        values[alphabet[index as usize] as usize] = index;
        index += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::{base64, uuid};
    use proptest::prelude::*;

    #[test]
    fn a_uuid_is_read_in_both_spellings_and_cases() {
        let expected = *b"\x55\x0e\x84\x00\xe2\x9b\x41\xd4\xa7\x16\x44\x66\x55\x44\x00\x0f";
        for text in [
            "550e8400-e29b-41d4-a716-44665544000f",
            "550E8400-E29B-41D4-A716-44665544000F",
            "550e8400e29b41d4a71644665544000f",
        ] {
            assert_eq!(uuid(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            "",
            "550e8400-e29b-41d4-a716-44665544000",
            "550e8400-e29b-41d4-a716-44665544000g",
            "550e8400e-29b-41d4-a716-44665544000f",
        ] {
            assert_eq!(uuid(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_vectors_of_rfc_4648_are_read() {
        for (text, expected) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zg", "f"),
        ] {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(expected.as_bytes()), "{text}");
        }
        for text in ["Z", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm-_", "Zm9vZ", "=Zm9", "Zg==Zg=="]
        {
            assert_eq!(base64(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_uuid_survives_being_written(value: u128) {
            let text = format!("{value:032x}");
            let grouped = format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]);
            prop_assert_eq!(uuid(text.as_bytes()), Some(value.to_be_bytes()));
            prop_assert_eq!(uuid(grouped.as_bytes()), Some(value.to_be_bytes()));
        }

        #[test]
        fn no_bytes_break_them(text in proptest::collection::vec(any::<u8>(), 0..50)) {
            let _ = (uuid(&text), base64(&text));
        }
    }
}
