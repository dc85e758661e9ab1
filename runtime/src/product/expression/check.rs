//! Gives every part of an expression its type, and refuses what does not fit together.

use super::Error;
use super::ast::{Arithmetic, Comparison, Kind, Node};
use super::condition::Condition;
use super::number::{Exact, Float};
use super::text::{Pattern, Text};
use super::types::{self, LIMIT, Number, Typed, arithmetic, compare, length, operand_error};
use lakeward_manifest::{Column, DataType};

/// Types the nodes of one expression.
pub(super) struct Checker<'a> {
    columns: &'a [Column],
    value: Option<usize>,
    used: Vec<usize>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(columns: &'a [Column], value: Option<usize>) -> Self {
        Self { columns, value, used: Vec::new() }
    }

    /// The columns that the checked nodes read.
    pub(super) fn into_used(self) -> Vec<usize> {
        self.used
    }

    /// Types a node that must be true or false.
    pub(super) fn condition(&mut self, node: &Node) -> Result<Condition, Error> {
        match self.typed(node)? {
            Typed::Condition(condition) => Ok(condition),
            other => Err(Error::Operand {
                operation: "the condition",
                takes: "something that is true or false",
                found: other.name(),
                at: node.at,
            }),
        }
    }

    fn typed(&mut self, node: &Node) -> Result<Typed, Error> {
        let at = node.at;
        let condition = match &node.kind {
            Kind::Column { name, quoted } => return self.column(name, *quoted, at),
            Kind::Number { digits, scale } => return Ok(Typed::Exact(Number::literal(*digits, *scale))),
            Kind::Text(text) => return Ok(Typed::Text(Text::Literal(text.clone()))),
            Kind::Date(days) => return Ok(Typed::Date(Exact::Literal((*days).into()))),
            Kind::Timestamp(micros) => return Ok(Typed::Timestamp(Exact::Literal((*micros).into()))),
            Kind::Negate(inner) => {
                let zero = Typed::Exact(Number::literal(0, 0));
                let inner = self.typed(inner)?;
                return arithmetic(Arithmetic::Subtract, zero, inner, at);
            }
            Kind::Arithmetic(operation, left, right) => {
                let (left, right) = (self.typed(left)?, self.typed(right)?);
                return arithmetic(*operation, left, right, at);
            }
            Kind::Length(inner) => return length(self.typed(inner)?, at),
            Kind::Bool(truth) => Condition::Constant(*truth),
            Kind::Compare(comparison, left, right) => {
                let (left, right) = (self.typed(left)?, self.typed(right)?);
                compare(*comparison, left, right, at)?
            }
            Kind::In(operand, list) => self.is_in(operand, list, at)?,
            Kind::Between(operand, low, high) => self.between([operand, low, high], at)?,
            Kind::Like(operand, pattern) => match self.typed(operand)? {
                Typed::Text(text) => Condition::Like(text, Pattern::new(pattern, at)?),
                other => return Err(operand_error("`like`", "text", &other, at)),
            },
            Kind::IsNull(operand) => self.is_null(operand, at)?,
            Kind::Not(inner) => Condition::Not(Box::new(self.condition(inner)?)),
            Kind::And(parts) => Condition::And(self.conditions(parts)?),
            Kind::Or(parts) => Condition::Or(self.conditions(parts)?),
        };
        Ok(Typed::Condition(condition))
    }

    fn conditions(&mut self, nodes: &[Node]) -> Result<Vec<Condition>, Error> {
        nodes.iter().map(|node| self.condition(node)).collect()
    }

    fn column(&mut self, name: &str, quoted: bool, at: usize) -> Result<Typed, Error> {
        let index = self.find(name, quoted, at)?;
        if !self.used.contains(&index) {
            self.used.push(index);
        }
        let exact = Exact::Column(index);
        let number = |scale, bound| Typed::Exact(Number { exact: Exact::Column(index), scale, bound });
        Ok(match &self.columns[index].data_type {
            DataType::Bool => Typed::Condition(Condition::Column(index)),
            DataType::Int8 => number(0, i8::MIN.unsigned_abs().into()),
            DataType::Int16 => number(0, i16::MIN.unsigned_abs().into()),
            DataType::Int32 => number(0, i32::MIN.unsigned_abs().into()),
            DataType::Int64 => number(0, i64::MIN.unsigned_abs().into()),
            DataType::Uint8 => number(0, u8::MAX.into()),
            DataType::Uint16 => number(0, u16::MAX.into()),
            DataType::Uint32 => number(0, u32::MAX.into()),
            DataType::Uint64 => number(0, u64::MAX.into()),
            DataType::Decimal { precision, scale } => {
                number(*scale, 10_u128.saturating_pow((*precision).into()).min(LIMIT))
            }
            DataType::Float32 | DataType::Float64 => Typed::Float(Float::Column(index)),
            DataType::String => Typed::Text(Text::Column(index)),
            DataType::Date => Typed::Date(exact),
            DataType::Timestamp => Typed::Timestamp(exact),
            other @ (DataType::Binary | DataType::Uuid | DataType::List(_) | DataType::Struct(_)) => {
                Typed::Other(index, other.clone())
            }
        })
    }

    fn find(&self, name: &str, quoted: bool, at: usize) -> Result<usize, Error> {
        let is_value = !quoted && name.eq_ignore_ascii_case("value");
        if let (true, Some(index)) = (is_value, self.value) {
            return Ok(index);
        }
        if let Some(index) = self.columns.iter().position(|column| column.name == name) {
            return Ok(index);
        }
        let known = known_columns(self.columns);
        if is_value {
            Err(Error::NoValue { at, known })
        } else {
            Err(Error::UnknownColumn { column: name.to_owned(), at, known })
        }
    }

    fn is_null(&mut self, operand: &Node, at: usize) -> Result<Condition, Error> {
        let Kind::Column { name, quoted } = &operand.kind else {
            return Err(Error::Operand {
                operation: "`is null`",
                takes: "a column",
                found: "an expression".to_owned(),
                at,
            });
        };
        self.column(name, *quoted, operand.at)?;
        Ok(Condition::IsNull(self.find(name, *quoted, operand.at)?))
    }

    fn between(&mut self, [operand, low, high]: [&Node; 3], at: usize) -> Result<Condition, Error> {
        let operand = self.typed(operand)?;
        if let Typed::Condition(_) = operand {
            return Err(operand_error("`between`", "a number, text, a date or a timestamp", &operand, at));
        }
        let (low, high) = (self.typed(low)?, self.typed(high)?);
        Ok(Condition::And(vec![
            compare(Comparison::GreaterOrEqual, operand.clone(), low, at)?,
            compare(Comparison::LessOrEqual, operand, high, at)?,
        ]))
    }

    fn is_in(&mut self, operand: &Node, list: &[Node], at: usize) -> Result<Condition, Error> {
        let operand = self.typed(operand)?;
        let listed: Vec<Typed> = list.iter().map(|node| self.literal(node)).collect::<Result<_, _>>()?;
        types::is_in(operand, listed, at)
    }

    fn literal(&mut self, node: &Node) -> Result<Typed, Error> {
        match &node.kind {
            Kind::Number { .. } | Kind::Text(_) | Kind::Date(_) | Kind::Timestamp(_) | Kind::Bool(_) => {
                self.typed(node)
            }
            Kind::Negate(inner) if matches!(inner.kind, Kind::Number { .. }) => self.typed(node),
            _ => Err(Error::Operand {
                operation: "`in`",
                takes: "literal values",
                found: "an expression".to_owned(),
                at: node.at,
            }),
        }
    }
}

/// The columns that there are, for an error text.
fn known_columns(columns: &[Column]) -> String {
    columns.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ")
}
