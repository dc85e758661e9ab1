//! Cuts the text of an expression into tokens.

use super::Error;
use std::fmt;

/// A token and the character, counted from 1, at which it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A column or a word of the language.
    Word(String),
    /// A column in double quotes.
    Quoted(String),
    /// `digits` / 10^`scale`.
    Number { digits: i128, scale: u8 },
    /// Text in single quotes.
    Text(String),
    /// An operator, a bracket or a comma.
    Symbol(&'static str),
    /// Behind the last token.
    End,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Quoted(name) => write!(f, "`\"{name}\"`"),
            Self::Number { .. } => f.write_str("a number"),
            Self::Text(text) => write!(f, "`'{text}'`"),
            Self::Symbol(symbol) => write!(f, "`{symbol}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Longer symbols stand before their prefixes.
const SYMBOLS: [&str; 13] = ["<>", "!=", "<=", ">=", "=", "<", ">", "(", ")", ",", "+", "-", "*"];

/// The tokens of `text`, with [`Kind::End`] as the last.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer { rest: text, at: 1 };
    let mut tokens = Vec::new();
    loop {
        lexer.take_while(char::is_whitespace);
        let at = lexer.at;
        let kind = lexer.next()?;
        let last = kind == Kind::End;
        tokens.push(Token { kind, at });
        if last {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Kind, Error> {
        let Some(first) = self.rest.chars().next() else { return Ok(Kind::End) };
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol)) {
            self.take(symbol.len());
            return Ok(Kind::Symbol(symbol));
        }
        match first {
            '\'' => self.quoted(first).map(Kind::Text),
            '"' => self.quoted(first).map(Kind::Quoted),
            '0'..='9' => self.number(),
            _ if first.is_alphabetic() || first == '_' => {
                Ok(Kind::Word(self.take_while(|c| c.is_alphanumeric() || c == '_').to_owned()))
            }
            found => Err(Error::Character { found, at: self.at }),
        }
    }

    /// Text in quotes; the quote itself is written twice.
    fn quoted(&mut self, quote: char) -> Result<String, Error> {
        let at = self.at;
        let mut text = String::new();
        loop {
            self.take(1);
            text.push_str(self.take_while(|c| c != quote));
            if self.rest.is_empty() {
                return Err(Error::Unclosed { at });
            }
            self.take(1);
            if !self.rest.starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
        }
    }

    fn number(&mut self) -> Result<Kind, Error> {
        let long = Error::LongNumber { at: self.at };
        let mut digits = self.take_while(|c| c.is_ascii_digit()).to_owned();
        let mut scale = 0;
        if self.rest.starts_with('.') && self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.take(1);
            let fraction = self.take_while(|c| c.is_ascii_digit());
            scale = i32::try_from(fraction.len()).map_err(|_| long.clone())?;
            digits.push_str(fraction);
        }
        if let Some(exponent) = self.exponent() {
            scale = scale.checked_sub(exponent).ok_or_else(|| long.clone())?;
        }
        let mut digits: i128 = digits.parse().map_err(|_| long.clone())?;
        if scale < 0 {
            let factor = power_of_ten(scale.unsigned_abs()).ok_or_else(|| long.clone())?;
            digits = digits.checked_mul(factor).ok_or_else(|| long.clone())?;
            scale = 0;
        }
        match u8::try_from(scale) {
            Ok(scale) if scale <= 38 && digits < 10_i128.pow(38) => Ok(Kind::Number { digits, scale }),
            _ => Err(long),
        }
    }

    /// `e3`, `E-7`; nothing is taken where no digit follows.
    fn exponent(&mut self) -> Option<i32> {
        let rest = self.rest.strip_prefix(['e', 'E'])?;
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let digits = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
        let length = rest.len() - unsigned.len() + digits;
        // Saturates: an exponent beyond an i32 is refused with the number that it makes too long.
        let exponent = if digits == 0 { return None } else { rest[..length].parse().unwrap_or(i32::MIN + 64) };
        self.take(1 + length);
        Some(exponent)
    }

    /// Takes `length` bytes, all ASCII.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.at += length;
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.at += taken.chars().count();
        taken
    }
}

/// 10^`power`, if an `i128` holds it.
pub(super) fn power_of_ten(power: u32) -> Option<i128> {
    10_i128.checked_pow(power)
}
