//! The rows of one product in one chunk, of both modules, and which of them belong together.

use super::Side;
use arrow_array::{ArrayRef, UInt32Array};
use std::borrow::Cow;

/// Rows of a product with the record of each, never decreasing.
#[derive(Debug, Default)]
pub(super) struct Flat {
    /// The index in the chunk of each row's record.
    pub(super) records: Vec<u32>,
    /// The columns; none where there are no rows.
    pub(super) columns: Vec<ArrayRef>,
}

impl Flat {
    /// The rows that a module made of a chunk for `product`, from all of its inputs.
    pub(super) fn of(sides: &[Side<'_>], product: usize) -> Self {
        let mut records = Vec::new();
        let mut parts: Vec<&[ArrayRef]> = Vec::new();
        for side in sides {
            for rows in side.outcome.rows.iter().filter(|rows| rows.product == product && !rows.origins.is_empty()) {
                records.extend(rows.origins.iter().map(|event| side.events.rows[*event as usize]));
                parts.push(&rows.columns);
            }
        }
        let columns = match parts.as_slice() {
            [] => Vec::new(),
            [only] => only.to_vec(),
            parts => {
                let column = |index: usize| {
                    let arrays: Vec<_> = parts.iter().map(|part| part[index].as_ref()).collect();
                    arrow_select::concat::concat(&arrays).expect("all rows of a product are of its types")
                };
                (0..parts[0].len()).map(column).collect()
            }
        };
        let flat = Self { records, columns };
        if flat.records.is_sorted() { flat } else { flat.sorted() }
    }

    /// Two transforms of a module wrote the same product from the same records: rows of one record stand in the order of the inputs.
    fn sorted(self) -> Self {
        let mut order: Vec<u32> = (0..to_u32(self.records.len())).collect();
        order.sort_by_key(|row| self.records[*row as usize]);
        Self {
            records: order.iter().map(|row| self.records[*row as usize]).collect(),
            columns: self.columns.iter().map(|column| taken(column, &order)).collect(),
        }
    }
}

/// Which rows of the old module belong to which of the new one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alignment {
    /// The rows of either side that belong together, in order; none where all do as they stand.
    pairs: Option<(Vec<u32>, Vec<u32>)>,
    /// How many belong together.
    pub(super) matched: usize,
    /// Rows of the old module only.
    pub(super) only_old: Vec<u32>,
    /// Rows of the new module only.
    pub(super) only_new: Vec<u32>,
}

impl Alignment {
    /// Matches rows by their records, several of one record by their order.
    pub(super) fn new(old: &[u32], new: &[u32]) -> Self {
        let (mut only_old, mut only_new) = (Vec::new(), Vec::new());
        if old == new {
            return Self { pairs: None, matched: old.len(), only_old, only_new };
        }
        let (mut left, mut right) = (Vec::with_capacity(old.len()), Vec::with_capacity(new.len()));
        let (mut i, mut j) = (0, 0);
        while i < old.len() || j < new.len() {
            match (old.get(i), new.get(j)) {
                (Some(a), Some(b)) if a == b => {
                    left.push(to_u32(i));
                    right.push(to_u32(j));
                    i += 1;
                    j += 1;
                }
                // A surplus row of a record is smaller than the other side's next record.
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    only_old.push(to_u32(i));
                    i += 1;
                }
                _ => {
                    only_new.push(to_u32(j));
                    j += 1;
                }
            }
        }
        Self { matched: left.len(), pairs: Some((left, right)), only_old, only_new }
    }

    /// The matched rows of a column of the old module.
    pub(super) fn old<'a>(&self, column: &'a ArrayRef) -> Cow<'a, ArrayRef> {
        self.pairs.as_ref().map_or(Cow::Borrowed(column), |(rows, _)| Cow::Owned(taken(column, rows)))
    }

    /// The matched rows of a column of the new module.
    pub(super) fn new_rows<'a>(&self, column: &'a ArrayRef) -> Cow<'a, ArrayRef> {
        self.pairs.as_ref().map_or(Cow::Borrowed(column), |(_, rows)| Cow::Owned(taken(column, rows)))
    }

    /// The row of the old module that is the matched one at `index`.
    pub(super) fn old_row(&self, index: usize) -> u32 {
        self.pairs.as_ref().map_or(to_u32(index), |(rows, _)| rows[index])
    }

    /// The row of the new module that is the matched one at `index`.
    pub(super) fn new_row(&self, index: usize) -> u32 {
        self.pairs.as_ref().map_or(to_u32(index), |(_, rows)| rows[index])
    }
}

/// Some rows of a column.
pub(super) fn taken(column: &ArrayRef, rows: &[u32]) -> ArrayRef {
    let indices = UInt32Array::from_iter_values(rows.iter().copied());
    arrow_select::take::take(column, &indices, None).expect("the rows are those of the column")
}

fn to_u32(row: usize) -> u32 {
    u32::try_from(row).expect("the rows of a chunk are counted in 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(old: &[u32], new: &[u32], pairs: &[(u32, u32)], only_old: &[u32], only_new: &[u32]) {
        let found = Alignment::new(old, new);
        let matched: Vec<_> = (0..found.matched).map(|index| (found.old_row(index), found.new_row(index))).collect();
        assert_eq!((matched.as_slice(), &*found.only_old, &*found.only_new), (pairs, only_old, only_new));
    }

    #[test]
    fn rows_belong_together_by_record_and_then_by_order() {
        check(&[], &[], &[], &[], &[]);
        check(&[1, 2], &[1, 2], &[(0, 0), (1, 1)], &[], &[]);
        check(&[1, 2, 3], &[1, 3], &[(0, 0), (2, 1)], &[1], &[]);
        check(&[2], &[1, 2, 9], &[(0, 1)], &[], &[0, 2]);
        check(&[4, 4, 5], &[4, 5, 5], &[(0, 0), (2, 1)], &[1], &[2]);
        check(&[7], &[], &[], &[0], &[]);
    }
}
