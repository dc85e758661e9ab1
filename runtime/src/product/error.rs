//! Why a product's contract cannot be used.

use super::expression;
use lakeward_manifest::Layer;

/// Why a product's contract cannot be used. The module's author must change it, trying again does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The product's name cannot name a table.
    #[error("`{product}` cannot name a product, only letters, digits, `_` and `-` can stand in its path")]
    Name {
        /// The name.
        product: String,
    },
    /// A layer that transforms do not write.
    #[error("product {product} is of the {layer} layer, a transform writes silver products only")]
    Layer {
        /// The product.
        product: String,
        /// Its layer.
        layer: Layer,
    },
    /// A column that cannot stand in a table.
    #[error("product {product}, column `{column}`: {problem}")]
    Column {
        /// The product.
        product: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A product without columns.
    #[error("product {product} has no columns")]
    NoColumns {
        /// The product.
        product: String,
    },
    /// A partitioning that cannot be.
    #[error("product {product} cannot be partitioned by `{column}`: {problem}")]
    Partition {
        /// The product.
        product: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A mask on a column that it does not fit.
    #[error("product {product}, column `{column}`: mask `{mask}` {problem}")]
    Mask {
        /// The product.
        product: String,
        /// The column.
        column: String,
        /// The mask.
        mask: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two expectations of one name.
    #[error("product {product} has two expectations named `{expectation}`")]
    DuplicateExpectation {
        /// The product.
        product: String,
        /// The name.
        expectation: String,
    },
    /// An expectation on a column that there is not.
    #[error("product {product}, expectation `{expectation}` stands on column `{column}`, the product has {known}")]
    ExpectationColumn {
        /// The product.
        product: String,
        /// The expectation.
        expectation: String,
        /// The column.
        column: String,
        /// The columns that there are.
        known: String,
    },
    /// An expectation that cannot be evaluated.
    #[error("product {product}, expectation `{expectation}`{}: `{expression}` cannot be used", on_column(.column.as_deref()))]
    Expression {
        /// The product.
        product: String,
        /// The expectation.
        expectation: String,
        /// The column that the expectation stands on.
        column: Option<String>,
        /// The expression.
        expression: String,
        /// Why it cannot be used.
        source: Box<expression::Error>,
    },
}

fn on_column(column: Option<&str>) -> String {
    column.map_or_else(String::new, |column| format!(" on column `{column}`"))
}
