//! Starts the threads of a session, and the committer over them.

use super::committer::Committer;
use super::gold::Publisher;
use super::horizon::Horizon;
use super::lane::Lane;
use super::plan::Plan;
use super::progress::Progress;
use super::reader::Route;
use super::report::Report;
use super::restore::Session;
use super::session::{Slot, Stuck};
use super::threads::{Pace, QUEUE, Threads, spawn};
use super::worker::{self, Command, Part};
use super::{Error, Pipeline};
use crate::clock;
use crate::sink::Warehouse;
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

impl Pipeline {
    /// Starts workers and readers.
    pub(super) fn start(
        &self,
        plan: &Arc<Plan>,
        lake: Warehouse,
        session: Session,
        stuck: &[Stuck],
        numbers: &Arc<AtomicI64>,
    ) -> Result<(Committer, Threads), Error> {
        let Session {
            tables,
            slots,
            lanes,
            others,
            redrives,
            sources,
            views,
            horizons_ms,
            forgotten_us,
            micro_batch,
            ..
        } = session;
        let starts: Vec<i64> = lanes.iter().map(|lane| lane.next).collect();
        let progress = Arc::new(Progress::new(&starts, self.workers));
        progress.lanes.iter().zip(&slots).for_each(|(lane, slot)| lane.log_end.store(slot.log.end, Ordering::Relaxed));
        let (commands, receivers): (Vec<Sender<Command>>, Vec<Receiver<Command>>) =
            (0..self.workers).map(|_| crossbeam_channel::bounded(QUEUE)).unzip();
        let (parts_in, parts) = tokio::sync::mpsc::channel::<Result<Part, Error>>(self.workers);
        let (routes, by_worker) = share_out(lanes, self.workers);
        let pace = if plan.catches_up { Pace::Background } else { Pace::Live };
        for (index, (lanes, commands)) in by_worker.into_iter().zip(receivers).enumerate() {
            let context = worker::Context {
                index,
                plan: Arc::clone(plan),
                views: views.clone(),
                progress: Arc::clone(&progress),
                commands,
                parts: parts_in.clone(),
            };
            let horizons_ms = horizons_ms.clone();
            spawn(&format!("worker-{index}"), pace, move || worker::run(context, lanes, horizons_ms))?;
        }
        let threads = Threads::start(&self.config, sources, &routes, &commands, &progress, pace)?;
        numbers.fetch_max(micro_batch, Ordering::Relaxed);
        let now = clock::instant();
        let report = Report::new(Arc::clone(&self.site), Arc::clone(&self.meters), plan, micro_batch);
        let publisher = Publisher::new(plan, &views, &tables);
        let committer = Committer {
            config: Arc::clone(&self.config),
            plan: Arc::clone(plan),
            lake,
            clock: self.clock.clone(),
            checkpoints: tables.tables.iter().map(crate::sink::Table::checkpointed).collect(),
            tables,
            leads: leads(plan, slots.iter().chain(stuck.iter().map(|stuck| &stuck.slot)), &others.slots),
            horizon: Horizon::new(horizons_ms, &slots, &starts, self.config.gold.idle_after, self.clock.now_ms()),
            slots,
            others,
            redrives,
            routes,
            forgotten_us,
            is_last: false,
            stopped: stuck.iter().map(|stuck| (stuck.slot.partition.clone(), stuck.error.to_string())).collect(),
            views,
            progress,
            workers: commands,
            parts,
            publisher,
            report,
            shadows: Arc::clone(&self.shadows),
            micro_batch,
            numbers: Arc::clone(numbers),
            committed: starts,
            opened: now,
            published: now,
            checkpointing: tokio::task::JoinSet::new(),
            opened_at_records: 0,
        };
        Ok((committer, threads))
    }
}

/// Gives each worker its lanes, and says where each slot's is.
fn share_out(lanes: Vec<Lane>, workers: usize) -> (Vec<Route>, Vec<Vec<Lane>>) {
    let mut routes = Vec::with_capacity(lanes.len());
    let mut by_worker: Vec<Vec<Lane>> = (0..workers).map(|_| Vec::new()).collect();
    for lane in lanes {
        let worker = lane.slot % workers;
        routes.push(Route { slot: lane.slot, worker, lane: by_worker[worker].len() });
        by_worker[worker].push(lane);
    }
    (routes, by_worker)
}

/// By topic: whether its first partition is ours.
fn leads<'a>(plan: &Plan, own: impl Iterator<Item = &'a Slot>, others: &[Slot]) -> Vec<bool> {
    let own: Vec<&Slot> = own.collect();
    let others: Vec<&Slot> = others.iter().collect();
    let first = |slots: &[&Slot], topic: usize| {
        slots.iter().filter(|slot| slot.topic == topic).map(|slot| slot.partition.partition).min()
    };
    let is_ours = |topic: usize| match (first(&own, topic), first(&others, topic)) {
        (Some(own), Some(other)) => own < other,
        (own, _) => own.is_some(),
    };
    (0..plan.topics.len()).map(is_ours).collect()
}
