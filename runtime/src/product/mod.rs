//! Holds rows to their product's contract: types, expectations, masks.

mod cast;
mod check;
mod error;
mod expression;
mod fit;
mod judge;
mod mask;
mod show;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use expression::Error as ExpressionError;

use crate::columns::table_field;
use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_buffer::BooleanBuffer;
use arrow_schema::{Schema, SchemaRef};
use expression::Expression;
use judge::Judgement;
use lakeward_manifest::{Column, DataType, Expectation, Granularity, Mask, OnViolation, Product};
use std::sync::Arc;

/// The most characters of a rule that a reason repeats.
const SHOWN_RULE: usize = 200;

/// A product's contract, compiled. It is immutable, so that all workers share one.
#[derive(Debug)]
pub struct Contract {
    product: Product,
    schema: SchemaRef,
    rules: Vec<Rule>,
    key: Option<mask::Key>,
    /// By column: whether its text, as it was given, names a partition. An empty text is null there (Delta protocol, "Partition Value
    /// Serialization"), so it is for everything that is made of the row.
    names_partition: Vec<bool>,
}

/// An expectation, compiled.
#[derive(Debug)]
struct Rule {
    expression: Expression,
    /// The column that the rule stands on.
    value: Option<usize>,
    action: OnViolation,
    /// `name: expression`, as a reason begins.
    label: String,
}

/// What became of some rows.
#[derive(Debug)]
pub struct Screened {
    /// The product's columns in table types, masked, of *all* rows, so that nothing is copied when no rule is broken.
    /// Only the rows in `kept` may be written.
    pub columns: Vec<ArrayRef>,
    /// The rows that go on; `None` when all do.
    pub kept: Option<BooleanBuffer>,
    /// The rows whose record becomes a dead letter or stops the product, ascending, each once.
    pub violations: Vec<Violation>,
    /// How many rows break each expectation, by its index, whatever follows from it. One row may break several.
    pub counts: Vec<u64>,
    /// How many rows are left out because a `drop` is the strictest rule that they break.
    pub dropped: u64,
}

/// A row that does not go on and whose record needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The row.
    pub row: u32,
    /// [`OnViolation::DeadLetter`] or [`OnViolation::Stop`]; the strictest of the broken rules decides.
    pub action: OnViolation,
    /// The strictest broken rule, the first of several: `line_total: value >= 0 (value is -3.00)`.
    pub reason: String,
}

impl Contract {
    /// Compiles the contract of `product`. `secret` keys the `hash` mask; an empty one counts as none.
    ///
    /// # Errors
    /// When the product cannot become a table, a mask does not fit its column or lacks the secret, or an expectation
    /// cannot be evaluated. The error names the product, the column and the expectation.
    pub fn new(product: &Product, secret: Option<&[u8]>) -> Result<Self, Error> {
        let secret = secret.filter(|secret| !secret.is_empty());
        check::check(product, secret.is_some())?;
        let mut rules: Vec<Rule> = Vec::with_capacity(product.expectations.len());
        for (index, expectation) in product.expectations.iter().enumerate() {
            if product.expectations[..index].iter().any(|other| other.name == expectation.name) {
                let (product, expectation) = (product.name.clone(), expectation.name.clone());
                return Err(Error::DuplicateExpectation { product, expectation });
            }
            rules.push(Rule::compile(product, expectation)?);
        }
        let fields: Vec<_> = product.columns.iter().map(table_field).collect();
        let is_value = |column: &Column| {
            let mut levels = product.partition_by.iter();
            levels.any(|level| level.by == Granularity::Value && level.column == column.name)
        };
        let is_shown = |column: &Column| matches!(column.mask, None | Some(Mask::Truncate { .. }));
        let names_partition =
            |column: &Column| column.data_type == DataType::String && is_value(column) && is_shown(column);
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            rules,
            key: secret.map(mask::Key::new),
            names_partition: product.columns.iter().map(names_partition).collect(),
            product: product.clone(),
        })
    }

    /// The product.
    #[must_use]
    pub fn product(&self) -> &Product {
        &self.product
    }

    /// The schema of screened rows: table types, in the order of the product's columns.
    #[must_use]
    pub fn table_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Holds `rows` rows to the contract. `columns` are the product's, in its order and in wall types
    /// ([`crate::columns::arrow_type`]). Rules see the values before they are masked.
    ///
    /// | broken rules of a row | the row | counted | in `violations` |
    /// |---|---|---|---|
    /// | none | goes on | | |
    /// | `warn` only | goes on | yes | |
    /// | `drop`, perhaps `warn` | is left out | yes | |
    /// | `dead_letter`, no `stop` | is left out | yes | yes |
    /// | `stop` among them | is left out | yes | yes |
    /// | a value does not fit the table's type | as `dead_letter` | | yes |
    ///
    /// A rule is broken where it is false. Where it is unknown, because a value is null, it is met (as an SQL `CHECK`).
    ///
    /// # Panics
    /// When `columns` are not of the product's types or lengths, which the wall makes sure of.
    #[must_use]
    pub fn screen(&self, columns: &[ArrayRef], rows: usize) -> Screened {
        assert_eq!(columns.len(), self.product.columns.len(), "the wall returns all columns of the product");
        let broken: Vec<BooleanBuffer> =
            self.rules.iter().map(|rule| rule.expression.violations(columns, rows)).collect();
        let counts: Vec<u64> = broken.iter().map(|rows| rows.count_set_bits() as u64).collect();
        let misfits: Vec<_> = (0..columns.len()).map(|column| self.misfits(columns, column)).collect();

        let mut screened =
            Screened { columns: self.to_table(columns), kept: None, violations: Vec::new(), counts, dropped: 0 };
        let all_go_on = self
            .rules
            .iter()
            .zip(&screened.counts)
            .all(|(rule, count)| *count == 0 || rule.action == OnViolation::Warn);
        if !all_go_on || misfits.iter().any(Option::is_some) {
            Judgement { contract: self, columns, broken: &broken, misfits: &misfits }.judge(rows, &mut screened);
        }
        screened
    }

    fn misfits(&self, columns: &[ArrayRef], index: usize) -> Option<BooleanBuffer> {
        let (array, column) = (&columns[index], &self.product.columns[index]);
        let is_never_empty = self.names_partition[index] && !column.nullable;
        let empty = is_never_empty.then(|| fit::empty_texts(array.as_string())).flatten();
        fit::either(fit::misfits(array, column), empty)
    }

    fn to_table(&self, columns: &[ArrayRef]) -> Vec<ArrayRef> {
        let to_table = |((array, column), names_partition): ((&ArrayRef, &Column), &bool)| {
            let array = cast::to_table(array, &column.data_type);
            let array = match column.mask {
                Some(mask) => mask::apply(mask, &array, column.nullable, self.key.as_ref()),
                None => array,
            };
            if *names_partition { fit::null_for_empty(array) } else { array }
        };
        columns.iter().zip(&self.product.columns).zip(&self.names_partition).map(to_table).collect()
    }
}

impl Rule {
    fn compile(product: &Product, expectation: &Expectation) -> Result<Self, Error> {
        let (name, text) = (&expectation.name, &expectation.expression);
        let find = |wanted: &String| {
            let found = product.columns.iter().position(|column| column.name == *wanted);
            found.ok_or_else(|| Error::ExpectationColumn {
                product: product.name.clone(),
                expectation: name.clone(),
                column: wanted.clone(),
                known: check::known_columns(&product.columns),
            })
        };
        let value = expectation.column.as_ref().map(find).transpose()?;
        let expression = Expression::compile(text, &product.columns, value).map_err(|source| Error::Expression {
            product: product.name.clone(),
            expectation: name.clone(),
            column: expectation.column.clone(),
            expression: text.clone(),
            source: Box::new(source),
        })?;
        let label = format!("{name}: {text}").chars().take(SHOWN_RULE).collect();
        Ok(Self { expression, value, action: expectation.on_violation, label })
    }
}
