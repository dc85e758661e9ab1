//! What two modules make of the same events: row by row, matched by the record that they came from.
//!
//! ```text
//!                 ┌─ active ────► Outcome ─┐
//! chunk ─► decode ┤                        ├─► Comparison::chunk ─► tallies ─merge─► Report ─► conditions
//!                 └─ candidate ─► Outcome ─┘
//! ```
//!
//! Rows of one product are matched by their record, several rows of one record by their order. Columns are matched by name. Counts are
//! exact; examples are few, those of the smallest origins, so that they do not depend on which thread saw which chunk. Memory is bounded
//! whatever is fed. Values are those that the table would hold: a masked column shows the masked value.

mod align;
mod condition;
mod examples;
mod groups;
mod pairs;
mod products;
mod rejects;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod values;

pub use condition::{Condition, ParseError, Unmet};
pub use examples::Origin;
pub use report::{
    ColumnReport, CostReport, Differing, GoldReport, Group, Presence, ProductReport, Reason, RejectReport, Report,
    RowExample, RowsReport, SideCost,
};

pub use text::grouped;
pub use values::show;

use super::Outcome;
use crate::decode::Events;
use crate::record::Chunk;
use crate::transform::Usage;
use groups::GroupTally;
use lakeward_manifest::Manifest;
use pairs::Pairs;
use products::ProductTally;
use rejects::RejectTally;
use std::sync::Arc;

/// Why two modules cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They write nothing of the same name.
    #[error("the modules have no product in common: the old one writes {old}, the new one {new}")]
    NothingInCommon {
        /// The products of the old module.
        old: String,
        /// Those of the new one.
        new: String,
    },
    /// Values of a column cannot be compared.
    #[error("column {column} of {product} cannot be compared")]
    Column {
        /// The product's path.
        product: String,
        /// The column.
        column: String,
        /// The cause, for a person.
        reason: String,
    },
}

/// One module's part in a chunk: the events of one of its inputs, and what it made of them.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The events, decoded from the whole chunk.
    pub events: &'a Events,
    /// What became of them.
    pub outcome: &'a Outcome,
}

/// A comparison under way. Threads each keep one ([`Self::fresh`]) and [`Self::merge`] them at the end.
#[derive(Debug)]
pub struct Comparison {
    pairs: Arc<Pairs>,
    records: u64,
    products: Vec<ProductTally>,
    golds: Vec<GroupTally>,
    rejects: RejectTally,
    old: Work,
    new: Work,
}

/// What one module was given and what it cost.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    events: u64,
    stops: u64,
    cost: Usage,
}

impl Comparison {
    /// A comparison of a module with another that is to replace it.
    ///
    /// # Errors
    /// When they have no product in common.
    pub fn new(old: &Manifest, new: &Manifest) -> Result<Self, Error> {
        Ok(Self::of(Arc::new(Pairs::new(old, new)?)))
    }

    fn of(pairs: Arc<Pairs>) -> Self {
        let products = pairs.products.iter().map(ProductTally::new).collect();
        let golds = pairs.golds.iter().map(|_| GroupTally::default()).collect();
        let (records, rejects) = (0, RejectTally::default());
        Self { pairs, records, products, golds, rejects, old: Work::default(), new: Work::default() }
    }

    /// Another of the same two modules, with nothing compared yet.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::of(Arc::clone(&self.pairs))
    }

    /// Records compared so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Compares what both modules made of a chunk. `old` and `new` have a side for every input that reads the chunk's topic, in the order of
    /// the manifest.
    pub fn chunk(&mut self, chunk: &Chunk, old: &[Side<'_>], new: &[Side<'_>]) {
        self.records += chunk.len() as u64;
        self.old.add(old);
        self.new.add(new);
        self.rejects.chunk(chunk, old, new);
        for (pair, tally) in self.pairs.products.iter().zip(&mut self.products) {
            tally.chunk(pair, &self.pairs.golds, &mut self.golds, chunk, old, new);
        }
    }

    /// Adds what another of the same two modules has found.
    pub fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.old.merge(&other.old);
        self.new.merge(&other.new);
        self.rejects.merge(other.rejects);
        self.products.iter_mut().zip(other.products).for_each(|(tally, other)| tally.merge(other));
        self.golds.iter_mut().zip(other.golds).for_each(|(tally, other)| tally.merge(other));
    }

    /// What was found so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let products: Vec<ProductReport> =
            self.pairs.products.iter().zip(&self.products).map(|(pair, tally)| tally.report(pair)).collect();
        let mut rows = RowsReport::default();
        products.iter().filter(|product| product.presence == Presence::Both).for_each(|product| rows += product.rows);
        Report {
            records: self.records,
            rows,
            rejects: self.rejects.report(self.pairs.is_masked),
            stops: (self.old.stops, self.new.stops).into(),
            products,
            gold: self.pairs.golds.iter().zip(&self.golds).map(|(pair, tally)| tally.report(pair)).collect(),
            cost: CostReport { old: self.old.report(), new: self.new.report() },
        }
    }
}

impl Work {
    fn add(&mut self, sides: &[Side<'_>]) {
        for side in sides {
            self.events += side.events.rows.len() as u64;
            self.stops += u64::from(!side.outcome.stopped.is_empty());
            self.cost += side.outcome.cost;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.stops += other.stops;
        self.cost += other.cost;
    }

    fn report(&self) -> SideCost {
        SideCost::new(self.events, self.cost)
    }
}
