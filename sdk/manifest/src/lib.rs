//! What a module says about itself: inputs, products, gold; the contract that both the SDK and the runtime know.
//!
//! The manifest crosses as JSON because JSON can gain fields without breaking old modules. Unknown fields are
//! refused where they would change meaning (data types, functions) and ignored elsewhere.

pub mod text;

mod types;

pub use types::{Column, DataType};

use serde::{Deserialize, Serialize};

/// The version of the manifest's own layout that this crate writes and reads.
pub const MANIFEST_VERSION: u32 = 1;

/// The name of the custom section that carries the manifest in a component.
pub const MANIFEST_SECTION: &str = "lakeward:manifest";

/// The WIT package that modules are built against.
pub const WIT: &str = include_str!("../../wit/transform.wit");

/// Everything that the host needs to know about a module before it runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of this document, [`MANIFEST_VERSION`].
    pub manifest_version: u32,
    /// The module's name, unique within a pipeline.
    pub name: String,
    /// The module's own version.
    pub version: String,
    /// The domain that owns the module and its products; the first part of a product's path.
    pub owner: String,
    /// What the module is for, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What the module reads; `process(input, ..)` indexes this list.
    pub inputs: Vec<Input>,
    /// What the module writes; `output.product` indexes this list.
    pub products: Vec<Product>,
    /// Aggregates that the host keeps over the products.
    #[serde(default)]
    pub gold: Vec<Gold>,
}

/// One topic as one transform reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The topic's name.
    pub topic: String,
    /// The event's name.
    pub name: String,
    /// The transform that takes the events.
    pub transform: String,
    /// What the event is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The columns that the transform reads; no other field of the record crosses.
    pub columns: Vec<Column>,
    /// The column that says when the event happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    /// The products that the transform may write, by name.
    pub products: Vec<String>,
}

/// A named, owned table with a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The product's name, unique within its domain.
    pub name: String,
    /// The layer: only `silver` products come from transforms today.
    pub layer: Layer,
    /// What a row is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The table's columns, in order.
    pub columns: Vec<Column>,
    /// How the table's files are laid out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_by: Vec<PartitionBy>,
    /// Rules that every row must meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<Expectation>,
}

/// The layer of a data product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// As read.
    Bronze,
    /// Cleaned to contract.
    Silver,
    /// Aggregated for use.
    Gold,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
        })
    }
}

/// One level of a table's partitioning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionBy {
    /// The column that is partitioned on.
    pub column: String,
    /// What of the column's value names the partition.
    pub by: Granularity,
}

impl PartitionBy {
    /// The name of the partition column in the table: the column itself, or `sold_at_month` and the like.
    #[must_use]
    pub fn table_column(&self) -> String {
        match self.by {
            Granularity::Value => self.column.clone(),
            Granularity::Day => format!("{}_day", self.column),
            Granularity::Month => format!("{}_month", self.column),
            Granularity::Year => format!("{}_year", self.column),
        }
    }
}

/// What of a value names its partition. Calendar parts are dates: the first day of the part, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// The value itself.
    Value,
    /// The day of a date or timestamp.
    Day,
    /// The month of a date or timestamp.
    Month,
    /// The year of a date or timestamp.
    Year,
}

/// A named rule on the rows of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// The rule's name, as reports show it.
    pub name: String,
    /// The column that `value` stands for, if the rule is about one column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The condition that holds for a good row, for example `value >= 0` or `kind = 'sale' or quantity < 0`.
    pub expression: String,
    /// What happens to a row that breaks it.
    pub on_violation: OnViolation,
}

/// What happens to a row that breaks an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnViolation {
    /// The row goes on and the violation is counted.
    Warn,
    /// The row is left out and counted.
    Drop,
    /// The record becomes a dead letter.
    DeadLetter,
    /// The module is parked before this record, with all of its products, until somebody looks; a batch job ends there.
    Stop,
}

/// How a column is hidden from readers of the table. The host applies it, not the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Every value becomes null (or `***` in a string column that cannot be null).
    Redact,
    /// A keyed hash: equal values stay equal, and nobody without the secret can guess them. Strings only.
    Hash,
    /// Only the first `keep` characters stay. Strings only.
    Truncate {
        /// How many characters stay.
        keep: u32,
    },
}

/// An aggregate that the host keeps over a product, by key and event-time window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gold {
    /// The product's name, unique within its domain.
    pub name: String,
    /// What a row is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The product whose rows are aggregated, by name, of the same module.
    pub from: String,
    /// The timestamp column of that product that places a row in its window.
    pub time: String,
    /// The windows.
    pub window: Window,
    /// How long after a window's end, in event time, its rows are still taken, in milliseconds.
    #[serde(default)]
    pub lateness_ms: u64,
    /// The calendar part of `window_start` by which the table is laid out.
    pub partition_by: Granularity,
    /// The grouping columns.
    pub keys: Vec<Key>,
    /// The aggregated columns.
    pub measures: Vec<Measure>,
}

/// A grouping column of a gold product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The column's name in the gold product.
    pub name: String,
    /// The column of the source product.
    pub column: String,
    /// What the column means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// Event-time windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Windows of one width, side by side, aligned to 1970-01-01T00:00:00Z.
    Tumbling {
        /// The width in milliseconds.
        width_ms: u64,
    },
}

impl Window {
    /// The width in milliseconds.
    #[must_use]
    pub fn width_ms(self) -> u64 {
        match self {
            Self::Tumbling { width_ms } => width_ms,
        }
    }
}

/// An aggregated column of a gold product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// The column's name in the gold product.
    pub name: String,
    /// How values become one.
    pub function: Function,
    /// The column of the source product; none for `count`, which counts rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The type that the author declared.
    pub data_type: DataType,
    /// What the column means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// How the values of a group become one. Nulls are left out, as in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// The number of rows.
    Count,
    /// The sum; null for a group without values.
    Sum,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The mean.
    Average,
    /// The number of distinct values, exact.
    Distinct,
    /// The number of distinct values, estimated by a HyperLogLog sketch (about 1.6 % standard error).
    DistinctSketch,
}

impl Manifest {
    /// Whether it masks a column: what was made of its events may not be shown to everybody as it came.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.products.iter().flat_map(|product| &product.columns).any(|column| column.mask.is_some())
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When the text is not JSON of this layout, or is of a layout that this version does not know.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let manifest: Self = serde_json::from_str(text).map_err(Error::Json)?;
        if manifest.manifest_version != MANIFEST_VERSION {
            return Err(Error::Version { found: manifest.manifest_version });
        }
        Ok(manifest)
    }

    /// Writes the manifest as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest has string keys only and so always serialises")
    }
}

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text does not follow the layout.
    #[error("the manifest is not of the expected layout")]
    Json(#[source] serde_json::Error),
    /// The manifest is of another layout.
    #[error("the manifest is of layout {found}, this version reads layout {MANIFEST_VERSION}")]
    Version {
        /// The layout found.
        found: u32,
    },
}
