//! Judges the rows of a chunk one by one, once some row of it is known not to go on.

use super::{Contract, Screened, Violation, fit, show};
use arrow_array::ArrayRef;
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use lakeward_manifest::OnViolation;

/// The most columns whose values a reason shows.
const SHOWN_COLUMNS: usize = 4;

/// What is known about the rows of a chunk.
pub(super) struct Judgement<'a> {
    pub(super) contract: &'a Contract,
    /// The product's columns in wall types, not masked.
    pub(super) columns: &'a [ArrayRef],
    /// The broken rows of each rule.
    pub(super) broken: &'a [BooleanBuffer],
    /// The rows of each column whose value does not fit the table.
    pub(super) misfits: &'a [Option<BooleanBuffer>],
}

impl Judgement<'_> {
    /// Says for every row whether it goes on, and why not.
    pub(super) fn judge(&self, rows: usize, screened: &mut Screened) {
        let mut kept = BooleanBufferBuilder::new(rows);
        for row in 0..rows {
            let verdict = self.strictest(row);
            kept.append(verdict.is_none());
            match verdict {
                None => {}
                Some((OnViolation::Warn | OnViolation::Drop, _)) => screened.dropped += 1,
                Some((action, reason)) => {
                    let row_number = u32::try_from(row).expect("a chunk's rows are counted in 32 bits");
                    screened.violations.push(Violation { row: row_number, action, reason: self.reason(&reason, row) });
                }
            }
        }
        screened.kept = Some(kept.finish());
    }

    /// What keeps the row from going on, if anything does.
    fn strictest(&self, row: usize) -> Option<(OnViolation, Reason)> {
        let misfit = self.misfits.iter().position(|rows| rows.as_ref().is_some_and(|rows| rows.value(row)));
        let mut strictest = misfit.map(|column| (OnViolation::DeadLetter, Reason::Misfit { column }));
        for (index, rule) in self.contract.rules.iter().enumerate() {
            let stricter = strictest.as_ref().is_none_or(|(action, _)| strictness(rule.action) > strictness(*action));
            if rule.action != OnViolation::Warn && stricter && self.broken[index].value(row) {
                strictest = Some((rule.action, Reason::Rule { index }));
            }
        }
        strictest
    }

    fn reason(&self, reason: &Reason, row: usize) -> String {
        let product = &self.contract.product;
        let named = |name: &str, index: usize| {
            show::named_value(name, self.columns[index].as_ref(), &product.columns[index], row)
        };
        match reason {
            Reason::Misfit { column: index } => {
                let (array, column) = (&self.columns[*index], &product.columns[*index]);
                format!("{}: {} ({})", column.name, fit::describe(array, column, row), named("value", *index))
            }
            Reason::Rule { index } => {
                let rule = &self.contract.rules[*index];
                let name =
                    |index: usize| if Some(index) == rule.value { "value" } else { &product.columns[index].name };
                let columns = rule.expression.columns().iter().take(SHOWN_COLUMNS);
                let values: Vec<String> = columns.map(|index| named(name(*index), *index)).collect();
                if values.is_empty() { rule.label.clone() } else { format!("{} ({})", rule.label, values.join(", ")) }
            }
        }
    }
}

/// What a row broke.
enum Reason {
    Misfit { column: usize },
    Rule { index: usize },
}

fn strictness(action: OnViolation) -> u8 {
    match action {
        OnViolation::Warn => 0,
        OnViolation::Drop => 1,
        OnViolation::DeadLetter => 2,
        OnViolation::Stop => 3,
    }
}
