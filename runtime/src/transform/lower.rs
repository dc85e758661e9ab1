//! Columns on their way into a module: nodes and buffers in pre-order, borrowed from the arrays.

use super::abi::Node;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;

/// The nodes and buffers of several columns.
#[derive(Default)]
pub(super) struct Lowered<'a> {
    pub(super) nodes: Vec<Node>,
    pub(super) buffers: Vec<&'a [u8]>,
}

impl<'a> Lowered<'a> {
    /// Flattens columns that the decoder made: without an offset into their buffers.
    pub(super) fn of(columns: &'a [ArrayRef]) -> Self {
        let mut lowered = Self::default();
        for column in columns {
            lowered.push(column.as_ref());
        }
        lowered
    }

    fn push(&mut self, array: &'a dyn Array) {
        let count = |n: usize| u32::try_from(n).expect("a chunk's arrays are far below 4 Gi values");
        self.nodes.push(Node { length: count(array.len()), null_count: count(array.null_count()) });
        self.buffers.push(array.nulls().filter(|nulls| nulls.null_count() > 0).map_or(&[], |nulls| validity(nulls)));
        match array.data_type() {
            DataType::Boolean => self.buffers.push(bits(array.as_boolean().values())),
            DataType::Utf8 => {
                let text = array.as_string::<i32>();
                self.buffers.push(text.offsets().inner().inner().as_slice());
                self.buffers.push(text.values().as_slice());
            }
            DataType::Binary => {
                let bytes = array.as_binary::<i32>();
                self.buffers.push(bytes.offsets().inner().inner().as_slice());
                self.buffers.push(bytes.values().as_slice());
            }
            DataType::FixedSizeBinary(_) => self.buffers.push(array.as_fixed_size_binary().value_data()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                self.buffers.push(list.offsets().inner().inner().as_slice());
                self.push(list.values().as_ref());
            }
            DataType::Struct(_) => {
                for child in array.as_struct().columns() {
                    self.push(child.as_ref());
                }
            }
            _ => self.buffers.push(primitive(array)),
        }
    }
}

fn validity(nulls: &NullBuffer) -> &[u8] {
    bits(nulls.inner())
}

fn bits(bits: &BooleanBuffer) -> &[u8] {
    assert_eq!(bits.offset(), 0, "the decoder and `take` make arrays without a bit offset");
    &bits.values()[..bits.len().div_ceil(8)]
}

/// The values of a fixed-width array.
fn primitive(array: &dyn Array) -> &[u8] {
    use arrow_array::types::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    };
    macro_rules! values {
        ($type:ty) => {
            array.as_primitive::<$type>().values().inner().as_slice()
        };
    }
    match array.data_type() {
        DataType::Int8 => values!(Int8Type),
        DataType::Int16 => values!(Int16Type),
        DataType::Int32 => values!(Int32Type),
        DataType::Int64 => values!(Int64Type),
        DataType::UInt8 => values!(UInt8Type),
        DataType::UInt16 => values!(UInt16Type),
        DataType::UInt32 => values!(UInt32Type),
        DataType::UInt64 => values!(UInt64Type),
        DataType::Float32 => values!(Float32Type),
        DataType::Float64 => values!(Float64Type),
        DataType::Decimal128(_, _) => values!(Decimal128Type),
        DataType::Date32 => values!(Date32Type),
        DataType::Timestamp(_, _) => values!(TimestampMicrosecondType),
        other => unreachable!("columns::arrow_type gives no {other}"),
    }
}
