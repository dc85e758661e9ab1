//! What a crash left half committed, and the modules that finish it before others go on.

use super::releases::Release;
use super::session::Session;
use crate::release::Target;
use std::collections::BTreeMap;

/// Modules that have begun something else than what is to run.
#[derive(Debug, Default)]
pub(super) struct Torn {
    /// By module, the digest that finishes what it began.
    digests: BTreeMap<String, String>,
    /// The rewinds under which that was found: one that came later has undone it.
    rewinds: Vec<(String, i64, Target)>,
}

impl Torn {
    /// The digests that have something to finish under this release.
    pub(super) fn under(&mut self, release: &Release) -> &BTreeMap<String, String> {
        if self.rewinds != release.rewinds {
            self.digests.clear();
        }
        &self.digests
    }

    /// Takes in what a session has found; `true` if there is something to finish before it begins.
    pub(super) fn take(&mut self, found: &mut BTreeMap<String, String>, release: &Release) -> bool {
        if found.is_empty() {
            return false;
        }
        self.rewinds.clone_from(&release.rewinds);
        self.digests.append(found);
        true
    }

    /// By slot: up to where the modules of the session have to finish; nothing where they have nothing to.
    pub(super) fn until(&mut self, session: &Session) -> Vec<i64> {
        let settled: Vec<i64> = session.lanes.iter().map(|lane| lane.settled).collect();
        let is_done = session.lanes.iter().all(|lane| lane.next >= lane.settled);
        if self.digests.is_empty() || is_done {
            self.digests.clear();
            return Vec::new();
        }
        settled
    }
}
