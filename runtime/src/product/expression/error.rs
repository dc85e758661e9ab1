//! Why an expression cannot be used. Positions count characters from 1.

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A character that begins nothing.
    #[error("unexpected `{found}` at character {at}")]
    Character {
        /// The character.
        found: char,
        /// Where it stands.
        at: usize,
    },
    /// A quote that is never closed.
    #[error("the quote opened at character {at} is never closed")]
    Unclosed {
        /// Where the quote opens.
        at: usize,
    },
    /// A number that cannot be held exactly.
    #[error("the number at character {at} needs more than 38 digits")]
    LongNumber {
        /// Where the number stands.
        at: usize,
    },
    /// Something else was needed here.
    #[error("expected {expected} at character {at}, found {found}")]
    Expected {
        /// What was needed.
        expected: &'static str,
        /// What stands there.
        found: String,
        /// Where.
        at: usize,
    },
    /// A date or timestamp that is none.
    #[error("`{text}` at character {at} is not a {kind}, which is written {example}")]
    Calendar {
        /// `date` or `timestamp`.
        kind: &'static str,
        /// What was written.
        text: String,
        /// How it is written.
        example: &'static str,
        /// Where it stands.
        at: usize,
    },
    /// The text is too long.
    #[error("the expression has {length} bytes, at most {} are taken", super::MAX_LENGTH)]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The nesting is too deep.
    #[error("the expression nests deeper than {} levels at character {at}", super::MAX_DEPTH)]
    TooDeep {
        /// Where the limit was passed.
        at: usize,
    },
    /// No such column.
    #[error("unknown column `{column}` at character {at}, the product has {known}")]
    UnknownColumn {
        /// The name.
        column: String,
        /// Where it stands.
        at: usize,
        /// The columns that there are.
        known: String,
    },
    /// `value` in a rule that stands on no column.
    #[error("`value` at character {at} means nothing in a rule that stands on no column, the product has {known}")]
    NoValue {
        /// Where it stands.
        at: usize,
        /// The columns that there are.
        known: String,
    },
    /// Two sides of different types.
    #[error("{left} cannot be compared with {right} at character {at}{hint}")]
    Mismatch {
        /// The left side's type.
        left: String,
        /// The right side's type.
        right: String,
        /// Where the comparison stands.
        at: usize,
        /// What to write instead, if it can be guessed.
        hint: &'static str,
    },
    /// An operand of a type that the operation does not take.
    #[error("{operation} at character {at} takes {takes}, not {found}")]
    Operand {
        /// The operation.
        operation: &'static str,
        /// What it takes.
        takes: &'static str,
        /// What it was given.
        found: String,
        /// Where it stands.
        at: usize,
    },
    /// Arithmetic whose result might not be exact.
    #[error("the result of `{operation}` at character {at} may need more than 38 digits")]
    Overflow {
        /// The operation.
        operation: &'static str,
        /// Where it stands.
        at: usize,
    },
    /// A pattern that is too long to be matched in bounded time.
    #[error("the pattern at character {at} has more than {limit} bytes")]
    LongPattern {
        /// Where it stands.
        at: usize,
        /// The limit.
        limit: usize,
    },
}
