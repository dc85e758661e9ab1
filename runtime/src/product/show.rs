//! Writes the values that broke a rule, for a person who reads the dead letter.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use chrono::{DateTime, NaiveDate, SecondsFormat};
use lakeward_manifest::{Column, DataType};

/// The most characters of a text that are shown.
const SHOWN: usize = 40;

/// `value is -3.00`; a masked column's value stays hidden here too.
pub(super) fn named_value(name: &str, array: &dyn Array, column: &Column, row: usize) -> String {
    if array.is_null(row) {
        format!("{name} is null")
    } else if column.mask.is_some() {
        format!("{name} is masked")
    } else {
        format!("{name} is {}", value(array, &column.data_type, row))
    }
}

fn value(array: &dyn Array, data_type: &DataType, row: usize) -> String {
    fn number<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> String
    where
        T::Native: std::fmt::Display,
    {
        array.as_primitive::<T>().value(row).to_string()
    }
    match data_type {
        DataType::Bool => array.as_boolean().value(row).to_string(),
        DataType::Int8 => number::<Int8Type>(array, row),
        DataType::Int16 => number::<Int16Type>(array, row),
        DataType::Int32 => number::<Int32Type>(array, row),
        DataType::Int64 => number::<Int64Type>(array, row),
        DataType::Uint8 => number::<UInt8Type>(array, row),
        DataType::Uint16 => number::<UInt16Type>(array, row),
        DataType::Uint32 => number::<UInt32Type>(array, row),
        DataType::Uint64 => number::<UInt64Type>(array, row),
        DataType::Float32 => number::<Float32Type>(array, row),
        DataType::Float64 => number::<Float64Type>(array, row),
        DataType::Decimal { scale, .. } => decimal(array.as_primitive::<Decimal128Type>().value(row), (*scale).into()),
        DataType::String => text(array.as_string::<i32>().value(row)),
        DataType::Date => {
            let days = array.as_primitive::<Date32Type>().value(row);
            NaiveDate::from_epoch_days(days).map_or_else(|| format!("day {days}"), |date| date.to_string())
        }
        DataType::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let time = DateTime::from_timestamp_micros(micros);
            time.map_or_else(
                || format!("microsecond {micros}"),
                |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            )
        }
        DataType::Binary => format!("{} bytes", array.as_binary::<i32>().value(row).len()),
        DataType::List(_) => format!("{} items", array.as_list::<i32>().value_length(row)),
        DataType::Uuid | DataType::Struct(_) => format!("a {data_type}"),
    }
}

/// Shows all digits, also those beyond the declared precision.
fn decimal(value: i128, scale: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn text(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("'{text}'"),
        Some((end, _)) => format!("'{}...'", &text[..end]),
    }
}
