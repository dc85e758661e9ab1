//! A worker: a plain thread that owns some partitions and takes their chunks through decode, transform, contract and aggregate.

use super::Error;
use super::again::Again;
use super::chunk::ChunkRun;
use super::lane::Lane;
use super::ledger::Counts;
use super::plan::{COMMITS, DEAD_LETTERS, Plan};
use super::progress::Progress;
use super::redrives::{Batch, Way};
use crate::aggregate::{Changes, View};
use crate::clock;
use crate::decode::Decoder;
use crate::record::Chunk;
use crate::release::compare::Comparison;
use crate::sink::system::Letters;
use crate::sink::{DataFile, FileWriter};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the live answers are refreshed while chunks keep coming; without more chunks they are at once.
const LIVE_EVERY: Duration = Duration::from_millis(100);

/// How long a worker waits for something to do before it looks again.
const IDLE: Duration = Duration::from_millis(100);

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Records of the lane at this index of the worker's lanes.
    Chunk(usize, Chunk),
    /// Dead letters of the lane at this index that somebody asked for; just before the end of a micro-batch.
    Redrive(usize, Batch),
    /// End the micro-batch and hand it over.
    Close(Close),
}

/// How a micro-batch is closed.
#[derive(Debug, Clone)]
pub(super) struct Close {
    pub(super) micro_batch: i64,
    /// Per gold product: the event time before which everything is closed.
    pub(super) horizons_ms: Vec<i64>,
    /// Per gold product: hand over all groups, so that the state table can be rewritten.
    pub(super) snapshot: Vec<bool>,
    /// Per gold product: windows that start before this, in microseconds, are closed, published, and need not be kept.
    pub(super) forget_us: Vec<i64>,
    /// The modules from here on, in the shape of those until now.
    pub(super) next: Option<Arc<Plan>>,
}

/// A worker's share of a micro-batch.
#[derive(Debug)]
pub(super) struct Part {
    /// `(slot, next offset)` of every lane.
    pub(super) positions: Vec<(usize, i64)>,
    /// `(slot, number of the next request)` of every lane.
    pub(super) redriven: Vec<(usize, i64)>,
    /// Files by table.
    pub(super) files: Vec<Vec<DataFile>>,
    /// Changed partials by gold product.
    pub(super) changes: Vec<Vec<Changes>>,
    /// `(gold product, slot, watermark)`.
    pub(super) watermarks: Vec<(usize, usize, i64)>,
    pub(super) counts: Counts,
    /// What was compared, by shadow of the plan.
    pub(super) comparisons: Vec<Comparison>,
    /// How long the worker took no chunk.
    pub(super) stood_still: Duration,
}

/// What a worker needs from outside.
pub(super) struct Context {
    /// The worker's index.
    pub(super) index: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) views: Vec<Arc<View>>,
    pub(super) progress: Arc<Progress>,
    pub(super) commands: Receiver<Command>,
    pub(super) parts: tokio::sync::mpsc::Sender<Result<Part, Error>>,
}

pub(super) struct Worker {
    index: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) views: Vec<Arc<View>>,
    pub(super) progress: Arc<Progress>,
    pub(super) lanes: Vec<Lane>,
    pub(super) decoders: Vec<Option<Decoder>>,
    pub(super) writers: Vec<FileWriter>,
    pub(super) letters: Letters,
    pub(super) counts: Counts,
    pub(super) comparisons: Vec<Comparison>,
    pub(super) horizons_ms: Vec<i64>,
    pub(super) forgotten_us: Vec<i64>,
    stale_since: Option<Instant>,
    open_rows: u64,
}

/// Runs until the channel of commands closes. An error is handed over in place of the next part, and ends the worker.
pub(super) fn run(context: Context, lanes: Vec<Lane>, horizons_ms: Vec<i64>) {
    let (commands, parts) = (context.commands.clone(), context.parts.clone());
    let mut worker = match Worker::new(context, lanes, horizons_ms) {
        Ok(worker) => worker,
        Err(error) => {
            let _ = parts.blocking_send(Err(error));
            return;
        }
    };
    loop {
        let result = match commands.recv_timeout(IDLE) {
            Ok(Command::Chunk(lane, chunk)) => worker.take(lane, &chunk, commands.is_empty()).map(|()| None),
            Ok(Command::Redrive(lane, batch)) => worker.redrive(lane, &batch).map(|()| None),
            Ok(Command::Close(close)) => worker.close(&close).map(Some),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let sent = match result {
            Ok(None) => continue,
            Ok(Some(part)) => parts.blocking_send(Ok(part)),
            Err(error) => {
                let _ = parts.blocking_send(Err(error));
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

impl Worker {
    fn new(context: Context, lanes: Vec<Lane>, horizons_ms: Vec<i64>) -> Result<Self, Error> {
        let Context { index, plan, views, progress, .. } = context;
        let decoders = decoders(&plan, &lanes)?;
        let writers = plan.tables.iter().map(|table| FileWriter::new(Arc::clone(&table.layout))).collect();
        let letters = Letters::default();
        let counts = Counts::new(&plan);
        let comparisons = comparisons(&plan);
        Ok(Self {
            index,
            plan,
            views,
            progress,
            lanes,
            decoders,
            writers,
            letters,
            counts,
            comparisons,
            horizons_ms,
            forgotten_us: Vec::new(),
            stale_since: None,
            open_rows: 0,
        })
    }

    fn take(&mut self, lane: usize, chunk: &Chunk, idle: bool) -> Result<(), Error> {
        if !chunk.is_empty() {
            ChunkRun::new(self, lane, chunk).run()?;
        }
        let next = chunk.next_offset();
        self.lanes[lane].next = next;
        self.progress.lanes[self.lanes[lane].slot].chunk(chunk);
        let (rows, bytes) = (self.counts.rows_written(), self.open_bytes());
        self.progress.open(self.index, rows - self.open_rows.min(rows), bytes);
        self.open_rows = rows;
        let now = clock::instant();
        let since = *self.stale_since.get_or_insert(now);
        if idle || now.duration_since(since) >= LIVE_EVERY {
            self.refresh_live();
        }
        Ok(())
    }

    fn open_bytes(&self) -> u64 {
        let files: usize = self.writers.iter().map(FileWriter::bytes).sum();
        (files + self.letters.bytes()) as u64
    }

    /// Shows what the chunks since the last time changed.
    fn refresh_live(&mut self) {
        self.stale_since = None;
        for lane in &mut self.lanes {
            let next = lane.next;
            for (gold, state) in &mut lane.states {
                if lane.shown != next {
                    self.views[*gold].apply_live(&state.take_live(next));
                }
            }
            lane.shown = next;
        }
    }

    fn close(&mut self, close: &Close) -> Result<Part, Error> {
        let started = clock::instant();
        self.refresh_live();
        self.horizons_ms.clone_from(&close.horizons_ms);
        self.forget(&close.forget_us);
        let mut changes: Vec<Vec<Changes>> = vec![Vec::new(); self.plan.golds.len()];
        let mut watermarks = Vec::new();
        for lane in &mut self.lanes {
            let next = lane.next;
            for (gold, state) in &mut lane.states {
                watermarks.push((*gold, lane.slot, state.watermark_ms()));
                let changed = if close.snapshot[*gold] { state.take_all(next) } else { state.take_commit(next) };
                changes[*gold].push(changed);
            }
        }
        self.write_state(close.micro_batch, &changes)?;
        if let Some(columns) = self.letters.finish(close.micro_batch) {
            self.writers[DEAD_LETTERS].write(columns)?;
        }
        let files = self.writers.iter_mut().map(FileWriter::finish).collect::<Result<_, _>>()?;
        self.progress.closed(self.index, self.open_rows);
        self.open_rows = 0;
        if let Some(next) = &close.next {
            self.decoders = decoders(next, &self.lanes)?;
            self.plan = Arc::clone(next);
        }
        Ok(Part {
            positions: self.lanes.iter().map(|lane| (lane.slot, lane.next)).collect(),
            redriven: self.lanes.iter().map(|lane| (lane.slot, lane.redrive.next)).collect(),
            files,
            changes,
            watermarks,
            counts: std::mem::replace(&mut self.counts, Counts::new(&self.plan)),
            comparisons: std::mem::replace(&mut self.comparisons, comparisons(&self.plan)),
            stood_still: started.elapsed(),
        })
    }

    /// Lets go of the windows that start before these times, by gold product.
    fn forget(&mut self, forget_us: &[i64]) {
        if self.forgotten_us != forget_us {
            self.forgotten_us = forget_us.to_vec();
            let states = self.lanes.iter_mut().flat_map(|lane| &mut lane.states);
            states.for_each(|(gold, state)| state.forget(forget_us[*gold]));
        }
    }

    /// Takes dead letters through their modules again. What they change is shown and handed over with the micro-batch that ends now.
    fn redrive(&mut self, lane: usize, batch: &Batch) -> Result<(), Error> {
        // First, so that nothing is added to a window that the end of the micro-batch lets go of.
        self.forget(&batch.forget_us);
        for group in &batch.groups {
            let rest = group.before(self.unread(lane, &group.of));
            Again::new(self, lane, rest.as_ref().unwrap_or(group)).run()?;
        }
        self.lanes[lane].redrive.next = batch.next;
        self.lanes[lane].shown = -1;
        Ok(())
    }

    /// From where on letters of a module are of records that it is yet to read: it was taken back after somebody had asked, so there are no
    /// such letters any more.
    fn unread(&self, lane: usize, way: &Way) -> i64 {
        let lane = &self.lanes[lane];
        let module = self.plan.modules.iter().position(|module| module.manifest().name == way.module);
        match module.filter(|_| way.incarnation == lane.partition.incarnation) {
            Some(module) => lane.next.max(lane.floor(DEAD_LETTERS, module)).max(lane.floor(COMMITS, module)),
            None => i64::MAX,
        }
    }

    fn write_state(&mut self, micro_batch: i64, changes: &[Vec<Changes>]) -> Result<(), Error> {
        let plan = Arc::clone(&self.plan);
        for (gold, changes) in plan.golds.iter().zip(changes) {
            for change in changes.iter().filter(|change| !change.is_empty()) {
                let rows = change.state_rows(&gold.plan, micro_batch).map_err(|source| Error::State {
                    product: gold.plan.path().to_owned(),
                    source: Box::new(source),
                })?;
                self.writers[gold.state_table].write(rows.columns().to_vec())?;
            }
        }
        Ok(())
    }
}

fn comparisons(plan: &Plan) -> Vec<Comparison> {
    plan.shadows.iter().map(|shadow| shadow.comparison.fresh()).collect()
}

/// By topic: what decodes its events, where a lane has them.
fn decoders(plan: &Plan, lanes: &[Lane]) -> Result<Vec<Option<Decoder>>, Error> {
    let decoder = |topic: usize| {
        if lanes.iter().all(|lane| lane.topic != topic) {
            return Ok(None);
        }
        let name = plan.topics[topic].name.to_string();
        Decoder::new(&plan.columns(topic)).map(Some).map_err(|source| Error::Decode { topic: name, source })
    };
    (0..plan.topics.len()).map(decoder).collect()
}
