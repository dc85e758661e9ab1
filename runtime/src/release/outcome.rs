//! What a module makes of the events of one input: its rows held to their contracts, and the events that become dead letters.

use crate::product::Contract;
use crate::record::Stage;
use crate::transform::{Module, Output, Usage};
use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::BooleanBuffer;
use lakeward_manifest::OnViolation;
use std::collections::BTreeMap;

/// What became of the events of one input.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// By event: whether it became a row.
    pub with_rows: Vec<bool>,
    /// Events whose record becomes a dead letter.
    pub dead: BTreeMap<u32, Dead>,
    /// The rows that may be written; several of one product follow each other where a call was split.
    pub rows: Vec<Rows>,
    /// How many rows broke each expectation, by product of the manifest and expectation; of products without rows nothing.
    pub violations: Vec<(usize, Vec<u64>)>,
    /// Events that stop their product, product by product; they are among `dead` too.
    pub stopped: Vec<Stopped>,
    /// What the module cost.
    pub cost: Usage,
    /// What the module logged, with its level.
    pub lines: Vec<(tracing::Level, String)>,
    /// The module was given up on when so many events were judged: the outcome is not whole, and nothing of it may be used.
    pub given_up: Option<u64>,
}

/// Why an event's record becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Where it failed: [`Stage::Transform`] or [`Stage::Product`].
    pub stage: Stage,
    /// Why, for a person.
    pub reason: String,
    /// The product of the manifest whose contract it broke.
    pub product: Option<usize>,
    /// Whether the module failed on it, rather than rejecting it.
    pub failed: bool,
}

/// Rows of one product that meet its contract.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The product's index in the manifest.
    pub product: usize,
    /// The event of each row, never decreasing.
    pub origins: Vec<u32>,
    /// The product's columns in table types, masked.
    pub columns: Vec<ArrayRef>,
}

/// An event that broke an expectation of the kind `stop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The event.
    pub event: u32,
    /// The product of the manifest.
    pub product: usize,
    /// Which expectation, and by what.
    pub reason: String,
}

impl Outcome {
    /// Takes `events` events of the manifest's input `input` through the module and its rows through their contracts, which are given by
    /// their product's index in the manifest. An event that breaks a contract becomes a dead letter, with all of its rows of all products.
    #[must_use]
    pub fn of<'a>(
        module: &Module,
        input: u32,
        columns: &[ArrayRef],
        events: usize,
        contract: impl Fn(usize) -> &'a Contract,
    ) -> Self {
        let processed = module.process(input, columns, events);
        let mut outcome = Self {
            with_rows: vec![false; events],
            rows: Vec::with_capacity(processed.outputs.len()),
            cost: processed.usage,
            lines: processed.lines,
            given_up: processed.given_up,
            ..Self::default()
        };
        for reject in processed.rejects {
            let (reason, failed) = (reject.reason, reject.failed);
            let dead = Dead { stage: Stage::Transform, reason, product: None, failed };
            outcome.dead.insert(reject.origin, dead);
        }
        for output in processed.outputs {
            outcome.screen(output, &contract);
        }
        for rows in &mut outcome.rows {
            rows.without(&outcome.dead);
            for origin in &rows.origins {
                outcome.with_rows[*origin as usize] = true;
            }
        }
        outcome
    }

    fn screen<'a>(&mut self, output: Output, contract: &impl Fn(usize) -> &'a Contract) {
        let Output { product, mut origins, columns } = output;
        let screened = contract(product).screen(&columns, origins.len());
        for violation in screened.violations {
            let event = origins[violation.row as usize];
            if violation.action == OnViolation::Stop {
                self.stopped.push(Stopped { event, product, reason: violation.reason.clone() });
            }
            let (reason, product) = (violation.reason, Some(product));
            let dead = Dead { stage: Stage::Product, reason, product, failed: false };
            self.dead.entry(event).or_insert(dead);
        }
        if screened.counts.iter().any(|count| *count > 0) {
            self.violations.push((product, screened.counts));
        }
        let mut columns = screened.columns;
        if let Some(kept) = screened.kept {
            (origins, columns) = filter(&origins, &columns, &kept);
        }
        self.rows.push(Rows { product, origins, columns });
    }
}

impl Rows {
    /// Leaves out the rows of events that became dead letters.
    fn without(&mut self, dead: &BTreeMap<u32, Dead>) {
        if dead.is_empty() || !self.origins.iter().any(|origin| dead.contains_key(origin)) {
            return;
        }
        let kept: BooleanBuffer = self.origins.iter().map(|origin| !dead.contains_key(origin)).collect();
        (self.origins, self.columns) = filter(&self.origins, &self.columns, &kept);
    }
}

fn filter(origins: &[u32], columns: &[ArrayRef], kept: &BooleanBuffer) -> (Vec<u32>, Vec<ArrayRef>) {
    let origins = kept.set_indices().map(|row| origins[row]).collect();
    let predicate = BooleanArray::new(kept.clone(), None);
    let filtered = columns.iter().map(|column| {
        arrow_select::filter::filter(column, &predicate).expect("the predicate is as long as the columns")
    });
    (origins, filtered.collect())
}
