//! The hot loop: adds the rows of a chunk to the partials of their groups, one measure at a time.
//!
//! Function and type are looked at once per chunk and measure; the loops inside allocate nothing per row (a new extreme of
//! text excepted).

use super::column::Values;
use super::column::Value;
use super::distinct;
use super::partial::{Partial, compare_floats};
use arrow_array::Array;
use arrow_buffer::NullBuffer;
use datasketches::hash::value::{canonical_float, raw_bytes};
use lakeward_manifest::Function;
use std::cmp::Ordering;
use std::sync::Arc;

/// The group of a row that came too late.
pub(super) const LATE: u32 = u32::MAX;

/// The partials of one measure in all groups, and which group each row of a chunk belongs to.
pub(super) struct Accumulator<'a> {
    /// The partials of all groups, group by group.
    pub(super) partials: &'a mut [Partial],
    /// The number of measures.
    pub(super) stride: usize,
    /// The index of this measure.
    pub(super) measure: usize,
    /// The group of each row, or [`LATE`].
    pub(super) placed: &'a [u32],
}

impl Accumulator<'_> {
    /// Counts the rows.
    pub(super) fn count(&mut self) {
        self.each(None, |partial, _, _| {
            if let Partial::Count(count) = partial {
                *count += 1;
            }
        });
    }

    /// Adds the values of a column; nulls are left out.
    pub(super) fn add(&mut self, function: Function, column: &dyn Array) {
        let nulls = column.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let nulls = nulls.as_ref();
        let Some(values) = Values::of(column) else { return };
        match function {
            Function::Count => self.count(),
            Function::Sum | Function::Average => self.sum(nulls, &values),
            Function::Min => self.extreme(nulls, &values, Ordering::Less),
            Function::Max => self.extreme(nulls, &values, Ordering::Greater),
            Function::Distinct => self.distinct(nulls, &values),
            Function::DistinctSketch => self.sketch(nulls, &values),
        }
    }

    fn sum(&mut self, nulls: Option<&NullBuffer>, values: &Values<'_>) {
        match values {
            Values::Ints(values) => self.sum_exact(nulls, |row| values[row].into()),
            Values::Decimals(values) => self.sum_exact(nulls, |row| values[row]),
            Values::Floats(values) => self.each(nulls, |partial, row, _| {
                if let Partial::FloatSum { total, count } = partial {
                    *total = if *count == 0 { values[row] } else { *total + values[row] };
                    *count += 1;
                }
            }),
            Values::Bytes(_) => {}
        }
    }

    fn sum_exact(&mut self, nulls: Option<&NullBuffer>, value: impl Fn(usize) -> i128) {
        self.each(nulls, |partial, row, _| {
            if let Partial::Sum { total, count } = partial {
                *total = total.plus(value(row));
                *count += 1;
            }
        });
    }

    fn extreme(&mut self, nulls: Option<&NullBuffer>, values: &Values<'_>, wanted: Ordering) {
        match values {
            Values::Ints(ints) => self.replace(nulls, values, |own, row| match own {
                Value::Int(own) => ints[row].cmp(own) == wanted,
                _ => true,
            }),
            Values::Decimals(decimals) => self.replace(nulls, values, |own, row| match own {
                Value::Decimal(own) => decimals[row].cmp(own) == wanted,
                _ => true,
            }),
            Values::Floats(floats) => self.replace(nulls, values, |own, row| match own {
                Value::Float(own) => compare_floats(floats[row], *own) == wanted,
                _ => true,
            }),
            Values::Bytes(bytes) => self.replace(nulls, values, |own, row| match own {
                Value::Bytes(own) => bytes.value(row).cmp(own) == wanted,
                _ => true,
            }),
        }
    }

    fn replace(&mut self, nulls: Option<&NullBuffer>, values: &Values<'_>, wins: impl Fn(&Value, usize) -> bool) {
        self.each(nulls, |partial, row, _| {
            if let Partial::Min(own) | Partial::Max(own) = partial
                && wins(own, row)
            {
                *own = values.get(row);
            }
        });
    }

    fn distinct(&mut self, nulls: Option<&NullBuffer>, values: &Values<'_>) {
        match values {
            Values::Ints(values) => self.insert(nulls, |row| distinct::of_integer(values[row])),
            Values::Decimals(values) => self.insert(nulls, |row| values[row].cast_unsigned()),
            Values::Floats(values) => self.insert(nulls, |row| distinct::of_float(values[row])),
            Values::Bytes(values) => {
                // Lines of one order stand side by side and name one customer: most rows need no hash.
                let mut last: (u32, &[u8]) = (LATE, &[]);
                self.each(nulls, |partial, row, group| {
                    let value = (group, values.value(row));
                    if value != last
                        && let Partial::Distinct(set) = partial
                    {
                        set.insert(distinct::of_bytes(value.1));
                        last = value;
                    }
                });
            }
        }
    }

    fn insert(&mut self, nulls: Option<&NullBuffer>, value: impl Fn(usize) -> u128) {
        self.each(nulls, |partial, row, _| {
            if let Partial::Distinct(set) = partial {
                set.insert(value(row));
            }
        });
    }

    /// Values enter a sketch as `DataSketches` for Java and C++ hash them, so that sketches of several writers merge
    /// (but the empty string counts, as it does in `distinct`).
    fn sketch(&mut self, nulls: Option<&NullBuffer>, values: &Values<'_>) {
        self.each(nulls, |partial, row, _| {
            let Partial::Sketch(sketch) = partial else { return };
            let sketch = Arc::make_mut(sketch);
            match values {
                Values::Ints(values) => sketch.update(values[row]),
                Values::Decimals(values) => sketch.update(raw_bytes::from_slice(&values[row].to_be_bytes())),
                Values::Floats(values) => sketch.update(canonical_float::from_f64(values[row])),
                Values::Bytes(values) => sketch.update(raw_bytes::from_slice(values.value(row))),
            }
        });
    }

    /// Calls `each` with the partial, the row and the group of every row that is neither late nor null.
    #[inline]
    fn each(&mut self, nulls: Option<&NullBuffer>, mut each: impl FnMut(&mut Partial, usize, u32)) {
        for (row, &group) in self.placed.iter().enumerate() {
            if group != LATE && nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                each(&mut self.partials[group as usize * self.stride + self.measure], row, group);
            }
        }
    }
}
