//! Values of a column: how a batch's column is read by type, and how results become a column again.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_schema::DataType as ArrowType;
use std::borrow::Cow;
use std::sync::Arc;

/// One value of a result. Integers, booleans, dates and timestamps are all `Int`, text and bytes are both `Bytes`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Decimal(i128),
    Float(f64),
    Bytes(Arc<[u8]>),
}

/// The values of a batch's column, by what can be done with them.
pub(super) enum Values<'a> {
    Ints(Cow<'a, [i64]>),
    Decimals(&'a [i128]),
    Floats(Cow<'a, [f64]>),
    Bytes(BinaryArray),
}

impl<'a> Values<'a> {
    /// Reads a column; `None` for a type that no measure takes. Nulls stand as any value.
    pub(super) fn of(array: &'a dyn Array) -> Option<Self> {
        fn widened<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &dyn Array) -> Values<'_> {
            Values::Ints(array.as_primitive::<T>().values().iter().map(|value| (*value).into()).collect())
        }
        Some(match array.data_type() {
            ArrowType::Boolean => Self::Ints(array.as_boolean().values().iter().map(i64::from).collect()),
            ArrowType::Int8 => widened::<Int8Type>(array),
            ArrowType::Int16 => widened::<Int16Type>(array),
            ArrowType::Int32 => widened::<Int32Type>(array),
            ArrowType::Date32 => widened::<Date32Type>(array),
            ArrowType::Int64 => Self::Ints(array.as_primitive::<Int64Type>().values().as_ref().into()),
            ArrowType::Timestamp(..) => {
                Self::Ints(array.as_primitive::<TimestampMicrosecondType>().values().as_ref().into())
            }
            ArrowType::Decimal128(..) => Self::Decimals(array.as_primitive::<Decimal128Type>().values()),
            ArrowType::Float32 => {
                Self::Floats(array.as_primitive::<Float32Type>().values().iter().map(|value| f64::from(*value)).collect())
            }
            ArrowType::Float64 => Self::Floats(array.as_primitive::<Float64Type>().values().as_ref().into()),
            ArrowType::Utf8 => Self::Bytes(array.as_string::<i32>().clone().into()),
            ArrowType::Binary => Self::Bytes(array.as_binary::<i32>().clone()),
            _ => return None,
        })
    }

    /// The value at `row`, which is not null.
    pub(super) fn get(&self, row: usize) -> Value {
        match self {
            Self::Ints(values) => Value::Int(values[row]),
            Self::Decimals(values) => Value::Decimal(values[row]),
            Self::Floats(values) => Value::Float(values[row]),
            Self::Bytes(values) => Value::Bytes(values.value(row).into()),
        }
    }
}

/// Makes a column of values. A value that is not of the type, or does not fit it, becomes null.
pub(super) fn array_of<'a>(data_type: &ArrowType, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match data_type {
        ArrowType::Boolean => Arc::new(values.map(|value| int(value).map(|value| value != 0)).collect::<BooleanArray>()),
        ArrowType::Int8 => Arc::new(ints::<Int8Type>(values)),
        ArrowType::Int16 => Arc::new(ints::<Int16Type>(values)),
        ArrowType::Int32 => Arc::new(ints::<Int32Type>(values)),
        ArrowType::Date32 => Arc::new(ints::<Date32Type>(values)),
        ArrowType::Int64 => Arc::new(ints::<Int64Type>(values)),
        ArrowType::Timestamp(..) => {
            Arc::new(ints::<TimestampMicrosecondType>(values).with_data_type(data_type.clone()))
        }
        ArrowType::Decimal128(..) => {
            let decimals = values.map(|value| if let Value::Decimal(value) = value { Some(*value) } else { None });
            Arc::new(decimals.collect::<PrimitiveArray<Decimal128Type>>().with_data_type(data_type.clone()))
        }
        // A float32 column only meets values that came out of a float32 column, so nothing is rounded.
        ArrowType::Float32 => {
            Arc::new(values.map(|value| float(value).map(|value| value as f32)).collect::<PrimitiveArray<Float32Type>>())
        }
        ArrowType::Float64 => Arc::new(values.map(float).collect::<PrimitiveArray<Float64Type>>()),
        ArrowType::Utf8 => {
            let texts = values.map(|value| bytes(value).and_then(|bytes| std::str::from_utf8(bytes).ok()));
            Arc::new(texts.collect::<StringArray>())
        }
        _ => Arc::new(values.map(bytes).collect::<BinaryArray>()),
    }
}

fn ints<'a, T: ArrowPrimitiveType<Native: TryFrom<i64>>>(
    values: impl Iterator<Item = &'a Value>,
) -> PrimitiveArray<T> {
    values.map(|value| int(value).and_then(|value| T::Native::try_from(value).ok())).collect()
}

fn int(value: &Value) -> Option<i64> {
    if let Value::Int(value) = value { Some(*value) } else { None }
}

fn float(value: &Value) -> Option<f64> {
    if let Value::Float(value) = value { Some(*value) } else { None }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::Bytes(value) = value { Some(value) } else { None }
}
