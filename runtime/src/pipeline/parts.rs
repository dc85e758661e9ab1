//! A session's parts: the modules that read at the live edge, and beside them those that have yet to catch up.

use super::catch_up::{self, CatchUp};
use super::committer::Committer;
use super::plan::Plan;
use super::releases::Release;
use super::report::standing;
use super::session::{self, Gone, Opened, Stuck};
use super::still::Still;
use super::threads::Threads;
use super::{Error, Pipeline};
use crate::sink::Warehouse;
use crate::source::Lease;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// What is to be started, each with where it stands.
pub(super) struct Parts {
    /// All modules that are to run.
    whole: Arc<Plan>,
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
    /// Parts the modules that are far behind from the others, if that `may` be.
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
        let behind = match may && opened.torn.is_empty() {
            true => catch_up::behind(&whole, &opened, pipeline.config.catch_up.behind),
            false => Vec::new(),
        };
        if behind.is_empty() {
            return Ok(Self { whole, live: (release, opened), behind: None });
        }
        drop(opened);
        let (ahead, behind) = pipeline.releases.lock().await.split(&release, &behind).await?;
        let open = async |release: Release| {
            let tables = session::open_tables(&pipeline.config, &release.plan, lake).await?;
            let found = tokio::task::block_in_place(|| session::discover(&pipeline.config, &release.plan))?;
            let opened = session::open(&pipeline.config, &release, lake, tables, found, lease, gone).await?;
            Ok::<_, Error>((release, opened))
        };
        Ok(Self { whole, live: open(ahead).await?, behind: Some(open(behind).await?) })
    }

    /// The digests that have begun what is not wholly committed; `None` where nothing is torn.
    pub(super) fn torn(&mut self) -> Option<BTreeMap<String, String>> {
        let opened = [Some(&mut self.live), self.behind.as_mut()].into_iter().flatten().map(|(_, opened)| opened);
        let torn: BTreeMap<String, String> = opened.flat_map(|opened| std::mem::take(&mut opened.torn)).collect();
        (!torn.is_empty()).then_some(torn)
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
                std::mem::take(&mut session.stuck).iter().for_each(|stuck| pipeline.passed_over(stuck));
                Some((release, session))
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
            Some((release, session)) => {
                let own = pipeline.start(&release.plan, lake.clone(), session, &[], &numbers)?;
                Some(CatchUp::start(whole, own, &committer)?)
            }
        };
        let (state, readiness) = standing(&committer.slots, &committer.stopped);
        pipeline.site.set_readiness(readiness);
        pipeline.state(state);
        Ok(Running { committer, threads, catch_up, stuck })
    }
}
