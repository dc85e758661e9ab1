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

/// What keeps rows of `ours` out of a table of schema `theirs`, for a person; empty if nothing does.
pub(super) fn differences(ours: &Value, theirs: &Value) -> Vec<String> {
    let (ours, theirs) = (by_name(ours), by_name(theirs));
    let mut differences = Vec::new();
    for (name, column) in &ours {
        match theirs.iter().find(|(other, _)| other == name) {
            None => differences.push(format!("column {name} ({}) is not in the table", show(&column["type"]))),
            Some((_, other)) if other["type"] != column["type"] => differences.push(format!(
                "column {name} is {} in the product and {} in the table",
                show(&column["type"]),
                show(&other["type"])
            )),
            Some(_) => {}
        }
    }
    for (name, column) in &theirs {
        if !ours.iter().any(|(other, _)| other == name) {
            differences.push(format!("column {name} ({}) of the table is not in the product", show(&column["type"])));
        }
    }
    differences
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

    fn check(ours: &[(&str, DataType)], theirs: &[(&str, DataType)], expected: &[&str]) {
        let schema = |columns: &[(&str, DataType)]| {
            let fields: Vec<Field> =
                columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
            to_delta(&Schema::new(fields))
        };
        assert_eq!(differences(&schema(ours), &schema(theirs)), expected);
    }

    #[test]
    fn differences_name_the_column_and_both_types() {
        let (text, long) = (DataType::Utf8, DataType::Int64);
        check(&[("a", text.clone())], &[("a", text.clone())], &[]);
        check(
            &[("a", text.clone()), ("b", long.clone())],
            &[("a", text.clone())],
            &["column b (long) is not in the table"],
        );
        check(
            &[("a", DataType::Decimal128(18, 2))],
            &[("a", DataType::Decimal128(18, 3))],
            &["column a is decimal(18,2) in the product and decimal(18,3) in the table"],
        );
        check(
            &[("a", text.clone())],
            &[("a", text), ("b", long)],
            &["column b (long) of the table is not in the product"],
        );
    }
}
