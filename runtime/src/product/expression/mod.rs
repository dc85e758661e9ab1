//! The language of expectations: a condition on one row, compiled once and evaluated over whole columns.
//!
//! ```text
//! condition  = and { "or" and }            and = not { "and" not }            not = [ "not" ] predicate
//! predicate  = sum [ ( "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=" ) sum
//!                  | "is" [ "not" ] "null"
//!                  | [ "not" ] "in" "(" literal { "," literal } ")"
//!                  | [ "not" ] "between" sum "and" sum
//!                  | [ "not" ] "like" 'text' ]
//! sum        = product { ( "+" | "-" ) product }                              product = unary { "*" unary }
//! unary      = [ "-" ] primary
//! primary    = 12.5 | 'text' | true | false | date '2011-01-01' | timestamp '2011-01-01T00:00:00Z'
//!            | length( sum ) | column | "quoted column" | value | "(" condition ")"
//! ```
//!
//! - `value` is the column that the rule stands on; words of the language are not case-sensitive, column names are.
//! - Nulls follow SQL: a comparison with null is neither true nor false, and a rule is broken only where it is
//!   *false*. So `value >= 0` lets null through; say `value is not null` to refuse it.
//! - Integers and decimals are compared and calculated exactly; where a float takes part, as 64-bit floats (IEEE 754:
//!   NaN equals nothing and is neither below nor above anything).
//! - Text is ordered by its UTF-8 bytes. In `like`, `%` is any text, `_` one character, `\` takes the next as it is.
//! - `length` is the characters of a text, the bytes of a binary, the items of a list.
//! - Types are checked when the contract is compiled; a number is never compared with text.

mod ast;
mod check;
mod condition;
mod error;
mod number;
mod parse;
#[cfg(test)]
mod tests;
mod text;
mod token;
mod truth;
mod types;

pub use error::Error;

use arrow_array::ArrayRef;
use arrow_buffer::BooleanBuffer;
use lakeward_manifest::Column;

/// The longest expression taken, in bytes.
const MAX_LENGTH: usize = 4096;

/// How deep an expression may nest, so that a hostile manifest cannot exhaust the stack.
const MAX_DEPTH: u16 = 32;

/// A compiled condition.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    condition: condition::Condition,
    columns: Vec<usize>,
}

impl Expression {
    /// Compiles `text` against `columns`; `value` is the column that the word `value` stands for.
    pub(super) fn compile(text: &str, columns: &[Column], value: Option<usize>) -> Result<Self, Error> {
        let parsed = parse::parse(text)?;
        let mut checker = check::Checker::new(columns, value);
        let condition = checker.condition(&parsed)?;
        Ok(Self { condition, columns: checker.into_used() })
    }

    /// The columns that the condition reads, in the order in which it names them.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The rows for which the condition is false. `columns` are in wall types, each of `rows` values.
    pub(super) fn violations(&self, columns: &[ArrayRef], rows: usize) -> BooleanBuffer {
        self.condition.evaluate(truth::Rows { columns, rows }).no
    }
}
