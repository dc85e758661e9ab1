//! What a crash left half committed, and the modules that finish it before others go on.

use super::lane::Lane;
use super::releases::Release;
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

    /// Takes in what a session under this release has found.
    pub(super) fn take(&mut self, mut found: BTreeMap<String, String>, release: &Release) {
        self.rewinds.clone_from(&release.rewinds);
        self.digests.append(&mut found);
    }

    /// By slot: up to where the modules of the session have to finish; nothing where they have nothing to.
    pub(super) fn until(&mut self, lanes: &[Lane]) -> Vec<i64> {
        let is_done = lanes.iter().all(|lane| lane.next >= lane.settled);
        if self.digests.is_empty() || is_done {
            self.digests.clear();
            return Vec::new();
        }
        lanes.iter().map(|lane| lane.settled).collect()
    }
}
