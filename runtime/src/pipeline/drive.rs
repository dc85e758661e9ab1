//! What a session is driven by: when it is told to end, how long its last work may take, and whom it tells how far it is.

use super::committer::Committer;
use super::releases::Release;
use super::threads::Threads;
use super::{Error, Options};
use crate::clock;
use crate::release::Target;
use crate::source::{Lease, Membership};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;

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
    pub(super) torn_until: &'a [i64],
    /// The rewinds that the session began with.
    pub(super) rewinds: &'a [(String, i64, Target)],
    pub(super) grace: Duration,
    /// When the session was told to end.
    pub(super) told_at: OnceLock<Instant>,
    /// Whether there are partitions that cannot be read, which may be mended meanwhile.
    pub(super) has_stuck: bool,
}

impl Drive<'_> {
    /// What is to run, if that is something else than what the session runs, and that has nothing left to finish.
    pub(super) fn other_release(&self, committer: &Committer) -> Option<Release> {
        let is_finished = self.torn_until.iter().zip(&committer.committed).all(|(until, committed)| committed >= until);
        let next = self.next.borrow();
        next.as_ref().filter(|next| is_finished && !Arc::ptr_eq(&next.plan, &committer.plan)).cloned()
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
