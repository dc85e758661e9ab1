//! Modules that are far behind catch up beside the others: a committer, workers and sources of their own over the same partitions, which
//! get what processor time is left, until they meet those that read at the live edge. Then a new session reads for all together.
//!
//! ```text
//!            partition   0 ···············┬─────────────────┬──────► log
//!  rewound, resumed or new module         ▲ its own floor   ▲ the others' floor
//!                     catches up here ────┘                 └──── the live session goes on here
//! ```
//!
//! Nothing but the tables knows of it: each module has its own progress in what all feed (`orders#0/3@retail`), and all else is its own. The
//! offsets without a module's name are those of whoever reads at the live edge.

use super::committer::Committer;
use super::drive::{Drive, FOLLOW_EVERY, LOOK_EVERY, MOVES_EVERY, TICK};
use super::lane::Lane;
use super::plan::{COMMITS, DEAD_LETTERS, Plan};
use super::progress::Progress;
use super::session::{Opened, Slot, Stuck};
use super::threads::{Pace, Threads, spawn};
use super::{Error, Pipeline};
use crate::clock;
use crate::serve::{Time, status};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// The part of the distance from which on modules are read apart at which they have met the others.
const MET: i64 = 10;

/// Looks over which it is seen how fast they come nearer.
const LOOKS: usize = 10;

/// The names of the modules that have `limit` more records before them than the one that has the fewest.
pub(super) fn behind(plan: &Plan, opened: &Opened, limit: u64) -> Vec<String> {
    let left: Vec<i64> = (0..plan.modules.len()).map(|module| left(plan, opened, module)).collect();
    let apart = apart(&left, i64::try_from(limit).unwrap_or(i64::MAX));
    apart.map(|module| plan.modules[module].manifest().name.clone()).collect()
}

/// The indices of those that have more than `limit` more than the one that has the fewest.
fn apart(left: &[i64], limit: i64) -> impl Iterator<Item = usize> {
    let least = left.iter().copied().min().unwrap_or(0);
    left.iter().enumerate().filter(move |(_, left)| *left - least > limit).map(|(index, _)| index)
}

/// The records that a module has not read.
fn left(plan: &Plan, opened: &Opened, module: usize) -> i64 {
    let left = |lane: &Lane| {
        let next = next_of(plan, lane, module)?;
        Some((opened.found.slots[lane.slot].log.end - next).max(0))
    };
    opened.lanes.iter().filter_map(left).sum()
}

/// The first offset of a partition that some table lacks of a module; `None` where it does not read the topic.
fn next_of(plan: &Plan, lane: &Lane, module: usize) -> Option<i64> {
    let inputs = plan.topics[lane.topic].inputs.iter().filter(|input| input.module == module);
    let products = inputs.flat_map(|input| &input.products).map(|product| &plan.products[*product]);
    let tables = products.flat_map(|product| {
        let states = product.golds.iter().map(|gold| plan.golds[*gold].state_table);
        states.chain([product.table])
    });
    let own = tables.filter(|table| plan.tables[*table].topic == Some(lane.topic)).map(|table| lane.floors[table]);
    let own = own.min()?;
    Some(own.min(lane.floor(DEAD_LETTERS, module)).min(lane.floor(COMMITS, module)))
}

/// Modules that catch up, and who does it.
pub(super) struct CatchUp {
    /// All modules that are to run, these and those at the live edge.
    pub(super) whole: Arc<Plan>,
    modules: Vec<String>,
    distance: Distance,
    /// `(time in milliseconds, records between them and the others)` of the last looks.
    looks: VecDeque<(i64, i64)>,
    until: watch::Sender<Until>,
    ended: oneshot::Receiver<(Committer, Result<(), Error>)>,
    thread: JoinHandle<()>,
    /// Partitions that the modules cannot read: they stay apart for as long as there are any.
    pub(super) stuck: Vec<Stuck>,
}

/// How long it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    /// The modules have met the others.
    Met,
    /// What was read is committed.
    Committed,
    /// Now: nobody waits any more.
    Now,
}

/// How far the modules are from those at the live edge.
#[derive(Clone)]
struct Distance {
    own: Arc<Progress>,
    live: Arc<Progress>,
    /// By own slot: that of the live session, if it reads the partition.
    slots: Vec<Option<usize>>,
}

impl Distance {
    fn new(own: &Committer, live: &Committer) -> Self {
        let live_slot = |slot: &Slot| live.slots.iter().position(|other| other.partition == slot.partition);
        let slots = own.slots.iter().map(live_slot).collect();
        Self { own: Arc::clone(&own.progress), live: Arc::clone(&live.progress), slots }
    }

    /// In records.
    fn records(&self) -> i64 {
        let of = |(lane, live): (&super::progress::LaneProgress, &Option<usize>)| {
            let next = lane.next.load(Ordering::Relaxed);
            let target = live.map(|slot| self.live.lanes[slot].next.load(Ordering::Relaxed));
            (target.or(lane.log_end()).unwrap_or(next) - next).max(0)
        };
        self.own.lanes.iter().zip(&self.slots).map(of).sum()
    }
}

impl CatchUp {
    /// Starts beside a `live` committer.
    pub(super) fn start(
        whole: Arc<Plan>,
        (own, threads): (Committer, Threads),
        stuck: Vec<Stuck>,
        live: &Committer,
    ) -> Result<Self, Error> {
        let modules: Vec<String> = own.plan.modules.iter().map(|module| module.manifest().name.clone()).collect();
        let distance = Distance::new(&own, live);
        let met = i64::try_from(own.config.catch_up.behind / MET.unsigned_abs()).unwrap_or(i64::MAX);
        tracing::info!(?modules, records = distance.records(), "modules that are behind catch up beside the others");
        let (until, changes) = watch::channel(Until::Met);
        let (sender, ended) = oneshot::channel();
        let (runtime, to_others) = (tokio::runtime::Handle::current(), distance.clone());
        // A thread of its own, so that no commit here holds up one at the live edge.
        let thread = spawn("catch-up", Pace::Live, move || {
            let mut abandoned = changes.clone();
            let ended = runtime.block_on(async {
                tokio::select! {
                    ended = run(own, threads, to_others, met, changes) => Some(ended),
                    _ = abandoned.wait_for(|until| *until == Until::Now) => None,
                }
            });
            if let Some(ended) = ended {
                // Who has stopped waiting needs no answer.
                let _ = sender.send(ended);
            }
        })?;
        Ok(Self { whole, modules, distance, looks: VecDeque::new(), until, ended, thread, stuck })
    }

    /// Whether it came to its end: the modules have met the others, or something went wrong.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// How it goes.
    pub(super) fn look(&mut self, now_ms: i64) -> status::CatchUp {
        let records_left = self.distance.records();
        self.looks.push_back((now_ms, records_left));
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let (from_ms, before) = self.looks.front().copied().unwrap_or((now_ms, records_left));
        let elapsed_ms = (now_ms - from_ms).max(1);
        let nearer = before - records_left;
        let expected_at = (nearer > 0).then(|| Time(now_ms + records_left.saturating_mul(elapsed_ms) / nearer));
        #[expect(clippy::cast_precision_loss, reason = "a figure for people: 53 bits are enough")]
        let records_per_second = nearer as f64 * 1000.0 / elapsed_ms as f64;
        let why = |stuck: &Stuck| (stuck.slot.partition.to_string(), stuck.error.to_string());
        let stopped = self.stuck.iter().map(why).collect();
        status::CatchUp { modules: self.modules.clone(), records_left, records_per_second, expected_at, stopped }
    }

    /// Tells it to commit what it has read, and to end.
    pub(super) fn stop(&self) {
        self.until.send_replace(Until::Committed);
    }

    /// Waits for the end, for as long as the session's own last work may take.
    pub(super) async fn end(self, drive: &Drive<'_>) -> (Option<Committer>, Result<(), Error>) {
        let Self { ended, modules, until, .. } = self;
        let ended = drive.in_time(async { ended.await.map_err(|_| Error::Thread { thread: "catch-up" }) }).await;
        match ended {
            Ok((committer, result)) => {
                tracing::info!(
                    ?modules,
                    "modules that were behind are read together with the others from here on, or again later"
                );
                (Some(committer), result)
            }
            Err(error) => {
                until.send_replace(Until::Now);
                (None, Err(error))
            }
        }
    }
}

async fn run(
    mut committer: Committer,
    threads: Threads,
    distance: Distance,
    met: i64,
    until: watch::Receiver<Until>,
) -> (Committer, Result<(), Error>) {
    let caught_up = read(&mut committer, &threads, &distance, met, until).await;
    let readers = threads.stop_readers();
    let ended = match caught_up.and(readers) {
        Ok(()) => committer.finish().await,
        Err(error) => Err(error),
    };
    committer.look();
    (committer, ended)
}

/// Commits whenever it is due, until the modules have met the others or are told to end.
async fn read(
    committer: &mut Committer,
    threads: &Threads,
    distance: &Distance,
    met: i64,
    mut until: watch::Receiver<Until>,
) -> Result<(), Error> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let now = clock::instant();
    let (mut looked, mut followed, mut moved) = (now, now, now);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = until.wait_for(|until| *until > Until::Met) => return Ok(()),
        }
        if let Ok(result) = committer.parts.try_recv() {
            // A worker that could not go on says so without being asked.
            result?;
        }
        let has_met = committer.stopped.is_empty() && distance.records() <= met;
        if threads.is_reader_gone() || has_met {
            return Ok(());
        }
        if committer.is_due(committer.progress.lag()) {
            committer.close().await?;
        }
        if committer.is_gold_due() {
            committer.publish_gold().await?;
        }
        let now = clock::instant();
        if now.duration_since(looked) >= LOOK_EVERY {
            looked = now;
            committer.look();
        }
        if now.duration_since(followed) >= FOLLOW_EVERY {
            followed = now;
            committer.follow().await?;
        }
        if now.duration_since(moved) >= MOVES_EVERY {
            moved = now;
            committer.look_for_moves().await?;
        }
    }
}

impl Pipeline {
    /// Shows how modules that are behind catch up.
    pub(super) fn look_at(&self, catch_up: Option<&mut CatchUp>) {
        let shown = catch_up.map(|catch_up| catch_up.look(self.clock.now_ms()));
        let left = shown.as_ref().map_or(0, |shown| shown.records_left);
        self.site.metrics().catch_up_records.set(left);
        self.site.update_status(|status| status.catch_up.clone_from(&shown));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_far_behind_the_first_are_read_apart() {
        let check = |left: &[i64], expected: &[usize]| assert_eq!(apart(left, 100).collect::<Vec<_>>(), expected);
        check(&[], &[]);
        // Who is alone has nobody to hold up, however long the way is.
        check(&[1_000_000], &[]);
        check(&[1_000_000, 1_000_050], &[]);
        check(&[0, 101, 100, 5_000], &[1, 3]);
    }
}
