//! Refuses a product that cannot become a table, before the first row.

use super::Error;
use lakeward_manifest::{Column, DataType, Granularity, Layer, Mask, PartitionBy, Product};
use std::collections::HashSet;

/// How deep a column's type may nest.
const MAX_DEPTH: usize = 16;

/// Columns of this prefix are the pipeline's own.
const RESERVED_PREFIX: &str = "_lakeward";

/// Checks everything about the product but its expectations.
pub(super) fn check(product: &Product, has_secret: bool) -> Result<(), Error> {
    let name = || product.name.clone();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if product.name.is_empty() || product.name.starts_with('_') || !product.name.chars().all(plain) {
        return Err(Error::Name { product: name() });
    }
    if product.layer != Layer::Silver {
        return Err(Error::Layer { product: name(), layer: product.layer });
    }
    if product.columns.is_empty() {
        return Err(Error::NoColumns { product: name() });
    }
    let mut names = HashSet::new();
    for column in &product.columns {
        let wrong = column_problem(column, &mut names).or_else(|| type_problem(&column.data_type, 0));
        if let Some(problem) = wrong {
            return Err(Error::Column { product: name(), column: column.name.clone(), problem });
        }
        if let Some((mask, problem)) = mask_problem(column, has_secret) {
            return Err(Error::Mask { product: name(), column: column.name.clone(), mask, problem });
        }
    }
    for by in &product.partition_by {
        if let Some(problem) = partition_problem(by, product, &mut names) {
            return Err(Error::Partition { product: name(), column: by.column.clone(), problem });
        }
    }
    Ok(())
}

/// Engines that read the table compare column names without case, so two that differ in case only are one.
fn column_problem(column: &Column, names: &mut HashSet<String>) -> Option<&'static str> {
    if column.name.is_empty() {
        return Some("a column needs a name");
    }
    if column.name.to_ascii_lowercase().starts_with(RESERVED_PREFIX) {
        return Some("names that start with `_lakeward` are taken");
    }
    if column.name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=']) {
        return Some("a table's column name holds no space and none of `,;{}()=`");
    }
    let new = names.insert(column.name.to_lowercase());
    (!new).then_some("two columns have this name (upper and lower case are the same here)")
}

fn type_problem(data_type: &DataType, depth: usize) -> Option<&'static str> {
    if depth > MAX_DEPTH {
        return Some("the type nests deeper than 16 levels");
    }
    match data_type {
        DataType::Decimal { precision, scale } if !(1..=38).contains(precision) || scale > precision => {
            Some("a decimal has 1 to 38 digits, and no more of them behind the point than in all")
        }
        DataType::List(item) => type_problem(&item.data_type, depth + 1),
        DataType::Struct(fields) if fields.is_empty() => Some("a struct needs a field"),
        DataType::Struct(fields) => {
            let mut names = HashSet::new();
            let problem =
                |field| column_problem(field, &mut names).or_else(|| type_problem(&field.data_type, depth + 1));
            fields.iter().find_map(problem)
        }
        _ => None,
    }
}

fn mask_problem(column: &Column, has_secret: bool) -> Option<(&'static str, &'static str)> {
    let is_text = column.data_type == DataType::String;
    match column.mask? {
        Mask::Redact if !is_text && !column.nullable => Some(("redact", "needs a column that may be null, or text")),
        Mask::Hash if !is_text => Some(("hash", "fits text only")),
        Mask::Hash if !has_secret => Some(("hash", "needs a secret, which the configuration gives as `masks.secret`")),
        Mask::Truncate { .. } if !is_text => Some(("truncate", "fits text only")),
        Mask::Redact | Mask::Hash | Mask::Truncate { .. } => None,
    }
}

fn partition_problem(by: &PartitionBy, product: &Product, names: &mut HashSet<String>) -> Option<String> {
    let Some(column) = product.columns.iter().find(|column| column.name == by.column) else {
        return Some(format!("there is no such column, the product has {}", known_columns(&product.columns)));
    };
    match (by.by, &column.data_type) {
        (Granularity::Value, DataType::Float32 | DataType::Float64) => {
            Some("a float has no stable name for a folder".to_owned())
        }
        (Granularity::Value, DataType::Binary | DataType::List(_) | DataType::Struct(_)) => {
            Some(format!("a {} cannot name a folder", column.data_type))
        }
        (Granularity::Value, _) => {
            // The column itself is already among the names, a second partitioning by it is not.
            let new = names.insert(format!("partition {}", by.column));
            (!new).then(|| "it is named twice".to_owned())
        }
        (Granularity::Day | Granularity::Month | Granularity::Year, DataType::Date | DataType::Timestamp) => {
            let new = names.insert(by.table_column().to_lowercase());
            (!new).then(|| format!("the table already has a column `{}`", by.table_column()))
        }
        (Granularity::Day | Granularity::Month | Granularity::Year, other) => {
            Some(format!("a calendar part is of a date or a timestamp, this is a {other}"))
        }
    }
}

/// The columns that there are, for an error text.
pub(super) fn known_columns(columns: &[Column]) -> String {
    columns.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ")
}
