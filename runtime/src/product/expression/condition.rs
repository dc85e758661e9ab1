//! A compiled condition and its evaluation: a loop over the column for each node, none over the rows.

use super::ast::Comparison;
use super::number::{Exact, Float};
use super::text::{Pattern, Text};
use super::truth::{Rows, Truth, bits};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, TimeUnit};

/// A condition whose types agree.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    Constant(bool),
    Column(usize),
    Exact(Comparison, Exact, Exact),
    Float(Comparison, Float, Float),
    Text(Comparison, Text, Text),
    Same(Box<Condition>, Box<Condition>),
    /// The numbers are sorted.
    InNumbers(Exact, Vec<i128>),
    /// The texts are sorted.
    InTexts(Text, Vec<String>),
    Like(Text, Pattern),
    IsNull(usize),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

impl Condition {
    pub(super) fn evaluate(&self, rows: Rows<'_>) -> Truth {
        match self {
            Self::Constant(truth) => Truth::constant(*truth, rows.rows),
            Self::Column(index) => {
                let array = rows.column(*index).as_boolean();
                Truth::new(array.values(), array.nulls())
            }
            Self::Exact(comparison, left, right) => compare_exact(*comparison, left, right, rows),
            Self::Float(comparison, left, right) => {
                let (left, right) = (left.evaluate(rows), right.evaluate(rows));
                let nulls = NullBuffer::union(left.nulls.as_ref(), right.nulls.as_ref());
                Truth::new(&compare_pairs(*comparison, &left.values, &right.values), nulls.as_ref())
            }
            Self::Text(comparison, left, right) => {
                let (left, right) = (left.evaluate(rows), right.evaluate(rows));
                let nulls = NullBuffer::union(left.nulls(), right.nulls());
                let yes = compare(*comparison, rows.rows, |row| left.get(row), |row| right.get(row));
                Truth::new(&yes, nulls.as_ref())
            }
            Self::Same(left, right) => left.evaluate(rows).equals(&right.evaluate(rows)),
            Self::InNumbers(number, list) => {
                let numbers = number.evaluate(rows);
                Truth::new(&bits(&numbers.values, |value| list.binary_search(&value).is_ok()), numbers.nulls.as_ref())
            }
            Self::InTexts(text, list) => {
                of_text(text, rows, |text| list.binary_search_by(|listed| listed.as_str().cmp(text)).is_ok())
            }
            Self::Like(text, pattern) => of_text(text, rows, |text| pattern.matches(text)),
            Self::IsNull(index) => match rows.column(*index).nulls() {
                None => Truth::constant(false, rows.rows),
                Some(nulls) => Truth { yes: !nulls.inner(), no: nulls.inner().clone() },
            },
            Self::Not(inner) => inner.evaluate(rows).not(),
            Self::And(parts) => {
                let start = Truth::constant(true, rows.rows);
                parts.iter().fold(start, |truth, part| truth.and(&part.evaluate(rows)))
            }
            Self::Or(parts) => {
                let start = Truth::constant(false, rows.rows);
                parts.iter().fold(start, |truth, part| truth.or(&part.evaluate(rows)))
            }
        }
    }
}

fn of_text(text: &Text, rows: Rows<'_>, holds: impl Fn(&str) -> bool) -> Truth {
    let texts = text.evaluate(rows);
    Truth::new(&BooleanBuffer::collect_bool(rows.rows, |row| holds(texts.get(row))), texts.nulls())
}

fn compare_exact(comparison: Comparison, left: &Exact, right: &Exact, rows: Rows<'_>) -> Truth {
    let fast = match (left, right) {
        (Exact::Column(index), Exact::Literal(value)) => Some((comparison, *index, *value)),
        (Exact::Literal(value), Exact::Column(index)) => Some((comparison.mirrored(), *index, *value)),
        _ => None,
    };
    if let Some((comparison, index, value)) = fast {
        let column = rows.column(index);
        if let Some(yes) = compare_with_literal(comparison, column, value) {
            return Truth::new(&yes, column.nulls());
        }
    }
    let (left, right) = (left.evaluate(rows), right.evaluate(rows));
    let nulls = NullBuffer::union(left.nulls.as_ref(), right.nulls.as_ref());
    Truth::new(&compare_pairs(comparison, &left.values, &right.values), nulls.as_ref())
}

/// Compares in the column's own type, several times faster than in `i128`; `None` if the literal does not fit it.
fn compare_with_literal(comparison: Comparison, column: &dyn Array, literal: i128) -> Option<BooleanBuffer> {
    fn native<T: ArrowPrimitiveType>(comparison: Comparison, column: &dyn Array, literal: i128) -> Option<BooleanBuffer>
    where
        T::Native: TryFrom<i128> + PartialOrd,
    {
        let literal = T::Native::try_from(literal).ok()?;
        let values: &[T::Native] = column.as_primitive::<T>().values();
        Some(match comparison {
            Comparison::Equal => bits(values, |value| value == literal),
            Comparison::NotEqual => bits(values, |value| value != literal),
            Comparison::Less => bits(values, |value| value < literal),
            Comparison::LessOrEqual => bits(values, |value| value <= literal),
            Comparison::Greater => bits(values, |value| value > literal),
            Comparison::GreaterOrEqual => bits(values, |value| value >= literal),
        })
    }
    match column.data_type() {
        DataType::Int8 => native::<Int8Type>(comparison, column, literal),
        DataType::Int16 => native::<Int16Type>(comparison, column, literal),
        DataType::Int32 => native::<Int32Type>(comparison, column, literal),
        DataType::Int64 => native::<Int64Type>(comparison, column, literal),
        DataType::UInt8 => native::<UInt8Type>(comparison, column, literal),
        DataType::UInt16 => native::<UInt16Type>(comparison, column, literal),
        DataType::UInt32 => native::<UInt32Type>(comparison, column, literal),
        DataType::UInt64 => native::<UInt64Type>(comparison, column, literal),
        DataType::Date32 => native::<Date32Type>(comparison, column, literal),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            native::<TimestampMicrosecondType>(comparison, column, literal)
        }
        DataType::Decimal128(..) => native::<Decimal128Type>(comparison, column, literal),
        _ => None,
    }
}

fn compare_pairs<T: Copy + PartialOrd>(comparison: Comparison, left: &[T], right: &[T]) -> BooleanBuffer {
    compare(comparison, left.len(), |row| left[row], |row| right[row])
}

fn compare<T: PartialOrd>(
    comparison: Comparison,
    rows: usize,
    left: impl Fn(usize) -> T,
    right: impl Fn(usize) -> T,
) -> BooleanBuffer {
    match comparison {
        Comparison::Equal => BooleanBuffer::collect_bool(rows, |row| left(row) == right(row)),
        Comparison::NotEqual => BooleanBuffer::collect_bool(rows, |row| left(row) != right(row)),
        Comparison::Less => BooleanBuffer::collect_bool(rows, |row| left(row) < right(row)),
        Comparison::LessOrEqual => BooleanBuffer::collect_bool(rows, |row| left(row) <= right(row)),
        Comparison::Greater => BooleanBuffer::collect_bool(rows, |row| left(row) > right(row)),
        Comparison::GreaterOrEqual => BooleanBuffer::collect_bool(rows, |row| left(row) >= right(row)),
    }
}
