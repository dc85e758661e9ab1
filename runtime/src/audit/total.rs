//! The result of one measure over the rows of a group, computed plainly from the values.

use super::cell::Cell;
use datasketches::hash::value::{canonical_float, raw_bytes};
use datasketches::hll::{HllSketch, HllType};
use lakeward_manifest::{DataType, Function, Measure};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Floats may be added in any order, so their sums agree up to this share.
const FLOAT_TOLERANCE: f64 = 1e-9;

/// The largest number of a decimal column.
const LARGEST: u128 = 10_u128.pow(38) - 1;

/// The registers of a sketch, as a power of two; a product's sketches have as many.
const SKETCH_LG_K: u8 = 12;

/// What has been seen of a measure's column in a group.
#[derive(Debug, Clone)]
pub(super) enum Total {
    /// Rows.
    Count(i64),
    /// The sum of whole numbers or digits, `None` once it has left 38 digits; and how many values there were.
    Exact(Option<i128>, i64),
    /// The sum of floats, that of their magnitudes, and how many there were.
    Float(f64, f64, i64),
    /// The smallest or largest value.
    Extreme(Cell<'static>),
    /// The values.
    Distinct(BTreeSet<Box<[u8]>>),
    /// An estimate of the values.
    Sketch(Box<HllSketch>),
}

/// What a measure must be.
#[derive(Debug, Clone)]
pub(super) enum Expected {
    /// This value, to the last digit.
    Exactly(Cell<'static>),
    /// This float, up to what the order of additions may change: a share of the second, the sum of the magnitudes.
    Nearly(f64, f64),
}

impl Total {
    /// Of no rows.
    #[must_use]
    pub(super) fn of(measure: &Measure, source: Option<&DataType>) -> Self {
        let floats = matches!(source, Some(DataType::Float32 | DataType::Float64));
        match measure.function {
            Function::Count => Self::Count(0),
            Function::Sum | Function::Average if floats => Self::Float(0.0, 0.0, 0),
            Function::Sum | Function::Average => Self::Exact(Some(0), 0),
            Function::Min | Function::Max => Self::Extreme(Cell::Null),
            Function::Distinct => Self::Distinct(BTreeSet::new()),
            Function::DistinctSketch => {
                let sketch = HllSketch::new(SKETCH_LG_K, HllType::Hll8).expect("12 is within 4 to 21");
                Self::Sketch(Box::new(sketch))
            }
        }
    }

    /// Adds a row's value; `scratch` is a buffer to work in.
    pub(super) fn add(&mut self, function: Function, value: &Cell<'_>, scratch: &mut Vec<u8>) {
        match (self, value) {
            (Self::Count(rows), _) => *rows += 1,
            (_, Cell::Null) => {}
            (Self::Exact(sum, count), Cell::Int(value)) => add(sum, count, i128::from(*value)),
            (Self::Exact(sum, count), Cell::Decimal(value)) => add(sum, count, *value),
            (Self::Float(sum, magnitude, count), Cell::Float(value)) => {
                (*sum, *magnitude, *count) = (*sum + value, *magnitude + value.abs(), *count + 1);
            }
            (Self::Extreme(own), value) => {
                let wanted = if function == Function::Min { Ordering::Less } else { Ordering::Greater };
                if matches!(own, Cell::Null) || value.order(own) == Some(wanted) {
                    *own = value.clone().into_owned();
                }
            }
            (Self::Distinct(values), value) => {
                scratch.clear();
                value.encode(scratch);
                if !values.contains(scratch.as_slice()) {
                    values.insert(scratch.as_slice().into());
                }
            }
            (Self::Sketch(sketch), Cell::Int(value)) => sketch.update(*value),
            (Self::Sketch(sketch), Cell::Decimal(value)) => sketch.update(raw_bytes::from_slice(&value.to_be_bytes())),
            (Self::Sketch(sketch), Cell::Float(value)) => sketch.update(canonical_float::from_f64(*value)),
            (Self::Sketch(sketch), Cell::Bytes(value)) => sketch.update(raw_bytes::from_slice(value)),
            (Self::Exact(sum, _), _) => *sum = None,
            (Self::Float(sum, ..), _) => *sum = f64::NAN,
        }
    }

    /// The measure's value in the gold table.
    #[must_use]
    pub(super) fn finish(&self, measure: &Measure, source: Option<&DataType>) -> Expected {
        let average = measure.function == Function::Average;
        Expected::Exactly(match self {
            Self::Count(rows) => Cell::Int(*rows),
            Self::Exact(_, 0) | Self::Float(.., 0) | Self::Exact(None, _) => Cell::Null,
            Self::Float(sum, magnitude, count) => {
                let of = if average { *count as f64 } else { 1.0 };
                return Expected::Nearly(sum / of, magnitude / of);
            }
            Self::Exact(Some(sum), count) if average => {
                let from = if let Some(DataType::Decimal { scale, .. }) = source { *scale } else { 0 };
                let DataType::Decimal { precision, scale } = measure.data_type else {
                    let mean = *sum as f64 / 10_f64.powi(from.into()) / *count as f64;
                    return Expected::Nearly(mean, mean.abs());
                };
                mean(*sum, *count, from, scale).map_or(Cell::Null, |mean| fitting(mean, precision))
            }
            Self::Exact(Some(sum), _) => match measure.data_type {
                DataType::Decimal { precision, .. } => fitting(*sum, precision),
                _ => i64::try_from(*sum).map_or(Cell::Null, Cell::Int),
            },
            Self::Extreme(value) => value.clone(),
            Self::Distinct(values) => Cell::Int(i64::try_from(values.len()).unwrap_or(i64::MAX)),
            Self::Sketch(sketch) => Cell::Int(sketch.composite_estimate().round() as i64),
        })
    }
}

impl Expected {
    /// Whether a value of the gold table is the one.
    #[must_use]
    pub(super) fn is(&self, found: &Cell<'_>) -> bool {
        match (self, found) {
            (Self::Exactly(expected), found) => expected.is(found),
            (Self::Nearly(expected, magnitude), Cell::Float(found)) => {
                // With an infinite value anything would be near enough.
                let is_near = magnitude.is_finite() && (expected - found).abs() <= magnitude * FLOAT_TOLERANCE;
                is_near || Cell::Float(*expected).is(&Cell::Float(*found))
            }
            (Self::Nearly(..), _) => false,
        }
    }

    /// The value itself.
    #[must_use]
    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Exactly(cell) => cell.clone(),
            Self::Nearly(value, _) => Cell::Float(*value),
        }
    }
}

fn add(sum: &mut Option<i128>, count: &mut i64, value: i128) {
    *sum = sum.and_then(|sum| sum.checked_add(value)).filter(|sum| sum.unsigned_abs() <= LARGEST);
    *count += 1;
}

/// A decimal of so many digits, or null: the column could not hold it.
fn fitting(value: i128, precision: u8) -> Cell<'static> {
    let fits = 10_u128.checked_pow(precision.into()).is_none_or(|limit| value.unsigned_abs() < limit);
    if fits { Cell::Decimal(value) } else { Cell::Null }
}

/// `sum / count`, where `sum` has `from` decimals and the result `to`; rounded half to even.
fn mean(sum: i128, count: i64, from: u8, to: u8) -> Option<i128> {
    let power = |digits: u8| 10_i128.checked_pow(digits.into());
    let numerator = sum.checked_mul(power(to.saturating_sub(from))?)?;
    let denominator = i128::from(count).checked_mul(power(from.saturating_sub(to))?)?;
    let (quotient, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let up = match rest.cmp(&(denominator - rest)) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => quotient % 2 != 0,
    };
    Some(quotient + i128::from(up))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(function: Function, data_type: DataType) -> Measure {
        Measure { name: "m".into(), function, column: Some("c".into()), data_type, description: String::new() }
    }

    fn check(function: Function, source: &DataType, declared: DataType, values: &[Cell<'static>], expected: &Cell<'_>) {
        let measure = measure(function, declared);
        let mut total = Total::of(&measure, Some(source));
        values.iter().for_each(|value| total.add(function, value, &mut Vec::new()));
        let result = total.finish(&measure, Some(source));
        assert!(result.is(expected), "{function:?} of {values:?} is {result:?}, not {expected:?}");
    }

    #[test]
    fn measures_are_what_sql_says() {
        let money = DataType::Decimal { precision: 18, scale: 3 };
        let [a, b] = [Cell::Decimal(1_500), Cell::Decimal(-250)];
        let values = [a.clone(), Cell::Null, b.clone(), b.clone()];
        check(Function::Count, &money, DataType::Uint64, &values, &Cell::Int(4));
        check(Function::Sum, &money, money.clone(), &values, &Cell::Decimal(1_000));
        check(Function::Min, &money, money.clone(), &values, &b);
        check(Function::Max, &money, money.clone(), &values, &a);
        check(Function::Distinct, &money, DataType::Uint64, &values, &Cell::Int(2));
        check(Function::DistinctSketch, &money, DataType::Uint64, &values, &Cell::Int(2));
        check(Function::Average, &money, money.clone(), &values, &Cell::Decimal(333));
        check(Function::Average, &money, DataType::Float64, &values, &Cell::Float(1.0 / 3.0));
        check(Function::Sum, &money, money.clone(), &[Cell::Null], &Cell::Null);
    }

    #[test]
    fn a_sum_that_does_not_fit_is_null() {
        let narrow = DataType::Decimal { precision: 3, scale: 0 };
        check(Function::Sum, &DataType::Int64, narrow, &[Cell::Int(999), Cell::Int(1)], &Cell::Null);
        let values = [Cell::Int(i64::MAX), Cell::Int(1)];
        check(Function::Sum, &DataType::Int64, DataType::Int64, &values, &Cell::Null);
    }

    #[test]
    fn a_mean_rounds_half_to_even() {
        for (sum, count, from, to, expected) in
            [(5, 2, 0, 0, 2), (7, 2, 0, 0, 4), (-5, 2, 0, 0, -2), (-7, 2, 0, 0, -4), (20, 3, 0, 4, 66_667)]
        {
            assert_eq!(mean(sum, count, from, to), Some(expected), "{sum} / {count}");
        }
        assert_eq!(mean(12_450, 1, 4, 2), Some(124));
    }

    #[test]
    fn floats_agree_in_any_order_but_not_by_much() {
        let near = Expected::Nearly(0.1 + 0.2, 0.3);
        assert!(near.is(&Cell::Float(0.3)));
        assert!(!near.is(&Cell::Float(0.300_001)));
        assert!(Expected::Nearly(f64::NAN, f64::NAN).is(&Cell::Float(f64::NAN)));
        let endless = Expected::Nearly(f64::INFINITY, f64::INFINITY);
        assert!(endless.is(&Cell::Float(f64::INFINITY)) && !endless.is(&Cell::Float(5.0)));
        // What nearly cancels out is as exact as its parts are.
        let values = [-0.3, 0.1, 0.2].map(Cell::Float);
        check(Function::Sum, &DataType::Float64, DataType::Float64, &values, &Cell::Float((0.1 + 0.2) - 0.3));
        check(
            Function::Average,
            &DataType::Float64,
            DataType::Float64,
            &values,
            &Cell::Float(((0.1 + 0.2) - 0.3) / 3.0),
        );
        assert!(!near.is(&Cell::Null));
    }
}
