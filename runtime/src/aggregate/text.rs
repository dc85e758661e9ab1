//! How a key's value is written in a query.

use super::column::Value;
use chrono::{DateTime, NaiveDate};
use lakeward_manifest::{DataType, text};

/// Reads a value of a key column: numbers as usual, `true` and `false`, dates as `2010-12-01`, timestamps as RFC 3339
/// writes them, UUIDs in any form. `None` if it is none.
pub(super) fn parse(data_type: &DataType, text: &str) -> Option<Value> {
    Some(match data_type {
        DataType::Bool => Value::Int(i64::from(text.parse::<bool>().ok()?)),
        DataType::Int8 => Value::Int(text.parse::<i8>().ok()?.into()),
        DataType::Int16 => Value::Int(text.parse::<i16>().ok()?.into()),
        DataType::Int32 => Value::Int(text.parse::<i32>().ok()?.into()),
        DataType::Int64 => Value::Int(text.parse().ok()?),
        DataType::Uint8 => Value::Int(text.parse::<u8>().ok()?.into()),
        DataType::Uint16 => Value::Int(text.parse::<u16>().ok()?.into()),
        DataType::Uint32 => Value::Int(text.parse::<u32>().ok()?.into()),
        DataType::Uint64 => Value::Int(i64::try_from(text.parse::<u64>().ok()?).ok()?),
        DataType::Decimal { precision, scale } => Value::Decimal(text::decimal(text.as_bytes(), *precision, *scale)?),
        DataType::String => Value::Bytes(text.as_bytes().into()),
        DataType::Uuid => Value::Bytes(uuid::Uuid::parse_str(text).ok()?.to_string().as_bytes().into()),
        DataType::Date => {
            let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
            Value::Int(text.parse::<NaiveDate>().ok()?.signed_duration_since(epoch).num_days())
        }
        DataType::Timestamp => Value::Int(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros()),
        DataType::Float32 | DataType::Float64 | DataType::Binary | DataType::List(_) | DataType::Struct(_) => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_by_its_type() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let table = [
            (DataType::Bool, "true", Some(Value::Int(1))),
            (DataType::Bool, "1", None),
            (DataType::Int8, "-128", Some(Value::Int(-128))),
            (DataType::Int8, "128", None),
            (DataType::Uint16, "65535", Some(Value::Int(65_535))),
            (DataType::Uint16, "-1", None),
            (DataType::Uint64, "18446744073709551615", None),
            (DataType::String, "", Some(Value::Bytes(b"".as_slice().into()))),
            (DataType::Uuid, "67E5504410B1426F9247BB680E5FE0C8", Some(Value::Bytes(id.as_bytes().into()))),
            (DataType::Date, "1969-12-31", Some(Value::Int(-1))),
            (DataType::Date, "yesterday", None),
            (DataType::Timestamp, "1970-01-01T01:00:00+01:00", Some(Value::Int(0))),
            (DataType::Timestamp, "1970-01-01", None),
        ];
        for (data_type, text, expected) in table {
            assert_eq!(parse(&data_type, text), expected, "{text} as {data_type}");
        }
    }
}
