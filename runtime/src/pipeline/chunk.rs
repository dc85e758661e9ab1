//! A chunk's way through the stages: decode, then for every module that reads the topic transform, contract, table and aggregate.

use super::Error;
use super::ledger::ModuleCounts;
use super::plan::{COMMITS, DEAD_LETTERS, Input, Plan};
use super::worker::Worker;
use crate::clock;
use crate::decode::Events;
use crate::record::{Chunk, Stage};
use crate::sink::system::{Letter, incarnation_column};
use crate::transform::Output;
use arrow_array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch};
use arrow_buffer::BooleanBuffer;
use lakeward_manifest::OnViolation;
use std::collections::BTreeMap;
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

/// What became of the events of one input, while it is found out.
struct Verdicts {
    /// By event: whether it became a row.
    with_rows: Vec<bool>,
    /// Events whose record became a dead letter, with stage, reason and product.
    dead: BTreeMap<u32, (Stage, String, Option<usize>)>,
}

/// Rows of one product that met its contract.
struct Kept {
    product: usize,
    /// The event of each row.
    origins: Vec<u32>,
    columns: Vec<ArrayRef>,
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
        let Some(decoder) = &mut self.worker.decoders[topic] else { return Ok(()) };
        let inputs = decoder.decode(self.chunk, 0);
        self.worker.counts.read += (self.chunk.len() - self.first(COMMITS)) as u64;
        for (input, events) in plan.topics[topic].inputs.iter().zip(inputs) {
            self.input(input, events)?;
        }
        Ok(())
    }

    /// The index of the first record that the table does not have yet.
    fn first(&self, table: usize) -> usize {
        if self.replayed { self.chunk.count_before(self.worker.lanes[self.lane].floors[table]) } else { 0 }
    }

    fn input(&mut self, input: &Input, events: Events) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let module = &plan.modules[input.module];
        let started = clock::instant();
        let processed = module.process(input.index, &events.columns, events.rows.len());
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        for (level, line) in &processed.lines {
            log_line(module.manifest().name.as_str(), *level, line);
        }
        let mut verdicts = Verdicts { with_rows: vec![false; events.rows.len()], dead: BTreeMap::new() };
        for reject in processed.rejects {
            verdicts.dead.insert(reject.origin, (Stage::Transform, reject.reason, None));
        }
        let first = self.first(COMMITS);
        let is_new = |event: &&u32| events.rows[**event as usize] as usize >= first;
        let rejects = verdicts.dead.keys().filter(is_new).count() as u64;
        let mut kept = Vec::with_capacity(processed.outputs.len());
        for output in processed.outputs {
            kept.push(self.screen(input, output, &events, &mut verdicts)?);
        }
        for rows in &mut kept {
            rows.without(&verdicts.dead);
            for origin in &rows.origins {
                verdicts.with_rows[*origin as usize] = true;
            }
        }
        self.count(
            input,
            &events,
            &verdicts,
            ModuleCounts {
                rejects,
                traps: processed.traps,
                nanoseconds,
                fuel: processed.fuel,
                ..ModuleCounts::default()
            },
        );
        self.letters(input, &events, &verdicts);
        kept.into_iter().try_for_each(|rows| self.write(input, rows, &events.rows))
    }

    /// Holds rows to their product's contract. An event that breaks it becomes a dead letter, with all of its rows of all products.
    fn screen(
        &mut self,
        input: &Input,
        output: Output,
        events: &Events,
        verdicts: &mut Verdicts,
    ) -> Result<Kept, Error> {
        let index = input.products[output.product];
        let product = &self.plan.products[index];
        let Output { mut origins, columns, .. } = output;
        let screened = product.contract.screen(&columns, origins.len());
        for violation in screened.violations {
            let event = origins[violation.row as usize];
            if violation.action == OnViolation::Stop {
                return Err(self.stopped(&product.path, events.rows[event as usize], violation.reason));
            }
            verdicts.dead.entry(event).or_insert((Stage::Product, violation.reason, Some(index)));
        }
        let counts = &mut self.worker.counts.violations[index];
        counts.iter_mut().zip(&screened.counts).for_each(|(total, count)| *total += count);
        let mut columns = screened.columns;
        if let Some(kept) = screened.kept {
            (origins, columns) = filter(&origins, &columns, &kept);
        }
        Ok(Kept { product: index, origins, columns })
    }

    fn stopped(&self, product: &str, record: u32, reason: String) -> Error {
        Error::Stopped {
            product: product.to_owned(),
            topic: self.chunk.topic().to_string(),
            partition: self.chunk.partition(),
            offset: self.chunk.offset(record as usize),
            reason,
        }
    }

    /// Counts the records that the ledger does not have yet.
    fn count(&mut self, input: &Input, events: &Events, verdicts: &Verdicts, work: ModuleCounts) {
        let first = u32::try_from(self.first(COMMITS)).unwrap_or(u32::MAX);
        let from = events.rows.partition_point(|record| *record < first);
        let undecoded = events.dead_letters.iter().filter(|letter| letter.index >= first).count() as u64;
        let with_rows = verdicts.with_rows[from..].iter().filter(|with_rows| **with_rows).count() as u64;
        let is_skip = |event: &usize| {
            let index = u32::try_from(*event).unwrap_or(u32::MAX);
            !verdicts.with_rows[*event] && !verdicts.dead.contains_key(&index)
        };
        // Each is counted on its own, the records from the chunk itself: a stage that loses one is found out at the commit.
        let skips = (from..events.rows.len()).filter(is_skip).count() as u64;
        let dead = verdicts.dead.range(u32::try_from(from).unwrap_or(u32::MAX)..).count() as u64;
        self.worker.counts.modules[input.module] += ModuleCounts {
            records: self.chunk.len() as u64 - u64::from(first),
            with_rows,
            skips,
            dead_letters: dead + undecoded,
            undecoded,
            ..work
        };
    }

    fn letters(&mut self, input: &Input, events: &Events, verdicts: &Verdicts) {
        for letter in &events.dead_letters {
            self.letter(input, letter.index, letter.stage, &letter.reason, None);
        }
        for (event, (stage, reason, product)) in &verdicts.dead {
            let plan = Arc::clone(&self.plan);
            let product = product.map(|product| plan.products[product].path.as_str());
            self.letter(input, events.rows[*event as usize], *stage, reason, product);
        }
    }

    fn letter(&mut self, input: &Input, record: u32, stage: Stage, reason: &str, product: Option<&str>) {
        let record = record as usize;
        if record < self.first(DEAD_LETTERS) {
            return;
        }
        let module = &self.plan.modules[input.module];
        self.worker.letters.push(&Letter {
            topic: self.chunk.topic(),
            incarnation: self.worker.lanes[self.lane].partition.incarnation,
            partition: self.chunk.partition(),
            record: self.chunk.record(record),
            stage,
            reason,
            module: &module.manifest().name,
            digest: module.digest(),
            product,
        });
    }

    /// Adds rows to their table and to the aggregates over them. `records` leads from events to records.
    fn write(&mut self, input: &Input, rows: Kept, records: &[u32]) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let index = rows.product;
        let product = &plan.products[index];
        for gold in &product.golds {
            self.aggregate(input, *gold, &rows, records)?;
        }
        let Kept { origins, mut columns, .. } = self.rows_behind(rows, records, self.first(product.table));
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

    fn aggregate(&mut self, input: &Input, gold: usize, rows: &Kept, records: &[u32]) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let target = &plan.golds[gold];
        let first = self.first(target.state_table);
        let copy = Kept { product: rows.product, origins: rows.origins.clone(), columns: rows.columns.clone() };
        let rows = self.rows_behind(copy, records, first);
        if rows.origins.is_empty() {
            return Ok(());
        }
        let schema = plan.products[rows.product].contract.table_schema();
        let batch = RecordBatch::try_new(schema, rows.columns)
            .map_err(|source| crate::sink::Error::Columns { table: target.plan.path().to_owned(), source })?;
        let horizon_ms = self.worker.horizons_ms[gold];
        let lane = &mut self.worker.lanes[self.lane];
        let Some((_, state)) = lane.states.iter_mut().find(|(index, _)| *index == gold) else { return Ok(()) };
        let late = state.update(&batch, horizon_ms);
        let watermark_ms = state.watermark_ms();
        self.worker.counts.late[gold] += late.len() as u64;
        let mut last = None;
        for row in late {
            let record = records[rows.origins[row as usize] as usize];
            if last.replace(record) != Some(record) {
                let reason = late_reason(watermark_ms.max(horizon_ms));
                self.letter(input, record, Stage::Aggregate, &reason, Some(target.plan.path()));
            }
        }
        Ok(())
    }

    /// Only the rows whose record is at `first` or behind it.
    fn rows_behind(&self, rows: Kept, records: &[u32], first: usize) -> Kept {
        if first == 0 {
            return rows;
        }
        let from = rows.origins.partition_point(|origin| (records[*origin as usize] as usize) < first);
        let length = rows.origins.len() - from;
        Kept {
            product: rows.product,
            origins: rows.origins[from..].to_vec(),
            columns: rows.columns.iter().map(|column| column.slice(from, length)).collect(),
        }
    }
}

impl Kept {
    /// Leaves out the rows of events that became dead letters.
    fn without(&mut self, dead: &BTreeMap<u32, (Stage, String, Option<usize>)>) {
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
