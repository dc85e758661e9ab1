//! Values to columns, as the host lays them out.

use super::decode::Cell;
use crate::columns::{OwnedColumns, Validity};
use lakeward_manifest::{Column, DataType};

/// The columns of events.
pub(super) fn columns(columns: &[Column], events: &[Vec<Cell>]) -> OwnedColumns {
    let mut encoded = OwnedColumns { rows: events.len(), ..OwnedColumns::default() };
    for (index, column) in columns.iter().enumerate() {
        let cells: Vec<&Cell> = events.iter().map(|event| &event[index]).collect();
        array(&column.data_type, &cells, &mut encoded);
    }
    encoded
}

fn array(data_type: &DataType, cells: &[&Cell], encoded: &mut OwnedColumns) {
    encoded.array(cells.len(), Validity::of(cells.iter().map(|cell| !matches!(cell, Cell::Null))));
    match data_type {
        DataType::Bool => {
            let bits = Validity::of(cells.iter().map(|cell| matches!(cell, Cell::Bool(true))));
            encoded.buffers.push(bits.into_bits());
        }
        DataType::String | DataType::Binary => {
            let values = cells.iter().map(|cell| if let Cell::Bytes(bytes) = cell { bytes.as_slice() } else { &[] });
            encoded.buffers.push(offsets(values.clone().map(<[u8]>::len)));
            encoded.buffers.push(values.flatten().copied().collect());
        }
        DataType::List(item) => {
            let lists = cells.iter().map(|cell| if let Cell::List(items) = cell { items.as_slice() } else { &[] });
            encoded.buffers.push(offsets(lists.clone().map(<[Cell]>::len)));
            array(&item.data_type, &lists.flatten().collect::<Vec<_>>(), encoded);
        }
        DataType::Struct(fields) => {
            for (index, field) in fields.iter().enumerate() {
                let children =
                    cells.iter().map(|cell| if let Cell::Struct(values) = cell { &values[index] } else { &Cell::Null });
                array(&field.data_type, &children.collect::<Vec<_>>(), encoded);
            }
        }
        fixed => {
            let missing = vec![0; width(fixed)];
            let values = cells.iter().map(|cell| if let Cell::Fixed(bytes) = cell { bytes } else { &missing });
            encoded.buffers.push(values.flatten().copied().collect());
        }
    }
}

fn offsets(lengths: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut end = 0_i32;
    let ends = lengths.map(|length| {
        end += i32::try_from(length).expect("a test's lines are short");
        end
    });
    std::iter::once(0).chain(ends).flat_map(i32::to_le_bytes).collect()
}

/// The bytes of one value of a type of one width.
pub(super) fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::Int8 | DataType::Uint8 => 1,
        DataType::Int16 | DataType::Uint16 => 2,
        DataType::Int32 | DataType::Uint32 | DataType::Float32 | DataType::Date => 4,
        DataType::Int64 | DataType::Uint64 | DataType::Float64 | DataType::Timestamp => 8,
        DataType::Decimal { .. } | DataType::Uuid => 16,
        DataType::Bool | DataType::String | DataType::Binary | DataType::List(_) | DataType::Struct(_) => 0,
    }
}
