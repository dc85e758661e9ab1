//! What the macros' code calls. Not for authors, and not covered by version promises.

pub use crate::columns::{
    Columns, Cursor, Head, Malformed, Node, OwnedColumns, ReadColumn, ReadItem, Validity, WriteColumn, WriteItem,
};
pub use crate::module::Entry;
pub use crate::output::Outcome;
pub use crate::transform::{Described, describe, products, run};
pub use lakeward_manifest as manifest;

/// The exports' bodies.
#[cfg(target_family = "wasm")]
pub mod wall {
    pub use crate::wall::{List, RawAnswer, describe, process};
}

use manifest::{Column, DataType, Mask};

/// What a field says of itself beyond its type.
#[derive(Debug, Default, Clone, Copy)]
pub struct About {
    /// The column's name.
    pub name: &'static str,
    /// The field's name in the record, where it is another.
    pub source: Option<&'static str>,
    /// How a date or timestamp is written.
    pub format: Option<&'static str>,
    /// How the column is hidden.
    pub mask: Option<Mask>,
    /// What the column means.
    pub description: &'static str,
}

impl About {
    fn column(self, data_type: DataType, nullable: bool) -> Column {
        Column {
            name: self.name.to_owned(),
            source: self.source.map(str::to_owned),
            data_type,
            nullable,
            format: self.format.map(str::to_owned),
            mask: self.mask,
            description: self.description.to_owned(),
        }
    }
}

/// The column of an event's field of type `T`.
#[must_use]
pub fn read_column<'a, T: ReadColumn<'a>>(about: About) -> Column {
    about.column(T::data_type(), T::NULLABLE)
}

/// The column of a product's field of type `T`.
#[must_use]
pub fn write_column<T: WriteColumn>(about: About) -> Column {
    about.column(T::data_type(), T::NULLABLE)
}

/// The product whose rows are of type `data_type`.
#[must_use]
pub fn product(
    data_type: DataType,
    name: &str,
    layer: manifest::Layer,
    description: &str,
    partition_by: Vec<manifest::PartitionBy>,
    expectations: Vec<manifest::Expectation>,
) -> manifest::Product {
    let DataType::Struct(columns) = data_type else { unreachable!("the derive describes a row as a struct") };
    manifest::Product {
        name: name.to_owned(),
        layer,
        description: description.to_owned(),
        columns,
        partition_by,
        expectations,
    }
}
