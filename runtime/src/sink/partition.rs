//! Splits rows by the values of a table's partition columns.

use arrow_array::cast::AsArray;
use arrow_array::types::DecimalType;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, StringArray, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDate};
use lakeward_manifest::{Granularity, PartitionBy};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The longest value in a folder's name, in bytes: file systems take 255 a name, and S3 1,024 for a whole key, in which several of them
/// stand. Three bytes of a folder are one of a text that is not English.
const LONGEST_VALUE: usize = 120;

/// The longest column name in a folder's name, in bytes.
const LONGEST_NAME: usize = 60;

/// Bytes of a hash that tell long values apart. Values of one folder are still two partitions, by what the log says.
const HASH_BYTES: usize = 8;

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
        let keys = self.sources.iter().map(|source| Keys::of(&columns[source.index], source.by));
        let keys = keys.collect::<Result<Vec<Keys>, ArrowError>>()?;
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
    Text(StringArray),
}

impl Keys {
    fn of(column: &ArrayRef, by: Granularity) -> Result<Self, ArrowError> {
        let days: Vec<Option<i32>> = match (by, column.data_type()) {
            (Granularity::Value, _) => return Ok(Self::Text(texts(column)?)),
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
        Ok(Self::Days(days.into_iter().map(first_day).collect()))
    }

    fn same(&self, row: usize, other: usize) -> bool {
        match self {
            Self::Days(days) => days[row] == days[other],
            Self::Text(texts) => value_text(texts, row) == value_text(texts, other),
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
            Self::Text(texts) => value_text(texts, row).map(str::to_owned),
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

/// The values of a column as the Delta protocol's section "Partition Value Serialization" writes them.
///
/// # Errors
/// For a type that has no such form: a product's contract refuses it before, and a value must not get lost where it does not.
fn texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    Ok(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().clone(),
        DataType::Date32 => texts_of::<Date32Type>(column, date_text),
        DataType::Timestamp(TimeUnit::Microsecond, _) => texts_of::<TimestampMicrosecondType>(column, time_text),
        DataType::Boolean => column.as_boolean().iter().map(|value| value.map(|value| value.to_string())).collect(),
        DataType::Int8 => texts_of::<Int8Type>(column, |value| value.to_string()),
        DataType::Int16 => texts_of::<Int16Type>(column, |value| value.to_string()),
        DataType::Int32 => texts_of::<Int32Type>(column, |value| value.to_string()),
        DataType::Int64 => texts_of::<Int64Type>(column, |value| value.to_string()),
        DataType::Decimal128(precision, scale) => {
            texts_of::<Decimal128Type>(column, |value| Decimal128Type::format_decimal(value, *precision, *scale))
        }
        other => return Err(ArrowError::NotYetImplemented(format!("a table partitioned by values of type {other}"))),
    })
}

fn texts_of<T: ArrowPrimitiveType>(column: &ArrayRef, text: impl Fn(T::Native) -> String) -> StringArray {
    let values: &PrimitiveArray<T> = column.as_primitive();
    values.iter().map(|value| value.map(&text)).collect()
}

/// Times that no calendar of ours reaches, past the year 262,000, are kept as they are counted.
fn time_text(micros: i64) -> String {
    let time = DateTime::from_timestamp_micros(micros);
    time.map_or_else(|| micros.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
}

/// A value; an empty text is null in a Delta log.
fn value_text(texts: &StringArray, row: usize) -> Option<&str> {
    (!texts.is_null(row)).then(|| texts.value(row)).filter(|text| !text.is_empty())
}

/// The folder of a partition value, `country=France/`. It is for people, and for those who list a store: readers of the table take the
/// value from the log.
pub(super) fn folder(column: &str, value: Option<&str>) -> String {
    let value = value.map_or_else(|| "__HIVE_DEFAULT_PARTITION__".to_owned(), |value| bounded(value, LONGEST_VALUE));
    format!("{}={value}/", bounded(column, LONGEST_NAME))
}

/// A text as part of a folder's name of so many bytes at most: where it would be longer, its start and a hash of all of it.
fn bounded(text: &str, longest: usize) -> String {
    let mut escaped = escape(text);
    if escaped.len() > longest {
        let hash = Sha256::digest(text.as_bytes());
        let hash: String = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        escaped.truncate(longest - hash.len() - 1);
        escaped = format!("{escaped}-{hash}");
    }
    escaped
}

/// A text as part of a path: everything but letters, digits and `-_.` would be percent-encoded twice over, once for the path and once for
/// the log, which holds a URI; so the text is kept to what needs neither.
fn escape(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.chars().all(plain) && !text.starts_with('.') {
        return text.to_owned();
    }
    text.bytes().fold(String::new(), |text, byte| {
        if plain(char::from(byte)) { text + &char::from(byte).to_string() } else { format!("{text}_{byte:02x}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BooleanArray, Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray};

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

    #[test]
    fn every_type_that_a_contract_takes_has_a_text() {
        let decimal = Decimal128Array::from(vec![-5, 12_340]).with_precision_and_scale(18, 3).unwrap();
        let whole = Decimal128Array::from(vec![12]).with_precision_and_scale(38, 0).unwrap();
        let cases: Vec<(ArrayRef, &[Option<&str>])> = vec![
            (Arc::new(decimal), &[Some("-0.005"), Some("12.340")]),
            (Arc::new(whole), &[Some("12")]),
            (Arc::new(Int64Array::from(vec![Some(-7), None])), &[Some("-7"), None]),
            (Arc::new(BooleanArray::from(vec![true])), &[Some("true")]),
            (Arc::new(StringArray::from(vec!["", "a"])), &[None, Some("a")]),
            (Arc::new(TimestampMicrosecondArray::from(vec![1])), &[Some("1970-01-01 00:00:00.000001")]),
        ];
        for (column, expected) in cases {
            let texts = texts(&column).unwrap();
            let found: Vec<_> = (0..column.len()).map(|row| value_text(&texts, row)).collect();
            assert_eq!(found, expected, "{}", column.data_type());
        }
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        assert!(texts(&floats).is_err(), "no value gets lost silently");
    }

    #[test]
    fn rows_of_a_decimal_are_parted_and_keep_its_value() {
        let schema = Schema::new(vec![Field::new("rate", DataType::Decimal128(4, 2), true)]);
        let split = Split::new(&schema, &[PartitionBy { column: "rate".into(), by: Granularity::Value }]);
        let rates = Decimal128Array::from(vec![Some(700), None]).with_precision_and_scale(4, 2).unwrap();
        let parts = split.split(vec![Arc::new(rates)]).unwrap();
        let values: Vec<_> = parts.iter().map(|(values, _)| values[0].as_deref()).collect();
        assert_eq!(values, [None, Some("7.00")]);
    }

    #[test]
    fn a_long_value_is_a_folder_of_its_own_that_every_store_takes() {
        assert_eq!(folder("country", Some("France")), "country=France/");
        assert_eq!(folder("country", None), "country=__HIVE_DEFAULT_PARTITION__/");
        let long = |last: char| "Владивосток ".repeat(30) + &last.to_string();
        let (one, other) = (folder(&long('a'), Some(&long('a'))), folder(&long('a'), Some(&long('b'))));
        assert!(one.len() <= LONGEST_NAME + LONGEST_VALUE + 2, "{one}");
        assert_ne!(one, other);
        assert_eq!(one, folder(&long('a'), Some(&long('a'))));
    }
}
