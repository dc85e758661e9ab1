//! Brings columns from the wall's types to the table's types.

use crate::columns::{table_field, table_type};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, ListArray, PrimitiveArray, StructArray};
use lakeward_manifest::DataType;
use std::sync::Arc;
use uuid::Uuid;

/// The column in [`table_type`]. Columns that stand alike in both are shared, not copied. A `uint64` above the largest
/// `i64` becomes that largest one: the caller has found these rows before.
pub(super) fn to_table(array: &ArrayRef, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Uint8 => map::<UInt8Type, Int16Type>(array, i16::from),
        DataType::Uint16 => map::<UInt16Type, Int32Type>(array, i32::from),
        DataType::Uint32 => map::<UInt32Type, Int64Type>(array, i64::from),
        DataType::Uint64 => map::<UInt64Type, Int64Type>(array, |value| i64::try_from(value).unwrap_or(i64::MAX)),
        DataType::Uuid => uuids(array.as_fixed_size_binary()),
        DataType::List(_) | DataType::Struct(_) if *array.data_type() == table_type(data_type) => Arc::clone(array),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = to_table(list.values(), &item.data_type);
            let field = Arc::new(table_field(item));
            Arc::new(ListArray::new(field, list.offsets().clone(), values, list.nulls().cloned()))
        }
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let children = array.columns().iter().zip(fields).map(|(child, field)| to_table(child, &field.data_type));
            let fields = fields.iter().map(table_field).collect();
            Arc::new(StructArray::new(fields, children.collect(), array.nulls().cloned()))
        }
        _ => Arc::clone(array),
    }
}

fn map<From: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    array: &ArrayRef,
    widen: impl Fn(From::Native) -> To::Native,
) -> ArrayRef {
    let array = array.as_primitive::<From>();
    let values: Vec<To::Native> = array.values().iter().map(|value| widen(*value)).collect();
    Arc::new(PrimitiveArray::<To>::new(values.into(), array.nulls().cloned()))
}

fn uuids(array: &FixedSizeBinaryArray) -> ArrayRef {
    let mut text = StringBuilder::with_capacity(array.len(), array.len() * 36);
    let mut buffer = [0; 36];
    for value in array {
        let uuid = value.and_then(|bytes| Uuid::from_slice(bytes).ok());
        text.append_option(uuid.map(|uuid| &*uuid.hyphenated().encode_lower(&mut buffer)));
    }
    Arc::new(text.finish())
}
