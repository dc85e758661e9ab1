//! Columns on their way out of a module: nothing that a guest says is believed before it is checked.

use super::abi::{ColumnsOut, Node};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields};
use std::sync::Arc;

/// Reads a module's columns as arrays of `fields`.
///
/// # Errors
/// The first thing that is not as the wall's contract says, for the dead letter.
pub(super) fn columns(out: ColumnsOut, fields: &Fields) -> Result<Vec<ArrayRef>, String> {
    let rows = out.rows as usize;
    let mut reader = Reader { nodes: out.nodes.into_iter(), buffers: out.buffers.into_iter() };
    let arrays = fields.iter().map(|field| reader.array(field, rows)).collect::<Result<_, _>>()?;
    if reader.nodes.next().is_some() || reader.buffers.next().is_some() {
        return Err("more nodes or buffers than the product has columns".to_owned());
    }
    Ok(arrays)
}

struct Reader {
    nodes: std::vec::IntoIter<Node>,
    buffers: std::vec::IntoIter<Vec<u8>>,
}

impl Reader {
    fn array(&mut self, field: &Field, rows: usize) -> Result<ArrayRef, String> {
        let bad = |what: String| format!("column {}: {what}", field.name());
        let node = self.nodes.next().ok_or_else(|| bad("its node is missing".to_owned()))?;
        if node.length as usize != rows {
            return Err(bad(format!("{} values where {rows} were announced", node.length)));
        }
        let nulls = self.nulls(node, rows).map_err(bad)?;
        if nulls.is_some() && !field.is_nullable() {
            return Err(bad(format!("{} nulls in a column that has none", node.null_count)));
        }
        match field.data_type() {
            DataType::Struct(fields) => {
                // A field may be null where its struct is, whatever its own nullability: the constructor checks that.
                let nullable = |child: &Field| child.clone().with_nullable(true);
                let children = fields.iter().map(|child| self.array(&nullable(child), rows));
                let children = children.collect::<Result<Vec<_>, _>>()?;
                let array = StructArray::try_new(fields.clone(), children, nulls).map_err(|e| bad(e.to_string()))?;
                Ok(Arc::new(array))
            }
            DataType::List(item) => {
                let offsets = self.offsets(rows).map_err(bad)?;
                let length = last(&offsets);
                let values = self.array(item, length)?;
                Ok(Arc::new(ListArray::new(Arc::clone(item), offsets, values, nulls)))
            }
            data_type => self.leaf(data_type, rows, nulls).map_err(bad),
        }
    }

    fn leaf(&mut self, data_type: &DataType, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, String> {
        Ok(match data_type {
            DataType::Boolean => {
                let bits = self.buffer("the buffer of bits is missing")?;
                if bits.len() < rows.div_ceil(8) {
                    return Err(format!("{} bytes of bits for {rows} values", bits.len()));
                }
                Arc::new(BooleanArray::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows), nulls))
            }
            DataType::Utf8 => {
                let (offsets, bytes) = self.bytes(rows)?;
                check_text(&offsets, &bytes)?;
                // The text was checked just now, whole and at every offset; the constructor would do it value by value.
                #[expect(unsafe_code, reason = "the check of the constructor was made above, faster")]
                let array = unsafe { StringArray::new_unchecked(offsets, Buffer::from_vec(bytes), nulls) };
                Arc::new(array)
            }
            DataType::Binary => {
                let (offsets, bytes) = self.bytes(rows)?;
                Arc::new(BinaryArray::new(offsets, Buffer::from_vec(bytes), nulls))
            }
            DataType::FixedSizeBinary(width) => {
                let bytes = self.buffer("the buffer of values is missing")?;
                let expected = rows * usize::try_from(*width).unwrap_or(0);
                if bytes.len() != expected {
                    return Err(format!("{} bytes of values instead of {expected}", bytes.len()));
                }
                Arc::new(FixedSizeBinaryArray::new(*width, Buffer::from_vec(bytes), nulls))
            }
            DataType::Decimal128(precision, scale) => {
                let array = self.primitive::<Decimal128Type>(rows, nulls)?;
                check_decimal(&array, *precision)?;
                let array = array.with_precision_and_scale(*precision, *scale).map_err(|e| e.to_string())?;
                Arc::new(array)
            }
            DataType::Timestamp(_, zone) => {
                Arc::new(self.primitive::<TimestampMicrosecondType>(rows, nulls)?.with_timezone_opt(zone.clone()))
            }
            DataType::Int8 => Arc::new(self.primitive::<Int8Type>(rows, nulls)?),
            DataType::Int16 => Arc::new(self.primitive::<Int16Type>(rows, nulls)?),
            DataType::Int32 => Arc::new(self.primitive::<Int32Type>(rows, nulls)?),
            DataType::Int64 => Arc::new(self.primitive::<Int64Type>(rows, nulls)?),
            DataType::UInt8 => Arc::new(self.primitive::<UInt8Type>(rows, nulls)?),
            DataType::UInt16 => Arc::new(self.primitive::<UInt16Type>(rows, nulls)?),
            DataType::UInt32 => Arc::new(self.primitive::<UInt32Type>(rows, nulls)?),
            DataType::UInt64 => Arc::new(self.primitive::<UInt64Type>(rows, nulls)?),
            DataType::Float32 => Arc::new(self.primitive::<Float32Type>(rows, nulls)?),
            DataType::Float64 => Arc::new(self.primitive::<Float64Type>(rows, nulls)?),
            DataType::Date32 => Arc::new(self.primitive::<Date32Type>(rows, nulls)?),
            other => return Err(format!("type {other} does not cross the wall")),
        })
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        rows: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<PrimitiveArray<T>, String> {
        let values = aligned::<T::Native>(self.buffer("the buffer of values is missing")?, rows)?;
        Ok(PrimitiveArray::new(values, nulls))
    }

    fn nulls(&mut self, node: Node, rows: usize) -> Result<Option<NullBuffer>, String> {
        let bytes = self.buffer("the buffer of validity is missing")?;
        if bytes.is_empty() {
            return if node.null_count == 0 { Ok(None) } else { Err("nulls without a validity bitmap".to_owned()) };
        }
        if bytes.len() < rows.div_ceil(8) {
            return Err(format!("{} bytes of validity for {rows} values", bytes.len()));
        }
        let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bytes), 0, rows));
        if nulls.null_count() != node.null_count as usize {
            return Err(format!("{} nulls where {} were announced", nulls.null_count(), node.null_count));
        }
        Ok((nulls.null_count() > 0).then_some(nulls))
    }

    fn bytes(&mut self, rows: usize) -> Result<(OffsetBuffer<i32>, Vec<u8>), String> {
        let offsets = self.offsets(rows)?;
        let bytes = self.buffer("the buffer of bytes is missing")?;
        if last(&offsets) != bytes.len() {
            return Err(format!("the offsets end at {}, the bytes at {}", last(&offsets), bytes.len()));
        }
        Ok((offsets, bytes))
    }

    /// Offsets that start at zero and never fall.
    fn offsets(&mut self, rows: usize) -> Result<OffsetBuffer<i32>, String> {
        let offsets = aligned::<i32>(self.buffer("the buffer of offsets is missing")?, rows + 1)?;
        if offsets.first() != Some(&0) {
            return Err("the offsets do not start at zero".to_owned());
        }
        if falls(&offsets) {
            return Err("the offsets run backwards".to_owned());
        }
        Ok(OffsetBuffer::new(offsets))
    }

    fn buffer(&mut self, missing: &str) -> Result<Vec<u8>, String> {
        self.buffers.next().ok_or_else(|| missing.to_owned())
    }
}

/// Whether a value is smaller than the one before it. All are looked at without a branch: that is faster than to stop at the first.
pub(super) fn falls<T: Ord>(values: &[T]) -> bool {
    values.iter().zip(values.iter().skip(1)).fold(false, |falls, (left, right)| falls | (left > right))
}

fn last(offsets: &OffsetBuffer<i32>) -> usize {
    offsets.last().and_then(|last| usize::try_from(*last).ok()).unwrap_or(0)
}

/// The bytes as `count` values; moved where their alignment allows, else copied.
fn aligned<T: ArrowNativeType>(bytes: Vec<u8>, count: usize) -> Result<ScalarBuffer<T>, String> {
    if bytes.len() != count * size_of::<T>() {
        return Err(format!("{} bytes where {} were announced", bytes.len(), count * size_of::<T>()));
    }
    let buffer = if bytes.as_ptr().cast::<T>().is_aligned() {
        Buffer::from_vec(bytes)
    } else {
        let mut copy = MutableBuffer::new(bytes.len());
        copy.extend_from_slice(&bytes);
        copy.into()
    };
    Ok(ScalarBuffer::new(buffer, 0, count))
}

fn check_text(offsets: &OffsetBuffer<i32>, bytes: &[u8]) -> Result<(), String> {
    if bytes.is_ascii() {
        return Ok(());
    }
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| "text that is not UTF-8".to_owned())?;
    let whole = |offset: &i32| usize::try_from(*offset).is_ok_and(|offset| text.is_char_boundary(offset));
    if offsets.iter().all(whole) { Ok(()) } else { Err("an offset within a character".to_owned()) }
}

fn check_decimal(array: &PrimitiveArray<Decimal128Type>, precision: u8) -> Result<(), String> {
    let limit = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    let fits = |value: &i128| *value < limit && *value > -limit;
    // Without a branch, as in `falls`.
    if array.values().iter().fold(true, |all, value| all & fits(value)) {
        return Ok(());
    }
    // A null's value is undefined and may be anything.
    match (0..array.len()).find(|row| array.is_valid(*row) && !fits(&array.value(*row))) {
        None => Ok(()),
        Some(row) => Err(format!("the decimal in row {row} has more than {precision} digits")),
    }
}
