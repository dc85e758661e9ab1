//! Modules that fail too often: how they are told of, and how the runtime parks them, as a decision in the log of deployments.

use super::desk::{Desk, guarded, short, unavailable};
use super::releases::Releases;
use super::{Error, Pipeline};
use crate::fault;
use crate::release::compare::grouped;
use crate::release::{Action, AppendError, Deployment, Outcome};
use crate::serve::orders::Released;
use crate::transform::Module;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Who parks, in the log of deployments.
const RUNTIME: &str = "lakeward";

/// How often the log is read again when somebody else was first to decide something about the module.
const TRIES: u32 = 5;

/// Letters of a module's message that the reason of a parking keeps.
const SHOWN: usize = 200;

/// A module that fails too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The module.
    pub module: String,
    /// The digest that fails.
    pub digest: Arc<str>,
    /// Records that it failed on.
    pub failed: u64,
    /// Of so many.
    pub records: u64,
    /// Of which time: a minute by the counts of what was committed, or one chunk in which it was given up on.
    pub span: Span,
    /// The first things that it said when it failed; nothing where it masks columns, since everybody may read this.
    pub messages: Vec<String>,
}

/// What a module was judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The records of the last minute, which are committed.
    Minute,
    /// A chunk that would have taken too long, of which nothing is committed.
    Chunk,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, records) = (grouped(self.failed), grouped(self.records));
        match self.span {
            Span::Minute => write!(f, "it failed on {failed} of the {records} records of the last minute")?,
            Span::Chunk => write!(f, "it failed on {failed} of {records} records and took too long over the rest")?,
        }
        for (index, message) in self.messages.iter().enumerate() {
            let shown: String = message.chars().take(SHOWN).collect();
            write!(f, "{} `{shown}`", if index == 0 { ":" } else { "," })?;
        }
        if self.messages.is_empty() {
            f.write_str("; its dead letters have what it said")?;
        }
        Ok(())
    }
}

impl Failing {
    /// Whether the outcome of a chunk may be used.
    ///
    /// # Errors
    /// [`Error::GivenUp`] where the module was given up on in the middle of it.
    pub(super) fn check(module: &Module, outcome: &Outcome) -> Result<(), Error> {
        let Some(records) = outcome.given_up else { return Ok(()) };
        let mut messages = super::ledger::Messages::default();
        let failures = || outcome.dead.values().filter(|dead| dead.failed);
        if !module.manifest().is_masked() {
            failures().for_each(|dead| messages.add(&dead.reason));
        }
        Err(Error::GivenUp(Box::new(Self {
            module: module.manifest().name.clone(),
            digest: Arc::clone(module.digest()),
            failed: failures().count() as u64,
            records,
            span: Span::Chunk,
            messages: messages.iter().map(str::to_owned).collect(),
        })))
    }
}

impl Pipeline {
    /// Where decisions about modules are written down.
    pub(super) fn desk(&self) -> Desk {
        Desk {
            releases: Arc::clone(&self.releases),
            site: Arc::clone(&self.site),
            shadows: Arc::clone(&self.shadows),
            meters: Arc::clone(&self.meters),
            clock: self.clock.clone(),
            next: self.next.clone(),
        }
    }
}

impl Desk {
    /// Parks modules as they are found to fail; one that runs beside the active one is ended.
    pub(super) async fn watch(self) {
        let Some(mut failing) = self.meters.failing() else { return };
        while let Some(failing) = failing.recv().await {
            self.park(&failing.module, &failing.digest, &failing.to_string()).await;
        }
    }

    /// Parks a module. Where that is not possible now, it does again what it is to be parked for, and is judged again.
    pub(super) async fn park(&self, module: &str, digest: &str, why: &str) {
        self.tried(module, why, self.try_park(module, Some(digest), why)).await;
    }

    /// Parks a module of which a version cannot finish what it has begun, whichever is active by now. Whether it gets no records already.
    pub(super) async fn park_unfinished(&self, module: &str, digest: &str, why: &str) -> bool {
        let why = format!(
            "version {} has to finish what it had begun when its process died, and cannot: {why}; `lakeward rewind {module}` takes that back",
            short(digest)
        );
        self.tried(module, &why, self.try_park(module, None, &why)).await == Some(false)
    }

    async fn tried(&self, module: &str, why: &str, parked: impl Future<Output = Result<bool, Error>>) -> Option<bool> {
        match guarded(async { parked.await.map_err(|error| unavailable(&error)) }).await {
            Ok(parked) => Some(parked),
            Err(refusal) => {
                tracing::warn!(module, why, ?refusal, "a module could not be parked");
                None
            }
        }
    }

    /// Parks a module, where it is at the digest if that is given; whether there was anything to park.
    async fn try_park(&self, module: &str, digest: Option<&str>, why: &str) -> Result<bool, Error> {
        let mut releases = self.releases.lock().await;
        for _ in 0..TRIES {
            releases.refresh().await?;
            let decision = self.parking(&mut releases, module, digest, why).await;
            let Some((after, decision)) = decision else { return Ok(false) };
            fault::point("parking.before");
            let action = decision.action;
            match releases.append(None, after, decision).await {
                Ok(()) => {
                    fault::point("parking.after");
                    if action == Action::EndShadow {
                        tracing::error!(module, digest, why, "what ran beside a module is ended");
                    }
                    break;
                }
                // Another instance has parked it, or a person has decided something else.
                Err(AppendError::Lost) => {}
                Err(AppendError::Sink(error)) => return Err(error.into()),
            }
        }
        self.announce(&mut releases).await.map(|()| true)
    }

    /// The decision, and the number of the one that it follows; `None` where the digest does not run any more.
    async fn parking(
        &self,
        releases: &mut Releases,
        name: &str,
        digest: Option<&str>,
        why: &str,
    ) -> Option<(i64, Deployment)> {
        let standing = releases.log().and_then(|(_, log)| log.standing(name))?;
        let active = standing.active()?.to_owned();
        let digest = digest.unwrap_or(&active);
        let action = if active == digest && standing.paused.is_none() {
            Action::Park
        } else if standing.shadow.as_deref() == Some(digest) {
            Action::EndShadow
        } else {
            return None;
        };
        let module = releases.module(name, digest).await.ok();
        let decision = Deployment {
            version: module.map(|module| module.manifest().version.clone()),
            why: Some(why.to_owned()),
            at_ms: self.clock.now_ms(),
            offsets: self.offsets(releases, name, &standing).await,
            ..Deployment::of(name, action, RUNTIME)
        };
        Some((standing.sequence, decision))
    }

    /// Shows everybody where the modules stand, and says which have been parked since the last time, by whichever instance.
    pub(super) async fn show(&self, releases: &mut Releases) {
        let released = releases.released().await;
        let before = self.site.released();
        let parked = |all: &[Released]| -> BTreeSet<(String, i64)> {
            let parked = all.iter().filter(|of| of.parked);
            parked.map(|of| (of.module.clone(), of.sequence)).collect()
        };
        let known = parked(&before);
        for of in released.iter().filter(|of| of.paused.is_some()) {
            self.meters.stopped(&of.module);
            if of.parked && !known.contains(&(of.module.clone(), of.sequence)) {
                tracing::error!(
                    module = of.module,
                    digest = of.digest,
                    why = of.paused,
                    "a module is parked: its products stay where they are until it is resumed or another version is deployed"
                );
            }
        }
        self.site.set_released(released);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_module_is_told_of_in_a_sentence() {
        let failing = Failing {
            module: "retail".to_owned(),
            digest: "abc".into(),
            failed: 812,
            records: 1_000,
            span: Span::Minute,
            messages: vec!["index out of bounds".to_owned(), "x".repeat(500)],
        };
        let long = "x".repeat(200);
        assert_eq!(
            failing.to_string(),
            format!("it failed on 812 of the 1,000 records of the last minute: `index out of bounds`, `{long}`")
        );
        let given_up = Failing { failed: 20, records: 20, span: Span::Chunk, messages: Vec::new(), ..failing };
        assert_eq!(
            given_up.to_string(),
            "it failed on 20 of 20 records and took too long over the rest; its dead letters have what it said"
        );
    }
}
