//! Why a gold product cannot be kept, or a question about it cannot be answered.

use lakeward_manifest::DataType;

/// Why a gold product cannot be compiled, or its state not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The product given is not the one that the gold product aggregates.
    #[error("the gold product aggregates {expected}, not {found}")]
    OtherProduct {
        /// The product that the gold product names.
        expected: String,
        /// The product given.
        found: String,
    },
    /// The source product has no such column.
    #[error("product {product} has no column {column}")]
    UnknownColumn {
        /// The source product.
        product: String,
        /// The column that was named.
        column: String,
    },
    /// Event time must be known for every row.
    #[error("time column {column} must be a timestamp that is never null")]
    Time {
        /// The column that was named.
        column: String,
    },
    /// A window has no width, or one that does not fit a timestamp.
    #[error("a window of {width_ms} ms is not possible")]
    Width {
        /// The declared width.
        width_ms: u64,
    },
    /// The table of a gold product is laid out by calendar parts.
    #[error("a gold product is partitioned by day, month or year of its window")]
    PartitionBy,
    /// Nothing is aggregated.
    #[error("a gold product needs a measure")]
    NoMeasures,
    /// Two columns of the gold table or of its state table have one name.
    #[error("two columns would be named {name}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Values of the type do not group well.
    #[error("key {key} cannot be a {data_type}")]
    Key {
        /// The key.
        key: String,
        /// The type of its column.
        data_type: DataType,
    },
    /// The function takes a column.
    #[error("measure {measure} names no column")]
    NoColumn {
        /// The measure.
        measure: String,
    },
    /// `count` counts rows.
    #[error("measure {measure} counts rows and so takes no column")]
    CountOfColumn {
        /// The measure.
        measure: String,
    },
    /// The function is not defined for the type.
    #[error("measure {measure}: {function} is not defined for {data_type}")]
    Undefined {
        /// The measure.
        measure: String,
        /// The function.
        function: &'static str,
        /// The type of the column.
        data_type: DataType,
    },
    /// The declared type cannot hold the result.
    #[error("measure {measure} is declared {declared}, but must be {accepted}")]
    MeasureType {
        /// The measure.
        measure: String,
        /// The declared type.
        declared: DataType,
        /// The types that hold the result.
        accepted: String,
    },
    /// Rows of the state table are not of the plan's state schema.
    #[error("column {column} of the state is not as this version of the product keeps it")]
    StateSchema {
        /// The first column that differs.
        column: String,
    },
    /// Rows of the state table belong to another partition.
    #[error("state of partition {found} was given to partition {expected}")]
    ForeignPartition {
        /// The partition that restores.
        expected: i32,
        /// The partition of the row.
        found: i32,
    },
    /// A set or sketch in the state table cannot be read.
    #[error("the distinct values of measure {measure} cannot be read")]
    Distinct {
        /// The measure.
        measure: String,
    },
    /// The distinct values of one batch of state pass 2 GiB, the limit of an Arrow binary column.
    #[error("the distinct values of measure {measure} pass 2 GiB in one batch of state")]
    TooLarge {
        /// The measure.
        measure: String,
    },
    /// Arrow refused the columns.
    #[error("the columns do not make a batch")]
    Arrow(#[source] arrow_schema::ArrowError),
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is no such column.
    #[error("there is no column {name}; there are {}", known.join(", "))]
    UnknownColumn {
        /// The name asked for.
        name: String,
        /// The names that could stand there.
        known: Vec<String>,
    },
    /// The value is not of the column's type.
    #[error("{column} is a {data_type}, and {value:?} is none")]
    BadValue {
        /// The column.
        column: String,
        /// The text given.
        value: String,
        /// The column's type.
        data_type: DataType,
    },
}
