//! Columns of strings and bytes, borrowed or owned.

use super::{Cursor, Head, Malformed, OwnedColumns, ReadColumn, ReadItem, Validity, WriteColumn, WriteItem};
use lakeward_manifest::DataType;
use std::borrow::Cow;

/// Room that is reserved for a value whose length is not known yet.
const TYPICAL_LENGTH: usize = 16;

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

    #[inline]
    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.offsets.push((self.bytes.len() as u32).to_le_bytes());
    }

    fn finish(self, validity: Validity, columns: &mut OwnedColumns) {
        columns.array(self.offsets.len() - 1, validity);
        columns.buffers.push(self.offsets.into_flattened());
        columns.buffers.push(self.bytes);
    }
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
