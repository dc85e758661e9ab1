//! Columns that a transform wrote, as JSON that a test can compare.

use super::encode::width;
use crate::columns::OwnedColumns;
use crate::{Date, Timestamp, Uuid, decimal};
use lakeward_manifest::{Column, DataType};
use serde_json::{Map, Value, json};

/// The rows as objects.
pub(super) fn rows(columns: &[Column], owned: OwnedColumns) -> Vec<Value> {
    let mut arrays = Arrays { nodes: owned.nodes.into_iter(), buffers: owned.buffers.into_iter() };
    let values = columns.iter().map(|column| arrays.values(&column.data_type)).collect();
    objects(columns, values, owned.rows)
}

fn objects(columns: &[Column], values: Vec<Vec<Value>>, rows: usize) -> Vec<Value> {
    let mut objects = vec![Map::new(); rows];
    for (column, values) in columns.iter().zip(values) {
        assert_eq!(values.len(), rows, "the column {} has as many values as there are rows", column.name);
        for (object, value) in objects.iter_mut().zip(values) {
            object.insert(column.name.clone(), value);
        }
    }
    objects.into_iter().map(Value::Object).collect()
}

struct Arrays {
    nodes: std::vec::IntoIter<crate::columns::Node>,
    buffers: std::vec::IntoIter<Vec<u8>>,
}

impl Arrays {
    fn buffer(&mut self) -> Vec<u8> {
        self.buffers.next().expect("every array has its buffers")
    }

    /// The next array.
    fn values(&mut self, data_type: &DataType) -> Vec<Value> {
        let node = self.nodes.next().expect("every array has its node");
        let (length, validity) = (node.length as usize, self.buffer());
        let valid = |row: usize| validity.is_empty() || bit(&validity, row);
        let nulls = (0..length).filter(|row| !valid(*row)).count();
        assert_eq!(nulls, node.null_count as usize, "the node counts the nulls");
        let values: Vec<Value> = match data_type {
            DataType::Bool => {
                let bits = self.buffer();
                (0..length).map(|row| json!(bit(&bits, row))).collect()
            }
            DataType::String => self
                .slices(length)
                .into_iter()
                .map(|text| json!(String::from_utf8(text).expect("text is UTF-8")))
                .collect(),
            DataType::Binary => self.slices(length).into_iter().map(|bytes| json!(base64(&bytes))).collect(),
            DataType::List(item) => {
                let offsets = self.buffer();
                let items = self.values(&item.data_type);
                (0..length).map(|row| json!(items[offset(&offsets, row)..offset(&offsets, row + 1)])).collect()
            }
            DataType::Struct(fields) => {
                let values = fields.iter().map(|field| self.values(&field.data_type)).collect();
                objects(fields, values, length)
            }
            fixed => {
                let bytes = self.buffer();
                assert_eq!(bytes.len(), length * width(fixed), "the buffer holds every value");
                bytes.chunks(width(fixed)).map(|bytes| scalar(fixed, bytes)).collect()
            }
        };
        values.into_iter().enumerate().map(|(row, value)| if valid(row) { value } else { Value::Null }).collect()
    }

    fn slices(&mut self, length: usize) -> Vec<Vec<u8>> {
        let (offsets, bytes) = (self.buffer(), self.buffer());
        (0..length).map(|row| bytes[offset(&offsets, row)..offset(&offsets, row + 1)].to_vec()).collect()
    }
}

fn bit(bytes: &[u8], row: usize) -> bool {
    bytes[row / 8] >> (row % 8) & 1 == 1
}

fn offset(offsets: &[u8], row: usize) -> usize {
    let bytes = offsets[row * 4..][..4].try_into().expect("four bytes");
    usize::try_from(i32::from_le_bytes(bytes)).expect("an offset is not negative")
}

fn scalar(data_type: &DataType, bytes: &[u8]) -> Value {
    fn exactly<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().expect("the value has its type's width")
    }
    match data_type {
        DataType::Int8 => json!(i8::from_le_bytes(exactly(bytes))),
        DataType::Int16 => json!(i16::from_le_bytes(exactly(bytes))),
        DataType::Int32 => json!(i32::from_le_bytes(exactly(bytes))),
        DataType::Int64 => json!(i64::from_le_bytes(exactly(bytes))),
        DataType::Uint8 => json!(u8::from_le_bytes(exactly(bytes))),
        DataType::Uint16 => json!(u16::from_le_bytes(exactly(bytes))),
        DataType::Uint32 => json!(u32::from_le_bytes(exactly(bytes))),
        DataType::Uint64 => json!(u64::from_le_bytes(exactly(bytes))),
        DataType::Float32 => json!(f32::from_le_bytes(exactly(bytes))),
        DataType::Float64 => json!(f64::from_le_bytes(exactly(bytes))),
        DataType::Decimal { scale, .. } => {
            let unscaled = i128::from_le_bytes(exactly(bytes));
            let sign = if unscaled < 0 { "-" } else { "" };
            json!(format!("{sign}{}", decimal::digits(unscaled, *scale)))
        }
        DataType::Date => json!(Date::from_le_bytes(exactly(bytes)).to_string()),
        DataType::Timestamp => json!(Timestamp::from_le_bytes(exactly(bytes)).to_string()),
        DataType::Uuid => json!(Uuid::from_le_bytes(exactly(bytes)).to_string()),
        DataType::Bool | DataType::String | DataType::Binary | DataType::List(_) | DataType::Struct(_) => Value::Null,
    }
}

/// Base64 (RFC 4648, standard alphabet, padded).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number =
            (0..3).fold(0_u32, |number, index| number << 8 | u32::from(group.get(index).copied().unwrap_or(0)));
        for index in 0..4 {
            let digit = ALPHABET[(number >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_follows_the_rfc_s_examples() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
