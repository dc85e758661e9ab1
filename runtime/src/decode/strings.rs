//! Columns under construction whose values vary in length: text and bytes.

use super::escape;
use super::fault::{Fault, Result};
use super::scan::Cursor;
use super::values::Nulls;
use super::wide::string_stop;
use arrow_array::{BinaryArray, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use lakeward_manifest::text;

/// Where the values of a column begin and end.
#[derive(Debug)]
pub(super) struct Offsets(Vec<i32>);

impl Default for Offsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Offsets {
    pub(super) fn len(&self) -> usize {
        self.0.len() - 1
    }

    /// The end of the last value.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.0[self.0.len() - 1] as usize
    }

    #[inline]
    pub(super) fn push(&mut self, end: usize) -> Result {
        let Ok(end) = i32::try_from(end) else {
            return Err(Fault::value("more than 2 GiB in one chunk"));
        };
        self.0.push(end);
        Ok(())
    }

    /// Pushes an empty value.
    pub(super) fn push_empty(&mut self) {
        self.0.push(self.0[self.0.len() - 1]);
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length + 1);
    }

    pub(super) fn finish(&mut self) -> OffsetBuffer<i32> {
        let mut next = Vec::with_capacity(self.0.len());
        next.push(0);
        OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.0, next)))
    }
}

/// A column of text.
#[derive(Debug, Default)]
pub(super) struct Text {
    offsets: Offsets,
    /// The text up to the last offset, and room behind it that holds anything: a block is copied whole, whatever of it
    /// belongs to the value.
    data: Vec<u8>,
    nulls: Nulls,
}

impl Text {
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
    }

    /// Takes a string: scans and copies it, sixteen bytes a step.
    #[inline]
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result {
        if cursor.peek() != b'"' {
            return Err(cursor.wrong("a string"));
        }
        cursor.at += 1;
        let start = self.offsets.end();
        let mut end = start;
        let mut ascii = true;
        loop {
            let block = cursor.block(cursor.at);
            self.room(end)[..16].copy_from_slice(&block.to_le_bytes());
            let stop = string_stop(block);
            ascii &= stop.ascii;
            cursor.at += stop.at;
            end += stop.at;
            if stop.at == 16 {
                continue;
            }
            if cursor.peek() == b'"' {
                break;
            }
            end = self.escape(cursor, end)?;
            // What an escape stands for is UTF-8, but the parts around it must not be checked without it.
            ascii = false;
        }
        cursor.at += 1;
        if !ascii && simdutf8::basic::from_utf8(&self.data[start..end]).is_err() {
            return Err(Fault::value("the text is not UTF-8"));
        }
        self.offsets.push(end)
    }

    /// At least sixteen bytes from `end` on.
    #[inline]
    fn room(&mut self, end: usize) -> &mut [u8] {
        if self.data.len() < end + 16 {
            self.grow();
        }
        &mut self.data[end..]
    }

    #[cold]
    fn grow(&mut self) {
        self.data.resize((self.data.len() * 2).max(1_024), 0);
    }

    /// Takes an escape and puts what it stands for at `end`; the new end.
    #[cold]
    fn escape(&mut self, cursor: &mut Cursor<'_>, end: usize) -> Result<usize> {
        if cursor.peek() != b'\\' {
            return Err(cursor.control());
        }
        let character = escape::read(cursor)?;
        Ok(end + character.encode_utf8(&mut self.room(end)[..4]).len())
    }

    pub(super) fn finish(&mut self) -> StringArray {
        let (length, end) = (self.offsets.len(), self.offsets.end());
        // Zeroed memory of this size often comes straight from the system, so this is cheaper than it looks.
        let mut data = std::mem::replace(&mut self.data, vec![0; end + end / 8 + 16]);
        data.truncate(end);
        let (offsets, nulls) = (self.offsets.finish(), self.nulls.finish(length));
        #[expect(unsafe_code, reason = "a second pass over all text would cost as much as the first")]
        // SAFETY: `decode` has checked every value to be UTF-8, and `offsets` are ascending and end at the data's end.
        unsafe {
            StringArray::new_unchecked(offsets, Buffer::from_vec(data), nulls)
        }
    }
}

/// A column of bytes.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    offsets: Offsets,
    data: Vec<u8>,
    nulls: Nulls,
}

impl Bytes {
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
        self.data.truncate(self.offsets.end());
    }

    /// Takes a string of base64.
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result {
        let start = cursor.at;
        if cursor.peek() != b'"' {
            return Err(cursor.wrong("base64"));
        }
        let written = cursor.string()?;
        if text::base64_into(&written, &mut self.data).is_none() {
            cursor.at = start;
            return Err(cursor.wrong("base64"));
        }
        self.offsets.push(self.data.len())
    }

    pub(super) fn finish(&mut self) -> BinaryArray {
        let length = self.offsets.len();
        let room = self.data.len();
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(room));
        BinaryArray::new(self.offsets.finish(), Buffer::from_vec(data), self.nulls.finish(length))
    }
}
