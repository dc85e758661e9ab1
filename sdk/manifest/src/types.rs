//! The data types that cross the wall and stand in tables.

use crate::Mask;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A column of an event or a product, or a field of a nested struct.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// The field's name in the record, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The type.
    pub data_type: DataType,
    /// Whether the value may be absent.
    #[serde(default)]
    pub nullable: bool,
    /// How a date or timestamp is written in the record (`%Y-%m-%d %H:%M:%S` and the like); RFC 3339 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How the column is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// What the column means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Column {
    /// The field's name in the record.
    #[must_use]
    pub fn source(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.name)
    }
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// True or false.
    Bool,
    /// A signed 8-bit integer.
    Int8,
    /// A signed 16-bit integer.
    Int16,
    /// A signed 32-bit integer.
    Int32,
    /// A signed 64-bit integer.
    Int64,
    /// An unsigned 8-bit integer.
    Uint8,
    /// An unsigned 16-bit integer.
    Uint16,
    /// An unsigned 32-bit integer.
    Uint32,
    /// An unsigned 64-bit integer.
    Uint64,
    /// A 32-bit float.
    Float32,
    /// A 64-bit float.
    Float64,
    /// An exact decimal number.
    Decimal {
        /// Decimal digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: u8,
    },
    /// UTF-8 text.
    String,
    /// Bytes; base64 (RFC 4648, standard alphabet) in JSON.
    Binary,
    /// A calendar day: days since 1970-01-01.
    Date,
    /// A point in time: microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// A UUID, 16 bytes.
    Uuid,
    /// Several values of one type. The item's name is `item`.
    List(Box<Column>),
    /// A nested record.
    Struct(Vec<Column>),
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int8 => f.write_str("int8"),
            Self::Int16 => f.write_str("int16"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Uint8 => f.write_str("uint8"),
            Self::Uint16 => f.write_str("uint16"),
            Self::Uint32 => f.write_str("uint32"),
            Self::Uint64 => f.write_str("uint64"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Uuid => f.write_str("uuid"),
            Self::List(item) => write!(f, "list<{}{}>", item.data_type, if item.nullable { "?" } else { "" }),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    let mark = if field.nullable { "?" } else { "" };
                    write!(f, "{comma}{}: {}{mark}", field.name, field.data_type)?;
                }
                f.write_str(">")
            }
        }
    }
}
