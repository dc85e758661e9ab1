//! Lists and nested records under construction.

use super::builder::Builder;
use super::fault::{Fault, Result};
use super::object::Object;
use super::scan::Cursor;
use super::strings::Offsets;
use super::values::Nulls;
use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_schema::{FieldRef, Fields};
use std::sync::Arc;

/// A column of lists.
#[derive(Debug)]
pub(super) struct List {
    item: Builder,
    /// What Arrow calls the items.
    field: FieldRef,
    offsets: Offsets,
    nulls: Nulls,
}

impl List {
    pub(super) fn new(item: Builder, field: FieldRef) -> Self {
        Self { item, field, offsets: Offsets::default(), nulls: Nulls::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(super) fn push_absent(&mut self, nullable: bool) {
        if nullable {
            self.nulls.push(self.offsets.len());
        }
        self.offsets.push_empty();
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length);
        self.nulls.truncate(length);
        self.item.truncate(self.offsets.end());
    }

    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result {
        if cursor.peek() != b'[' {
            return Err(cursor.wrong("a list"));
        }
        cursor.open()?;
        cursor.skip_space();
        let first = self.offsets.end();
        let mut length = 0;
        if cursor.peek() != b']' {
            loop {
                decode_value(&mut self.item, self.field.is_nullable(), cursor).map_err(|fault| fault.in_item(length))?;
                length += 1;
                cursor.skip_space();
                match cursor.peek() {
                    b',' => cursor.at += 1,
                    b']' => break,
                    _ => return Err(cursor.unexpected("\",\" or \"]\"")),
                }
                cursor.skip_space();
            }
        }
        cursor.at += 1;
        cursor.depth -= 1;
        self.offsets.push(first + length)
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let length = self.offsets.len();
        let (offsets, nulls) = (self.offsets.finish(), self.nulls.finish(length));
        Arc::new(ListArray::new(self.field.clone(), offsets, self.item.finish(), nulls))
    }
}

/// A column of nested records.
#[derive(Debug)]
pub(super) struct Struct {
    object: Object,
    /// What Arrow calls the fields.
    fields: Fields,
    length: usize,
    nulls: Nulls,
}

impl Struct {
    pub(super) fn new(object: Object, fields: Fields) -> Self {
        Self { object, fields, length: 0, nulls: Nulls::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push_absent(&mut self, nullable: bool) {
        if nullable {
            self.nulls.push(self.length);
        }
        self.object.push_absent();
        self.length += 1;
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
        self.nulls.truncate(length);
        self.object.truncate(length);
    }

    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result {
        self.object.decode(cursor)?;
        self.length += 1;
        Ok(())
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let length = std::mem::take(&mut self.length);
        let (columns, nulls) = (self.object.finish(), self.nulls.finish(length));
        let array = StructArray::try_new_with_length(self.fields.clone(), columns, nulls, length);
        Arc::new(array.expect("the fields and the columns come from the same declaration"))
    }
}

/// Takes the value that starts at the cursor, null too.
#[inline]
pub(super) fn decode_value(builder: &mut Builder, nullable: bool, cursor: &mut Cursor<'_>) -> Result {
    if cursor.peek() != b'n' {
        return builder.decode(cursor);
    }
    cursor.literal("null")?;
    if !nullable {
        return Err(Fault::value("null, where a value is required"));
    }
    builder.push_absent(true);
    Ok(())
}
