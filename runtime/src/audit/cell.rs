//! Single values of columns, as an audit compares them: to the last digit.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Int64Array, StringArray};
use arrow_cast::parse::parse_decimal;
use arrow_schema::DataType;
use chrono::{DateTime, NaiveDate};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

/// A value. Integers, booleans, dates and timestamps are all `Int`, text and bytes are both `Bytes`.
#[derive(Debug, Clone)]
pub(super) enum Cell<'a> {
    /// No value.
    Null,
    /// Whatever is a whole number in memory.
    Int(i64),
    /// The digits of a decimal, without its point.
    Decimal(i128),
    /// A float.
    Float(f64),
    /// Text or bytes.
    Bytes(Cow<'a, [u8]>),
}

impl Cell<'_> {
    /// The value without its column.
    #[must_use]
    pub(super) fn into_owned(self) -> Cell<'static> {
        match self {
            Self::Null => Cell::Null,
            Self::Int(value) => Cell::Int(value),
            Self::Decimal(value) => Cell::Decimal(value),
            Self::Float(value) => Cell::Float(value),
            Self::Bytes(value) => Cell::Bytes(Cow::Owned(value.into_owned())),
        }
    }

    /// Appends bytes that are equal exactly if the values are: the zeros are one value, and so are the NaNs.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Int(value) => {
                out.push(1);
                out.extend(value.to_be_bytes());
            }
            Self::Decimal(value) => {
                out.push(2);
                out.extend(value.to_be_bytes());
            }
            Self::Float(value) => {
                out.push(3);
                let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
                out.extend(value.to_bits().to_be_bytes());
            }
            Self::Bytes(value) => {
                out.push(4);
                out.extend((value.len() as u64).to_be_bytes());
                out.extend(value.iter());
            }
        }
    }

    /// Whether both are one value.
    #[must_use]
    pub(super) fn is(&self, other: &Cell<'_>) -> bool {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        self.encode(&mut left);
        other.encode(&mut right);
        left == right
    }

    /// The order in `min` and `max`: -0.0 below 0.0, NaN above everything. Null and values of two kinds have none.
    #[must_use]
    pub(super) fn order(&self, other: &Cell<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(left), Cell::Int(right)) => Some(left.cmp(right)),
            (Self::Decimal(left), Cell::Decimal(right)) => Some(left.cmp(right)),
            (Self::Float(left), Cell::Float(right)) => Some(match (left.is_nan(), right.is_nan()) {
                (false, false) => left.total_cmp(right),
                (left, right) => left.cmp(&right),
            }),
            (Self::Bytes(left), Cell::Bytes(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }

    /// The value for a person, as it stands in a column of this type.
    #[must_use]
    pub(super) fn show(&self, data_type: &DataType) -> String {
        match (self, data_type) {
            (Self::Null, _) => "null".to_owned(),
            (Self::Int(value), DataType::Boolean) => (*value != 0).to_string(),
            (Self::Int(value), DataType::Date32) => {
                i32::try_from(*value).map_or_else(|_| value.to_string(), crate::sink::date_text)
            }
            (Self::Int(value), DataType::Timestamp(..)) => DateTime::from_timestamp_micros(*value)
                .map_or_else(|| value.to_string(), |time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
            (Self::Int(value), _) => value.to_string(),
            (Self::Decimal(value), data_type) => decimal(*value, data_type),
            (Self::Float(value), _) => format!("{value:?}"),
            (Self::Bytes(value), DataType::Binary) => format!("{} bytes", value.len()),
            (Self::Bytes(value), _) => String::from_utf8_lossy(value).into_owned(),
        }
    }
}

fn decimal(value: i128, data_type: &DataType) -> String {
    let scale = if let DataType::Decimal128(_, scale) = data_type { usize::from(scale.unsigned_abs()) } else { 0 };
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, rest) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

/// A column of rows, looked at once a batch so that a value costs a match and no more.
pub(super) struct Column<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Decimal(&'a [i128]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
}

impl<'a> Column<'a> {
    /// The values of a column; `None` for a type that no key and no measure has.
    #[must_use]
    pub(super) fn of(array: &'a dyn Array) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Values::Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Values::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Date32 => Values::Int32(array.as_primitive::<Date32Type>().values()),
            DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, _) => {
                Values::Int64(array.as_primitive::<TimestampMicrosecondType>().values())
            }
            DataType::Decimal128(..) => Values::Decimal(array.as_primitive::<Decimal128Type>().values()),
            DataType::Float32 => Values::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::Binary => Values::Bytes(array.as_binary()),
            _ => return None,
        };
        Some(Self { array, values })
    }

    /// The value at `row`.
    #[must_use]
    pub(super) fn at(&self, row: usize) -> Cell<'a> {
        if self.array.is_null(row) {
            return Cell::Null;
        }
        match &self.values {
            Values::Bool(values) => Cell::Int(values.value(row).into()),
            Values::Int8(values) => Cell::Int(values[row].into()),
            Values::Int16(values) => Cell::Int(values[row].into()),
            Values::Int32(values) => Cell::Int(values[row].into()),
            Values::Int64(values) => Cell::Int(values[row]),
            Values::Decimal(values) => Cell::Decimal(values[row]),
            Values::Float32(values) => Cell::Float(values[row].into()),
            Values::Float64(values) => Cell::Float(values[row]),
            Values::Text(values) => Cell::Bytes(Cow::Borrowed(values.value(row).as_bytes())),
            Values::Bytes(values) => Cell::Bytes(Cow::Borrowed(values.value(row))),
        }
    }
}

/// A column of one value, as the log holds values of partition columns; `None` if the text is not of the type.
///
/// Delta Lake writes an empty text as null there, so in a column without nulls null is the empty text.
#[must_use]
pub(super) fn constant(text: Option<&str>, data_type: &DataType, nullable: bool, rows: usize) -> Option<ArrayRef> {
    if let DataType::Utf8 = data_type {
        let text = if nullable { text } else { Some(text.unwrap_or_default()) };
        return Some(Arc::new(StringArray::from(vec![text; rows])));
    }
    if let DataType::Decimal128(precision, scale) = data_type {
        let digits = match text {
            Some(text) => Some(parse_decimal::<Decimal128Type>(text, *precision, *scale).ok()?),
            None => None,
        };
        return Some(Arc::new(Decimal128Array::from(vec![digits; rows]).with_data_type(data_type.clone())));
    }
    let number = match (text, data_type) {
        (None, _) => None,
        (Some(text), DataType::Boolean) => Some(i64::from(text.parse::<bool>().ok()?)),
        (Some(text), DataType::Date32) => Some(i64::from(text.parse::<NaiveDate>().ok()?.to_epoch_days())),
        (Some(text), DataType::Timestamp(..)) => {
            let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
            Some(time.and_utc().timestamp_micros())
        }
        (Some(text), _) => Some(text.parse::<i64>().ok()?),
    };
    Some(Arc::new(Int64Array::from(vec![number; rows])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_one_if_every_digit_is() {
        assert!(Cell::Float(0.0).is(&Cell::Float(-0.0)));
        assert!(Cell::Float(f64::NAN).is(&Cell::Float(-f64::NAN)));
        assert!(!Cell::Float(0.1 + 0.2).is(&Cell::Float(0.3)));
        assert!(!Cell::Null.is(&Cell::Int(0)));
        assert!(!Cell::Int(1).is(&Cell::Decimal(1)));
        assert!(!Cell::Bytes(b"".as_slice().into()).is(&Cell::Null));
    }

    #[test]
    fn a_person_sees_values_as_the_table_shows_them() {
        let time = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
        let cases = [
            (Cell::Decimal(-5), DataType::Decimal128(18, 3), "-0.005"),
            (Cell::Decimal(12_340), DataType::Decimal128(18, 0), "12340"),
            (Cell::Int(1_291_190_400_000_000), time, "2010-12-01T08:00:00Z"),
            (Cell::Int(14_944), DataType::Date32, "2010-12-01"),
            (Cell::Int(1), DataType::Boolean, "true"),
            (Cell::Bytes(b"France".as_slice().into()), DataType::Utf8, "France"),
        ];
        for (cell, data_type, expected) in cases {
            assert_eq!(cell.show(&data_type), expected);
        }
    }

    #[test]
    fn a_partition_value_is_a_column() {
        let value = |text, data_type: &DataType, nullable| {
            let column = constant(text, data_type, nullable, 2).unwrap();
            Column::of(&column).unwrap().at(1).into_owned()
        };
        assert!(value(Some("2010-12-01"), &DataType::Date32, false).is(&Cell::Int(14_944)));
        assert!(value(Some("true"), &DataType::Boolean, false).is(&Cell::Int(1)));
        assert!(value(None, &DataType::Utf8, false).is(&Cell::Bytes(b"".as_slice().into())));
        assert!(value(None, &DataType::Utf8, true).is(&Cell::Null));
        let rate = DataType::Decimal128(18, 3);
        assert!(value(Some("-0.005"), &rate, false).is(&Cell::Decimal(-5)));
        assert!(value(Some("12"), &rate, true).is(&Cell::Decimal(12_000)));
        assert!(value(None, &rate, true).is(&Cell::Null));
        assert!(constant(Some("x"), &rate, false, 1).is_none());
        assert!(constant(Some("x"), &DataType::Int32, false, 1).is_none());
    }
}
