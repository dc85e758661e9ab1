//! Rows of files that other writers made, with the types that the table says.
//!
//! A Parquet file may hold a table's column in other ways: Spark writes timestamps as INT96, which are nanoseconds to Arrow, or in
//! milliseconds, and an engine of ours may have written texts with large offsets or as views.

use arrow_array::{Array, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, Field, Schema};
use std::sync::Arc;

/// The rows with their columns as `table` has them. Columns that it does not have, and nested ones, are left as they are.
///
/// # Errors
/// When a value is none of the table's type: it must not become null.
pub(super) fn cast(rows: &RecordBatch, table: &Schema) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let wanted = |field: &Field| {
        let wanted = table.field_with_name(field.name()).ok()?.data_type();
        (wanted != field.data_type() && !wanted.is_nested()).then_some(wanted)
    };
    if schema.fields().iter().all(|field| wanted(field).is_none()) {
        return Ok(rows.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        let column = match wanted(field) {
            Some(wanted) => cast_with_options(column, wanted, &options)?,
            None => Arc::clone(column),
        };
        fields.push(field.as_ref().clone().with_data_type(column.data_type().clone()));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, LargeStringArray, StringArray, TimestampNanosecondArray};
    use arrow_schema::{DataType, TimeUnit};

    #[test]
    fn rows_of_another_writer_get_the_types_of_the_table() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let table = Schema::new(vec![
            Field::new("at", time.clone(), true),
            Field::new("name", DataType::Utf8, true),
            Field::new("count", DataType::Int32, true),
        ]);
        let of = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
        let found = cast(
            &of(vec![
                ("at", Arc::new(TimestampNanosecondArray::from(vec![5_000]))),
                ("name", Arc::new(LargeStringArray::from(vec!["a"]))),
                ("more", Arc::new(Int64Array::from(vec![7]))),
            ]),
            &table,
        );
        let micros = arrow_array::TimestampMicrosecondArray::from(vec![5]).with_timezone("UTC");
        let expected = of(vec![
            ("at", Arc::new(micros)),
            ("name", Arc::new(StringArray::from(vec!["a"]))),
            ("more", Arc::new(Int64Array::from(vec![7]))),
        ]);
        assert_eq!(found.unwrap().columns(), expected.columns());
        let count = |value| cast(&of(vec![("count", Arc::new(Int64Array::from(vec![value])))]), &table);
        assert_eq!(count(7).unwrap().column(0).data_type(), &DataType::Int32);
        assert!(count(i64::MAX).is_err(), "no value becomes null");
    }
}
