//! A column under construction, of any type.

use super::fault::Result;
use super::nested::{List, Struct};
use super::scan::Cursor;
use super::strings::{Bytes, Text};
use super::values::{Decimals, Values};
use crate::columns::UTC;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, BooleanArray, FixedSizeBinaryArray};
use arrow_buffer::{BooleanBuffer, Buffer};
use lakeward_manifest::text::{self, TimestampFormat};
use std::sync::Arc;

/// A column under construction.
#[derive(Debug)]
pub(super) enum Builder {
    Bool(Values<bool>),
    Int8(Values<i8>),
    Int16(Values<i16>),
    Int32(Values<i32>),
    Int64(Values<i64>),
    Uint8(Values<u8>),
    Uint16(Values<u16>),
    Uint32(Values<u32>),
    Uint64(Values<u64>),
    Float32(Values<f32>),
    Float64(Values<f64>),
    Decimal(Decimals),
    String(Text),
    Binary(Bytes),
    /// Without a format a date stands as `YYYY-MM-DD`.
    Date(Values<i32>, Option<TimestampFormat>),
    Timestamp(Values<i64>, TimestampFormat),
    Uuid(Values<[u8; 16]>),
    List(Box<List>),
    Struct(Box<Struct>),
}

/// Evaluates one expression for the column of whatever type.
macro_rules! each {
    ($builder:expr, $column:ident => $then:expr) => {
        match $builder {
            Builder::Bool($column) => $then,
            Builder::Int8($column) => $then,
            Builder::Int16($column) => $then,
            Builder::Int32($column) | Builder::Date($column, _) => $then,
            Builder::Int64($column) | Builder::Timestamp($column, _) => $then,
            Builder::Uint8($column) => $then,
            Builder::Uint16($column) => $then,
            Builder::Uint32($column) => $then,
            Builder::Uint64($column) => $then,
            Builder::Float32($column) => $then,
            Builder::Float64($column) => $then,
            Builder::Decimal(Decimals { values: $column, .. }) => $then,
            Builder::String($column) => $then,
            Builder::Binary($column) => $then,
            Builder::Uuid($column) => $then,
            Builder::List($column) => $then,
            Builder::Struct($column) => $then,
        }
    };
}

impl Builder {
    /// The number of values.
    pub(super) fn len(&self) -> usize {
        each!(self, column => column.len())
    }

    /// Pushes what stands for a missing value: null, or where the column has no nulls anything that it holds.
    pub(super) fn push_absent(&mut self, nullable: bool) {
        each!(self, column => column.push_absent(nullable));
    }

    /// Takes away all from the value number `length` on, a value that was begun too.
    pub(super) fn truncate(&mut self, length: usize) {
        each!(self, column => column.truncate(length));
    }

    /// Takes the value that starts at the cursor, which is not null. After a fault the column may hold part of a value.
    #[inline]
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result {
        match self {
            Self::String(column) => column.decode(cursor),
            Self::Int64(column) => column.integer(cursor),
            Self::Int32(column) => column.integer(cursor),
            Self::Decimal(column) => column.decode(cursor),
            Self::Timestamp(column, format) => timestamp(column, format, cursor),
            Self::Bool(column) => bool(column, cursor),
            Self::Int8(column) => column.integer(cursor),
            Self::Int16(column) => column.integer(cursor),
            Self::Uint8(column) => column.integer(cursor),
            Self::Uint16(column) => column.integer(cursor),
            Self::Uint32(column) => column.integer(cursor),
            Self::Uint64(column) => column.integer(cursor),
            Self::Float32(column) => column.float(cursor),
            Self::Float64(column) => column.float(cursor),
            Self::Binary(column) => column.decode(cursor),
            Self::Date(column, format) => date(column, format.as_ref(), cursor),
            Self::Uuid(column) => uuid(column, cursor),
            Self::List(column) => column.decode(cursor),
            Self::Struct(column) => column.decode(cursor),
        }
    }

    /// The array; the column is empty then.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(column) => {
                let (values, nulls) = column.finish();
                Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
            }
            Self::Int8(column) => Arc::new(column.finish_array::<Int8Type>()),
            Self::Int16(column) => Arc::new(column.finish_array::<Int16Type>()),
            Self::Int32(column) => Arc::new(column.finish_array::<Int32Type>()),
            Self::Int64(column) => Arc::new(column.finish_array::<Int64Type>()),
            Self::Uint8(column) => Arc::new(column.finish_array::<UInt8Type>()),
            Self::Uint16(column) => Arc::new(column.finish_array::<UInt16Type>()),
            Self::Uint32(column) => Arc::new(column.finish_array::<UInt32Type>()),
            Self::Uint64(column) => Arc::new(column.finish_array::<UInt64Type>()),
            Self::Float32(column) => Arc::new(column.finish_array::<Float32Type>()),
            Self::Float64(column) => Arc::new(column.finish_array::<Float64Type>()),
            Self::Decimal(Decimals { values, precision, scale, .. }) => {
                let array = values.finish_array::<Decimal128Type>();
                let scale = i8::try_from(*scale).expect("the plan has checked the scale");
                Arc::new(array.with_precision_and_scale(*precision, scale).expect("the plan has checked both"))
            }
            Self::String(column) => Arc::new(column.finish()),
            Self::Binary(column) => Arc::new(column.finish()),
            Self::Date(column, _) => Arc::new(column.finish_array::<Date32Type>()),
            Self::Timestamp(column, _) => {
                Arc::new(column.finish_array::<TimestampMicrosecondType>().with_timezone(UTC))
            }
            Self::Uuid(column) => {
                let (values, nulls) = column.finish();
                let bytes = Buffer::from_vec(values.into_flattened());
                Arc::new(FixedSizeBinaryArray::new(16, bytes, nulls))
            }
            Self::List(column) => column.finish(),
            Self::Struct(column) => column.finish(),
        }
    }
}

fn bool(column: &mut Values<bool>, cursor: &mut Cursor<'_>) -> Result {
    let value = match cursor.peek() {
        b't' => {
            cursor.literal("true")?;
            true
        }
        b'f' => {
            cursor.literal("false")?;
            false
        }
        _ => return Err(cursor.wrong("true or false")),
    };
    column.push(value);
    Ok(())
}

#[inline]
fn timestamp(column: &mut Values<i64>, format: &TimestampFormat, cursor: &mut Cursor<'_>) -> Result {
    let value = written(cursor, format.is_number(), "a timestamp of the column's format", |text| format.parse(text))?;
    column.push(value);
    Ok(())
}

fn date(column: &mut Values<i32>, format: Option<&TimestampFormat>, cursor: &mut Cursor<'_>) -> Result {
    let value = match format {
        None => written(cursor, false, "a date (YYYY-MM-DD)", text::date)?,
        Some(format) => {
            written(cursor, format.is_number(), "a date of the column's format", |text| format.parse_date(text))?
        }
    };
    column.push(value);
    Ok(())
}

fn uuid(column: &mut Values<[u8; 16]>, cursor: &mut Cursor<'_>) -> Result {
    let value = written(cursor, false, "a UUID", text::uuid)?;
    column.push(value);
    Ok(())
}

/// Takes a value that is written as a string (or as a number, where `number` says so).
#[inline]
fn written<T>(
    cursor: &mut Cursor<'_>,
    number: bool,
    expected: &str,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<T> {
    let start = cursor.at;
    let value = match cursor.peek() {
        b'"' => parse(&cursor.string()?),
        _ if number => cursor.number().and_then(parse),
        _ => None,
    };
    value.ok_or_else(|| {
        cursor.at = start;
        cursor.wrong(expected)
    })
}
