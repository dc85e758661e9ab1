//! Numbers, dates and timestamps of an expression: exact ones as scaled integers, floats as 64-bit floats.

use super::ast::Arithmetic;
use super::text::Length;
use super::truth::Rows;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};

/// An exact number. The scale is known when it is compiled and is not carried along.
#[derive(Debug, Clone)]
pub(super) enum Exact {
    Column(usize),
    Literal(i128),
    Length(Length),
    /// A number brought to a larger scale. Saturates, which keeps its order against every number of that scale,
    /// because the compiler bounds these below the largest `i128`.
    Lift(Box<Exact>, i128),
    /// The compiler has bounded the result, so that it cannot overflow for values of the declared types.
    Arithmetic(Arithmetic, Box<Exact>, Box<Exact>),
}

/// A float, or what becomes one beside a float.
#[derive(Debug, Clone)]
pub(super) enum Float {
    Column(usize),
    Exact(Exact, u8),
    Arithmetic(Arithmetic, Box<Float>, Box<Float>),
}

/// A value a row, and which of them are null.
pub(super) struct Values<T> {
    pub(super) values: Vec<T>,
    pub(super) nulls: Option<NullBuffer>,
}

impl<T: Copy> Values<T> {
    fn map<U>(self, to: impl Fn(T) -> U) -> Values<U> {
        Values { values: self.values.into_iter().map(to).collect(), nulls: self.nulls }
    }

    fn zip(self, other: &Self, with: impl Fn(T, T) -> T) -> Self {
        let nulls = NullBuffer::union(self.nulls.as_ref(), other.nulls.as_ref());
        let values = self.values.iter().zip(&other.values).map(|(left, right)| with(*left, *right)).collect();
        Self { values, nulls }
    }
}

impl Exact {
    /// The number brought up by 10^`power`; the compiler has checked that a literal can be.
    pub(super) fn lifted(self, factor: i128) -> Self {
        match self {
            this if factor == 1 => this,
            Self::Literal(value) => Self::Literal(value.saturating_mul(factor)),
            this => Self::Lift(Box::new(this), factor),
        }
    }

    pub(super) fn evaluate(&self, rows: Rows<'_>) -> Values<i128> {
        match self {
            Self::Column(index) => integers(rows.column(*index)),
            Self::Literal(value) => Values { values: vec![*value; rows.rows], nulls: None },
            Self::Length(length) => length.evaluate(rows),
            Self::Lift(inner, factor) => inner.evaluate(rows).map(|value| value.saturating_mul(*factor)),
            Self::Arithmetic(arithmetic, left, right) => {
                let (left, right) = (left.evaluate(rows), right.evaluate(rows));
                match arithmetic {
                    Arithmetic::Add => left.zip(&right, i128::wrapping_add),
                    Arithmetic::Subtract => left.zip(&right, i128::wrapping_sub),
                    Arithmetic::Multiply => left.zip(&right, i128::wrapping_mul),
                }
            }
        }
    }
}

impl Float {
    pub(super) fn evaluate(&self, rows: Rows<'_>) -> Values<f64> {
        match self {
            Self::Column(index) => floats(rows.column(*index)),
            Self::Exact(exact, scale) => {
                let divisor = 10_f64.powi(i32::from(*scale));
                exact.evaluate(rows).map(|value| value as f64 / divisor)
            }
            Self::Arithmetic(arithmetic, left, right) => {
                let (left, right) = (left.evaluate(rows), right.evaluate(rows));
                match arithmetic {
                    Arithmetic::Add => left.zip(&right, |left, right| left + right),
                    Arithmetic::Subtract => left.zip(&right, |left, right| left - right),
                    Arithmetic::Multiply => left.zip(&right, |left, right| left * right),
                }
            }
        }
    }
}

fn integers(array: &dyn Array) -> Values<i128> {
    fn widen<T: ArrowPrimitiveType>(array: &dyn Array) -> Values<i128>
    where
        T::Native: Into<i128>,
    {
        let array = array.as_primitive::<T>();
        Values { values: array.values().iter().map(|value| (*value).into()).collect(), nulls: array.nulls().cloned() }
    }
    match array.data_type() {
        DataType::Int8 => widen::<Int8Type>(array),
        DataType::Int16 => widen::<Int16Type>(array),
        DataType::Int32 => widen::<Int32Type>(array),
        DataType::Int64 => widen::<Int64Type>(array),
        DataType::UInt8 => widen::<UInt8Type>(array),
        DataType::UInt16 => widen::<UInt16Type>(array),
        DataType::UInt32 => widen::<UInt32Type>(array),
        DataType::UInt64 => widen::<UInt64Type>(array),
        DataType::Date32 => widen::<Date32Type>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => widen::<TimestampMicrosecondType>(array),
        _ => widen::<Decimal128Type>(array),
    }
}

fn floats(array: &dyn Array) -> Values<f64> {
    if let Some(array) = array.as_primitive_opt::<Float32Type>() {
        let values = array.values().iter().map(|value| f64::from(*value)).collect();
        return Values { values, nulls: array.nulls().cloned() };
    }
    let array = array.as_primitive::<Float64Type>();
    Values { values: array.values().to_vec(), nulls: array.nulls().cloned() }
}
