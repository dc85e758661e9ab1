//! The first of what a module makes: rows of each product, groups of each gold product, reasons of rejects; and how many there are.

use super::error::Error;
use crate::aggregate::{PartitionState, Plan, Query, View};
use crate::record::Chunk;
use crate::release::compare::{self, Side};
use crate::release::{Rows, Trial};
use arrow_array::{ArrayRef, RecordBatch};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was seen of a module's work so far.
pub(super) struct Preview<'a> {
    pub(super) trial: &'a Trial,
    /// Rows of each product, groups and reasons that are kept.
    limit: usize,
    pub(super) counts: Counts,
    pub(super) products: Vec<Product>,
    golds: Vec<Gold>,
    pub(super) rejects: Rejects,
    /// The first event that would stop a product.
    pub(super) stopped: Option<String>,
    /// The first lines of the module's log.
    pub(super) lines: Vec<String>,
}

/// What became of the records, of each input that reads them: `records = with rows + skips + rejects`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) with_rows: u64,
    pub(super) skips: u64,
    pub(super) rejects: u64,
}

/// Rows of a product of the manifest.
#[derive(Debug, Clone, Default)]
pub(super) struct Product {
    pub(super) rows: u64,
    /// The first of them: the offset and the values.
    pub(super) first: Vec<Vec<String>>,
    /// How many rows break each expectation.
    pub(super) broken: Vec<u64>,
}

/// Rejects by their reason, in the order in which the reasons came.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    pub(super) reasons: Vec<Reason>,
    index: BTreeMap<(&'static str, String), usize>,
    /// Rejects for reasons that came when enough of them were kept.
    pub(super) others: u64,
}

/// Why records were rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) stage: &'static str,
    pub(super) reason: String,
    pub(super) records: u64,
    /// The first record's offset and value.
    pub(super) first: (i64, Option<Vec<u8>>),
}

/// A gold product that is kept over the rows.
struct Gold {
    plan: Arc<Plan>,
    /// The product of the manifest that it aggregates.
    from: usize,
    state: PartitionState,
    late: u64,
}

/// The groups of a gold product.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) path: String,
    /// The columns' names.
    pub(super) names: Vec<String>,
    /// The newest groups.
    pub(super) newest: Vec<Vec<String>>,
    pub(super) total: usize,
    /// Rows that came after their window had closed.
    pub(super) late: u64,
}

impl<'a> Preview<'a> {
    /// Nothing seen yet.
    pub(super) fn new(trial: &'a Trial, limit: usize) -> Result<Self, Error> {
        let manifest = trial.manifest();
        let mut golds = Vec::with_capacity(manifest.gold.len());
        for gold in &manifest.gold {
            let Some(from) = manifest.products.iter().position(|product| product.name == gold.from) else { continue };
            let plan = Plan::new(&manifest.owner, gold, &manifest.products[from])
                .map_err(|source| Error::Gold { product: gold.name.clone(), source })?;
            golds.push(Gold { state: PartitionState::new(Arc::clone(&plan), 0), plan, from, late: 0 });
        }
        Ok(Self {
            trial,
            limit,
            counts: Counts::default(),
            products: vec![Product::default(); manifest.products.len()],
            golds,
            rejects: Rejects::default(),
            stopped: None,
            lines: Vec::new(),
        })
    }

    /// Takes in what the module made of a chunk, a side for each of its inputs.
    pub(super) fn chunk(&mut self, chunk: &Chunk, sides: &[Side<'_>]) {
        for side in sides {
            self.count(chunk, side);
            self.reject(chunk, side);
            for rows in &side.outcome.rows {
                let offsets = |row: usize| chunk.offset(side.events.rows[rows.origins[row] as usize] as usize);
                self.rows(rows, offsets);
            }
            for (product, counts) in &side.outcome.violations {
                let broken = &mut self.products[*product].broken;
                broken.resize(counts.len(), 0);
                broken.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
            if let (None, Some(stopped)) = (&self.stopped, side.outcome.stopped.first()) {
                let offset = chunk.offset(side.events.rows[stopped.event as usize] as usize);
                self.stopped = Some(format!("at offset {offset}: {}", stopped.reason));
            }
            let room = self.limit.saturating_sub(self.lines.len());
            self.lines.extend(side.outcome.lines.iter().take(room).map(|(level, line)| format!("{level} {line}")));
        }
    }

    fn count(&mut self, chunk: &Chunk, Side { events, outcome }: &Side<'_>) {
        let with_rows = outcome.with_rows.iter().filter(|with_rows| **with_rows).count();
        let counts = &mut self.counts;
        counts.records += chunk.len() as u64;
        counts.with_rows += with_rows as u64;
        counts.skips += events.rows.len().saturating_sub(with_rows + outcome.dead.len()) as u64;
        counts.rejects += (events.dead_letters.len() + outcome.dead.len()) as u64;
    }

    fn reject(&mut self, chunk: &Chunk, Side { events, outcome }: &Side<'_>) {
        let undecoded = events.dead_letters.iter().map(|letter| (letter.index, letter.stage, &letter.reason));
        let dead = outcome.dead.iter().map(|(event, dead)| (events.rows[*event as usize], dead.stage, &dead.reason));
        let mut rejects: Vec<_> = undecoded.chain(dead).collect();
        rejects.sort_by_key(|(record, ..)| *record);
        for (record, stage, reason) in rejects {
            self.rejects.add(stage.name(), reason, chunk, record as usize, self.limit);
        }
    }

    fn rows(&mut self, rows: &Rows, offset: impl Fn(usize) -> i64) {
        let product = &mut self.products[rows.product];
        product.rows += rows.origins.len() as u64;
        let room = self.limit.saturating_sub(product.first.len());
        for row in 0..rows.origins.len().min(room) {
            let values = values(&rows.columns, row);
            product.first.push(std::iter::once(offset(row).to_string()).chain(values).collect());
        }
        for gold in self.golds.iter_mut().filter(|gold| gold.from == rows.product) {
            let schema = self.trial.contract(rows.product).table_schema();
            let batch = RecordBatch::try_new(schema, rows.columns.clone());
            let batch = batch.expect("screened rows are of their contract's schema");
            gold.late += gold.state.update(&batch, i64::MIN).len() as u64;
        }
    }

    /// The groups of the gold products over all rows so far.
    pub(super) fn groups(&mut self) -> Vec<Groups> {
        let limit = self.limit;
        let groups = |gold: &mut Gold| {
            let view = View::new(Arc::clone(&gold.plan));
            view.apply_live(&gold.state.take_all(0));
            let answer = view.query(&Query { limit, ..Query::default() });
            let answer = answer.expect("a question that names no column has an answer");
            let columns = answer.rows.columns();
            Groups {
                path: gold.plan.path().to_owned(),
                names: gold.plan.gold_schema().fields().iter().map(|field| field.name().clone()).collect(),
                newest: (0..answer.rows.num_rows()).map(|row| values(columns, row).collect()).collect(),
                total: answer.total,
                late: gold.late,
            }
        };
        self.golds.iter_mut().map(groups).collect()
    }
}

impl Rejects {
    fn add(&mut self, stage: &'static str, reason: &str, chunk: &Chunk, record: usize, limit: usize) {
        let key = (stage, reason.to_owned());
        if let Some(known) = self.index.get(&key) {
            self.reasons[*known].records += 1;
        } else if self.reasons.len() < limit {
            let first = (chunk.offset(record), chunk.value(record).map(<[u8]>::to_vec));
            self.index.insert(key, self.reasons.len());
            self.reasons.push(Reason { stage, reason: reason.to_owned(), records: 1, first });
        } else {
            self.others += 1;
        }
    }
}

fn values(columns: &[ArrayRef], row: usize) -> impl Iterator<Item = String> {
    columns.iter().map(move |column| compare::show(column, row).unwrap_or_else(|| "null".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn rejects_are_told_by_reason_with_the_first_record_of_each() {
        let mut chunk = Chunk::new("orders".into(), 0, 10);
        for (offset, value) in [(10, Some(&b"a"[..])), (11, None), (12, Some(b"c")), (13, Some(b"d"))] {
            chunk.push(Record { offset, timestamp_ms: 0, key: None, value });
        }
        let mut rejects = Rejects::default();
        for (record, reason) in [(1, "empty"), (2, "too large"), (3, "empty"), (3, "one too many")] {
            rejects.add("transform", reason, &chunk, record, 2);
        }
        let reason =
            |reason: &str, records, first| Reason { stage: "transform", reason: reason.into(), records, first };
        assert_eq!(
            rejects.reasons,
            [reason("empty", 2, (11, None)), reason("too large", 1, (12, Some(b"c".to_vec())))]
        );
        assert_eq!(rejects.others, 1);
    }
}
