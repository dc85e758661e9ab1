//! From declared columns to columns under construction, checked once when a module is deployed.

use super::builder::Builder;
use super::nested::{List, Struct};
use super::object::{Field, Object};
use super::strings::{Bytes, Text};
use super::values::{Decimals, Values};
use crate::columns::{arrow_field, arrow_fields};
use lakeward_manifest::text::{FormatError, TimestampFormat};
use lakeward_manifest::{Column, DataType};
use std::sync::Arc;

/// Levels of lists and structs that a column may have.
const MAX_NESTING: usize = 16;

/// Why a declared column cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its format cannot be followed.
    #[error("column {column:?} cannot be read by its format")]
    Format {
        /// The column.
        column: String,
        /// Why.
        source: FormatError,
    },
    /// It is a decimal that there is not.
    #[error("column {column:?} is a {data_type}; a decimal has 1 to 38 digits, and no more behind the point than in all")]
    Decimal {
        /// The column.
        column: String,
        /// The type.
        data_type: String,
    },
    /// It is nested too deep.
    #[error("column {column:?} is nested deeper than {MAX_NESTING} levels")]
    Nesting {
        /// The column where it becomes too deep.
        column: String,
    },
}

/// The columns of several inputs, each once, and where each input finds its own.
pub(super) struct Plan {
    pub(super) root: Object,
    /// For every input the field of each of its columns.
    pub(super) inputs: Vec<Vec<usize>>,
}

impl Plan {
    pub(super) fn new(inputs: &[&[Column]]) -> Result<Self, Error> {
        let mut union: Vec<&Column> = Vec::new();
        let mut slots = Vec::with_capacity(inputs.len());
        for columns in inputs {
            let mut own = Vec::with_capacity(columns.len());
            for column in *columns {
                let slot = union.iter().position(|other| same(column, other)).unwrap_or_else(|| {
                    union.push(column);
                    union.len() - 1
                });
                own.push(slot);
            }
            slots.push(own);
        }
        let fields = union.into_iter().map(|column| field(column, 0)).collect::<Result<_, _>>()?;
        let mut root = Object::new(fields);
        if inputs.len() > 1 {
            root.tolerate();
        }
        Ok(Self { root, inputs: slots })
    }
}

/// Whether two inputs mean the same by a column; its own name does not matter to its values.
fn same(one: &Column, other: &Column) -> bool {
    one.source() == other.source()
        && one.nullable == other.nullable
        && one.format == other.format
        && one.data_type == other.data_type
}

fn field(column: &Column, nesting: usize) -> Result<Field, Error> {
    Ok(Field::new(column.source(), column.nullable, builder(column, nesting)?))
}

fn builder(column: &Column, nesting: usize) -> Result<Builder, Error> {
    if nesting > MAX_NESTING {
        return Err(Error::Nesting { column: column.name.clone() });
    }
    let format = || {
        TimestampFormat::new(column.format.as_deref())
            .map_err(|source| Error::Format { column: column.name.clone(), source })
    };
    Ok(match &column.data_type {
        DataType::Bool => Builder::Bool(Values::default()),
        DataType::Int8 => Builder::Int8(Values::default()),
        DataType::Int16 => Builder::Int16(Values::default()),
        DataType::Int32 => Builder::Int32(Values::default()),
        DataType::Int64 => Builder::Int64(Values::default()),
        DataType::Uint8 => Builder::Uint8(Values::default()),
        DataType::Uint16 => Builder::Uint16(Values::default()),
        DataType::Uint32 => Builder::Uint32(Values::default()),
        DataType::Uint64 => Builder::Uint64(Values::default()),
        DataType::Float32 => Builder::Float32(Values::default()),
        DataType::Float64 => Builder::Float64(Values::default()),
        DataType::Decimal { precision, scale } if (1..=38).contains(precision) && scale <= precision => {
            Builder::Decimal(Decimals::new(*precision, *scale))
        }
        DataType::Decimal { .. } => {
            return Err(Error::Decimal { column: column.name.clone(), data_type: column.data_type.to_string() });
        }
        DataType::String => Builder::String(Text::default()),
        DataType::Binary => Builder::Binary(Bytes::default()),
        DataType::Date => {
            Builder::Date(Values::default(), column.format.as_ref().map(|_| format()).transpose()?)
        }
        DataType::Timestamp => Builder::Timestamp(Values::default(), format()?),
        DataType::Uuid => Builder::Uuid(Values::default()),
        DataType::List(item) => {
            Builder::List(Box::new(List::new(builder(item, nesting + 1)?, Arc::new(arrow_field(item)))))
        }
        DataType::Struct(fields) => {
            let own = fields.iter().map(|column| field(column, nesting + 1)).collect::<Result<_, _>>()?;
            Builder::Struct(Box::new(Struct::new(Object::new(own), arrow_fields(fields))))
        }
    })
}
