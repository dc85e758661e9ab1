//! Finds the values that the table's types cannot hold, although the wall's types can.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use lakeward_manifest::{Column, DataType};

/// The rows of `array` that hold a value which does not fit the table; `None` if there is none.
///
/// | wall | does not fit |
/// |---|---|
/// | any column that is declared without nulls | null |
/// | `uint64` | above 2^63 - 1 |
/// | `decimal(p,s)` | more than `p` digits: 16 bytes hold 38 whatever `p` is |
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

/// A null hides whatever stands in the buffers beneath it.
fn where_valid(wrong: Option<BooleanBuffer>, nulls: Option<&NullBuffer>) -> Option<BooleanBuffer> {
    let wrong = match nulls {
        Some(nulls) => &wrong? & nulls.inner(),
        None => wrong?,
    };
    (wrong.count_set_bits() > 0).then_some(wrong)
}

fn either(left: Option<BooleanBuffer>, right: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (left, right) {
        (Some(left), Some(right)) => Some(&left | &right),
        (left, right) => left.or(right),
    }
}
