//! What the log of deployments adds up to for one module.

use super::Deployment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a deployment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Another digest is active.
    Deploy,
    /// The shadow became active.
    Promote,
    /// The digest before is active again.
    Rollback,
    /// A digest runs beside the active one, and its rows go nowhere.
    Shadow,
    /// Nothing runs beside the active one any more.
    EndShadow,
    /// The module gets no records, its products stay at their offsets.
    Pause,
    /// The runtime paused the module because it failed too often. It gets records again as after a pause, or with another digest.
    Park,
    /// The module gets records again, from where its products stand.
    Resume,
    /// The module's products go back to where they stood at a micro-batch; with a digest, that one is active from there on.
    Rewind,
    /// Another digest is active, and makes the module's products anew.
    Rebuild,
}

impl Action {
    const ALL: [Self; 10] = [
        Self::Deploy,
        Self::Promote,
        Self::Rollback,
        Self::Shadow,
        Self::EndShadow,
        Self::Pause,
        Self::Park,
        Self::Resume,
        Self::Rewind,
        Self::Rebuild,
    ];

    /// The action in the column `action`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Shadow => "shadow",
            Self::EndShadow => "end_shadow",
            Self::Pause => "pause",
            Self::Park => "park",
            Self::Resume => "resume",
            Self::Rewind => "rewind",
            Self::Rebuild => "rebuild",
        }
    }

    /// Reads what [`Self::name`] gives; `None` for anything else, as a newer version may write.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// Where a rewind leads: the micro-batch, and what the tables were then. A rebuild leads to before the first one, where they were empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The last micro-batch that stays.
    pub micro_batch: i64,
    /// By path of a table, its version then.
    pub tables: BTreeMap<String, u64>,
    /// By partition, `orders#0/3`: the offset from which on the module's records are read again.
    pub offsets: BTreeMap<String, i64>,
    /// Whether the tables are made anew, with whatever columns the module that is active gives them.
    #[serde(default)]
    pub rebuild: bool,
    /// Whether a rebuild takes what can still be read when it begins, however little that is.
    #[serde(default)]
    pub takes_what_is_left: bool,
    /// By partition, of a rebuild: where the records begin that the module has read and that are no longer there, up to `offsets`.
    #[serde(default)]
    pub lost: BTreeMap<String, i64>,
    /// Tables that become empty: of products that the module has which was active, and the one that is active from then on has not.
    #[serde(default)]
    pub emptied: Vec<String>,
}

/// Where a module stands after everything that was deployed under its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The number of the newest deployment of the module; the first is 1.
    pub sequence: i64,
    /// The digests that a rollback leads back through; the last one is active.
    pub digests: Vec<String>,
    /// Why the module gets no records; `None` while it does.
    pub paused: Option<String>,
    /// Whether it was the runtime that paused it. A person's pause lasts until a person ends it; this one is about a digest, and ends with it.
    pub is_parked: bool,
    /// The digest that runs beside the active one.
    pub shadow: Option<String>,
    /// The number of the newest rewind, and where it leads.
    pub rewind: Option<(i64, Target)>,
}

impl Standing {
    /// The active digest; `None` before the first deployment.
    #[must_use]
    pub fn active(&self) -> Option<&str> {
        self.digests.last().map(String::as_str)
    }

    /// The digest that a rollback makes active; `None` if there is none.
    #[must_use]
    pub fn previous(&self) -> Option<&str> {
        self.digests.iter().rev().nth(1).map(String::as_str)
    }

    fn go_back(&mut self, deployment: &Deployment) {
        self.rewind = deployment.target.clone().map(|target| (deployment.sequence, target)).or(self.rewind.take());
    }

    /// Takes in the next deployment.
    pub fn apply(&mut self, deployment: &Deployment) {
        self.sequence = deployment.sequence;
        let digest = || deployment.digest.clone();
        let before = self.active().map(str::to_owned);
        match deployment.action {
            Action::Deploy | Action::Promote => {
                self.digests.extend(digest().filter(|digest| self.active() != Some(digest)));
                self.shadow = None;
            }
            Action::Rollback => {
                self.digests.pop();
                // The log says what is active, whatever was thought to be before.
                self.digests.extend(digest().filter(|digest| self.active() != Some(digest)));
                self.shadow = None;
            }
            Action::Shadow => self.shadow = digest(),
            Action::EndShadow => self.shadow = None,
            Action::Pause | Action::Park => {
                let why = deployment.why.clone();
                self.paused = Some(why.unwrap_or_else(|| format!("paused by {}", deployment.who)));
                self.is_parked = deployment.action == Action::Park;
            }
            Action::Resume => (self.paused, self.is_parked) = (None, false),
            Action::Rebuild => {
                self.digests.extend(digest().filter(|digest| self.active() != Some(digest)));
                self.shadow = None;
                self.go_back(deployment);
            }
            Action::Rewind => {
                self.go_back(deployment);
                if let Some(digest) = digest()
                    && self.previous() == Some(&digest)
                {
                    self.digests.pop();
                    self.shadow = None;
                }
            }
        }
        if self.is_parked && self.active() != before.as_deref() {
            (self.paused, self.is_parked) = (None, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(steps: &[(Action, &str)]) -> Standing {
        let mut standing = Standing::default();
        for (sequence, (action, digest)) in (1..).zip(steps) {
            let digest = Some((*digest).to_owned()).filter(|digest| !digest.is_empty());
            standing.apply(&Deployment { sequence, digest, ..Deployment::of("retail", *action, "ann") });
        }
        standing
    }

    /// Active digest, the one before it, the shadow.
    #[track_caller]
    fn check(steps: &[(Action, &str)], expected: [&str; 3]) {
        let standing = after(steps);
        let found = [standing.active(), standing.previous(), standing.shadow.as_deref()];
        assert_eq!(found.map(Option::unwrap_or_default), expected, "{steps:?}");
        assert_eq!(standing.sequence, i64::try_from(steps.len()).unwrap());
    }

    #[test]
    fn the_last_digest_is_active_and_a_rollback_leads_back() {
        use Action::{Deploy, EndShadow, Promote, Rollback, Shadow};
        check(&[], ["", "", ""]);
        check(&[(Deploy, "a")], ["a", "", ""]);
        check(&[(Deploy, "a"), (Deploy, "b")], ["b", "a", ""]);
        check(&[(Deploy, "a"), (Deploy, "a")], ["a", "", ""]);
        check(&[(Deploy, "a"), (Deploy, "b"), (Rollback, "a")], ["a", "", ""]);
        check(&[(Deploy, "a"), (Deploy, "b"), (Deploy, "c"), (Rollback, "b")], ["b", "a", ""]);
        check(&[(Deploy, "a"), (Shadow, "b")], ["a", "", "b"]);
        check(&[(Deploy, "a"), (Shadow, "b"), (Promote, "b")], ["b", "a", ""]);
        check(&[(Deploy, "a"), (Shadow, "b"), (EndShadow, "")], ["a", "", ""]);
        check(&[(Deploy, "a"), (Shadow, "b"), (Deploy, "c")], ["c", "a", ""]);
    }

    #[test]
    fn a_rewind_leads_back_in_the_tables_and_with_a_digest_in_the_code() {
        let target = Target { micro_batch: 7, ..Target::default() };
        let rewind = |digest: Option<&str>| Deployment {
            sequence: 3,
            digest: digest.map(str::to_owned),
            target: Some(target.clone()),
            ..Deployment::of("retail", Action::Rewind, "ann")
        };
        let mut standing = after(&[(Action::Deploy, "a"), (Action::Deploy, "b")]);
        standing.apply(&rewind(None));
        assert_eq!((standing.active(), &standing.rewind), (Some("b"), &Some((3, target.clone()))));
        let mut standing = after(&[(Action::Deploy, "a"), (Action::Deploy, "b")]);
        standing.apply(&rewind(Some("a")));
        assert_eq!((standing.active(), standing.previous()), (Some("a"), None));
    }

    #[test]
    fn a_rebuild_is_a_deployment_that_leads_back_to_before_the_first_record() {
        let target = Target { rebuild: true, ..Target::default() };
        let mut standing = after(&[(Action::Deploy, "a"), (Action::Shadow, "c")]);
        let rebuild = Deployment {
            sequence: 3,
            target: Some(target.clone()),
            ..Deployment::of("retail", Action::Rebuild, "ann")
        };
        standing.apply(&Deployment { digest: Some("b".to_owned()), ..rebuild });
        assert_eq!((standing.active(), standing.previous(), &standing.shadow), (Some("b"), Some("a"), &None));
        assert_eq!(standing.rewind, Some((3, target)));
    }

    #[test]
    fn a_target_of_before_there_were_rebuilds_reads_back() {
        let target = serde_json::from_str(r#"{"micro_batch":7,"tables":{},"offsets":{"orders#0/3":5}}"#);
        let offsets = [("orders#0/3".to_owned(), 5)].into();
        assert_eq!(target.ok(), Some(Target { micro_batch: 7, offsets, ..Target::default() }));
    }

    #[test]
    fn a_pause_lasts_until_it_is_ended() {
        assert_eq!(after(&[(Action::Deploy, "a"), (Action::Pause, "")]).paused.as_deref(), Some("paused by ann"));
        assert_eq!(after(&[(Action::Deploy, "a"), (Action::Pause, ""), (Action::Deploy, "b")]).active(), Some("b"));
        assert_eq!(after(&[(Action::Deploy, "a"), (Action::Park, ""), (Action::Resume, "")]).paused, None);
    }

    #[test]
    fn another_digest_ends_a_parking_and_no_pause() {
        use Action::{Deploy, EndShadow, Park, Pause, Promote, Rebuild, Resume, Rollback, Shadow};
        // What happens after `a` and `b` were deployed; whether the module is paused, and parked, then.
        #[track_caller]
        fn check(steps: &[(Action, &str)], is_paused: bool, is_parked: bool) {
            let standing = after(&[&[(Deploy, "a"), (Deploy, "b")], steps].concat());
            assert_eq!((standing.paused.is_some(), standing.is_parked), (is_paused, is_parked), "{steps:?}");
        }
        check(&[(Park, "")], true, true);
        check(&[(Park, ""), (Deploy, "c")], false, false);
        check(&[(Park, ""), (Rollback, "a")], false, false);
        check(&[(Park, ""), (Rebuild, "c")], false, false);
        check(&[(Park, ""), (Shadow, "c"), (Promote, "c")], false, false);
        check(&[(Park, ""), (Shadow, "c"), (EndShadow, "")], true, true);
        // The same digest is no mended one.
        check(&[(Park, ""), (Deploy, "b")], true, true);
        check(&[(Park, ""), (Resume, "")], false, false);
        check(&[(Pause, ""), (Deploy, "c")], true, false);
        check(&[(Park, ""), (Resume, ""), (Pause, ""), (Rollback, "a")], true, false);
    }

    #[test]
    fn an_action_reads_back() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.name()), Some(action));
        }
        assert_eq!(Action::parse("burn"), None);
    }
}
