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
}

/// What was started.
pub(super) struct Running {
    pub(super) committer: Committer,
    pub(super) threads: Threads,
    pub(super) catch_up: Option<CatchUp>,
    /// Partitions that cannot be read.
    pub(super) stuck: Vec<Stuck>,
}

impl Parts {
    /// Parts the modules that are far behind, or cannot read a partition on that others can, from the others, if that `may` be.
    pub(super) async fn of(
        pipeline: &Pipeline,
        release: Release,
        opened: Opened,
        lake: &Warehouse,
        lease: Option<&Lease>,
        gone: &[Gone],
        may: bool,
    ) -> Result<Self, Error> {
        let whole = Arc::clone(&release.plan);
        // Those who read beside leave all requests to the others, to finish too.
        let may = may && opened.begun.iter().all(|begun| begun.runs && !begun.until.has_requests());
        let behind = match may {
            true => catch_up::apart(&whole, &opened, pipeline.config.catch_up.behind),
            false => Vec::new(),
        };
        if behind.is_empty() {
            return Ok(Self { whole, live: (release, opened), behind: None });
        }
        drop(opened);
        let (ahead, behind) = pipeline.releases.lock().await.split(&release, &behind).await?;
        let open = async |release: Release| {
            let tables = session::open_tables(&pipeline.config, &release.plan, lake).await?;
            let found =
                tokio::task::block_in_place(|| session::discover(&pipeline.config, &release.plan, &pipeline.seen))?;
            let opened = session::open(&pipeline.config, &release, lake, tables, found, lease, gone).await?;
            Ok::<_, Error>((release, opened))
        };
        Ok(Self { whole, live: open(ahead).await?, behind: Some(open(behind).await?) })
    }

    /// What is not wholly committed, whatever digest has begun it; also what modules that get no records have, in our partitions.
    pub(super) fn begun(&self, still: Option<&Still>, lease: Option<&Lease>) -> Vec<Begun> {
        let behind = self.behind.iter().flat_map(|(_, opened)| &opened.begun);
        let is_ours = |begun: &&Begun| {
            let SourcePartition { topic, partition, .. } = &begun.partition;
            lease.is_none_or(|lease| lease.holds(topic, *partition))
        };
        let paused = still.into_iter().flat_map(|still| &still.begun).filter(is_ours);
        self.live.1.begun.iter().chain(behind).chain(paused).cloned().collect()
    }

    /// Leaves these partitions alone. By slot: up to where the modules have to finish what they have begun of the others.
    pub(super) fn hold(&mut self, held: &[SourcePartition]) -> Vec<Until> {
        let Opened { begun, lanes, .. } = &mut self.live.1;
        lanes.iter_mut().for_each(|lane| lane.is_held = held.contains(&lane.partition));
        torn::until(begun, lanes)
    }

    /// Restores the state of all, shows it, and starts to read.
    pub(super) async fn start(
        self,
        pipeline: &Pipeline,
        lake: &Warehouse,
        still: Option<&Still>,
    ) -> Result<Running, Error> {
        let Self { whole, live: (release, opened), behind } = self;
        let mut session = opened.restore(&pipeline.config, lake, &release.plan).await?;
        let stuck = std::mem::take(&mut session.stuck);
        let mut views = session.views.clone();
        let apart = match behind {
            None => None,
            Some((release, opened)) => {
                let mut session = opened.restore(&pipeline.config, lake, &release.plan).await?;
                views.extend(session.views.iter().map(Arc::clone));
                let mut stuck = std::mem::take(&mut session.stuck);
                let names = || release.plan.modules.iter().map(|module| module.manifest().name.clone()).collect();
                stuck.iter_mut().for_each(|stuck| stuck.at_fault = names());
                stuck.iter().for_each(|stuck| pipeline.passed_over(stuck));
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
        let (committer, threads) = pipeline.start(&release.plan, lake.clone(), session, &stuck, &numbers)?;
        let catch_up = match apart {
            None => None,
            Some((release, session, stuck)) => {
                let own = pipeline.start(&release.plan, lake.clone(), session, &stuck, &numbers)?;
                Some(CatchUp::start(whole, own, stuck, &committer)?)
            }
        };
        let (state, readiness) = standing(&committer.slots, &committer.stopped);
        pipeline.site.set_readiness(readiness);
        pipeline.state(state);
        Ok(Running { committer, threads, catch_up, stuck })
    }
}
