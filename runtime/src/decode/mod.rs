//! JSON payloads become Arrow columns, in one pass over each payload and without anything in between.
//!
//! What a column takes (RFC 8259; a string always with its escapes resolved):
//!
//! | column | takes | for example |
//! |---|---|---|
//! | `bool` | `true`, `false` | |
//! | `int8` to `uint64` | a number that is an integer, however written, in range; no string | `6`, `6.0`, `6e2` |
//! | `float32`, `float64` | a number that rounds to a finite one | `3.39` |
//! | `decimal` | a number or a string that holds one, exact in the column's precision and scale | `3.39`, `"3.390"` |
//! | `string` | a string of valid UTF-8 | |
//! | `binary` | a string of base64, padded or not | `"Zm9v"` |
//! | `date` | a string `YYYY-MM-DD`, or of the column's format | `"2010-12-01"` |
//! | `timestamp` | a string of the column's format, RFC 3339 without one; a number too, where the format is `unix_*` | |
//! | `uuid` | a string of 32 hexadecimal digits, hyphens or not | |
//! | `list`, `struct` | a list, an object | |
//!
//! `null`, or no such field, is null in a nullable column and a dead letter in any other. A declared field that stands
//! twice in one object is a dead letter: readers disagree on which one counts, so neither is safe to take. Fields that
//! nobody declares are skipped; their syntax is checked, but not that their strings are UTF-8. More than 64 levels of
//! objects and lists are a dead letter.
//!
//! Whether a record is a row of an input depends on nothing but the payload and the columns of that input: not on other
//! inputs of the topic, not on other records.

mod builder;
mod escape;
mod fault;
mod keys;
mod nested;
mod number;
mod object;
mod plan;
mod scan;
mod strings;
mod values;
mod wide;

#[cfg(test)]
mod tests;

pub use plan::Error;

use crate::record::{Chunk, DeadLetter, Stage};
use arrow_array::{ArrayRef, BooleanArray};
use arrow_select::filter::FilterBuilder;
use fault::Fault;
use lakeward_manifest::Column;
use object::Object;
use plan::Plan;
use scan::Cursor;

/// Decodes the records of one topic for all inputs that read it.
///
/// Inputs share the scan, and the arrays of the columns that they declare alike.
#[derive(Debug)]
pub struct Decoder {
    root: Object,
    /// For every input the field of each of its columns.
    inputs: Vec<Vec<usize>>,
}

/// What became of a chunk's records for one input: each is a row or a dead letter.
#[derive(Debug)]
pub struct Events {
    /// The index in the chunk of each row, ascending.
    pub rows: Vec<u32>,
    /// The input's columns in the order of its declaration, of the types of [`crate::columns::arrow_type`]. No array is
    /// a slice of another; an array without nulls has no validity bitmap.
    pub columns: Vec<ArrayRef>,
    /// The other records, ascending.
    pub dead_letters: Vec<DeadLetter>,
}

/// A record that is a row of some inputs only.
struct FieldFault {
    index: u32,
    field: usize,
    reason: String,
}

impl Decoder {
    /// A decoder for inputs of one topic, each given by its columns.
    ///
    /// # Errors
    /// When a column cannot be decoded, whatever the payload.
    pub fn new(inputs: &[&[Column]]) -> Result<Self, Error> {
        let Plan { root, inputs } = Plan::new(inputs)?;
        Ok(Self { root, inputs })
    }

    /// Decodes a chunk; one answer per input, in the order of [`Self::new`]. Records before the index `first` are left
    /// out.
    pub fn decode(&mut self, chunk: &Chunk, first: usize) -> Vec<Events> {
        let mut rows = Vec::with_capacity(chunk.len().saturating_sub(first));
        let mut dead_letters = Vec::new();
        let mut field_faults = Vec::new();
        for index in first..chunk.len() {
            let decoded = decode_payload(&mut self.root, chunk.value(index));
            let index = u32::try_from(index).expect("a chunk has at most 8,192 records");
            let before = field_faults.len();
            field_faults.extend(
                self.root.take_faults().map(|(field, fault)| FieldFault { index, field, reason: fault.to_string() }),
            );
            match decoded {
                Ok(()) => {
                    rows.push(index);
                    if field_faults.len() > before {
                        self.root.even_out(rows.len());
                    }
                }
                Err(fault) => {
                    self.root.truncate(rows.len());
                    field_faults.truncate(before);
                    dead_letters.push(DeadLetter { index, stage: Stage::Decode, reason: fault.to_string() });
                }
            }
        }
        let decoded = Decoded { rows, columns: self.root.finish(), dead_letters, field_faults };
        self.inputs.iter().map(|fields| decoded.of_input(fields)).collect()
    }
}

/// Takes a payload whole, or says why it is no row of any input.
fn decode_payload(root: &mut Object, payload: Option<&[u8]>) -> Result<(), Box<Fault>> {
    let Some(payload) = payload else {
        return Err(Fault::syntax("tombstone: the record has no value".into()));
    };
    if payload.is_empty() {
        return Err(Fault::syntax("empty payload".into()));
    }
    let mut cursor = Cursor::new(payload);
    cursor.skip_space();
    root.decode(&mut cursor)?;
    cursor.skip_space();
    if cursor.at < payload.len() {
        return Err(Fault::syntax(format!("trailing bytes after the value at byte {}", cursor.at)));
    }
    Ok(())
}

/// A chunk decoded for all inputs together.
struct Decoded {
    rows: Vec<u32>,
    columns: Vec<ArrayRef>,
    dead_letters: Vec<DeadLetter>,
    field_faults: Vec<FieldFault>,
}

impl Decoded {
    /// The part of one input, which reads `fields`.
    fn of_input(&self, fields: &[usize]) -> Events {
        let columns = fields.iter().map(|&field| self.columns[field].clone()).collect();
        let mut own: Vec<_> = self.field_faults.iter().filter(|fault| fields.contains(&fault.field)).collect();
        own.dedup_by_key(|fault| fault.index);
        if own.is_empty() {
            return Events { rows: self.rows.clone(), columns, dead_letters: self.dead_letters.clone() };
        }
        let failed = |row: &u32| own.binary_search_by_key(row, |fault| fault.index).is_ok();
        let keep = FilterBuilder::new(&BooleanArray::from_iter(self.rows.iter().map(|row| Some(!failed(row))))).build();
        let columns = columns
            .iter()
            .map(|column: &ArrayRef| keep.filter(column).expect("the filter is as long as the columns"))
            .collect();
        let rows = self.rows.iter().copied().filter(|row| !failed(row)).collect();
        let mut dead_letters = self.dead_letters.clone();
        dead_letters.extend(own.iter().map(|fault| DeadLetter {
            index: fault.index,
            stage: Stage::Decode,
            reason: fault.reason.clone(),
        }));
        dead_letters.sort_by_key(|letter| letter.index);
        Events { rows, columns, dead_letters }
    }
}
