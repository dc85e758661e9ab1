//! Text of an expression: its values, its length, and `like`.

use super::Error;
use super::number::Values;
use super::truth::Rows;
use arrow_array::cast::AsArray;
use arrow_array::{Array, StringArray};
use arrow_buffer::NullBuffer;

/// The longest pattern of `like`, in bytes: matching costs at most the text's length times the pattern's.
const MAX_PATTERN: usize = 256;

/// Text.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Column(usize),
    Literal(String),
}

/// The text of every row.
pub(super) enum Texts<'a> {
    Column(&'a StringArray),
    Literal(&'a str),
}

impl Text {
    pub(super) fn evaluate<'a>(&'a self, rows: Rows<'a>) -> Texts<'a> {
        match self {
            Self::Column(index) => Texts::Column(rows.column(*index).as_string()),
            Self::Literal(text) => Texts::Literal(text),
        }
    }
}

impl<'a> Texts<'a> {
    /// The text of `row`; anything where it is null.
    pub(super) fn get(&self, row: usize) -> &'a str {
        match self {
            Self::Column(array) => array.value(row),
            Self::Literal(text) => text,
        }
    }

    pub(super) fn nulls(&self) -> Option<&NullBuffer> {
        match self {
            Self::Column(array) => array.nulls(),
            Self::Literal(_) => None,
        }
    }
}

/// What is counted.
#[derive(Debug, Clone)]
pub(super) enum Length {
    Characters(Text),
    Bytes(usize),
    Items(usize),
}

impl Length {
    pub(super) fn evaluate(&self, rows: Rows<'_>) -> Values<i128> {
        let offsets = |offsets: &[i32], nulls: Option<&NullBuffer>| Values {
            values: offsets.windows(2).map(|pair| i128::from(pair[1]) - i128::from(pair[0])).collect(),
            nulls: nulls.cloned(),
        };
        match self {
            Self::Characters(text) => {
                let texts = text.evaluate(rows);
                let values = (0..rows.rows).map(|row| texts.get(row).chars().count() as i128).collect();
                Values { values, nulls: texts.nulls().cloned() }
            }
            Self::Bytes(index) => {
                let array = rows.column(*index).as_binary::<i32>();
                offsets(array.value_offsets(), array.nulls())
            }
            Self::Items(index) => {
                let array = rows.column(*index).as_list::<i32>();
                offsets(array.value_offsets(), array.nulls())
            }
        }
    }
}

/// A compiled pattern of `like`.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    Byte(u8),
    OneCharacter,
    AnyText,
}

impl Pattern {
    pub(super) fn new(pattern: &str, at: usize) -> Result<Self, Error> {
        if pattern.len() > MAX_PATTERN {
            return Err(Error::LongPattern { at, limit: MAX_PATTERN });
        }
        let mut pieces = Vec::with_capacity(pattern.len());
        let mut bytes = pattern.bytes();
        while let Some(byte) = bytes.next() {
            pieces.push(match byte {
                b'%' => Piece::AnyText,
                b'_' => Piece::OneCharacter,
                b'\\' => Piece::Byte(bytes.next().unwrap_or(b'\\')),
                other => Piece::Byte(other),
            });
        }
        Ok(Self(pieces))
    }

    /// Whether all of `text` matches. Remembers only the last `%`: whatever an earlier one could take, the last one
    /// can take instead.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (pieces, text) = (&self.0, text.as_bytes());
        let (mut piece, mut at) = (0, 0);
        let mut last_any: Option<(usize, usize)> = None;
        while at < text.len() {
            let taken = match pieces.get(piece) {
                Some(Piece::Byte(byte)) if *byte == text[at] => 1,
                Some(Piece::OneCharacter) => character_length(text[at]),
                Some(Piece::AnyText) => {
                    last_any = Some((piece, at));
                    piece += 1;
                    continue;
                }
                _ => 0,
            };
            if taken > 0 {
                piece += 1;
                at += taken;
            } else if let Some((any, from)) = last_any {
                last_any = Some((any, from + 1));
                piece = any + 1;
                at = from + 1;
            } else {
                return false;
            }
        }
        pieces[piece..].iter().all(|piece| *piece == Piece::AnyText)
    }
}

/// The bytes of the UTF-8 character that starts with `byte`; 0 in the middle of one.
fn character_length(byte: u8) -> usize {
    match byte {
        0x00..=0x7F => 1,
        0x80..=0xBF => 0,
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
    }
}
