//! Splits rows by the values of a table's partition columns.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema};
use chrono::{DateTime, Datelike, NaiveDate};
use lakeward_manifest::{Granularity, PartitionBy};
use std::collections::BTreeMap;
use std::sync::Arc;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The values of a table partition and the columns of its rows, without the columns that the values replace.
pub(super) type Part = (Vec<Option<String>>, Vec<ArrayRef>);

/// The partition columns of a table and where they come from.
#[derive(Debug)]
pub(super) struct Split {
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    index: usize,
    name: String,
    by: Granularity,
    field: FieldRef,
}

impl Split {
    /// Columns that the schema lacks are left out: a product's contract refuses them before.
    pub(super) fn new(schema: &Schema, partition_by: &[PartitionBy]) -> Self {
        let source = |by: &PartitionBy| {
            let index = schema.index_of(&by.column).ok()?;
            let data_type = match by.by {
                Granularity::Value => schema.field(index).data_type().clone(),
                Granularity::Day | Granularity::Month | Granularity::Year => DataType::Date32,
            };
            let field = Arc::new(Field::new(by.table_column(), data_type, true));
            Some(Source { index, name: by.column.clone(), by: by.by, field })
        };
        Self { sources: partition_by.iter().filter_map(source).collect() }
    }

    /// The partition columns, as the table's schema has them.
    pub(super) fn fields(&self) -> Vec<FieldRef> {
        self.sources.iter().map(|source| Arc::clone(&source.field)).collect()
    }

    /// Whether the column stands in the path only, not in the files.
    pub(super) fn replaces(&self, column: &str) -> bool {
        self.sources.iter().any(|source| source.by == Granularity::Value && source.name == column)
    }

    pub(super) fn split(&self, columns: Vec<ArrayRef>) -> Result<Vec<Part>, ArrowError> {
        let rows = columns.first().map_or(0, |column| column.len());
        if self.sources.is_empty() || rows == 0 {
            return Ok(if rows == 0 { Vec::new() } else { vec![(Vec::new(), columns)] });
        }
        let keys: Vec<Keys> = self.sources.iter().map(|source| Keys::of(&columns[source.index], source.by)).collect();
        let mut columns = columns;
        let mut replaced: Vec<usize> =
            self.sources.iter().filter(|source| source.by == Granularity::Value).map(|source| source.index).collect();
        replaced.sort_unstable();
        let values = |row: usize| keys.iter().map(|keys| keys.text(row)).collect::<Vec<_>>();
        if keys.iter().all(Keys::is_constant) {
            let values = values(0);
            replaced.iter().rev().for_each(|index| drop(columns.remove(*index)));
            return Ok(vec![(values, columns)]);
        }
        let mut parts: BTreeMap<Vec<Option<String>>, Vec<u32>> = BTreeMap::new();
        let mut run_start = 0;
        for row in 1..=rows {
            if row < rows && keys.iter().all(|keys| keys.same(row, run_start)) {
                continue;
            }
            let indices = parts.entry(values(run_start)).or_default();
            indices.extend((run_start..row).map(|row| u32::try_from(row).unwrap_or(u32::MAX)));
            run_start = row;
        }
        replaced.iter().rev().for_each(|index| drop(columns.remove(*index)));
        parts
            .into_iter()
            .map(|(values, indices)| {
                let indices = UInt32Array::from(indices);
                let taken = columns.iter().map(|column| arrow_select::take::take(column, &indices, None));
                Ok((values, taken.collect::<Result<_, _>>()?))
            })
            .collect()
    }
}

/// The partition values of a column, row by row.
enum Keys {
    Days(Vec<Option<i32>>),
    Text(ArrayRef),
}

impl Keys {
    fn of(column: &ArrayRef, by: Granularity) -> Self {
        let days: Vec<Option<i32>> = match (by, column.data_type()) {
            (Granularity::Value, _) => return Self::Text(Arc::clone(column)),
            (_, DataType::Date32) => column.as_primitive::<Date32Type>().iter().collect(),
            _ => column
                .as_primitive::<TimestampMicrosecondType>()
                .iter()
                .map(|micros| micros.map(|micros| i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX)))
                .collect(),
        };
        let mut last: (Option<i32>, Option<i32>) = (None, None);
        let first_day = |day: Option<i32>| {
            if day != last.0 {
                last = (day, day.map(|day| first_of(day, by)));
            }
            last.1
        };
        Self::Days(days.into_iter().map(first_day).collect())
    }

    fn same(&self, row: usize, other: usize) -> bool {
        match self {
            Self::Days(days) => days[row] == days[other],
            Self::Text(_) => self.text(row) == self.text(other),
        }
    }

    fn is_constant(&self) -> bool {
        match self {
            Self::Days(days) => days.iter().all(|day| *day == days[0]),
            Self::Text(column) => (1..column.len()).all(|row| self.same(row, 0)),
        }
    }

    fn text(&self, row: usize) -> Option<String> {
        match self {
            Self::Days(days) => days[row].map(date_text),
            Self::Text(column) => value_text(column, row),
        }
    }
}

/// The first day of the calendar part that `day` is in; both in days since 1970-01-01.
#[must_use]
pub fn first_of(day: i32, by: Granularity) -> i32 {
    let Some(date) = NaiveDate::from_epoch_days(day) else { return day };
    let first = match by {
        Granularity::Value | Granularity::Day => Some(date),
        Granularity::Month => NaiveDate::from_ymd_opt(date.year(), date.month(), 1),
        Granularity::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
    };
    first.map_or(day, |first| first.to_epoch_days())
}

/// A day since 1970-01-01 as Delta Lake writes partition values, `2011-01-31`.
#[must_use]
pub fn date_text(day: i32) -> String {
    NaiveDate::from_epoch_days(day).map_or_else(|| day.to_string(), |date| date.to_string())
}

/// A value as the Delta protocol's section "Partition Value Serialization" writes it; an empty text is null there.
fn value_text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let text = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Date32 => date_text(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(_, _) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            DateTime::from_timestamp_micros(micros)?.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        }
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int8 => column.as_primitive::<arrow_array::types::Int8Type>().value(row).to_string(),
        DataType::Int16 => column.as_primitive::<arrow_array::types::Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<arrow_array::types::Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<arrow_array::types::Int64Type>().value(row).to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A value as part of a path: everything but letters, digits and `-_.` is percent-encoded twice over, once for the path and once for
/// the log, which holds a URI; so the value is kept to what needs neither.
pub(super) fn escape(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.chars().all(plain) && !value.starts_with('.') {
        return value.to_owned();
    }
    value.bytes().fold(String::new(), |text, byte| {
        if plain(char::from(byte)) { text + &char::from(byte).to_string() } else { format!("{text}_{byte:02x}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{StringArray, TimestampMicrosecondArray};
    use arrow_schema::TimeUnit;

    fn day(text: &str) -> i32 {
        text.parse::<NaiveDate>().unwrap().to_epoch_days()
    }

    #[test]
    fn a_day_belongs_to_the_first_of_its_part() {
        assert_eq!(first_of(day("2011-02-28"), Granularity::Month), day("2011-02-01"));
        assert_eq!(first_of(day("1969-12-31"), Granularity::Month), day("1969-12-01"));
        assert_eq!(first_of(day("2011-02-28"), Granularity::Year), day("2011-01-01"));
        assert_eq!(first_of(day("2011-02-28"), Granularity::Day), day("2011-02-28"));
    }

    #[test]
    fn rows_go_to_the_part_of_their_value() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![Field::new("at", time, false), Field::new("name", DataType::Utf8, true)]);
        let by = PartitionBy { column: "at".into(), by: Granularity::Month };
        let split = Split::new(&schema, &[by]);
        let micros = |text| i64::from(day(text)) * MICROS_PER_DAY + 5;
        let at =
            TimestampMicrosecondArray::from(vec![micros("2011-01-31"), micros("2011-02-01"), micros("2011-01-01")]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(at.with_timezone("UTC")), Arc::new(StringArray::from(vec!["a", "b", "c"]))];
        let parts = split.split(columns).unwrap();
        let names: Vec<(Option<String>, Vec<&str>)> = parts
            .iter()
            .map(|(values, columns)| (values[0].clone(), columns[1].as_string::<i32>().iter().flatten().collect()))
            .collect();
        assert_eq!(
            names,
            [(Some("2011-01-01".to_owned()), vec!["a", "c"]), (Some("2011-02-01".to_owned()), vec!["b"])]
        );
    }

    #[test]
    fn a_value_with_a_slash_stays_one_folder() {
        assert_eq!(escape("a/b c"), "a_2fb_20c");
        assert_eq!(escape("2011-01-01"), "2011-01-01");
    }
}
