//! Three-valued truth over a column of rows, as two bitmaps.

use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

/// The rows that an expression looks at.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) columns: &'a [ArrayRef],
    pub(super) rows: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn column(self, index: usize) -> &'a dyn Array {
        self.columns[index].as_ref()
    }
}

/// Where a condition is true and where it is false; it is unknown where it is neither. No row is both.
pub(super) struct Truth {
    pub(super) yes: BooleanBuffer,
    pub(super) no: BooleanBuffer,
}

impl Truth {
    /// `yes` where the row is not null.
    pub(super) fn new(yes: &BooleanBuffer, nulls: Option<&NullBuffer>) -> Self {
        match nulls {
            None => Self { yes: yes.clone(), no: !yes },
            Some(nulls) => Self { yes: yes & nulls.inner(), no: &!yes & nulls.inner() },
        }
    }

    /// The same for every row.
    pub(super) fn constant(truth: bool, rows: usize) -> Self {
        let (all, none) = (BooleanBuffer::new_set(rows), BooleanBuffer::new_unset(rows));
        if truth { Self { yes: all, no: none } } else { Self { yes: none, no: all } }
    }

    pub(super) fn not(self) -> Self {
        Self { yes: self.no, no: self.yes }
    }

    pub(super) fn and(self, other: &Self) -> Self {
        Self { yes: &self.yes & &other.yes, no: &self.no | &other.no }
    }

    pub(super) fn or(self, other: &Self) -> Self {
        Self { yes: &self.yes | &other.yes, no: &self.no & &other.no }
    }

    /// Whether both say the same; unknown where one is.
    pub(super) fn equals(&self, other: &Self) -> Self {
        Self {
            yes: &(&self.yes & &other.yes) | &(&self.no & &other.no),
            no: &(&self.yes & &other.no) | &(&self.no & &other.yes),
        }
    }
}

/// One bit a value, packed 64 at a time so that the loop needs no bound check.
pub(super) fn bits<T: Copy>(values: &[T], holds: impl Fn(T) -> bool) -> BooleanBuffer {
    let pack = |chunk: &[T]| {
        chunk.iter().enumerate().fold(0_u64, |word, (bit, value)| word | (u64::from(holds(*value)) << bit))
    };
    let words: Vec<u64> = values.chunks(64).map(pack).collect();
    BooleanBuffer::new(Buffer::from_vec(words), 0, values.len())
}
