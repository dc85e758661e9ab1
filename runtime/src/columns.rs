//! How the manifest's types stand in memory: the Arrow type of every column that moves between stages.

use arrow_schema::{DataType as ArrowType, Field, Fields, Schema, SchemaRef, TimeUnit};
use lakeward_manifest::{Column, DataType};
use std::sync::Arc;

/// The zone of every timestamp column, as Delta Lake wants it.
pub const UTC: &str = "UTC";

/// The Arrow type in which a column crosses the wall and moves between stages.
#[must_use]
pub fn arrow_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Bool => ArrowType::Boolean,
        DataType::Int8 => ArrowType::Int8,
        DataType::Int16 => ArrowType::Int16,
        DataType::Int32 => ArrowType::Int32,
        DataType::Int64 => ArrowType::Int64,
        DataType::Uint8 => ArrowType::UInt8,
        DataType::Uint16 => ArrowType::UInt16,
        DataType::Uint32 => ArrowType::UInt32,
        DataType::Uint64 => ArrowType::UInt64,
        DataType::Float32 => ArrowType::Float32,
        DataType::Float64 => ArrowType::Float64,
        DataType::Decimal { precision, scale } => ArrowType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(38)),
        DataType::String => ArrowType::Utf8,
        DataType::Binary => ArrowType::Binary,
        DataType::Date => ArrowType::Date32,
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        DataType::Uuid => ArrowType::FixedSizeBinary(16),
        DataType::List(item) => ArrowType::List(Arc::new(arrow_field(item))),
        DataType::Struct(fields) => ArrowType::Struct(arrow_fields(fields)),
    }
}

/// The Arrow field of a column.
#[must_use]
pub fn arrow_field(column: &Column) -> Field {
    Field::new(&column.name, arrow_type(&column.data_type), column.nullable)
}

/// The Arrow fields of several columns.
#[must_use]
pub fn arrow_fields(columns: &[Column]) -> Fields {
    columns.iter().map(arrow_field).collect()
}

/// The Arrow schema of several columns.
#[must_use]
pub fn arrow_schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(arrow_fields(columns)))
}

/// The Arrow type in which a column stands in a table. Delta Lake has no unsigned integers and no UUID: they become the
/// next wider signed integer (`uint64` a `long`, whose larger values break the contract) and text.
#[must_use]
pub fn table_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Uint8 => ArrowType::Int16,
        DataType::Uint16 => ArrowType::Int32,
        DataType::Uint32 | DataType::Uint64 => ArrowType::Int64,
        DataType::Uuid => ArrowType::Utf8,
        DataType::List(item) => ArrowType::List(Arc::new(table_field(item))),
        DataType::Struct(fields) => ArrowType::Struct(fields.iter().map(table_field).collect()),
        other => arrow_type(other),
    }
}

/// The Arrow field of a table's column.
#[must_use]
pub fn table_field(column: &Column) -> Field {
    Field::new(&column.name, table_type(&column.data_type), column.nullable)
}
