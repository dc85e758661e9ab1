//! Escapes in JSON strings (RFC 8259, section 7).

use super::fault::{Fault, Result};
use super::scan::Cursor;

/// Takes the escape that starts here and appends what it stands for.
#[cold]
pub(super) fn resolve(cursor: &mut Cursor<'_>, into: &mut Vec<u8>) -> Result {
    let character = read(cursor)?;
    into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

/// Takes the escape that starts here.
#[cold]
pub(super) fn skip(cursor: &mut Cursor<'_>) -> Result {
    read(cursor).map(drop)
}

/// Takes the escape that starts here and says what it stands for.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<char> {
    let start = cursor.at;
    cursor.at += 1;
    let letter = cursor.peek();
    let plain = match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unicode(cursor, start),
        _ => return Err(cursor.unexpected("an escape's letter")),
    };
    cursor.at += 1;
    Ok(char::from(plain))
}

/// Takes `uXXXX`, and a second escape where the first is one half of a surrogate pair.
fn unicode(cursor: &mut Cursor<'_>, start: usize) -> Result<char> {
    let unit = code_unit(cursor)?;
    let lone = || Fault::syntax(format!("lone surrogate in a string at byte {start}"));
    let code = match unit {
        0xd800..0xdc00 => {
            if !cursor.bytes[cursor.at..].starts_with(b"\\u") {
                // A payload that ends here might have gone on well, but truncated it is in any case.
                return Err(if cursor.at < cursor.bytes.len() { lone() } else { cursor.unexpected("") });
            }
            cursor.at += 1;
            let low = code_unit(cursor)?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(lone());
            }
            0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
        }
        _ => unit,
    };
    char::from_u32(code).ok_or_else(lone)
}

/// Takes `uXXXX`.
fn code_unit(cursor: &mut Cursor<'_>) -> Result<u32> {
    cursor.at += 1;
    let mut unit = 0;
    for _ in 0..4 {
        let Some(digit) = char::from(cursor.peek()).to_digit(16) else {
            return Err(cursor.unexpected("a hexadecimal digit"));
        };
        unit = unit << 4 | digit;
        cursor.at += 1;
    }
    Ok(unit)
}
