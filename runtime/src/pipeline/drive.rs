//! Drives a session: commits whenever that is due, until it is told to end; how long its last work may take, and whom it tells how far it
//! is.

use super::catch_up::CatchUp;
use super::committer::Committer;
use super::plan::Plan;
use super::releases::Release;
use super::run::End;
use super::session::Stuck;
use super::still::Still;
use super::threads::Threads;
use super::torn::Until;
use super::{Error, Options, Pipeline, session};
use crate::clock;
use crate::config::Config;
use crate::release::Target;
use crate::serve::status::State;
use crate::source::{Lease, Membership};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the committer looks whether something is due.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// How often the status is brought up to date.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked what other instances committed.
pub(super) const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether somebody moved offsets.
pub(super) const MOVES_EVERY: Duration = Duration::from_secs(5);

/// How often the topics are asked for new partitions.
const PARTITIONS_EVERY: Duration = Duration::from_secs(30);

/// What a session is driven by.
pub(super) struct Drive<'a> {
    pub(super) options: Options,
    pub(super) stop: watch::Receiver<bool>,
    /// By slot: where a batch job ends.
    pub(super) targets: &'a [i64],
    pub(super) lease: Option<&'a Lease>,
    pub(super) membership: Option<&'a Membership>,
    /// What is to run.
    pub(super) next: watch::Sender<Option<Release>>,
    /// By slot: up to where the modules of the session have to finish what they have begun.
    pub(super) torn_until: &'a [Until],
    /// Whether modules are to be read apart once that is done.
    pub(super) is_put_off: bool,
    /// The rewinds that the session began with.
    pub(super) rewinds: &'a [(String, i64, Target)],
    pub(super) grace: Duration,
    /// When the session was told to end.
    pub(super) told_at: OnceLock<Instant>,
    /// Partitions that cannot be read.
    pub(super) stuck: &'a [Stuck],
    /// What paused modules came to.
    pub(super) still: Option<&'a Still>,
}

impl Drive<'_> {
    /// What is to run, if that is something else than what the session runs, and that has nothing left to finish.
    fn other_release(&self, committer: &Committer, running: &Arc<Plan>) -> Option<Release> {
        let next = self.next.borrow();
        next.as_ref().filter(|next| !Arc::ptr_eq(&next.plan, running) && self.is_finished(committer)).cloned()
    }

    /// Whether the modules have finished what they had begun.
    fn is_finished(&self, committer: &Committer) -> bool {
        self.torn_until.iter().enumerate().all(|(slot, until)| until.is_done(committer, slot))
    }

    /// Does work that may take as long as it takes until the session is told to end, and from then on as long as the grace lasts: what is
    /// not committed then is left to whoever reads on from the tables. A batch job that has come to its end is in no hurry.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => return result,
            () = self.is_told() => {}
        }
        let told_at = *self.told_at.get_or_init(clock::instant);
        let rest = self.grace.saturating_sub(told_at.elapsed());
        tokio::time::timeout(rest, work).await.unwrap_or(Err(Error::Grace { grace: self.grace }))
    }

    async fn is_told(&self) {
        let outdated = async {
            match self.lease {
                Some(lease) => lease.outdated().await,
                None => std::future::pending().await,
            }
        };
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = outdated => {}
        }
    }

    /// Whether the log of a partition that could not be read has come to hold what the tables lack.
    async fn is_mended(&self, config: &Arc<Config>, catch_up: Option<&CatchUp>) -> bool {
        let stuck = self.stuck.iter().chain(catch_up.into_iter().flat_map(|catch_up| &catch_up.stuck));
        let outside: Vec<(String, i32, i64)> = stuck.filter_map(Stuck::outside).collect();
        let config = Arc::clone(config);
        let asked = tokio::task::spawn_blocking(move || {
            outside.iter().any(|(topic, partition, stored)| {
                let log = session::log_range(&config, topic, *partition);
                log.is_ok_and(|log| (log.start..=log.end).contains(stored))
            })
        });
        asked.await.unwrap_or(false)
    }

    /// A hint for dashboards. A member tells its group; without one, the reader does.
    pub(super) fn tell_committed(&self, threads: &Threads, committer: &Committer, offsets: &[(usize, i64)]) {
        let Some(member) = self.membership else { return threads.tell_committed(offsets) };
        let named = |(slot, next): &(usize, i64)| {
            let partition = &committer.slots[*slot].partition;
            ((partition.topic.to_string(), partition.partition), *next)
        };
        member.committed(&offsets.iter().map(named).collect::<Vec<_>>());
    }
}

impl Pipeline {
    /// Commits what was read.
    pub(super) async fn drain(&self, committer: &mut Committer, drive: &Drive<'_>) -> Result<(), Error> {
        self.state(State::Draining);
        drive.told_at.get_or_init(clock::instant);
        drive.in_time(committer.finish()).await
    }

    /// Commits whenever it is due, until the end.
    pub(super) async fn drive(
        &self,
        committer: &mut Committer,
        threads: &Threads,
        mut catch_up: Option<&mut CatchUp>,
        drive: &Drive<'_>,
    ) -> Result<End, Error> {
        let (options, targets) = (drive.options, drive.targets);
        committer.horizon.pass_over_empty(options.until_current);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut looked, now): (Option<Instant>, _) = (None, clock::instant());
        let (mut asked, mut followed, mut moved) = (now, now, now);
        loop {
            ticks.tick().await;
            if let Ok(result) = committer.parts.try_recv() {
                // A worker that could not go on says so without being asked.
                result?;
            }
            if threads.is_reader_gone() {
                return Ok(End::Done);
            }
            self.lag.store(committer.progress.lag(), Ordering::Relaxed);
            let now = clock::instant();
            if looked.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY) {
                looked = Some(now);
                committer.look();
                self.look_at(catch_up.as_deref_mut());
            }
            let catch_up = catch_up.as_deref();
            if catch_up.is_some_and(CatchUp::is_over) || !self.adopt(committer, threads, catch_up, drive).await? {
                return Ok(End::Anew);
            }
            let position = |slot: usize| committer.progress.lanes[slot].next.load(Ordering::Relaxed);
            let is_current = || {
                let is_read = targets.iter().enumerate().all(|(slot, target)| position(slot) >= *target);
                is_read && !committer.redrives.is_pending()
            };
            if *drive.stop.borrow() || (options.until_current && is_current()) {
                return Ok(End::Done);
            }
            if drive.lease.is_some_and(|lease| !lease.is_current()) {
                return Ok(End::Anew);
            }
            let lag = if options.until_current {
                targets.iter().enumerate().map(|(slot, target)| (target - position(slot)).max(0)).sum()
            } else {
                committer.progress.lag()
            };
            if committer.is_due(lag) {
                let offsets = drive.in_time(committer.close()).await?;
                drive.tell_committed(threads, committer, &offsets);
                committer.look();
            }
            if committer.is_gold_due() {
                drive.in_time(committer.publish_gold()).await?;
            }
            if now.duration_since(followed) >= FOLLOW_EVERY {
                followed = now;
                drive.in_time(committer.follow()).await?;
            }
            if now.duration_since(moved) >= MOVES_EVERY {
                moved = now;
                drive.in_time(committer.look_for_moves()).await?;
            }
            if now.duration_since(asked) >= PARTITIONS_EVERY {
                asked = now;
                let known = committer.slots.len() + committer.others.slots.len() + drive.stuck.len();
                if drive.is_mended(&self.config, catch_up).await
                    || self.has_new_partitions(&committer.plan, known).await
                {
                    return Ok(End::Anew);
                }
            }
        }
    }

    /// Goes on with other modules where that is what is to run; `false` where that takes a new session, since they make other tables, or
    /// other modules are apart from the rest, or are to be, or might have to be.
    async fn adopt(
        &self,
        committer: &mut Committer,
        threads: &Threads,
        catch_up: Option<&CatchUp>,
        drive: &Drive<'_>,
    ) -> Result<bool, Error> {
        if drive.is_put_off && drive.is_finished(committer) {
            return Ok(false);
        }
        let running = catch_up.map_or(&committer.plan, |catch_up| &catch_up.whole);
        let Some(next) = drive.other_release(committer, running) else { return Ok(true) };
        let may_part = catch_up.is_some() || !drive.torn_until.is_empty();
        if may_part || !next.follows(&committer.plan, drive.rewinds) {
            return Ok(false);
        }
        let offsets = drive.in_time(committer.close_with(Some(next.plan))).await?;
        drive.tell_committed(threads, committer, &offsets);
        self.publish(&committer.plan, &committer.lake, committer.views.clone(), drive.still);
        committer.look();
        Ok(true)
    }

    /// Whether the topics have more partitions than are read.
    async fn has_new_partitions(&self, plan: &Arc<Plan>, known: usize) -> bool {
        let (config, plan) = (Arc::clone(&self.config), Arc::clone(plan));
        let count = tokio::task::spawn_blocking(move || {
            let from_files = |name: &str| config.topics.get(name).is_some_and(|topic| topic.path.is_some());
            let mut count = 0;
            for topic in &plan.topics {
                let partitions = || session::connect(&config, &topic.name).ok()?.partitions(&topic.name).ok();
                count += if from_files(&topic.name) { 1 } else { partitions()?.len() };
            }
            Some(count)
        });
        count.await.ok().flatten().is_some_and(|count| count > known)
    }
}
