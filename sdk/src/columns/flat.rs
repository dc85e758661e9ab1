//! Columns whose values have one width: integers, floats, decimals, dates, timestamps, UUIDs; and the bits of booleans.

use super::{Cursor, Head, Malformed, OwnedColumns, ReadColumn, ReadItem, Validity, WriteColumn, WriteItem};
use crate::{Date, Decimal, Timestamp, Uuid};
use lakeward_manifest::DataType;

macro_rules! fixed_width {
    ($({$($generics:tt)*} $type:ty, $width:literal, $data_type:expr;)*) => {$(
        impl<'a, $($generics)*> ReadColumn<'a> for $type {
            type Column = &'a [[u8; $width]];

            fn data_type() -> DataType {
                $data_type
            }

            fn open(cursor: &mut Cursor<'a>, head: Head<'a>) -> Result<Self::Column, Malformed> {
                cursor.values(head.length)
            }

            #[inline]
            fn get(column: &Self::Column, row: usize) -> Self {
                Self::from_le_bytes(column[row])
            }
        }

        impl<$($generics)*> WriteColumn for $type {
            type Builder = Vec<[u8; $width]>;

            fn data_type() -> DataType {
                $data_type
            }

            fn builder(rows: usize) -> Self::Builder {
                Vec::with_capacity(rows)
            }

            #[inline]
            fn write_to(self, builder: &mut Self::Builder) {
                builder.push(self.to_le_bytes());
            }

            fn write_null(builder: &mut Self::Builder) {
                builder.push([0; $width]);
            }

            fn finish(builder: Self::Builder, validity: Validity, columns: &mut OwnedColumns) {
                columns.array(builder.len(), validity);
                columns.buffers.push(builder.into_flattened());
            }
        }
    )*};
}

fixed_width! {
    {} i8, 1, DataType::Int8;
    {} i16, 2, DataType::Int16;
    {} i32, 4, DataType::Int32;
    {} i64, 8, DataType::Int64;
    {} u8, 1, DataType::Uint8;
    {} u16, 2, DataType::Uint16;
    {} u32, 4, DataType::Uint32;
    {} u64, 8, DataType::Uint64;
    {} f32, 4, DataType::Float32;
    {} f64, 8, DataType::Float64;
    {} Date, 4, DataType::Date;
    {} Timestamp, 8, DataType::Timestamp;
    {} Uuid, 16, DataType::Uuid;
    {const P: u8, const S: u8} Decimal<P, S>, 16, DataType::Decimal { precision: P, scale: S };
}

macro_rules! items {
    ($($type:ty),*) => {$(
        impl ReadItem<'_> for $type {}
        impl WriteItem for $type {}
    )*};
}

items!(bool, i8, i16, i32, i64, u16, u32, u64, f32, f64, Date, Timestamp, Uuid);

impl<const P: u8, const S: u8> ReadItem<'_> for Decimal<P, S> {}
impl<const P: u8, const S: u8> WriteItem for Decimal<P, S> {}

/// Bits, eight to a byte, least significant first.
#[derive(Debug, Default)]
pub struct Bits {
    bytes: Vec<u8>,
    length: usize,
}

impl Bits {
    fn with_capacity(bits: usize) -> Self {
        Self { bytes: Vec::with_capacity(bits.div_ceil(8)), length: 0 }
    }

    #[inline]
    fn push(&mut self, bit: bool) {
        let shift = self.length % 8;
        match self.bytes.last_mut() {
            Some(last) if shift != 0 => *last |= u8::from(bit) << shift,
            _ => self.bytes.push(u8::from(bit)),
        }
        self.length += 1;
    }
}

#[inline]
fn bit(bytes: &[u8], index: usize) -> bool {
    bytes[index / 8] >> (index % 8) & 1 == 1
}

impl<'a> ReadColumn<'a> for bool {
    type Column = &'a [u8];

    fn data_type() -> DataType {
        DataType::Bool
    }

    fn open(cursor: &mut Cursor<'a>, head: Head<'a>) -> Result<Self::Column, Malformed> {
        cursor.values::<1>(head.length.div_ceil(8)).map(<[_]>::as_flattened)
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        bit(column, row)
    }
}

impl WriteColumn for bool {
    type Builder = Bits;

    fn data_type() -> DataType {
        DataType::Bool
    }

    fn builder(rows: usize) -> Bits {
        Bits::with_capacity(rows)
    }

    #[inline]
    fn write_to(self, builder: &mut Bits) {
        builder.push(self);
    }

    fn write_null(builder: &mut Bits) {
        builder.push(false);
    }

    fn finish(builder: Bits, validity: Validity, columns: &mut OwnedColumns) {
        columns.array(builder.length, validity);
        columns.buffers.push(builder.bytes);
    }
}

impl<'a, T: ReadColumn<'a>> ReadColumn<'a> for Option<T> {
    type Column = (&'a [u8], T::Column);
    const NULLABLE: bool = true;

    fn data_type() -> DataType {
        T::data_type()
    }

    fn open(cursor: &mut Cursor<'a>, head: Head<'a>) -> Result<Self::Column, Malformed> {
        Ok((head.validity, T::open(cursor, head)?))
    }

    #[inline]
    fn get((validity, values): &Self::Column, row: usize) -> Self {
        (validity.is_empty() || bit(validity, row)).then(|| T::get(values, row))
    }
}

impl<'a, T: ReadColumn<'a>> ReadItem<'a> for Option<T> {}

/// A column that may hold nulls. The validity is written from the first null on: a column without any needs none.
#[derive(Debug)]
pub struct Nullable<B> {
    values: B,
    rows: usize,
    nulls: u32,
    valid: Bits,
}

impl<B> Nullable<B> {
    #[cold]
    fn start(&mut self) {
        self.valid = Bits { bytes: vec![0xff; self.rows / 8], length: self.rows / 8 * 8 };
        for _ in 0..self.rows % 8 {
            self.valid.push(true);
        }
    }

    fn mark_null(&mut self) {
        if self.nulls == 0 {
            self.start();
        }
        self.valid.push(false);
        self.nulls += 1;
        self.rows += 1;
    }
}

impl<T: WriteColumn> WriteColumn for Option<T> {
    type Builder = Nullable<T::Builder>;
    const NULLABLE: bool = true;

    fn data_type() -> DataType {
        T::data_type()
    }

    fn builder(rows: usize) -> Self::Builder {
        Nullable { values: T::builder(rows), rows: 0, nulls: 0, valid: Bits::default() }
    }

    #[inline]
    fn write_to(self, builder: &mut Self::Builder) {
        let Some(value) = self else {
            return Self::write_null(builder);
        };
        value.write_to(&mut builder.values);
        if builder.nulls > 0 {
            builder.valid.push(true);
        }
        builder.rows += 1;
    }

    fn write_null(builder: &mut Self::Builder) {
        builder.mark_null();
        T::write_null(&mut builder.values);
    }

    fn finish(builder: Self::Builder, _: Validity, columns: &mut OwnedColumns) {
        // An enclosing null has pushed a null here too, so that this array's own validity says it all.
        let validity = Validity { bits: builder.valid.bytes, nulls: builder.nulls };
        T::finish(builder.values, validity, columns);
    }
}

impl<T: WriteColumn> WriteItem for Option<T> {}
