//! Dead letters on their way through the stages once more: of the module that had them, the version that runs now; lateness does not apply.
//!
//! | the letter is       | its record goes to                      | what becomes of it                                                    |
//! |---------------------|-----------------------------------------|-----------------------------------------------------------------------|
//! | of a record without rows | silver and all gold of the module's products | rows or a skip: redriven; otherwise open, with the new reason |
//! | late for a gold product  | that gold product; silver has its rows  | redriven; open, where the window was let go of or the module is another |
//! | to be discarded     | nothing                                 | discarded                                                             |

use super::Error;
use super::parking::Failing;
use super::plan::{COMMITS, DEAD_LETTERS, Input, Plan};
use super::redrives::Group;
use super::worker::Worker;
use crate::record::Stage;
use crate::release::{Outcome, Rows};
use crate::sink::redrives::Action;
use crate::sink::system::{Letter, LetterStatus, incarnation_column};
use arrow_array::{Int32Array, Int64Array, RecordBatch};
use std::sync::Arc;

/// A worker at letters of one of its lanes.
pub(super) struct Again<'a> {
    worker: &'a mut Worker,
    plan: Arc<Plan>,
    lane: usize,
    group: &'a Group,
    /// By record.
    fates: Vec<Fate>,
    /// How many of the first records were answered without the module, in a micro-batch that was cut off: their letters say so.
    unmade: usize,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// It has rows, or its late rows are in their windows.
    Rows,
    /// The module makes nothing of it, on purpose.
    Skip,
    /// It is a dead letter still.
    Dead { stage: Stage, reason: String, product: Option<String> },
    /// Nobody wants it.
    Discarded,
}

impl Fate {
    fn dead(stage: Stage, reason: impl Into<String>) -> Self {
        Self::Dead { stage, reason: reason.into(), product: None }
    }
}

impl<'a> Again<'a> {
    pub(super) fn new(worker: &'a mut Worker, lane: usize, group: &'a Group) -> Self {
        let plan = Arc::clone(&worker.plan);
        let fates = vec![Fate::Skip; group.letters.len()];
        let mut again = Self { worker, plan, lane, group, fates, unmade: 0 };
        let is_its = |input: &&Input| again.plan.modules[input.module].manifest().name == group.of.module;
        let inputs = again.plan.topics[again.worker.lanes[lane].topic].inputs.iter().filter(is_its);
        let silver = inputs.flat_map(|input| &input.products).map(|product| again.plan.products[*product].table);
        // Silver is committed before the dead letters are.
        let made = silver.map(|table| again.first(table)).max().unwrap_or(0);
        let answered = again.first(DEAD_LETTERS);
        again.unmade = if made < answered { answered } else { 0 };
        again
    }

    pub(super) fn run(mut self) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let mut digest = None;
        if self.group.of.action == Action::Discard {
            self.fates.fill(Fate::Discarded);
        } else {
            match self.input(&plan) {
                Ok(at) => {
                    let topic = self.worker.lanes[self.lane].topic;
                    let input = &plan.topics[topic].inputs[at];
                    digest = Some(Arc::clone(plan.modules[input.module].digest()));
                    self.redrive(input, at)?;
                    let unmade = Fate::dead(Stage::Transform, format!("module {} did not run", self.group.of.module));
                    self.fates[..self.unmade].fill(unmade);
                }
                Err(reason) => self.fates.fill(Fate::dead(Stage::Transform, reason)),
            }
        }
        self.count();
        self.letters(digest.as_deref());
        Ok(())
    }

    /// The module's input on the topic, by index; or why there is none to take.
    fn input(&self, plan: &Plan) -> Result<usize, String> {
        let module = &self.group.of.module;
        let inputs = &plan.topics[self.worker.lanes[self.lane].topic].inputs;
        let is_its = |input: &Input| plan.modules[input.module].manifest().name == *module;
        let mut found = inputs.iter().enumerate().filter(|(_, input)| is_its(input)).map(|(at, _)| at);
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => {
                Err(format!("module {module} has two transforms on the topic: which one failed is not known"))
            }
            (None, _) => Err(format!("module {module} does not run, or does not read the topic any more")),
        }
    }

    /// The index of the first record that the table does not have yet.
    fn first(&self, table: usize) -> usize {
        let floor = self.worker.lanes[self.lane].redrive.floors[table];
        self.group.letters.partition_point(|letter| letter.number < floor)
    }

    fn redrive(&mut self, input: &Input, at: usize) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let topic = self.worker.lanes[self.lane].topic;
        let Some(decoder) = &mut self.worker.decoders[topic] else { return Ok(()) };
        let Some(events) = decoder.decode(&self.group.chunk, 0).into_iter().nth(at) else { return Ok(()) };
        for letter in &events.dead_letters {
            self.fates[letter.index as usize] = Fate::dead(letter.stage, &letter.reason);
        }
        let module = &plan.modules[input.module];
        let contract = |product: usize| &plan.products[input.products[product]].contract;
        // An expectation that stops the product stops the stream; a single letter just stays one.
        let outcome = Outcome::of(module, input.index, &events.columns, events.rows.len(), contract);
        Failing::check(module, &outcome)?;
        for (event, record) in events.rows.iter().enumerate() {
            if outcome.with_rows[event] {
                self.fates[*record as usize] = Fate::Rows;
            }
        }
        for (event, dead) in outcome.dead {
            let product = dead.product.map(|product| plan.products[input.products[product]].path.clone());
            self.fates[events.rows[event as usize] as usize] =
                Fate::Dead { stage: dead.stage, reason: dead.reason, product };
        }
        match &self.group.of.late_for {
            None => outcome.rows.iter().try_for_each(|rows| self.write(input, rows, &events.rows)),
            Some(late_for) => self.restate_late(late_for, input, &outcome.rows, &events.rows),
        }
    }

    /// Adds rows to their table and to the aggregates over them. `records` leads from events to records.
    fn write(&mut self, input: &Input, rows: &Rows, records: &[u32]) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let product = &plan.products[input.products[rows.product]];
        for gold in &product.golds {
            let kept = vec![true; self.group.letters.len()];
            for record in self.restate(*gold, input, rows, records, &kept)? {
                let path = plan.golds[*gold].plan.path();
                self.late_letter(record, &plan.modules[input.module], path);
            }
        }
        let Rows { origins, mut columns, .. } = behind(rows, records, self.first(product.table).max(self.unmade));
        if origins.is_empty() {
            return Ok(());
        }
        let offset = |origin: &u32| self.group.chunk.offset(records[*origin as usize] as usize);
        let incarnation = incarnation_column(self.group.of.incarnation);
        columns.push(Arc::new(Int32Array::from_value(incarnation, origins.len())));
        columns.push(Arc::new(Int32Array::from_value(self.group.chunk.partition(), origins.len())));
        columns.push(Arc::new(origins.iter().map(offset).collect::<Int64Array>()));
        self.worker.counts.redriven.rows += origins.len() as u64;
        Ok(self.worker.writers[product.table].write(columns)?)
    }

    /// Adds late rows to their windows. Silver has them as the letter's module made them: another module might make others.
    fn restate_late(&mut self, late_for: &str, input: &Input, all: &[Rows], records: &[u32]) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        let gold = plan.golds.iter().position(|gold| gold.plan.path() == late_for);
        let digest: &str = plan.modules[input.module].digest();
        let mut kept = vec![false; self.group.letters.len()];
        for (record, letter) in self.group.letters.iter().enumerate() {
            let fate = &mut self.fates[record];
            let why = match (&*fate, gold) {
                (_, None) => Some(format!("there is no gold product {late_for} any more")),
                _ if letter.digest != digest => Some(format!(
                    "its silver row was made by module {}, and {digest} runs, which may make another: only the same module can restate it",
                    letter.digest
                )),
                (Fate::Skip, _) => Some("the module makes no row of it".to_owned()),
                (Fate::Dead { reason, .. }, _) => Some(reason.clone()),
                _ => None,
            };
            kept[record] = why.is_none();
            if let Some(why) = why {
                *fate = Fate::dead(Stage::Aggregate, why);
            }
        }
        let Some(gold) = gold else { return Ok(()) };
        for rows in all.iter().filter(|rows| plan.products[input.products[rows.product]].golds.contains(&gold)) {
            for record in self.in_several_windows(gold, input, rows, records)? {
                if std::mem::take(&mut kept[record]) {
                    let why = "its rows are of several windows, and which of them were late is not known";
                    self.fates[record] = Fate::dead(Stage::Aggregate, why);
                }
            }
            for record in self.restate(gold, input, rows, records, &kept)? {
                self.fates[record] = Fate::dead(Stage::Aggregate, let_go());
            }
        }
        Ok(())
    }

    /// Records with rows in several windows of a gold product: rows of one window share their fate, those of several need not.
    fn in_several_windows(
        &self,
        gold: usize,
        input: &Input,
        rows: &Rows,
        records: &[u32],
    ) -> Result<Vec<usize>, Error> {
        let batch = self.batch(gold, input, rows)?;
        let starts = self.plan.golds[gold].plan.window_starts_us(&batch);
        let pairs = rows.origins.windows(2).zip(starts.windows(2));
        let differ = pairs.filter(|(origins, starts)| origins[0] == origins[1] && starts[0] != starts[1]);
        Ok(differ.map(|(origins, _)| records[origins[0] as usize] as usize).collect())
    }

    /// Rows as the gold products over them take them.
    fn batch(&self, gold: usize, input: &Input, rows: &Rows) -> Result<RecordBatch, Error> {
        let schema = self.plan.products[input.products[rows.product]].contract.table_schema();
        let batch = RecordBatch::try_new(schema, rows.columns.clone());
        batch.map_err(|source| columns_error(&self.plan, gold, source))
    }

    /// Adds the rows of `kept` records to a gold product; returns the records whose windows were let go of.
    fn restate(
        &mut self,
        gold: usize,
        input: &Input,
        rows: &Rows,
        records: &[u32],
        kept: &[bool],
    ) -> Result<Vec<usize>, Error> {
        let plan = Arc::clone(&self.plan);
        let target = &plan.golds[gold];
        let rows = behind(rows, records, self.first(target.state_table).max(self.unmade));
        let record = |row: u32| records[rows.origins[row as usize] as usize] as usize;
        if rows.origins.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = self.batch(gold, input, &rows)?;
        let mut origins: Vec<u32> = (0..).take(rows.origins.len()).collect();
        if origins.iter().any(|row| !kept[record(*row)]) {
            origins.retain(|row| kept[record(*row)]);
            let indices = arrow_array::UInt32Array::from(origins.clone());
            batch = arrow_select::take::take_record_batch(&batch, &indices)
                .map_err(|source| columns_error(&plan, gold, source))?;
        }
        let lane = &mut self.worker.lanes[self.lane];
        let Some((_, state)) = lane.states.iter_mut().find(|(index, _)| *index == gold) else { return Ok(Vec::new()) };
        let gone = state.restate(&batch);
        let mut gone: Vec<usize> = gone.into_iter().map(|row| record(origins[row as usize])).collect();
        gone.dedup();
        Ok(gone)
    }

    /// Counts the records that the ledger does not have yet.
    fn count(&mut self) {
        let fates = &self.fates[self.first(COMMITS)..];
        let of = |is_it: fn(&Fate) -> bool| fates.iter().filter(|fate| is_it(fate)).count() as u64;
        let again = &mut self.worker.counts.redriven;
        again.records += of(|fate| *fate != Fate::Discarded);
        again.with_rows += of(|fate| *fate == Fate::Rows);
        again.skips += of(|fate| *fate == Fate::Skip);
        again.dead_letters += of(|fate| matches!(fate, Fate::Dead { .. }));
        again.discarded += of(|fate| *fate == Fate::Discarded);
    }

    /// Writes what became of every letter. Only what is open keeps the record's bytes: whoever redrives it needs them.
    fn letters(&mut self, digest: Option<&str>) {
        for record in self.first(DEAD_LETTERS)..self.fates.len() {
            let (asked, of) = (&self.group.letters[record], &self.group.of);
            let bytes = self.group.chunk.record(record);
            let without = crate::record::Record { key: None, value: None, ..bytes };
            let mut letter = Letter {
                topic: self.group.chunk.topic(),
                incarnation: of.incarnation,
                partition: self.group.chunk.partition(),
                record: without,
                stage: &asked.stage,
                reason: &asked.reason,
                module: &of.module,
                // Of a late letter it tells by which module silver has the row, whatever was tried since.
                digest: digest.filter(|_| of.late_for.is_none()).unwrap_or(&asked.digest),
                product: asked.product.as_deref(),
                status: LetterStatus::Redriven,
                tries: asked.tries + 1,
                request: Some(asked.number),
            };
            let discarded = format!("{}; discarded by {}", asked.reason, asked.who);
            match &self.fates[record] {
                Fate::Rows | Fate::Skip => {}
                Fate::Discarded => {
                    (letter.status, letter.tries, letter.reason) = (LetterStatus::Discarded, asked.tries, &discarded);
                }
                Fate::Dead { stage, reason, product } => {
                    (letter.status, letter.record, letter.reason) = (LetterStatus::Open, bytes, reason);
                    if of.late_for.is_none() {
                        (letter.stage, letter.product) = (stage.name(), product.as_deref());
                    }
                }
            }
            self.worker.letters.push(&letter);
        }
    }

    /// A record that has become rows, but too late for a gold product whose window was let go of: a letter of its own.
    fn late_letter(&mut self, record: usize, module: &crate::transform::Module, product: &str) {
        if record < self.first(DEAD_LETTERS) {
            return;
        }
        self.worker.letters.push(&Letter {
            topic: self.group.chunk.topic(),
            incarnation: self.group.of.incarnation,
            partition: self.group.chunk.partition(),
            record: self.group.chunk.record(record),
            stage: Stage::Aggregate.name(),
            reason: &let_go(),
            module: &self.group.of.module,
            digest: module.digest(),
            product: Some(product),
            status: LetterStatus::Open,
            tries: 1,
            request: None,
        });
    }
}

fn let_go() -> String {
    "late: its window is kept no more, see `keep` under [gold]".to_owned()
}

fn columns_error(plan: &Plan, gold: usize, source: arrow_schema::ArrowError) -> Error {
    crate::sink::Error::Columns { table: plan.golds[gold].plan.path().to_owned(), source }.into()
}

/// Only the rows whose record is at `first` or behind it.
fn behind(rows: &Rows, records: &[u32], first: usize) -> Rows {
    let from = rows.origins.partition_point(|origin| (records[*origin as usize] as usize) < first);
    let length = rows.origins.len() - from;
    Rows {
        product: rows.product,
        origins: rows.origins[from..].to_vec(),
        columns: rows.columns.iter().map(|column| column.slice(from, length)).collect(),
    }
}
