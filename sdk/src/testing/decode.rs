//! JSON text to values, as the manifest declares them. Numbers keep their digits: they are read from their text.

use lakeward_manifest::text::{self, TimestampFormat};
use lakeward_manifest::{Column, DataType};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// A value on its way into a column.
#[derive(Debug)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    /// The little-endian bytes of a value of one width.
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
    List(Vec<Cell>),
    Struct(Vec<Cell>),
}

/// The columns of a record, or why it does not have them.
pub(super) fn record(columns: &[Column], json: &str) -> Result<Vec<Cell>, String> {
    let fields: HashMap<String, &RawValue> =
        serde_json::from_str(json).map_err(|error| format!("not a JSON object: {error}"))?;
    columns.iter().map(|column| cell(column, fields.get(column.source()).copied())).collect()
}

fn cell(column: &Column, json: Option<&RawValue>) -> Result<Cell, String> {
    let Some(json) = json.filter(|json| json.get() != "null") else {
        return if column.nullable { Ok(Cell::Null) } else { Err(format!("{} is missing", column.name)) };
    };
    match &column.data_type {
        DataType::List(item) => {
            let items: Vec<&RawValue> = serde_json::from_str(json.get()).map_err(|_| wrong(column, json))?;
            items.into_iter().map(|json| cell(item, Some(json))).collect::<Result<_, _>>().map(Cell::List)
        }
        DataType::Struct(fields) if json.get().starts_with('{') => record(fields, json.get()).map(Cell::Struct),
        DataType::Struct(_) => Err(wrong(column, json)),
        _ => scalar(column, json.get()).ok_or_else(|| wrong(column, json)),
    }
}

fn wrong(column: &Column, json: &RawValue) -> String {
    format!("{}: {} is not a value of type {}", column.name, json.get(), column.data_type)
}

fn scalar(column: &Column, json: &str) -> Option<Cell> {
    let quoted: Option<String> = if json.starts_with('"') { Some(serde_json::from_str(json).ok()?) } else { None };
    let text = quoted.as_deref().unwrap_or(json);
    let bytes = match &column.data_type {
        DataType::Bool => return text.parse().ok().map(Cell::Bool),
        DataType::String => return quoted.map(|text| Cell::Bytes(text.into_bytes())),
        DataType::Binary => return text::base64(quoted?.as_bytes()).map(Cell::Bytes),
        DataType::Int8 => i8::try_from(integer(text)?).ok()?.to_le_bytes().to_vec(),
        DataType::Int16 => i16::try_from(integer(text)?).ok()?.to_le_bytes().to_vec(),
        DataType::Int32 => i32::try_from(integer(text)?).ok()?.to_le_bytes().to_vec(),
        DataType::Int64 => i64::try_from(integer(text)?).ok()?.to_le_bytes().to_vec(),
        DataType::Uint8 => u8::try_from(integer(text)?).ok()?.to_le_bytes().to_vec(),
        DataType::Uint16 => u16::try_from(integer(text)?).ok()?.to_le_bytes().to_vec(),
        DataType::Uint32 => u32::try_from(integer(text)?).ok()?.to_le_bytes().to_vec(),
        DataType::Uint64 => u64::try_from(integer(text)?).ok()?.to_le_bytes().to_vec(),
        DataType::Float32 => text.parse::<f32>().ok()?.to_le_bytes().to_vec(),
        DataType::Float64 => text.parse::<f64>().ok()?.to_le_bytes().to_vec(),
        DataType::Decimal { precision, scale } => {
            text::decimal(text.as_bytes(), *precision, *scale)?.to_le_bytes().to_vec()
        }
        DataType::Date => date(column, text)?.to_le_bytes().to_vec(),
        DataType::Timestamp => format(column).parse(text.as_bytes())?.to_le_bytes().to_vec(),
        DataType::Uuid => text::uuid(text.as_bytes())?.to_vec(),
        DataType::List(_) | DataType::Struct(_) => return None,
    };
    Some(Cell::Fixed(bytes))
}

fn integer(text: &str) -> Option<i128> {
    text::decimal(text.as_bytes(), 38, 0)
}

fn date(column: &Column, text: &str) -> Option<i32> {
    match column.format {
        None => text::date(text.as_bytes()),
        Some(_) => format(column).parse_date(text.as_bytes()),
    }
}

fn format(column: &Column) -> TimestampFormat {
    let format = TimestampFormat::new(column.format.as_deref());
    format.unwrap_or_else(|error| panic!("the column {}: {error}", column.name))
}
