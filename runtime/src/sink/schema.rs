//! Arrow schemas as Delta Lake writes them, and where two of them differ.
//!
//! Follows the section "Schema Serialization Format" of the Delta transaction log protocol.

use arrow_schema::{DataType, Field, Fields, Schema};
use serde_json::{Value, json};

/// The schema as the log's `schemaString` holds it.
pub(super) fn to_delta(schema: &Schema) -> Value {
    structure(schema.fields())
}

fn structure(fields: &Fields) -> Value {
    let fields: Vec<Value> = fields.iter().map(|field| column(field)).collect();
    json!({"type": "struct", "fields": fields})
}

fn column(field: &Field) -> Value {
    json!({"name": field.name(), "type": data_type(field.data_type()), "nullable": field.is_nullable(), "metadata": {}})
}

fn data_type(data_type: &DataType) -> Value {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "byte".into(),
        DataType::Int16 => "short".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})").into(),
        DataType::Utf8 => "string".into(),
        DataType::Binary => "binary".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::List(item) => {
            json!({"type": "array", "elementType": self::data_type(item.data_type()), "containsNull": item.is_nullable()})
        }
        DataType::Struct(fields) => structure(fields),
        other => unreachable!("columns::table_type gives no {other}"),
    }
}

/// How rows of one schema stand to a table of another.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fit {
    /// What keeps the rows out of the table, for a person; empty if nothing does.
    pub(super) differences: Vec<String>,
    /// The columns that the table gains with the first such rows, as its schema will hold them.
    pub(super) lacking: Vec<Value>,
}

/// Compares the schema of rows with that of their table. Where the table `evolves` it may lack columns that are nullable, and have others
/// that are: readers find null where a file lacks a column.
pub(super) fn fit(ours: &Value, theirs: &Value, evolves: bool) -> Fit {
    let (ours, theirs) = (by_name(ours), by_name(theirs));
    let mut fit = Fit::default();
    let nullable = |column: &Value| column["nullable"].as_bool().unwrap_or(true);
    for (name, column) in &ours {
        let shown = show(&column["type"]);
        match theirs.iter().find(|(other, _)| other == name) {
            // To a table upper and lower case are the same.
            None if theirs.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) => fit
                .differences
                .push(format!("column {name} ({shown}) differs from one of the table in upper and lower case only")),
            None if evolves && nullable(column) => fit.lacking.push((*column).clone()),
            None => fit.differences.push(format!("column {name} ({shown}) is not in the table")),
            Some((_, other)) if other["type"] != column["type"] => fit
                .differences
                .push(format!("column {name} is {shown} in the product and {} in the table", show(&other["type"]))),
            Some((_, other)) if nullable(column) && !nullable(other) => {
                fit.differences.push(format!("column {name} may be null in the product and never in the table"));
            }
            Some(_) => {}
        }
    }
    for (name, column) in &theirs {
        if !(ours.iter().any(|(other, _)| other == name) || evolves && nullable(column)) {
            let shown = show(&column["type"]);
            fit.differences.push(format!("column {name} ({shown}) of the table is not in the product"));
        }
    }
    fit
}

/// The schema with these columns behind its own.
pub(super) fn with(schema: &Value, more: &[Value]) -> Value {
    let own = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fields = [own, more].concat();
    json!({"type": "struct", "fields": fields})
}

fn by_name(schema: &Value) -> Vec<(String, &Value)> {
    let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    fields.iter().map(|field| (field["name"].as_str().unwrap_or_default().to_owned(), field)).collect()
}

fn show(data_type: &Value) -> String {
    data_type.as_str().map_or_else(|| data_type["type"].as_str().unwrap_or("nested").to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schema of columns as `a`, `a?` (which may be null) or `a:date`; without a type they are long integers.
    fn delta(columns: &str) -> Value {
        let field = |column: &str| {
            let (column, nullable) = column.strip_suffix('?').map_or((column, false), |column| (column, true));
            let (name, data_type) = column.split_once(':').unwrap_or((column, "long"));
            let data_type = match data_type {
                "string" => DataType::Utf8,
                "date" => DataType::Date32,
                "money" => DataType::Decimal128(18, 2),
                "gold" => DataType::Decimal128(18, 3),
                _ => DataType::Int64,
            };
            Field::new(name, data_type, nullable)
        };
        to_delta(&Schema::new(columns.split_whitespace().map(field).collect::<Vec<_>>()))
    }

    #[track_caller]
    fn check(evolves: bool, ours: &str, theirs: &str, differences: &[&str], lacking: &[&str]) {
        let found = fit(&delta(ours), &delta(theirs), evolves);
        let names: Vec<&str> = found.lacking.iter().map(|column| column["name"].as_str().unwrap()).collect();
        assert_eq!(
            (found.differences.iter().map(String::as_str).collect(), names),
            (differences.to_vec(), lacking.to_vec())
        );
    }

    #[test]
    fn differences_name_the_column_and_both_types() {
        check(false, "a?", "a?", &[], &[]);
        check(false, "a? b?", "a?", &["column b (long) is not in the table"], &[]);
        check(false, "a?", "a? b?", &["column b (long) of the table is not in the product"], &[]);
        let types = "column a is decimal(18,2) in the product and decimal(18,3) in the table";
        check(true, "a:money", "a:gold", &[types], &[]);
    }

    #[test]
    fn a_table_that_evolves_gains_nullable_columns_and_keeps_those_of_before() {
        check(true, "a? b?", "a?", &[], &["b"]);
        check(true, "a?", "a? b?", &[], &[]);
        check(true, "b?", "a?", &[], &["b"]);
        check(true, "a? b", "a?", &["column b (long) is not in the table"], &[]);
        check(true, "a?", "a? b", &["column b (long) of the table is not in the product"], &[]);
        check(true, "b?", "b", &["column b may be null in the product and never in the table"], &[]);
        check(true, "b", "b?", &[], &[]);
        let case = "column B (long) differs from one of the table in upper and lower case only";
        check(true, "B?", "b?", &[case], &[]);
    }

    #[test]
    fn new_columns_stand_behind_the_others_which_stay_as_they_are() {
        let (table, rows) = (delta("a:string b?"), delta("c:date? a:string"));
        let merged = with(&table, &fit(&rows, &table, true).lacking);
        assert_eq!(merged, delta("a:string b? c:date?"));
    }
}
