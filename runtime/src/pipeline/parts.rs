//! A session's parts: the modules that read at the live edge, and beside them those that have yet to catch up.

use super::catch_up::{self, CatchUp};
use super::committer::Committer;
use super::plan::Plan;
use super::releases::Release;
use super::report::standing;
use super::session::{self, Gone, Opened, Stuck};
use super::still::Still;
use super::threads::Threads;
use super::torn::{self, Begun, Until};
use super::{Error, Pipeline};
use crate::checkpoint::SourcePartition;
use crate::sink::Warehouse;
use crate::source::Lease;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// What is to be started, each with where it stands.
pub(super) struct Parts {
    /// All modules that are to run.
    pub(super) whole: Arc<Plan>,
    pub(super) live: (Release, Opened),
    behind: Option<(Release, Opened)>,
    /// Whether a module that is far behind is read with the others until it has finished requests.
    pub(super) is_put_off: bool,
}

/// What was started.
pub(super) struct Running {
    pub(super) committer: Committer,
    pub(super) threads: Threads,
    pub(super) catch_up: Option<CatchUp>,
    /// Partitions that cannot be read.
    pub(super) stuck: Vec<Stuck>,
}

/// Which modules may be read apart from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// None: a batch job reads all to the end.
    No,
    /// Those that cannot read a partition on that others can.
    Stopped,
    /// Those that are far behind, too.
    Behind,
}

impl Parting {
    /// What may be in a session, which may be that of a batch job, or have something to finish that a crash left.
    pub(super) fn of(is_batch: bool, finishes: bool) -> Self {
        match (is_batch, finishes) {
            (true, _) => Self::No,
            (false, true) => Self::Stopped,
            (false, false) => Self::Behind,
        }
    }
}

impl Parts {
    /// Parts the modules that are not to be read with the others, as far as that `may` be.
    ///
    /// | modules                               | where nobody is far behind | otherwise                       |
    /// |---------------------------------------|----------------------------|---------------------------------|
    /// | that can read everything, and are not | together                   | together                        |
    /// | far behind                            |                            | apart                           |
    /// | stopped in the partitions of the first such one | apart            | wait until nobody is far behind |
    /// | stopped in others                     | wait                       | wait                            |
    pub(super) async fn of(
        pipeline: &Pipeline,
        release: Release,
        opened: Opened,
        lake: &Warehouse,
        lease: Option<&Lease>,
        gone: &[Gone],
        may: Parting,
    ) -> Result<Self, Error> {
        let whole = Arc::clone(&release.plan);
        let open = async |release: &Release| {
            let tables = session::open_tables(&pipeline.config, &release.plan, lake).await?;
            let found =
                tokio::task::block_in_place(|| session::discover(&pipeline.config, &release.plan, &pipeline.seen))?;
            session::open(&pipeline.config, release, lake, tables, found, lease, gone).await
        };
        let split =
            async |apart: &[String], wait: &[String]| pipeline.releases.lock().await.split(&release, apart, wait).await;
        let stopped = if may == Parting::No { Vec::new() } else { stopped(&whole, &opened.stuck) };
        let mut wait: Vec<String> = stopped.iter().flatten().cloned().collect();
        let (opened, reads) = if wait.is_empty() {
            (opened, Arc::clone(&whole))
        } else {
            // How far behind the others are is seen without those.
            let of_some = opened.stuck.iter().filter(|stuck| !stuck.at_fault.is_empty());
            of_some.for_each(|stuck| pipeline.passed_over(stuck));
            drop(opened);
            let (others, _) = split(&wait, &[]).await?;
            (open(&others).await?, others.plan)
        };
        let mut behind = match may == Parting::Behind && opened.begun.iter().all(|begun| begun.runs) {
            true => catch_up::behind(&reads, &opened, pipeline.config.catch_up.behind),
            false => Vec::new(),
        };
        // Requests are left to those who do not read apart, to finish too.
        let finishes = |name: &String| opened.begun.iter().any(|one| one.module == *name && one.until.has_requests());
        let is_put_off = behind.iter().any(finishes);
        behind.retain(|name| !finishes(name));
        let apart = if behind.is_empty() { stopped.into_iter().next().unwrap_or_default() } else { behind };
        if apart.is_empty() {
            return Ok(Self { whole, live: (release, opened), behind: None, is_put_off });
        }
        drop(opened);
        wait.retain(|name| !apart.contains(name));
        let (ahead, behind) = split(&apart, &wait).await?;
        let (opened, behind_opened) = (open(&ahead).await?, open(&behind).await?);
        Ok(Self { whole, live: (ahead, opened), behind: Some((behind, behind_opened)), is_put_off })
    }

    /// What is not wholly committed, whatever digest has begun it; also what modules that get no records have, in our partitions.
    pub(super) fn begun(&self, still: Option<&Still>, is_ours: impl Fn(&SourcePartition) -> bool) -> Vec<Begun> {
        let behind = self.behind.iter().flat_map(|(_, opened)| &opened.begun);
        let is_ours = |begun: &&Begun| is_ours(&begun.partition);
        let paused = still.into_iter().flat_map(|still| &still.begun).filter(is_ours);
        self.live.1.begun.iter().chain(behind).chain(paused).cloned().collect()
    }

    /// Leaves these partitions alone. By slot: up to where the modules have to finish what they have begun of the others.
    pub(super) fn hold(&mut self, held: &[SourcePartition]) -> Vec<Until> {
        let Opened { begun, lanes, redrives, .. } = &mut self.live.1;
        for (slot, lane) in lanes.iter_mut().enumerate() {
            lane.is_held = held.contains(&lane.partition);
            redrives.hold(slot, lane.is_held);
        }
        torn::until(begun, lanes)
    }

    /// Restores the state of all, shows it, and starts to read.
    pub(super) async fn start(
        self,
        pipeline: &Pipeline,
        lake: &Warehouse,
        still: Option<&Still>,
    ) -> Result<Running, Error> {
        let Self { whole, live: (release, opened), behind, .. } = self;
        let mut session = opened.restore(&pipeline.config, lake, &release.plan).await?;
        let mut stuck = std::mem::take(&mut session.stuck);
        stuck.iter_mut().for_each(|stuck| stuck.at_fault.clear());
        let mut views = session.views.clone();
        let apart = match behind {
            None => None,
            Some((release, opened)) => {
                let mut session = opened.restore(&pipeline.config, lake, &release.plan).await?;
                views.extend(session.views.iter().map(Arc::clone));
                let stuck = std::mem::take(&mut session.stuck);
                Some((release, session, stuck))
            }
        };
        pipeline.publish(&whole, lake, views, still);
        let runs = |name: &str| whole.modules.iter().any(|module| module.manifest().name == name);
        let rewound =
            release.rewinds.iter().filter(|(name, ..)| runs(name)).map(|(name, number, _)| (name.clone(), *number));
        pipeline.site.set_rewound(rewound.collect());
        stuck.iter().for_each(|stuck| pipeline.passed_over(stuck));
        let numbers = Arc::new(AtomicI64::new(0));
        let (mut committer, threads) = pipeline.start(&release.plan, lake.clone(), session, &stuck, &numbers)?;
        let catch_up = match apart {
            None => None,
            Some((release, session, stuck)) => {
                let own = pipeline.start(&release.plan, lake.clone(), session, &stuck, &numbers)?;
                Some(CatchUp::start(whole, own, stuck, &committer)?)
            }
        };
        let (state, readiness) = standing(&committer.slots, &committer.stopped);
        pipeline.state(state);
        pipeline.site.set_readiness(readiness);
        committer.look();
        Ok(Running { committer, threads, catch_up, stuck })
    }
}

/// The modules that are stopped somewhere where others can read on, those together that are in the same partitions; nobody where that is
/// all modules.
fn stopped(plan: &Plan, stuck: &[Stuck]) -> Vec<Vec<String>> {
    let mut groups: Vec<(Vec<&SourcePartition>, Vec<String>)> = Vec::new();
    for name in plan.modules.iter().map(|module| &module.manifest().name) {
        let of = stuck.iter().filter(|stuck| stuck.at_fault.contains(name));
        let partitions: Vec<&SourcePartition> = of.map(|stuck| &stuck.slot.partition).collect();
        match groups.iter_mut().find(|(others, _)| *others == partitions) {
            _ if partitions.is_empty() => {}
            Some((_, names)) => names.push(name.clone()),
            None => groups.push((partitions, vec![name.clone()])),
        }
    }
    let groups: Vec<Vec<String>> = groups.into_iter().map(|(_, names)| names).collect();
    if groups.iter().map(Vec::len).sum::<usize>() < plan.modules.len() { groups } else { Vec::new() }
}
