//! Finds the values that the table's types cannot hold, although the wall's types can.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use lakeward_manifest::{Column, DataType};
use std::ops::RangeInclusive;
use std::sync::Arc;

const DAY_US: i64 = 86_400_000_000;

/// 0001-01-01, in days since 1970-01-01.
const FIRST_DAY: i32 = -719_162;

/// 9999-12-31, in days since 1970-01-01.
const LAST_DAY: i32 = 2_932_896;

/// The rows of `array` that hold a value which does not fit the table; `None` if there is none.
///
/// | wall | does not fit |
/// |---|---|
/// | any column that is declared without nulls | null |
/// | `uint64` | above 2^63 - 1 |
/// | `decimal(p,s)` | more than `p` digits: 16 bytes hold 38 whatever `p` is |
/// | `date`, `timestamp` | outside of the years 1 to 9999: readers of Delta tables parse no others where they name a partition |
/// | lists, structs | where a value inside does not fit |
pub(super) fn misfits(array: &ArrayRef, column: &Column) -> Option<BooleanBuffer> {
    let nulls = (!column.nullable).then(|| array.nulls()).flatten().filter(|nulls| nulls.null_count() > 0);
    let nulls = nulls.map(|nulls| !nulls.inner());
    either(nulls, misfitting_values(array, &column.data_type))
}

/// What does not fit about the value at `row`, for a person.
pub(super) fn describe(array: &ArrayRef, column: &Column, row: usize) -> String {
    if array.is_null(row) {
        return "null in a column that is declared without nulls".to_owned();
    }
    match &column.data_type {
        DataType::Uint64 => format!("above {}, the largest integer of a table", i64::MAX),
        DataType::Decimal { .. } => format!("more digits than {} has", column.data_type),
        DataType::Date | DataType::Timestamp => "outside of the years 1 to 9999".to_owned(),
        DataType::String => "empty, which a table that is partitioned by it takes for null".to_owned(),
        _ => format!("a value inside does not fit {}", column.data_type),
    }
}

fn misfitting_values(array: &ArrayRef, data_type: &DataType) -> Option<BooleanBuffer> {
    match data_type {
        DataType::Uint64 => {
            let limit = i64::MAX.unsigned_abs();
            let values = array.as_primitive::<UInt64Type>().values();
            let wrong = || BooleanBuffer::collect_bool(values.len(), |row| values[row] > limit);
            where_valid(values.iter().any(|value| *value > limit).then(wrong), array.nulls())
        }
        DataType::Decimal { precision, .. } => {
            let limit = 10_u128.pow(u32::from(*precision).min(38));
            let values = array.as_primitive::<Decimal128Type>().values();
            let wrong = || BooleanBuffer::collect_bool(values.len(), |row| values[row].unsigned_abs() >= limit);
            where_valid(values.iter().any(|value| value.unsigned_abs() >= limit).then(wrong), array.nulls())
        }
        DataType::Date => outside(array.as_primitive::<Date32Type>(), FIRST_DAY..=LAST_DAY),
        DataType::Timestamp => {
            let micros = |day: i32| i64::from(day) * DAY_US;
            outside(array.as_primitive::<TimestampMicrosecondType>(), micros(FIRST_DAY)..=micros(LAST_DAY + 1) - 1)
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let wrong = misfits(list.values(), item)?;
            let offsets = list.value_offsets();
            let any = |row: usize| (offsets[row]..offsets[row + 1]).any(|at| wrong.value(at as usize));
            where_valid(Some(BooleanBuffer::collect_bool(list.len(), any)), array.nulls())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let wrong = columns.iter().zip(fields).map(|(child, field)| misfits(child, field)).fold(None, either);
            where_valid(wrong, array.nulls())
        }
        _ => None,
    }
}

fn outside<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, range: RangeInclusive<T::Native>) -> Option<BooleanBuffer>
where
    T::Native: PartialOrd,
{
    let values = array.values();
    let wrong = || BooleanBuffer::collect_bool(values.len(), |row| !range.contains(&values[row]));
    where_valid(values.iter().any(|value| !range.contains(value)).then(wrong), array.nulls())
}

/// The rows with an empty text.
pub(super) fn empty_texts(array: &StringArray) -> Option<BooleanBuffer> {
    let is_empty = |row: usize| array.value_length(row) == 0;
    let wrong = || BooleanBuffer::collect_bool(array.len(), is_empty);
    where_valid((0..array.len()).any(is_empty).then(wrong), array.nulls())
}

/// The texts with null for the empty ones.
pub(super) fn null_for_empty(array: ArrayRef) -> ArrayRef {
    let texts = array.as_string::<i32>();
    match empty_texts(texts) {
        None => array,
        Some(empty) => {
            let nulls = NullBuffer::union(texts.nulls(), Some(&NullBuffer::new(!&empty)));
            Arc::new(StringArray::new(texts.offsets().clone(), texts.values().clone(), nulls))
        }
    }
}

/// A null hides whatever stands in the buffers beneath it.
fn where_valid(wrong: Option<BooleanBuffer>, nulls: Option<&NullBuffer>) -> Option<BooleanBuffer> {
    let wrong = match nulls {
        Some(nulls) => &wrong? & nulls.inner(),
        None => wrong?,
    };
    (wrong.count_set_bits() > 0).then_some(wrong)
}

/// Where one of the two is.
pub(super) fn either(left: Option<BooleanBuffer>, right: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (left, right) {
        (Some(left), Some(right)) => Some(&left | &right),
        (left, right) => left.or(right),
    }
}
