//! The types of an expression's parts, and which of them go together.

use super::Error;
use super::ast::{Arithmetic, Comparison};
use super::condition::Condition;
use super::number::{Exact, Float};
use super::text::{Length, Text};
use super::token::power_of_ten;
use lakeward_manifest::DataType;

/// The largest magnitude that exact arithmetic may reach. One below the largest `i128`, so that a saturated value is
/// still larger than any other.
pub(super) const LIMIT: u128 = i128::MAX as u128 - 1;

/// A part with its type.
#[derive(Debug, Clone)]
pub(super) enum Typed {
    Condition(Condition),
    Exact(Number),
    Date(Exact),
    Timestamp(Exact),
    Float(Float),
    Text(Text),
    /// A column of a type that has no operations but `is null` and perhaps `length`.
    Other(usize, DataType),
}

/// An exact number whose value is an integer of magnitude at most `bound`, divided by 10^`scale`.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) exact: Exact,
    pub(super) scale: u8,
    pub(super) bound: u128,
}

impl Number {
    pub(super) fn literal(digits: i128, scale: u8) -> Self {
        Self { exact: Exact::Literal(digits), scale, bound: digits.unsigned_abs() }
    }

    /// The number at a scale that is at least its own; the bound may pass [`LIMIT`].
    fn lifted(self, scale: u8) -> Option<Self> {
        let factor = power_of_ten(u32::from(scale - self.scale))?;
        let bound = self.bound.saturating_mul(factor.unsigned_abs());
        Some(Self { exact: self.exact.lifted(factor), scale, bound })
    }
}

impl Typed {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Condition(_) => "a truth value".to_owned(),
            Self::Exact(_) | Self::Float(_) => "a number".to_owned(),
            Self::Date(_) => "a date".to_owned(),
            Self::Timestamp(_) => "a timestamp".to_owned(),
            Self::Text(_) => "text".to_owned(),
            Self::Other(_, data_type) => format!("a {data_type}"),
        }
    }

    fn float(&self) -> Option<Float> {
        match self {
            Self::Float(float) => Some(float.clone()),
            Self::Exact(number) => Some(Float::Exact(number.exact.clone(), number.scale)),
            _ => None,
        }
    }
}

pub(super) fn operand_error(operation: &'static str, takes: &'static str, found: &Typed, at: usize) -> Error {
    Error::Operand { operation, takes, found: found.name(), at }
}

pub(super) fn compare(comparison: Comparison, left: Typed, right: Typed, at: usize) -> Result<Condition, Error> {
    Ok(match (left, right) {
        (Typed::Exact(left), Typed::Exact(right)) => {
            let scale = left.scale.max(right.scale);
            let long = || Error::Overflow { operation: "a comparison", at };
            let left = left.lifted(scale).ok_or_else(long)?;
            let right = right.lifted(scale).ok_or_else(long)?;
            Condition::Exact(comparison, left.exact, right.exact)
        }
        (Typed::Date(left), Typed::Date(right)) | (Typed::Timestamp(left), Typed::Timestamp(right)) => {
            Condition::Exact(comparison, left, right)
        }
        (Typed::Text(left), Typed::Text(right)) => Condition::Text(comparison, left, right),
        (Typed::Condition(left), Typed::Condition(right)) if comparison == Comparison::Equal => {
            Condition::Same(Box::new(left), Box::new(right))
        }
        (Typed::Condition(left), Typed::Condition(right)) if comparison == Comparison::NotEqual => {
            Condition::Not(Box::new(Condition::Same(Box::new(left), Box::new(right))))
        }
        (left, right) => match float_pair(&left, &right) {
            Some((left, right)) => Condition::Float(comparison, left, right),
            None => return Err(mismatch(&left, &right, at)),
        },
    })
}

/// Both as floats, if both are numbers.
fn float_pair(left: &Typed, right: &Typed) -> Option<(Float, Float)> {
    Some((left.float()?, right.float()?))
}

fn mismatch(left: &Typed, right: &Typed, at: usize) -> Error {
    let hint = match (left, right) {
        (Typed::Date(_), Typed::Text(_)) | (Typed::Text(_), Typed::Date(_)) => ", write date '2011-01-31'",
        (Typed::Timestamp(_), _) | (_, Typed::Timestamp(_)) => ", write timestamp '2011-01-31T23:59:59Z'",
        (Typed::Exact(_) | Typed::Float(_), Typed::Text(_)) => ", write numbers without quotes",
        _ => "",
    };
    Error::Mismatch { left: left.name(), right: right.name(), at, hint }
}

/// Whether `operand` is one of the literals `listed`: it is evaluated once, however long the list.
pub(super) fn is_in(operand: Typed, listed: Vec<Typed>, at: usize) -> Result<Condition, Error> {
    let wrong = |typed: &Typed| mismatch(&operand, typed, at);
    match &operand {
        Typed::Text(text) => {
            let literal = |typed: &Typed| match typed {
                Typed::Text(Text::Literal(text)) => Ok(text.clone()),
                other => Err(wrong(other)),
            };
            let mut texts: Vec<String> = listed.iter().map(literal).collect::<Result<_, _>>()?;
            texts.sort_unstable();
            Ok(Condition::InTexts(text.clone(), texts))
        }
        Typed::Exact(number) => {
            let literal = |typed: &Typed| match typed {
                Typed::Exact(number) => Ok(number.clone()),
                other => Err(wrong(other)),
            };
            let list: Vec<Number> = listed.iter().map(literal).collect::<Result<_, _>>()?;
            let scale = list.iter().map(|listed| listed.scale).fold(number.scale, u8::max);
            let long = || Error::Overflow { operation: "in", at };
            let number = number.clone().lifted(scale).ok_or_else(long)?;
            let list = list.into_iter().map(|listed| listed.lifted(scale).map(|listed| listed.exact));
            Ok(in_numbers(number.exact, list.collect::<Option<_>>().ok_or_else(long)?))
        }
        Typed::Date(date) => {
            let literal = |typed: Typed| if let Typed::Date(date) = typed { Ok(date) } else { Err(wrong(&typed)) };
            Ok(in_numbers(date.clone(), listed.into_iter().map(literal).collect::<Result<_, _>>()?))
        }
        Typed::Timestamp(time) => {
            let literal = |typed: Typed| if let Typed::Timestamp(time) = typed { Ok(time) } else { Err(wrong(&typed)) };
            Ok(in_numbers(time.clone(), listed.into_iter().map(literal).collect::<Result<_, _>>()?))
        }
        Typed::Condition(_) | Typed::Float(_) | Typed::Other(..) => {
            Err(operand_error("`in`", "an exact number, text, a date or a timestamp", &operand, at))
        }
    }
}

fn in_numbers(operand: Exact, list: Vec<Exact>) -> Condition {
    let literal = |listed: Exact| if let Exact::Literal(value) = listed { Some(value) } else { None };
    let mut numbers: Vec<i128> = list.into_iter().filter_map(literal).collect();
    numbers.sort_unstable();
    Condition::InNumbers(operand, numbers)
}

pub(super) fn arithmetic(operation: Arithmetic, left: Typed, right: Typed, at: usize) -> Result<Typed, Error> {
    if let (Typed::Exact(left), Typed::Exact(right)) = (&left, &right) {
        return exact_arithmetic(operation, left.clone(), right.clone())
            .map(Typed::Exact)
            .ok_or(Error::Overflow { operation: operation.symbol(), at });
    }
    let wrong = if left.float().is_none() { &left } else { &right };
    match float_pair(&left, &right) {
        Some((left, right)) => Ok(Typed::Float(Float::Arithmetic(operation, Box::new(left), Box::new(right)))),
        None => Err(operand_error(symbol_name(operation), "numbers", wrong, at)),
    }
}

/// `None` where the result could leave the exact range.
fn exact_arithmetic(operation: Arithmetic, left: Number, right: Number) -> Option<Number> {
    let (left, right, scale, bound) = if operation == Arithmetic::Multiply {
        let scale = left.scale.checked_add(right.scale).filter(|scale| *scale <= 38)?;
        let bound = left.bound.checked_mul(right.bound)?;
        (left, right, scale, bound)
    } else {
        let scale = left.scale.max(right.scale);
        let (left, right) = (left.lifted(scale)?, right.lifted(scale)?);
        let bound = left.bound.checked_add(right.bound)?;
        (left, right, scale, bound)
    };
    if bound > LIMIT {
        return None;
    }
    let exact = match (operation, left.exact, right.exact) {
        (Arithmetic::Subtract, Exact::Literal(left), Exact::Literal(right)) => Exact::Literal(left - right),
        (_, left, right) => Exact::Arithmetic(operation, Box::new(left), Box::new(right)),
    };
    Some(Number { exact, scale, bound })
}

fn symbol_name(operation: Arithmetic) -> &'static str {
    match operation {
        Arithmetic::Add => "`+`",
        Arithmetic::Subtract => "`-`",
        Arithmetic::Multiply => "`*`",
    }
}

pub(super) fn length(inner: Typed, at: usize) -> Result<Typed, Error> {
    let length = match inner {
        Typed::Text(text) => Length::Characters(text),
        Typed::Other(index, DataType::Binary) => Length::Bytes(index),
        Typed::Other(index, DataType::List(_)) => Length::Items(index),
        other => return Err(operand_error("`length`", "text, a binary or a list", &other, at)),
    };
    Ok(Typed::Exact(Number { exact: Exact::Length(length), scale: 0, bound: u32::MAX.into() }))
}
