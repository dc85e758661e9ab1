//! Columns of strings and bytes, borrowed or owned.

use super::{Cursor, Head, Malformed, OwnedColumns, ReadColumn, ReadItem, Validity, WriteColumn, WriteItem};
use lakeward_manifest::DataType;
use std::borrow::Cow;

/// Room that is reserved for a value whose length is not known yet. In a module, room that is never written costs nothing, while a
/// buffer that grows is copied.
const TYPICAL_LENGTH: usize = 32;

/// Values up to this length are copied in place: WebAssembly's own copy is a call of the host, which costs more than they do.
const SHORT: usize = 64;

/// Offsets and bytes, as they lie in the host's buffers.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a> {
    offsets: &'a [[u8; 4]],
    bytes: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn open(cursor: &mut Cursor<'a>, head: Head<'a>) -> Result<Self, Malformed> {
        Ok(Self { offsets: offsets(cursor, head)?, bytes: cursor.buffer()? })
    }

    #[inline]
    fn get(&self, row: usize) -> &'a [u8] {
        let (start, end) = range(self.offsets, row);
        &self.bytes[start..end]
    }

    #[inline]
    fn get_str(&self, row: usize) -> &'a str {
        crate::wall::validated_text(self.get(row))
    }
}

/// The offsets of `head.length` values: one more than there are values, and none at all where there are no values.
pub(super) fn offsets<'a>(cursor: &mut Cursor<'a>, head: Head<'a>) -> Result<&'a [[u8; 4]], Malformed> {
    cursor.values(if head.length == 0 { 0 } else { head.length + 1 })
}

/// Where the value of a row starts and ends. The caller's own bound check follows.
#[inline]
pub(super) fn range(offsets: &[[u8; 4]], row: usize) -> (usize, usize) {
    (u32::from_le_bytes(offsets[row]) as usize, u32::from_le_bytes(offsets[row + 1]) as usize)
}

/// Offsets and bytes while they are filled.
#[derive(Debug)]
pub struct BytesBuilder {
    offsets: Vec<[u8; 4]>,
    bytes: Vec<u8>,
}

impl BytesBuilder {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push([0; 4]);
        Self { offsets, bytes: Vec::with_capacity(rows * TYPICAL_LENGTH) }
    }

    #[inline(always)]
    fn push(&mut self, value: &[u8]) {
        append(&mut self.bytes, value);
        self.offsets.push((self.bytes.len() as u32).to_le_bytes());
    }

    fn finish(self, validity: Validity, columns: &mut OwnedColumns) {
        columns.array(self.offsets.len() - 1, validity);
        columns.buffers.push(self.offsets.into_flattened());
        columns.buffers.push(self.bytes);
    }
}

/// Appends `value`: where it is short, by a few words from its start and from its end, which overlap in the middle. There is no loop, since
/// every turn of one is metered in a module.
#[expect(
    unsafe_code,
    reason = "copying without a call is most of what a module does, and bound checks would double it"
)]
#[inline(always)]
fn append(bytes: &mut Vec<u8>, value: &[u8]) {
    let (start, length) = (bytes.len(), value.len());
    if length > SHORT {
        return bytes.extend_from_slice(value);
    }
    if bytes.capacity() - start < length {
        grow(bytes);
    }
    // SAFETY: `value` has `length` bytes, and there is room for as many behind `start`. Each arm reads and writes within these:
    // words of 16, 8, 4 or 2 bytes at the front, and as many that end with the last byte, of a value that is at least as long as they.
    unsafe {
        let (from, to) = (value.as_ptr(), bytes.as_mut_ptr().add(start));
        let copy16 =
            |at: usize| to.add(at).cast::<u128>().write_unaligned(from.add(at).cast::<u128>().read_unaligned());
        match length {
            33.. => {
                copy16(0);
                copy16(16);
                copy16(length - 32);
                copy16(length - 16);
            }
            16..=32 => {
                copy16(0);
                copy16(length - 16);
            }
            8..16 => {
                to.cast::<u64>().write_unaligned(from.cast::<u64>().read_unaligned());
                let at = length - 8;
                to.add(at).cast::<u64>().write_unaligned(from.add(at).cast::<u64>().read_unaligned());
            }
            4..8 => {
                to.cast::<u32>().write_unaligned(from.cast::<u32>().read_unaligned());
                let at = length - 4;
                to.add(at).cast::<u32>().write_unaligned(from.add(at).cast::<u32>().read_unaligned());
            }
            2..4 => {
                to.cast::<u16>().write_unaligned(from.cast::<u16>().read_unaligned());
                to.add(length - 1).write(*from.add(length - 1));
            }
            1 => to.write(*from),
            0 => {}
        }
        bytes.set_len(start + length);
    }
}

/// Makes room for a short value; out of the way, since it seldom happens.
#[cold]
#[inline(never)]
fn grow(bytes: &mut Vec<u8>) {
    bytes.reserve(SHORT);
}

macro_rules! bytes_columns {
    ($($type:ty, $data_type:expr, |$column:ident, $row:ident| $get:expr, |$value:ident| $bytes:expr;)*) => {$(
        impl<'a> ReadColumn<'a> for $type {
            type Column = Bytes<'a>;

            fn data_type() -> DataType {
                $data_type
            }

            fn open(cursor: &mut Cursor<'a>, head: Head<'a>) -> Result<Self::Column, Malformed> {
                Bytes::open(cursor, head)
            }

            #[inline]
            fn get($column: &Self::Column, $row: usize) -> Self {
                $get
            }
        }

        impl<'a> WriteColumn for $type {
            type Builder = BytesBuilder;

            fn data_type() -> DataType {
                $data_type
            }

            fn builder(rows: usize) -> BytesBuilder {
                BytesBuilder::with_capacity(rows)
            }

            #[inline]
            fn write_to(self, builder: &mut BytesBuilder) {
                let $value = &self;
                builder.push($bytes);
            }

            fn write_null(builder: &mut BytesBuilder) {
                builder.push(&[]);
            }

            fn finish(builder: BytesBuilder, validity: Validity, columns: &mut OwnedColumns) {
                builder.finish(validity, columns);
            }
        }

        impl<'a> ReadItem<'a> for $type {}
        impl<'a> WriteItem for $type {}
    )*};
}

bytes_columns! {
    &'a str, DataType::String, |column, row| column.get_str(row), |text| text.as_bytes();
    String, DataType::String, |column, row| column.get_str(row).to_owned(), |text| text.as_bytes();
    Cow<'a, str>, DataType::String, |column, row| Cow::Borrowed(column.get_str(row)), |text| text.as_bytes();
    &'a [u8], DataType::Binary, |column, row| column.get(row), |bytes| bytes;
    Vec<u8>, DataType::Binary, |column, row| column.get(row).to_vec(), |bytes| bytes;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_length_are_appended_whole() {
        let text: Vec<u8> = (0..=255).collect();
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for length in 0..=200 {
            append(&mut bytes, &text[..length]);
            expected.extend_from_slice(&text[..length]);
        }
        assert_eq!(bytes, expected);
    }
}
