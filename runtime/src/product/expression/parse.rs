//! Reads the text of an expression: recursive descent, one function for each rule of the grammar.

use super::ast::{Arithmetic, Comparison, Kind, Node};
use super::token::{self, Token};
use super::{Error, MAX_DEPTH, MAX_LENGTH};
use chrono::{DateTime, NaiveDate};

/// The words that name no column unless they are quoted.
const RESERVED: [&str; 10] = ["and", "or", "not", "in", "between", "like", "is", "null", "true", "false"];

/// Reads `text` whole.
pub(super) fn parse(text: &str) -> Result<Node, Error> {
    if text.len() > MAX_LENGTH {
        return Err(Error::TooLong { length: text.len() });
    }
    let mut parser = Parser { tokens: token::tokens(text)?, position: 0, depth: 0 };
    let node = parser.condition()?;
    match parser.peek() {
        token::Kind::End => Ok(node),
        _ => Err(parser.expected("`and`, `or` or the end")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    /// How many rules that may recur are open: what bounds the parser's own stack.
    depth: u16,
}

impl Parser {
    fn condition(&mut self) -> Result<Node, Error> {
        self.chain("or", Self::and, Kind::Or)
    }

    fn and(&mut self) -> Result<Node, Error> {
        self.chain("and", Self::not, Kind::And)
    }

    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Node, Error>,
        join: fn(Vec<Node>) -> Kind,
    ) -> Result<Node, Error> {
        let at = self.at();
        let first = part(self)?;
        if !self.word(word) {
            return Ok(first);
        }
        let mut parts = vec![first, part(self)?];
        while self.word(word) {
            parts.push(part(self)?);
        }
        Node::new(join(parts), at)
    }

    fn not(&mut self) -> Result<Node, Error> {
        let at = self.at();
        if self.word("not") {
            let inner = self.nested(Self::not)?;
            return Node::new(Kind::Not(Box::new(inner)), at);
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<Node, Error> {
        let left = self.sum()?;
        let at = self.at();
        if let Some(comparison) = self.comparison() {
            let right = self.sum()?;
            return Node::new(Kind::Compare(comparison, Box::new(left), Box::new(right)), at);
        }
        if self.word("is") {
            let negated = self.word("not");
            if !self.word("null") {
                return Err(self.expected("`null`"));
            }
            return negate(negated, Kind::IsNull(Box::new(left)), at);
        }
        let negated = self.word("not");
        if self.word("in") {
            let list = self.list()?;
            return negate(negated, Kind::In(Box::new(left), list), at);
        }
        if self.word("between") {
            let low = self.sum()?;
            if !self.word("and") {
                return Err(self.expected("`and`"));
            }
            let high = self.sum()?;
            return negate(negated, Kind::Between(Box::new(left), Box::new(low), Box::new(high)), at);
        }
        if self.word("like") {
            let Some(pattern) = self.text() else { return Err(self.expected("a pattern in single quotes")) };
            return negate(negated, Kind::Like(Box::new(left), pattern), at);
        }
        if negated { Err(self.expected("`in`, `between` or `like`")) } else { Ok(left) }
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let comparison = match self.peek() {
            token::Kind::Symbol("=") => Comparison::Equal,
            token::Kind::Symbol("<>" | "!=") => Comparison::NotEqual,
            token::Kind::Symbol("<") => Comparison::Less,
            token::Kind::Symbol("<=") => Comparison::LessOrEqual,
            token::Kind::Symbol(">") => Comparison::Greater,
            token::Kind::Symbol(">=") => Comparison::GreaterOrEqual,
            _ => return None,
        };
        self.position += 1;
        Some(comparison)
    }

    fn list(&mut self) -> Result<Vec<Node>, Error> {
        self.require("(")?;
        let mut list = vec![self.unary()?];
        while self.symbol(",") {
            list.push(self.unary()?);
        }
        self.require(")")?;
        Ok(list)
    }

    fn sum(&mut self) -> Result<Node, Error> {
        let mut left = self.product()?;
        loop {
            let at = self.at();
            let arithmetic = if self.symbol("+") {
                Arithmetic::Add
            } else if self.symbol("-") {
                Arithmetic::Subtract
            } else {
                return Ok(left);
            };
            let right = self.product()?;
            left = Node::new(Kind::Arithmetic(arithmetic, Box::new(left), Box::new(right)), at)?;
        }
    }

    fn product(&mut self) -> Result<Node, Error> {
        let mut left = self.unary()?;
        loop {
            let at = self.at();
            if !self.symbol("*") {
                return Ok(left);
            }
            let right = self.unary()?;
            left = Node::new(Kind::Arithmetic(Arithmetic::Multiply, Box::new(left), Box::new(right)), at)?;
        }
    }

    fn unary(&mut self) -> Result<Node, Error> {
        let at = self.at();
        if self.symbol("-") {
            let inner = self.nested(Self::unary)?;
            return Node::new(Kind::Negate(Box::new(inner)), at);
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Node, Error> {
        let at = self.at();
        if self.symbol("(") {
            let inner = self.nested(Self::condition)?;
            self.require(")")?;
            return Ok(inner);
        }
        let kind = match self.peek().clone() {
            token::Kind::Number { digits, scale } => Kind::Number { digits, scale },
            token::Kind::Text(text) => Kind::Text(text),
            token::Kind::Quoted(name) => Kind::Column { name, quoted: true },
            token::Kind::Word(word) => return self.named(word, at),
            _ => return Err(self.expected("a column, a value or `(`")),
        };
        self.position += 1;
        Node::new(kind, at)
    }

    /// What starts with a word: a literal, `length(..)`, or else a column.
    fn named(&mut self, word: String, at: usize) -> Result<Node, Error> {
        let lower = word.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str()) && lower != "true" && lower != "false" {
            return Err(self.expected("a column, a value or `(`"));
        }
        self.position += 1;
        if lower == "length" && self.symbol("(") {
            let inner = self.nested(Self::sum)?;
            self.require(")")?;
            return Node::new(Kind::Length(Box::new(inner)), at);
        }
        let kind = match (lower.as_str(), self.peek()) {
            ("true", _) => Kind::Bool(true),
            ("false", _) => Kind::Bool(false),
            ("date", token::Kind::Text(text)) => date(text, at)?,
            ("timestamp", token::Kind::Text(text)) => timestamp(text, at)?,
            _ => return Node::new(Kind::Column { name: word, quoted: false }, at),
        };
        if !matches!(kind, Kind::Bool(_)) {
            self.position += 1;
        }
        Node::new(kind, at)
    }

    fn nested(&mut self, rule: fn(&mut Self) -> Result<Node, Error>) -> Result<Node, Error> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::TooDeep { at: self.at() });
        }
        self.depth += 1;
        let node = rule(self);
        self.depth -= 1;
        node
    }

    fn peek(&self) -> &token::Kind {
        &self.tokens[self.position].kind
    }

    fn at(&self) -> usize {
        self.tokens[self.position].at
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), token::Kind::Symbol(found) if *found == symbol);
        self.position += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), token::Kind::Word(found) if found.eq_ignore_ascii_case(word));
        self.position += usize::from(found);
        found
    }

    fn text(&mut self) -> Option<String> {
        let token::Kind::Text(text) = self.peek() else { return None };
        let text = text.clone();
        self.position += 1;
        Some(text)
    }

    fn require(&mut self, symbol: &'static str) -> Result<(), Error> {
        let expected = if symbol == "(" { "`(`" } else { "`)`" };
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn expected(&self, expected: &'static str) -> Error {
        Error::Expected { expected, found: self.peek().to_string(), at: self.at() }
    }
}

fn negate(negated: bool, kind: Kind, at: usize) -> Result<Node, Error> {
    let node = Node::new(kind, at)?;
    if negated { Node::new(Kind::Not(Box::new(node)), at) } else { Ok(node) }
}

fn date(text: &str, at: usize) -> Result<Kind, Error> {
    let days = text.parse::<NaiveDate>().ok().map(|date| date.to_epoch_days());
    days.map(Kind::Date).ok_or_else(|| Error::Calendar {
        kind: "date",
        text: text.to_owned(),
        example: "'2011-01-31'",
        at,
    })
}

fn timestamp(text: &str, at: usize) -> Result<Kind, Error> {
    let micros = DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros());
    micros.map(Kind::Timestamp).ok_or_else(|| Error::Calendar {
        kind: "timestamp",
        text: text.to_owned(),
        example: "'2011-01-31T23:59:59Z'",
        at,
    })
}
