//! Decides when a micro-batch ends, collects the workers' shares, and commits them as one group.

use super::Error;
use super::commit::{Group, Tables};
use super::gold::{Publisher, Target};
use super::horizon::{Horizon, Observed, Word};
use super::meters::Made;
use super::others::Others;
use super::plan::{COMMITS, Gold, Plan, TableKind};
use super::progress::Progress;
use super::reader::Route;
use super::redrives::Redrives;
use super::report::Report;
use super::session::Slot;
use super::shadows::Shadows;
use super::share::Share;
use super::voided;
use super::worker::{Close, Command, Part};
use crate::aggregate::View;
use crate::checkpoint::SourcePartition;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::sink::system::RedrivenCounts;
use crate::sink::{Closed, DataFile, FileWriter, Warehouse};
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Files of a state table from which on it is rewritten as one snapshot, once the younger ones together are half as large as the largest;
/// and the number at which it is rewritten in any case, since a start reads them all.
const STATE_FILES: usize = 64;
const MOST_STATE_FILES: usize = 512;

/// Versions of a table after which its log gets a checkpoint. A start reads every version since the last one, and on a store some tens of
/// milliseconds away that is what a start takes.
const CHECKPOINT_EVERY: u64 = 25;

/// How long the end of a session waits for checkpoints.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(5);

/// Behind the live edge a micro-batch is closed by time too once it has this share of the most rows: its files are large enough then.
const LEAST_SHARE: u64 = 10;

/// A micro-batch behind the live edge is closed after this many times `every` at the latest.
const PATIENCE: u32 = 12;

/// The one who commits.
pub(super) struct Committer {
    pub(super) config: Arc<Config>,
    pub(super) plan: Arc<Plan>,
    pub(super) lake: Warehouse,
    pub(super) clock: Clock,
    pub(super) tables: Tables,
    pub(super) slots: Vec<Slot>,
    /// The partitions of other instances.
    pub(super) others: Others,
    /// Dead letters that somebody asked for.
    pub(super) redrives: Redrives,
    /// By slot.
    pub(super) routes: Vec<Route>,
    /// Whether nothing more is read in this session.
    pub(super) is_last: bool,
    /// By gold product: windows that start before this, in microseconds, are kept no more.
    pub(super) forgotten_us: Vec<i64>,
    /// Partitions that cannot be read on, and why.
    pub(super) stopped: Vec<(SourcePartition, String)>,
    /// By topic: whether this instance has the topic's first partition, and with it the care for what all share: gold tables and the
    /// snapshots of state. A mistake does no harm, the tables' commits see to that.
    pub(super) leads: Vec<bool>,
    pub(super) views: Vec<Arc<View>>,
    pub(super) progress: Arc<Progress>,
    pub(super) workers: Vec<Sender<Command>>,
    pub(super) parts: tokio::sync::mpsc::Receiver<Result<Part, Error>>,
    pub(super) publisher: Publisher,
    pub(super) report: Report,
    pub(super) shadows: Arc<Shadows>,
    pub(super) horizon: Horizon,
    pub(super) micro_batch: i64,
    /// The number of the newest micro-batch of all committers of this process.
    pub(super) numbers: Arc<AtomicI64>,
    /// By slot: the committed next offset.
    pub(super) committed: Vec<i64>,
    pub(super) opened: Instant,
    pub(super) published: Instant,
    /// By table: the version of its newest checkpoint that we made.
    pub(super) checkpoints: Vec<u64>,
    /// Checkpoints that are being written.
    pub(super) checkpointing: tokio::task::JoinSet<()>,
    /// Records when the micro-batch was opened.
    pub(super) opened_at_records: u64,
}

impl Committer {
    /// Whether the open micro-batch should end: at the live edge by time, behind it by size, so that a backlog is not cut into small files.
    pub(super) fn is_due(&self, lag: i64) -> bool {
        let limits = &self.config.micro_batch;
        let (rows, bytes) = self.progress.open_size();
        if rows >= limits.rows.get() || bytes >= limits.size {
            return true;
        }
        let age = clock::instant().duration_since(self.opened);
        let (has_progress, is_asked) = (self.has_progress(), self.redrives.is_due());
        if is_asked && (!has_progress || age >= limits.every) {
            return true;
        }
        if age < limits.every || !has_progress {
            return false;
        }
        let records = self.progress.read() - self.opened_at_records;
        let is_behind = lag > i64::try_from(records).unwrap_or(i64::MAX);
        let is_worth_a_file = rows >= limits.rows.get() / LEAST_SHARE;
        !is_behind || is_worth_a_file || age >= limits.every * PATIENCE
    }

    /// Whether the open micro-batch has grown so far that reading must wait.
    pub(super) fn is_full(config: &Config, progress: &Progress) -> bool {
        let (rows, bytes) = progress.open_size();
        rows >= config.micro_batch.rows.get() * 2 || bytes >= config.micro_batch.size * 2
    }

    fn has_progress(&self) -> bool {
        let next = |slot: usize| self.progress.lanes[slot].next.load(Ordering::Relaxed);
        self.committed.iter().enumerate().any(|(slot, committed)| next(slot) > *committed)
    }

    /// Whether gold tables are behind their state for as long as they may be.
    pub(super) fn is_gold_due(&self) -> bool {
        clock::instant().duration_since(self.published) >= self.config.gold.every
    }

    /// Ends the micro-batch and commits it. Returns the committed offsets by slot.
    pub(super) async fn close(&mut self) -> Result<Vec<(usize, i64)>, Error> {
        self.close_with(None).await
    }

    /// The same, and goes on with other modules: what was read until then is of the old ones, all else of the new.
    pub(super) async fn close_with(&mut self, next: Option<Arc<Plan>>) -> Result<Vec<(usize, i64)>, Error> {
        let is_asked = !self.is_last && next.is_none() && self.redrives.is_due();
        if !self.has_progress() && next.is_none() && !is_asked {
            self.opened = clock::instant();
            return Ok(Vec::new());
        }
        let started = clock::instant();
        let snapshot: Vec<bool> = self.plan.golds.iter().map(|gold| self.needs_snapshot(gold)).collect();
        if is_asked || snapshot.contains(&true) {
            self.follow().await?;
        }
        // Above whatever is known of others, so that a partition's numbers go up also when it changes hands.
        let known = self.tables.tables.iter().map(crate::sink::Table::micro_batch).max().unwrap_or(0);
        self.numbers.fetch_max(known, Ordering::Relaxed);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let close = Close {
            micro_batch: number,
            horizons_ms: self.horizon.ms().to_vec(),
            snapshot,
            forget_us: self.forgotten_us.clone(),
            next,
        };
        let mut commands: Vec<(usize, Command)> = Vec::new();
        if is_asked {
            let mut batches = self.redrives.take(&close.forget_us).await;
            voided::leave_out(&self.lake, &self.config.pipeline, &mut batches).await?;
            let routes = &self.routes;
            commands.extend(
                batches
                    .into_iter()
                    .map(|(slot, batch)| (routes[slot].worker, Command::Redrive(routes[slot].lane, batch))),
            );
        }
        commands.extend((0..self.workers.len()).map(|worker| (worker, Command::Close(close.clone()))));
        let open = started.duration_since(std::mem::replace(&mut self.opened, started));
        self.opened_at_records = self.progress.read();
        for (worker, command) in commands {
            if tokio::task::block_in_place(|| self.workers[worker].send(command)).is_err() {
                return Err(self.worker_error());
            }
        }
        // After the workers were told, so that all records of the micro-batch were read before.
        let asked = self.tables.topics.ask();
        let mut share = Share::new(&self.plan);
        for _ in 0..self.workers.len() {
            share.add(self.parts.recv().await.ok_or(Error::Thread { thread: "worker" })??);
        }
        self.shadows.take(&self.plan, std::mem::take(&mut share.comparisons));
        self.tables.topics.compare(asked).await?;
        let stood_still = share.stood_still;
        let offsets = if share.has_moved(&self.committed, &self.redrives) {
            self.commit(&close, share, started, open).await?
        } else {
            // Unless another took the next one, the number is free again.
            let _ = self.numbers.compare_exchange(number, number - 1, Ordering::Relaxed, Ordering::Relaxed);
            Vec::new()
        };
        if let Some(next) = close.next {
            tracing::info!(
                modules = next.digests(),
                stood_still_ms = stood_still.as_millis(),
                "other modules from the next micro-batch on"
            );
            self.plan = next;
        }
        Ok(offsets)
    }

    /// Commits what was read, as the last of a session.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        self.is_last = true;
        self.close().await?;
        self.publish_gold().await
    }

    /// What a worker said before it ended.
    fn worker_error(&mut self) -> Error {
        while let Ok(part) = self.parts.try_recv() {
            if let Err(error) = part {
                return error;
            }
        }
        Error::Thread { thread: "worker" }
    }

    fn needs_snapshot(&self, gold: &Gold) -> bool {
        let sizes = || self.tables.tables[gold.state_table].files().values().map(|file| file.size);
        let (files, largest) = (sizes().count(), sizes().max().unwrap_or(0));
        let is_worth_it = (sizes().sum::<i64>() - largest) * 2 >= largest;
        self.leads[gold.topic] && files >= STATE_FILES && (is_worth_it || files >= MOST_STATE_FILES)
    }

    /// Takes in what other instances committed.
    pub(super) async fn follow(&mut self) -> Result<(), Error> {
        self.redrives.look().await?;
        let stood = self.own_states();
        self.others.follow(&self.plan, &mut self.tables.tables, &self.views, self.clock.now_ms()).await?;
        self.same_states(&stood)?;
        self.tables.none_rewound()?;
        if !self.others.is_empty() {
            // What another instance has declared closed is closed here too.
            for (index, gold) in self.plan.golds.iter().enumerate() {
                self.horizon.raise(index, self.tables.tables[gold.state_table].horizon_ms());
            }
            self.forget();
        }
        Ok(())
    }

    /// What is in a stopped partition will be read when that is mended: until then nothing is closed over it.
    fn stopped_words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        for (partition, _) in &self.stopped {
            let reads = |gold: &usize| self.plan.topics[self.plan.golds[*gold].topic].name == partition.topic;
            words.extend((0..self.plan.golds.len()).filter(reads).map(|gold| Word {
                gold,
                partition: partition.clone(),
                next: 0,
                watermark_ms: i64::MIN,
                is_quiet: false,
            }));
        }
        words
    }

    /// Lets go of windows that are older than `gold.keep`. The gold table says up to where it has all that is closed; the workers follow
    /// with the next micro-batch.
    fn forget(&mut self) {
        for (index, gold) in self.plan.golds.iter().enumerate() {
            let start_us = forgettable_us(&self.config, gold, &self.tables.tables);
            if start_us > self.forgotten_us[index] {
                self.forgotten_us[index] = start_us;
                self.views[index].forget(start_us);
                self.others.forget(index, start_us);
            }
        }
    }

    /// A snapshot of the state tables replaces all of their files, so it holds the partitions of others too, as they are.
    fn add_others(&mut self, close: &Close, files: &mut [Vec<DataFile>]) -> Result<(), Error> {
        for (index, gold) in self.plan.golds.iter().enumerate().filter(|(index, _)| close.snapshot[*index]) {
            let mut writer = FileWriter::new(Arc::clone(&self.plan.tables[gold.state_table].layout));
            for (micro_batch, all) in self.others.all(index) {
                let rows = all.state_rows(&gold.plan, micro_batch).map_err(|source| Error::State {
                    product: gold.plan.path().to_owned(),
                    source: Box::new(source),
                })?;
                writer.write(rows.columns().to_vec())?;
            }
            files[gold.state_table].extend(writer.finish()?);
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        close: &Close,
        share: Share,
        started: Instant,
        open: Duration,
    ) -> Result<Vec<(usize, i64)>, Error> {
        if !share.counts.is_balanced() {
            return Err(Error::Unbalanced { counts: format!("{:?}", share.counts.modules) });
        }
        let now_ms = self.clock.now_ms();
        let mut words = self.others.words(&self.plan, now_ms);
        words.extend(self.stopped_words());
        let observed = Observed { positions: &share.positions, watermarks: &share.watermarks };
        if let Some(question) = self.horizon.observe(observed, words, &self.progress, now_ms) {
            question.ask(&self.config);
        }
        let micro_batch = close.micro_batch;
        // What is said to be closed is what the workers take for closed from here on, and again after a restart: the watermarks of this
        // micro-batch count from the next one on, unless there is none.
        let announced_ms = if self.is_last { self.horizon.ms().to_vec() } else { close.horizons_ms.clone() };
        let mut group = self.group(close, &share, &announced_ms);
        group.files = share.files;
        self.add_others(close, &mut group.files)?;
        self.tables.upload(&group).await?;
        for kind in [TableKind::Bronze, TableKind::Silver, TableKind::DeadLetters] {
            self.tables.commit(&self.plan, &group, kind).await?;
        }
        self.tables.commit(&self.plan, &group, TableKind::State).await?;
        for (index, gold) in self.plan.golds.iter().enumerate() {
            self.others.note(index, group.files[gold.state_table].iter().map(|file| &file.path));
        }
        for ((view, changes), horizon_ms) in self.views.iter().zip(&share.changes).zip(&announced_ms) {
            view.apply_committed(micro_batch, changes);
            view.set_horizon_ms(*horizon_ms);
        }
        let seconds = started.elapsed().as_secs_f64();
        let row = self.row(&group, &share.counts, seconds);
        group.files[COMMITS] = self.encode_row(&row)?;
        for file in &group.files[COMMITS] {
            super::commit::persist("writing the commits table", || self.tables.tables[COMMITS].write_file(file))
                .await?;
        }
        crate::fault::point("commits.file");
        self.tables.commit(&self.plan, &group, TableKind::Commits).await?;
        self.micro_batch = micro_batch;
        for (slot, next) in &share.positions {
            self.committed[*slot] = *next;
        }
        self.redrives.committed(&share.redriven);
        let made = Made { at_ms: group.at_ms, open, threads: self.workers.len().min(self.slots.len()) };
        self.report.committed(&self.plan, &row, &share.counts, made);
        tracing::info!(
            micro_batch,
            records = row.records,
            rows = row.rows,
            dead_letters = row.dead_letters,
            seconds = started.elapsed().as_secs_f64(),
            "committed micro-batch"
        );
        if row.redriven != RedrivenCounts::default() {
            let RedrivenCounts { records, dead_letters, discarded, .. } = row.redriven;
            tracing::info!(
                micro_batch,
                redriven = records,
                failed_again = dead_letters,
                discarded,
                "settled dead letters"
            );
        }
        self.checkpoint_logs();
        Ok(share.positions)
    }

    fn group(&self, close: &Close, share: &Share, announced_ms: &[i64]) -> Group {
        let tables = self.plan.tables.len();
        let (mut remove, mut closed) = (vec![Vec::new(); tables], vec![Closed::default(); tables]);
        for (index, gold) in self.plan.golds.iter().enumerate() {
            closed[gold.state_table] = Closed {
                horizon_ms: Some(announced_ms[index]),
                kept_from_us: Some(close.forget_us[index]).filter(|start_us| *start_us != i64::MIN),
            };
            if close.snapshot[index] {
                remove[gold.state_table] = self.tables.tables[gold.state_table].files().keys().cloned().collect();
            }
        }
        let position =
            |(slot, next): &(usize, i64)| (self.slots[*slot].partition.clone(), self.slots[*slot].topic, *next);
        let sequence = |slot: usize| (self.redrives.partition(slot).clone(), self.slots[slot].topic);
        let is_known = |slot: usize| self.redrives.is_known(slot);
        let asked = share.redriven.iter().filter(|(slot, _)| is_known(*slot)).map(|(slot, next)| {
            let (partition, topic) = sequence(*slot);
            (partition, topic, *next)
        });
        let unmoved = (0..self.slots.len()).filter(|slot| !is_known(*slot)).map(sequence).collect();
        Group {
            micro_batch: close.micro_batch,
            at_ms: self.clock.now_ms(),
            files: Vec::new(),
            remove,
            positions: share.positions.iter().map(position).chain(asked).collect(),
            unmoved,
            closed,
        }
    }

    /// Brings the gold tables to the committed state.
    pub(super) async fn publish_gold(&mut self) -> Result<(), Error> {
        self.published = clock::instant();
        self.follow().await?;
        let position = |(slot, next): (&Slot, &i64)| (slot.partition.clone(), slot.topic, *next);
        let positions: Vec<_> = self.slots.iter().zip(&self.committed).map(position).collect();
        let target = Target {
            plan: &self.plan,
            views: &self.views,
            micro_batch: self.micro_batch,
            at_ms: self.clock.now_ms(),
            positions: &positions,
            others: &self.others,
            leads: &self.leads,
        };
        self.publisher.publish(&mut self.tables, &target).await?;
        self.forget();
        self.checkpoint_logs();
        Ok(())
    }

    /// Before the process ends, waits for checkpoints that are being written: one that is cut off does no harm, but a lot of noise.
    pub(super) async fn finish_checkpoints(&mut self, is_end: bool) {
        if !is_end {
            return;
        }
        let all = async { while self.checkpointing.join_next().await.is_some() {} };
        // Where it takes longer than that, the next start writes it.
        let _ = tokio::time::timeout(CHECKPOINT_PATIENCE, all).await;
    }

    /// Starts a checkpoint for each log that has grown enough; in the background, since commits do not wait for it.
    fn checkpoint_logs(&mut self) {
        for ((table, of), newest) in self.tables.tables.iter().zip(&self.plan.tables).zip(&mut self.checkpoints) {
            let is_anothers = self.plan.catches_up && of.topic.is_none();
            if !is_anothers && table.version() >= *newest + CHECKPOINT_EVERY {
                *newest = table.version();
                self.checkpointing.spawn_blocking(table.checkpoint(&self.lake));
            }
        }
    }
}

/// The start, in microseconds, before which the windows of a gold product need not be kept.
pub(super) fn forgettable_us(config: &Config, gold: &Gold, tables: &[crate::sink::Table]) -> i64 {
    let keep_ms = i64::try_from(config.gold.keep.as_millis()).unwrap_or(i64::MAX);
    let start_us = gold.plan.forgettable_us(tables[gold.gold_table].horizon_ms(), keep_ms);
    // What was let go of is nowhere but in the gold table, whatever the configuration and the module's lateness are by now.
    start_us.max(tables[gold.state_table].closed().kept_from_us.unwrap_or(i64::MIN))
}
