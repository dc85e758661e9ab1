//! A chunk's way through the stages: decode, then for every module that reads the topic transform, contract, table and aggregate.

use super::error::Stopped;
use super::ledger::ModuleCounts;
use super::parking::Failing;
use super::plan::{COMMITS, DEAD_LETTERS, Input, Plan};
use super::worker::Worker;
use super::{Error, ahead};
use crate::decode::Events;
use crate::record::{Chunk, Stage};
use crate::release::compare::Side;
use crate::release::{Outcome, Rows};
use crate::sink::bronze;
use crate::sink::system::{Letter, LetterStatus, incarnation_column};
use crate::transform::Module;
use arrow_array::{Array, BooleanArray, Int32Array, Int64Array, RecordBatch};
use arrow_select::filter::filter_record_batch;
use std::sync::Arc;

/// A worker at one chunk of one of its lanes.
pub(super) struct ChunkRun<'a> {
    worker: &'a mut Worker,
    plan: Arc<Plan>,
    lane: usize,
    chunk: &'a Chunk,
    /// Whether some table has some of the chunk's records already.
    replayed: bool,
}

impl<'a> ChunkRun<'a> {
    pub(super) fn new(worker: &'a mut Worker, lane: usize, chunk: &'a Chunk) -> Self {
        let replayed = chunk.offset(0) < worker.lanes[lane].settled;
        let plan = Arc::clone(&worker.plan);
        Self { worker, plan, lane, chunk, replayed }
    }

    pub(super) fn run(mut self) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let topic = self.worker.lanes[self.lane].topic;
        self.keep(topic)?;
        let Some(decoder) = &mut self.worker.decoders[topic] else { return Ok(()) };
        let inputs = decoder.decode(self.chunk, 0);
        self.worker.counts.read += (self.chunk.len() - self.first(COMMITS)) as u64;
        let active = &plan.topics[topic].inputs;
        let mut inputs = inputs.into_iter();
        // A replay compares nothing: what it reads was compared before.
        if plan.topics[topic].shadows.is_empty() || self.replayed {
            for (input, events) in active.iter().zip(inputs) {
                if !self.is_done(input) {
                    self.input(input, &events, false)?;
                }
            }
            return Ok(());
        }
        let mut outcomes = Vec::with_capacity(active.len());
        for (input, events) in active.iter().zip(inputs.by_ref()) {
            let outcome = self.input(input, &events, true)?;
            outcomes.push((input.module, events, outcome));
        }
        self.compare(topic, &outcomes, inputs.collect())
    }

    /// Adds the records to their bronze table as they are, where there is one and it does not have them yet.
    fn keep(&mut self, topic: usize) -> Result<(), Error> {
        let Some(table) = self.plan.topics[topic].bronze.filter(|table| self.plan.writes(*table)) else {
            return Ok(());
        };
        let first = self.first(table);
        if first == self.chunk.len() {
            return Ok(());
        }
        let incarnation = self.worker.lanes[self.lane].partition.incarnation;
        let columns = bronze::columns(self.chunk, first, incarnation);
        Ok(self.worker.writers[table].write(columns)?)
    }

    /// Runs the shadows of a topic over the same events, and holds what they make against what the active modules made.
    fn compare(&mut self, topic: usize, active: &[(usize, Events, Outcome)], events: Vec<Events>) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let mut of_shadows: Vec<Vec<(Events, Outcome)>> = plan.shadows.iter().map(|_| Vec::new()).collect();
        for ((index, input), events) in plan.topics[topic].shadows.iter().zip(events) {
            let shadow = &plan.shadows[*index];
            let contract = |product: usize| &shadow.contracts[product];
            let outcome = Outcome::of(&shadow.module, *input, &events.columns, events.rows.len(), contract);
            Failing::check(&shadow.module, &outcome)?;
            of_shadows[*index].push((events, outcome));
        }
        for ((shadow, made), comparison) in plan.shadows.iter().zip(&of_shadows).zip(&mut self.worker.comparisons) {
            let old = active.iter().filter(|(module, ..)| *module == shadow.active);
            let old: Vec<Side<'_>> = old.map(|(_, events, outcome)| Side { events, outcome }).collect();
            let new: Vec<Side<'_>> = made.iter().map(|(events, outcome)| Side { events, outcome }).collect();
            if !new.is_empty() {
                comparison.chunk(self.chunk, &old, &new);
            }
        }
        Ok(())
    }

    /// The index of the first record that the table does not have yet.
    fn first(&self, table: usize) -> usize {
        if self.replayed { self.chunk.count_before(self.worker.lanes[self.lane].floors[table]) } else { 0 }
    }

    /// The same, of what a table has of one module.
    fn first_of(&self, table: usize, module: usize) -> usize {
        if self.replayed { self.chunk.count_before(self.worker.lanes[self.lane].floor(table, module)) } else { 0 }
    }

    /// Whether all that the module makes of the chunk is committed: it is read again for the sake of another one.
    fn is_done(&self, input: &Input) -> bool {
        let plan = &self.plan;
        let is_behind = |first: usize| first == self.chunk.len();
        let has_all = |product: &usize| {
            let product = &plan.products[*product];
            let mut states = product.golds.iter().map(|gold| plan.golds[*gold].state_table);
            is_behind(self.first(product.table)) && states.all(|state| is_behind(self.first(state)))
        };
        self.replayed
            && [COMMITS, DEAD_LETTERS].iter().all(|table| is_behind(self.first_of(*table, input.module)))
            && input.products.iter().all(has_all)
    }

    /// Takes events through a module and on. What became of them is given back, with the rows where they are to be kept.
    fn input(&mut self, input: &Input, events: &Events, keep: bool) -> Result<Outcome, Error> {
        let plan = Arc::clone(&self.plan);
        let module = &plan.modules[input.module];
        let contract = |product: usize| &plan.products[input.products[product]].contract;
        let mut outcome = Outcome::of(module, input.index, &events.columns, events.rows.len(), contract);
        Failing::check(module, &outcome)?;
        for (level, line) in &outcome.lines {
            log_line(module.manifest().name.as_str(), *level, line);
        }
        for stopped in &outcome.stopped {
            let (product, record) =
                (&plan.products[input.products[stopped.product]], events.rows[stopped.event as usize]);
            // What the table has of it already is of a version without the rule.
            if record as usize >= self.first(product.table) {
                return Err(self.stopped(module, &product.path, record, &stopped.reason));
            }
        }
        for (product, counts) in &outcome.violations {
            let totals = &mut self.worker.counts.violations[input.products[*product]];
            totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
        self.count(input, events, &outcome);
        self.letters(input, events, &outcome);
        let rows = if keep { outcome.rows.clone() } else { std::mem::take(&mut outcome.rows) };
        rows.into_iter().try_for_each(|rows| self.write(input, rows, &events.rows))?;
        Ok(outcome)
    }

    fn stopped(&self, module: &Module, product: &str, record: u32, reason: &str) -> Error {
        // Everybody may read why a module is parked.
        let reason = if module.manifest().is_masked() { "a rule that stops it is broken" } else { reason };
        Error::Stopped(Box::new(Stopped {
            module: module.manifest().name.clone(),
            digest: Arc::clone(module.digest()),
            product: product.to_owned(),
            topic: self.chunk.topic().to_string(),
            partition: self.chunk.partition(),
            offset: self.chunk.offset(record as usize),
            reason: reason.to_owned(),
        }))
    }

    /// Counts the records that the ledger does not have yet.
    fn count(&mut self, input: &Input, events: &Events, outcome: &Outcome) {
        let first = u32::try_from(self.first_of(COMMITS, input.module)).unwrap_or(u32::MAX);
        let from = events.rows.partition_point(|record| *record < first);
        let undecoded = events.dead_letters.iter().filter(|letter| letter.index >= first).count() as u64;
        let with_rows = outcome.with_rows[from..].iter().filter(|with_rows| **with_rows).count() as u64;
        let is_skip = |event: &usize| {
            let index = u32::try_from(*event).unwrap_or(u32::MAX);
            !outcome.with_rows[*event] && !outcome.dead.contains_key(&index)
        };
        // Each is counted on its own, the records from the chunk itself: a stage that loses one is found out at the commit.
        let skips = (from..events.rows.len()).filter(is_skip).count() as u64;
        let dead = || outcome.dead.range(u32::try_from(from).unwrap_or(u32::MAX)..);
        self.worker.counts.modules[input.module] += ModuleCounts {
            records: self.chunk.len() as u64 - u64::from(first),
            with_rows,
            skips,
            dead_letters: dead().count() as u64 + undecoded,
            undecoded,
            rejects: dead().filter(|(_, dead)| dead.stage == Stage::Transform).count() as u64,
            failures: dead().filter(|(_, dead)| dead.failed).count() as u64,
            usage: outcome.cost,
        };
        let said = dead().filter(|(_, dead)| dead.failed).map(|(_, dead)| dead.reason.as_str());
        // Everybody may read it, but not what is masked.
        if !self.plan.modules[input.module].manifest().is_masked() {
            said.for_each(|message| self.worker.counts.messages[input.module].add(message));
        }
    }

    fn letters(&mut self, input: &Input, events: &Events, outcome: &Outcome) {
        for letter in &events.dead_letters {
            self.letter(input, letter.index, letter.stage, &letter.reason, None);
        }
        for (event, dead) in &outcome.dead {
            let plan = Arc::clone(&self.plan);
            let product = dead.product.map(|product| plan.products[input.products[product]].path.as_str());
            self.letter(input, events.rows[*event as usize], dead.stage, &dead.reason, product);
        }
    }

    fn letter(&mut self, input: &Input, record: u32, stage: Stage, reason: &str, product: Option<&str>) {
        let record = record as usize;
        if record < self.first_of(DEAD_LETTERS, input.module) {
            return;
        }
        let module = &self.plan.modules[input.module];
        self.worker.letters.push(&Letter {
            topic: self.chunk.topic(),
            incarnation: self.worker.lanes[self.lane].partition.incarnation,
            partition: self.chunk.partition(),
            record: self.chunk.record(record),
            stage: stage.name(),
            reason,
            module: &module.manifest().name,
            digest: module.digest(),
            product,
            status: LetterStatus::Open,
            tries: 1,
            request: None,
        });
    }

    /// Adds rows to their table and to the aggregates over them. `records` leads from events to records.
    fn write(&mut self, input: &Input, rows: Rows, records: &[u32]) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let index = input.products[rows.product];
        let product = &plan.products[index];
        for gold in &product.golds {
            self.aggregate(input, *gold, &rows, records)?;
        }
        let Rows { origins, mut columns, .. } = self.rows_behind(rows, records, self.first(product.table));
        if origins.is_empty() {
            return Ok(());
        }
        let offset = |origin: &u32| self.chunk.offset(records[*origin as usize] as usize);
        let incarnation = incarnation_column(self.worker.lanes[self.lane].partition.incarnation);
        columns.push(Arc::new(Int32Array::from_value(incarnation, origins.len())));
        columns.push(Arc::new(Int32Array::from_value(self.chunk.partition(), origins.len())));
        columns.push(Arc::new(origins.iter().map(offset).collect::<Int64Array>()));
        self.worker.counts.rows[index] += origins.len() as u64;
        Ok(self.worker.writers[product.table].write(columns)?)
    }

    fn aggregate(&mut self, input: &Input, gold: usize, rows: &Rows, records: &[u32]) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let target = &plan.golds[gold];
        let first = self.first(target.state_table);
        let copy = Rows { product: rows.product, origins: rows.origins.clone(), columns: rows.columns.clone() };
        let rows = self.rows_behind(copy, records, first);
        if rows.origins.is_empty() {
            return Ok(());
        }
        let schema = plan.products[input.products[rows.product]].contract.table_schema();
        let columns = |source| crate::sink::Error::Columns { table: target.plan.path().to_owned(), source };
        let mut batch = RecordBatch::try_new(schema, rows.columns).map_err(columns)?;
        let record = |row: usize| records[rows.origins[row] as usize];
        let mut refused: Vec<(u32, String)> = Vec::new();
        let mut taken: Option<Vec<usize>> = None;
        let times_us = target.plan.times_us(&batch);
        if let Some(ahead) = ahead::rows(times_us, self.chunk, |row| record(row) as usize, plan.ahead) {
            refused.extend(ahead.set_indices().map(|row| (record(row), ahead::reason(plan.ahead))));
            let rest = !&ahead;
            taken = Some(rest.set_indices().collect());
            batch = filter_record_batch(&batch, &BooleanArray::new(rest, None)).map_err(columns)?;
        }
        let horizon_ms = self.worker.horizons_ms[gold];
        let lane = &mut self.worker.lanes[self.lane];
        let Some((_, state)) = lane.states.iter_mut().find(|(index, _)| *index == gold) else { return Ok(()) };
        let late = state.update(&batch, horizon_ms).into_iter().map(|row| row as usize);
        let late = late.map(|row| record(taken.as_ref().map_or(row, |taken| taken[row])));
        let closed_ms = state.watermark_ms().max(horizon_ms);
        refused.extend(late.map(|record| (record, late_reason(closed_ms))));
        self.worker.counts.late[gold] += refused.len() as u64;
        refused.sort_by_key(|(record, _)| *record);
        refused.dedup_by_key(|(record, _)| *record);
        for (record, reason) in refused {
            self.letter(input, record, Stage::Aggregate, &reason, Some(target.plan.path()));
        }
        Ok(())
    }

    /// Only the rows whose record is at `first` or behind it.
    fn rows_behind(&self, rows: Rows, records: &[u32], first: usize) -> Rows {
        if first == 0 {
            return rows;
        }
        let from = rows.origins.partition_point(|origin| (records[*origin as usize] as usize) < first);
        let length = rows.origins.len() - from;
        Rows {
            product: rows.product,
            origins: rows.origins[from..].to_vec(),
            columns: rows.columns.iter().map(|column| column.slice(from, length)).collect(),
        }
    }
}

fn late_reason(closed_ms: i64) -> String {
    let closed = chrono::DateTime::from_timestamp_millis(closed_ms).map_or_else(String::new, |at| at.to_rfc3339());
    format!("late: its window had closed, the watermark was at {closed}")
}

fn log_line(module: &str, level: tracing::Level, line: &str) {
    match level {
        tracing::Level::ERROR => tracing::error!(module, "{line}"),
        tracing::Level::WARN => tracing::warn!(module, "{line}"),
        tracing::Level::INFO => tracing::info!(module, "{line}"),
        _ => tracing::debug!(module, "{line}"),
    }
}
