//! A file's statistics for the Delta log, taken from what the Parquet writer counted anyway.
//!
//! Follows the section "Per-file Statistics" of the Delta transaction log protocol. Text bounds are cut to 32 characters.

use arrow_schema::{DataType, Schema};
use chrono::DateTime;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

/// Characters of a text bound.
const TEXT_BOUND: usize = 32;

/// Decimals of as many digits as a double keeps, whatever their scale.
const EXACT_DECIMAL: u64 = 1_000_000_000_000_000;

/// Statistics of a file of `rows` rows, for its columns that are not nested.
pub(super) fn of(metadata: &ParquetMetaData, schema: &Schema, rows: u64) -> Value {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    let descriptor = metadata.file_metadata().schema_descr();
    for leaf in 0..descriptor.num_columns() {
        let path = descriptor.column(leaf);
        let [name] = path.path().parts() else { continue };
        let Ok(field) = schema.field_with_name(name) else { continue };
        let groups: Option<Vec<&Statistics>> =
            metadata.row_groups().iter().map(|group| group.column(leaf).statistics()).collect();
        let Some(groups) = groups else { continue };
        if let Some(count) = groups.iter().map(|group| group.null_count_opt()).sum::<Option<u64>>() {
            nulls.insert(name.clone(), count.into());
        }
        if let Some((low, high)) = bounds(&groups, field.data_type()) {
            min.insert(name.clone(), low);
            max.insert(name.clone(), high);
        }
    }
    json!({"numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls})
}

/// The bounds over all row groups; `None` where a group has none or the type has no agreed form.
fn bounds(groups: &[&Statistics], data_type: &DataType) -> Option<(Value, Value)> {
    match groups.first()? {
        Statistics::Int32(_) => {
            let low = each(groups, |group| integer(group, true))?.min()?;
            let high = each(groups, |group| integer(group, false))?.max()?;
            Some((number(low, data_type)?, number(high, data_type)?))
        }
        Statistics::Int64(_) => {
            let low = each(groups, |group| integer(group, true))?.min()?;
            let high = each(groups, |group| integer(group, false))?.max()?;
            Some((number(low, data_type)?, number(high, data_type)?))
        }
        Statistics::ByteArray(_) if *data_type == DataType::Utf8 => {
            let low = each(groups, |group| text(group.min_bytes_opt()))?.min()?;
            let high = each(groups, |group| text(group.max_bytes_opt()))?.max()?;
            Some((lower_text(low).into(), upper_text(high)?.into()))
        }
        _ => None,
    }
}

fn each<'a, T: Ord>(
    groups: &[&'a Statistics],
    f: impl Fn(&'a Statistics) -> Option<T>,
) -> Option<std::vec::IntoIter<T>> {
    groups.iter().map(|group| f(group)).collect::<Option<Vec<T>>>().map(Vec::into_iter)
}

fn integer(group: &Statistics, low: bool) -> Option<i64> {
    match group {
        Statistics::Int32(values) => {
            (if low { values.min_opt() } else { values.max_opt() }).map(|value| i64::from(*value))
        }
        Statistics::Int64(values) => (if low { values.min_opt() } else { values.max_opt() }).copied(),
        _ => None,
    }
}

fn text(bytes: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

fn number(value: i64, data_type: &DataType) -> Option<Value> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => value.into(),
        DataType::Date32 => super::partition::date_text(i32::try_from(value).ok()?).into(),
        // Milliseconds, as Spark writes them; the upper bound is rounded up by whoever reads it.
        DataType::Timestamp(_, _) => {
            DateTime::from_timestamp_micros(value)?.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into()
        }
        // A JSON number of a decimal goes through a double in some readers, and here, and back to the digits of its type. Below 10^15 in
        // digits without the point this gives the same decimal, since a double keeps 15 digits of any; above it, not even its bound.
        DataType::Decimal128(_, scale) if value.unsigned_abs() < EXACT_DECIMAL => {
            let text = decimal_text(value, u32::try_from(*scale).ok()?);
            serde_json::from_str(&text).ok()?
        }
        _ => return None,
    })
}

fn decimal_text(value: i64, scale: u32) -> String {
    let unit = 10_i64.pow(scale.min(18)).unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    let (whole, rest) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:0width$}", width = scale as usize) }
}

fn lower_text(text: &str) -> String {
    text.chars().take(TEXT_BOUND).collect()
}

/// A text not below `text`: cut, with the largest character behind the cut.
fn upper_text(text: &str) -> Option<String> {
    if text.chars().count() <= TEXT_BOUND {
        return Some(text.to_owned());
    }
    Some(text.chars().take(TEXT_BOUND).chain([char::MAX]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_scale_and_sign() {
        assert_eq!(decimal_text(-5, 2), "-0.05");
        assert_eq!(decimal_text(12_345, 3), "12.345");
        assert_eq!(decimal_text(7, 0), "7");
    }

    #[test]
    fn a_decimal_bound_comes_back_to_the_last_digit_or_is_left_out() {
        for scale in [0, 2, 15, 18] {
            let bound = |value| number(value, &DataType::Decimal128(38, scale));
            for value in [1, 999_999_999_999_999, -999_999_999_999_997, 123_456_789_012_345, 900_719_925_474_099] {
                let double = bound(value).unwrap().as_f64().unwrap();
                let back = format!("{double:.*}", usize::from(scale.unsigned_abs())).replace('.', "");
                assert_eq!(back.parse::<i64>().unwrap(), value, "scale {scale}");
            }
            assert_eq!(bound(1_000_000_000_000_000), None);
        }
    }

    #[test]
    fn a_cut_bound_still_bounds() {
        let long = "z".repeat(40);
        assert!(upper_text(&long).unwrap() > long);
        assert!(lower_text(&long) <= long);
    }
}
