//! What becomes of payloads: one by one, in chunks, and at random against another JSON reader.

mod chunks;
mod payloads;
mod random;
mod scalars;

use super::{Decoder, Events};
use crate::record::{Chunk, Record};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType as ArrowType;
use lakeward_manifest::{Column, DataType};
use serde_json::{Value, json};

fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        source: None,
        data_type,
        nullable: false,
        format: None,
        mask: None,
        description: String::new(),
    }
}

fn nullable(name: &str, data_type: DataType) -> Column {
    Column { nullable: true, ..column(name, data_type) }
}

fn with_format(name: &str, data_type: DataType, format: &str) -> Column {
    Column { format: Some(format.into()), ..column(name, data_type) }
}

fn list(name: &str, item: Column) -> Column {
    column(name, DataType::List(Box::new(item)))
}

fn chunk<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Chunk {
    let mut chunk = Chunk::new("topic".into(), 0, 0);
    for (offset, payload) in (0..).zip(payloads) {
        chunk.push(Record { offset, timestamp_ms: -1, key: None, value: Some(payload) });
    }
    chunk
}

fn decode(columns: &[Column], chunk: &Chunk) -> Events {
    let [events] = Decoder::new(&[columns]).unwrap().decode(chunk, 0).try_into().unwrap();
    check(&events, columns, chunk, 0);
    events
}

/// What every answer must meet: each record once, arrays of the declared types and equal lengths, valid inside.
fn check(events: &Events, columns: &[Column], chunk: &Chunk, first: u32) {
    let mut records: Vec<u32> = events.dead_letters.iter().map(|letter| letter.index).collect();
    assert!(records.is_sorted() && events.rows.is_sorted());
    records.extend(&events.rows);
    records.sort_unstable();
    assert_eq!(records, (first..chunk.len() as u32).collect::<Vec<_>>());
    assert_eq!(events.columns.len(), columns.len());
    for (array, column) in events.columns.iter().zip(columns) {
        assert_eq!(array.data_type(), &crate::columns::arrow_type(&column.data_type));
        assert_eq!(array.len(), events.rows.len());
        assert_eq!(array.offset(), 0);
        assert!(column.nullable || array.null_count() == 0);
        assert_eq!(array.nulls().is_some(), array.null_count() > 0);
        array.to_data().validate_full().unwrap();
    }
}

/// What becomes of one payload: its row, or why it is none.
fn outcome(columns: &[Column], payload: &[u8]) -> Result<Value, String> {
    // A good record on each side shows that a bad one leaves nothing behind.
    let chunk = chunk([payload, payload]);
    let mut events = decode(columns, &chunk);
    match events.dead_letters.pop() {
        Some(letter) => Err(letter.reason),
        None => Ok(row(columns, &events.columns, 1)),
    }
}

/// Puts each text in the place of the value of the field `v`.
fn check_values(column: &Column, cases: &[(&str, Result<Value, &str>)]) {
    for (text, expected) in cases {
        let payload = format!(r#"{{"a":[1,{{"v":2}}], "v" : {text} ,"z":"more than sixteen bytes"}}"#);
        let found = outcome(std::slice::from_ref(column), payload.as_bytes()).map(|row| row["v"].clone());
        let expected = expected.clone().map_err(|reason| match reason.strip_prefix('!') {
            Some(whole) => whole.to_owned(),
            None => format!("field \"v\": {reason}"),
        });
        assert_eq!(found, expected, "{} of {text}", column.data_type);
        // The same, where the payload ends behind the value.
        let payload = format!(r#"{{"v":{text}}}"#);
        let short = outcome(std::slice::from_ref(column), payload.as_bytes()).map(|row| row["v"].clone());
        assert_eq!(short.is_ok(), expected.is_ok(), "{} of {text}", column.data_type);
        assert_eq!(short.ok(), expected.ok(), "{} of {text}", column.data_type);
    }
}

/// Row `index` as JSON, keyed by the columns' names. Decimals, dates and timestamps are their integers, bytes are lists.
fn row(columns: &[Column], arrays: &[ArrayRef], index: usize) -> Value {
    columns.iter().zip(arrays).map(|(column, array)| (column.name.clone(), value(array, index))).collect()
}

fn value(array: &ArrayRef, index: usize) -> Value {
    if array.is_null(index) {
        return Value::Null;
    }
    match array.data_type() {
        ArrowType::Boolean => json!(array.as_boolean().value(index)),
        ArrowType::Int8 => json!(array.as_primitive::<Int8Type>().value(index)),
        ArrowType::Int16 => json!(array.as_primitive::<Int16Type>().value(index)),
        ArrowType::Int32 => json!(array.as_primitive::<Int32Type>().value(index)),
        ArrowType::Int64 => json!(array.as_primitive::<Int64Type>().value(index)),
        ArrowType::UInt8 => json!(array.as_primitive::<UInt8Type>().value(index)),
        ArrowType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(index)),
        ArrowType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(index)),
        ArrowType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(index)),
        ArrowType::Float32 => json!(array.as_primitive::<Float32Type>().value(index)),
        ArrowType::Float64 => json!(array.as_primitive::<Float64Type>().value(index)),
        ArrowType::Decimal128(..) => json!(array.as_primitive::<Decimal128Type>().value(index).to_string()),
        ArrowType::Utf8 => json!(array.as_string::<i32>().value(index)),
        ArrowType::Binary => json!(array.as_binary::<i32>().value(index)),
        ArrowType::Date32 => json!(array.as_primitive::<Date32Type>().value(index)),
        ArrowType::Timestamp(..) => json!(array.as_primitive::<TimestampMicrosecondType>().value(index)),
        ArrowType::FixedSizeBinary(_) => json!(array.as_fixed_size_binary().value(index)),
        ArrowType::List(_) => {
            let items = array.as_list::<i32>().value(index);
            (0..items.len()).map(|item| value(&items, item)).collect()
        }
        ArrowType::Struct(fields) => {
            let columns = array.as_struct().columns();
            fields.iter().zip(columns).map(|(field, array)| (field.name().clone(), value(array, index))).collect()
        }
        other => panic!("no column has the type {other}"),
    }
}
