//! An expression as it was written, before its types are known.

use super::{Error, MAX_DEPTH};

/// A node and the character, counted from 1, to which an error about it points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) at: usize,
    depth: u16,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Column {
        name: String,
        quoted: bool,
    },
    Number {
        digits: i128,
        scale: u8,
    },
    Text(String),
    Bool(bool),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    Negate(Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Length(Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Node>),
    Between(Box<Node>, Box<Node>, Box<Node>),
    Like(Box<Node>, String),
    IsNull(Box<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

/// `+`, `-` or `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

impl Arithmetic {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
        }
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The comparison with its sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

impl Node {
    /// A node over its children, refused where the tree becomes too deep to be walked.
    pub(super) fn new(kind: Kind, at: usize) -> Result<Self, Error> {
        let below = match &kind {
            Kind::Column { .. }
            | Kind::Number { .. }
            | Kind::Text(_)
            | Kind::Bool(_)
            | Kind::Date(_)
            | Kind::Timestamp(_) => 0,
            Kind::Negate(a) | Kind::Length(a) | Kind::Like(a, _) | Kind::IsNull(a) | Kind::Not(a) => a.depth,
            Kind::Arithmetic(_, a, b) | Kind::Compare(_, a, b) => a.depth.max(b.depth),
            Kind::Between(a, b, c) => a.depth.max(b.depth).max(c.depth),
            Kind::In(a, list) => list.iter().map(|node| node.depth).fold(a.depth, u16::max),
            Kind::And(list) | Kind::Or(list) => list.iter().map(|node| node.depth).fold(0, u16::max),
        };
        if below >= MAX_DEPTH {
            return Err(Error::TooDeep { at });
        }
        Ok(Self { kind, at, depth: below + 1 })
    }
}
