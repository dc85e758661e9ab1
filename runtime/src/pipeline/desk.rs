//! Where orders about modules are taken, one after the other: each is checked as a whole, and then written into the log of deployments.

use super::Error;
use super::commit::chain;
use super::meters::Meters;
use super::newcomer::{deploy, fit, makes_no_more, shadow};
use super::releases::{Release, Releases};
use super::shadows::Shadows;
use super::{rewound, target};
use crate::clock::Clock;
use crate::release::compare::{self, Condition, Report, grouped};
use crate::release::{Action, AppendError, Deployment, Standing, Target};
use crate::serve::Site;
use crate::serve::orders::{Accepted, Act, Operator, Order, Refusal, Reply};
use crate::sink::Warehouse;
use crate::transform::ModuleFile;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};

/// How often the log is read for what other instances were told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often an order is looked at anew because something was decided about other modules meanwhile.
const TRIES: usize = 5;

/// Takes orders, and follows the log.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) releases: Arc<Mutex<Releases>>,
    pub(super) site: Arc<Site>,
    pub(super) shadows: Arc<Shadows>,
    pub(super) meters: Arc<Meters>,
    pub(super) clock: Clock,
    /// What is to run; `None` until the first session has begun.
    pub(super) next: watch::Sender<Option<Release>>,
}

/// What a decision rests on.
pub(super) struct Decided {
    pub(super) module: String,
    pub(super) standing: Standing,
    pub(super) action: Action,
    pub(super) digest: Option<String>,
    pub(super) version: Option<String>,
    pub(super) file: Option<ModuleFile>,
    pub(super) target: Option<Target>,
    pub(super) changes: Vec<String>,
}

impl Desk {
    /// Takes orders until nobody can give any more.
    pub(super) async fn take(self, mut orders: mpsc::Receiver<Order>) {
        while let Some(Order { operator, why, act, reply }) = orders.recv().await {
            let answer = guarded(self.answer(operator, why, act)).await;
            if let Err(refusal) = &answer {
                tracing::info!(?refusal, "an order was refused");
            }
            // Who asked may have gone; what was decided stays.
            let _ = reply.send(answer);
        }
    }

    /// Reads the log again and again, for what was decided elsewhere.
    pub(super) async fn follow(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(refusal) = guarded(self.look()).await {
                tracing::warn!(?refusal, "what was deployed cannot be followed; what runs goes on");
            }
        }
    }

    async fn look(&self) -> Result<(), Refusal> {
        let mut releases = self.releases.lock().await;
        if releases.log().is_none() {
            return Ok(());
        }
        releases.refresh().await.map_err(|error| unavailable(&error))?;
        self.announce(&mut releases).await.map_err(|error| unavailable(&error))
    }

    /// Tells the session what is to run, and everybody where the modules stand.
    pub(super) async fn announce(&self, releases: &mut Releases) -> Result<(), Error> {
        self.show(releases).await;
        let release = releases.release().await?;
        self.next.send_if_modified(|next| {
            let is_new = next.as_ref().is_none_or(|next| !Arc::ptr_eq(&next.plan, &release.plan));
            if is_new {
                *next = Some(release);
            }
            is_new
        });
        Ok(())
    }

    async fn answer(&self, operator: Operator, why: Option<String>, act: Act) -> Reply {
        let mut releases = self.releases.lock().await;
        if releases.log().is_none() {
            return Err(Refusal::Unavailable("the pipeline is starting, its lake is not open yet".to_owned()));
        }
        releases.refresh().await.map_err(|error| unavailable(&error))?;
        for _ in 0..TRIES {
            if let Some(accepted) = self.decide(&mut releases, &operator, why.as_ref(), act.clone()).await? {
                return Ok(accepted);
            }
        }
        Err(Refusal::Conflict("others decide about other modules all the time: give the order again".to_owned()))
    }

    /// Checks an order, and writes it down; `None` where something was decided about other modules meanwhile.
    async fn decide(
        &self,
        releases: &mut Releases,
        operator: &Operator,
        why: Option<&String>,
        act: Act,
    ) -> Result<Option<Accepted>, Refusal> {
        let is_question = act.is_question();
        let decided = match act {
            Act::Deploy(offer) => deploy(releases, operator, offer).await?,
            Act::Shadow { bytes, as_version } => shadow(releases, operator, &bytes, as_version).await?,
            Act::EndShadow { module } => end_shadow(releases, operator, &module).await?,
            Act::Promote { module, conditions } => self.promote(releases, operator, &module, &conditions).await?,
            Act::Rollback { module } => rollback(releases, operator, &module).await?,
            Act::Rewind { module, to, rollback, .. } => self.rewind(releases, operator, &module, &to, rollback).await?,
            Act::Pause { module } => pause(releases, operator, &module).await?,
            Act::Resume { module } => resume(releases, operator, &module).await?,
        };
        let Decided { module, mut standing, action, digest, version, file, target, changes } = decided;
        let deployment = Deployment {
            target,
            digest,
            version: version.clone(),
            why: why.cloned(),
            at_ms: self.clock.now_ms(),
            offsets: self.offsets(releases, &module, &standing).await,
            ..Deployment::of(&module, action, &operator.name)
        };
        let after = standing.sequence;
        let stands = standing.active().unwrap_or_default().to_owned();
        standing.apply(&Deployment { sequence: after + 1, ..deployment.clone() });
        // Everything that a start would find wrong is found now.
        let is_before_rebuild =
            action == Action::Rollback && standing.rewind.as_ref().is_some_and(|(_, target)| target.rebuild);
        let unfit = |error: Error| if is_before_rebuild { unfit_before_rebuild(&error) } else { unfit(&error) };
        let planned = releases.release_with(Some((&module, &standing))).await.map_err(unfit)?;
        let running = self.next.borrow().as_ref().map(|release| Arc::clone(&release.plan));
        releases.check_tables(&planned, running.as_deref()).await.map_err(unfit)?;
        if is_question {
            let (digest, version) = (stands, version.unwrap_or_default());
            return Ok(Some(Accepted { module, sequence: after, digest, version, changes }));
        }
        match releases.append(file.as_ref(), after, deployment).await {
            Ok(()) => {}
            Err(AppendError::Lost) => {
                releases.refresh().await.map_err(|error| unavailable(&error))?;
                let now = releases.log().and_then(|(_, log)| log.standing(&module)).map_or(0, |now| now.sequence);
                return if now == after { Ok(None) } else { Err(Refusal::Conflict(overtaken(releases, &module))) };
            }
            Err(AppendError::Sink(error)) => return Err(unavailable(&error.into())),
        }
        tracing::info!(module, action = action.name(), who = operator.name, "an order was taken");
        if let Err(error) = self.announce(releases).await {
            tracing::warn!(error = %chain(&error), "the order is in the log, and will be followed later");
        }
        let digest = standing.active().unwrap_or_default().to_owned();
        let version = version.unwrap_or_default();
        Ok(Some(Accepted { module, sequence: standing.sequence, digest, version, changes }))
    }

    /// Back to where the module's products stood, and on from there.
    async fn rewind(
        &self,
        releases: &mut Releases,
        operator: &Operator,
        name: &str,
        to: &str,
        rollback: bool,
    ) -> Result<Decided, Refusal> {
        let standing = known(releases, operator, name).await?;
        let active = standing.active().unwrap_or_default().to_owned();
        let digest = match standing.previous() {
            Some(previous) if rollback => Some(previous.to_owned()),
            None if rollback => {
                return Err(Refusal::Conflict(format!("module {name} has no earlier version to go back to")));
            }
            _ => None,
        };
        let module = releases.module(name, &active).await.map_err(|error| unavailable(&error))?;
        let then = digest.as_ref().unwrap_or(&active);
        let from = releases.module(name, then).await.map_err(|error| unavailable(&error))?;
        let Some(lake) = releases.lake() else { return Err(unavailable(&Error::NoRelease)) };
        is_rebuilt(releases, &lake, name, &standing).await?;
        let manifest = module.manifest();
        let is_replaceable = rewound::is_replaceable(releases.config(), &lake, manifest, &standing).await;
        if !is_replaceable.map_err(|error| unavailable(&error))? {
            return Err(Refusal::Conflict(format!(
                "the rewind of module {name} that was ordered before is under way: `lakeward modules {name}` says when it is done"
            )));
        }
        let finding = target::find(releases.config(), &lake, [manifest, from.manifest()], to, self.clock.now_ms());
        let (mut target, changes) =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(finding))?;
        let left = target::own_tables(from.manifest());
        target.emptied = target::own_tables(manifest).into_iter().filter(|path| !left.contains(path)).collect();
        Ok(Decided {
            module: name.to_owned(),
            standing,
            action: Action::Rewind,
            digest,
            version: Some(from.manifest().version.clone()),
            file: None,
            target: Some(target),
            changes,
        })
    }

    /// The shadow becomes active where the conditions hold over what was compared so far.
    async fn promote(
        &self,
        releases: &mut Releases,
        operator: &Operator,
        name: &str,
        conditions: &[String],
    ) -> Result<Decided, Refusal> {
        let standing = known(releases, operator, name).await?;
        let Some(digest) = standing.shadow.clone() else {
            return Err(Refusal::Conflict(format!(
                "module {name} has no shadow to promote; `lakeward shadow` starts one"
            )));
        };
        let report = self.shadows.report(name, &digest);
        let mut unmet = Vec::new();
        for condition in conditions {
            let condition: Condition = condition.parse().map_err(|error: compare::ParseError| {
                Refusal::Unfit("this is no condition".to_owned(), vec![chain(&error)])
            })?;
            match &report {
                Some(report) => unmet.extend(condition.holds(report).err().map(|unmet| unmet.to_string())),
                None => unmet.push("nothing was compared yet".to_owned()),
            }
        }
        if !unmet.is_empty() {
            return Err(Refusal::Unfit("the shadow is not promoted".to_owned(), unmet));
        }
        let module = releases.module(name, &digest).await.map_err(|error| unavailable(&error))?;
        let mut changes = vec![compared(report.as_ref())];
        tracing::info!(module = name, digest, "{}", changes[0]);
        changes.extend(fit(releases, name, &standing, module.manifest()).await?);
        Ok(Decided {
            module: name.to_owned(),
            standing,
            action: Action::Promote,
            digest: Some(digest),
            version: Some(module.manifest().version.clone()),
            file: None,
            target: None,
            changes,
        })
    }

    /// Where the products of the module stand.
    pub(super) async fn offsets(&self, releases: &mut Releases, name: &str, standing: &Standing) -> String {
        let mut offsets: BTreeMap<String, i64> = BTreeMap::new();
        let module = match standing.active() {
            Some(digest) => releases.module(name, digest).await.ok(),
            None => None,
        };
        if let Some(module) = module {
            let manifest = module.manifest();
            let status = self.site.status();
            for product in &manifest.products {
                let Some(found) = status.product(&format!("{}/{}", manifest.owner, product.name)) else { continue };
                for (partition, next) in &found.next_offsets {
                    offsets.entry(partition.clone()).and_modify(|own| *own = (*own).min(*next)).or_insert(*next);
                }
            }
        }
        serde_json::to_string(&offsets).unwrap_or_default()
    }
}

/// What work comes to. A panic in it costs this one answer, not those of all who ask after.
pub(super) async fn guarded<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Err(Refusal::Internal))
}

async fn end_shadow(releases: &mut Releases, operator: &Operator, name: &str) -> Result<Decided, Refusal> {
    let standing = known(releases, operator, name).await?;
    if standing.shadow.is_none() {
        return Err(Refusal::Conflict(format!("module {name} has no shadow")));
    }
    without_digest(releases, name, standing, Action::EndShadow).await
}

/// Whether nothing of a rebuild is left to be done: the tables are between two kinds of columns until then.
async fn is_rebuilt(releases: &Releases, lake: &Warehouse, name: &str, standing: &Standing) -> Result<(), Refusal> {
    let is_done = rewound::is_done(releases.config(), lake, name, standing).await;
    if is_done.map_err(|error| unavailable(&error))? {
        return Ok(());
    }
    Err(Refusal::Conflict(format!("the products of module {name} are still to be emptied for a rebuild")))
}

/// Over what a promotion is decided.
fn compared(report: Option<&Report>) -> String {
    let Some(Report { records, rows, rejects, .. }) = report.filter(|report| report.records > 0) else {
        return "nothing was compared".to_owned();
    };
    format!(
        "compared over {} records: {} rows the same, {} changed, {} only in the old, {} only in the new; {} rejects gained, {} lost",
        grouped(*records),
        grouped(rows.same),
        grouped(rows.changed),
        grouped(rows.only_old),
        grouped(rows.only_new),
        grouped(rejects.gained),
        grouped(rejects.lost)
    )
}

async fn rollback(releases: &mut Releases, operator: &Operator, name: &str) -> Result<Decided, Refusal> {
    let standing = known(releases, operator, name).await?;
    let Some(previous) = standing.previous().map(str::to_owned) else {
        return Err(Refusal::Conflict(format!("module {name} has no earlier version to go back to")));
    };
    let Some(lake) = releases.lake() else { return Err(unavailable(&Error::NoRelease)) };
    is_rebuilt(releases, &lake, name, &standing).await?;
    let module = releases.module(name, &previous).await.map_err(|error| unavailable(&error))?;
    let active = releases.module(name, standing.active().unwrap_or_default()).await;
    makes_no_more(active.map_err(|error| unavailable(&error))?.manifest(), module.manifest())?;
    Ok(Decided {
        module: name.to_owned(),
        standing,
        action: Action::Rollback,
        digest: Some(previous),
        version: Some(module.manifest().version.clone()),
        file: None,
        target: None,
        changes: Vec::new(),
    })
}

async fn pause(releases: &mut Releases, operator: &Operator, name: &str) -> Result<Decided, Refusal> {
    let standing = known(releases, operator, name).await?;
    if let Some(why) = &standing.paused {
        return Err(Refusal::Conflict(format!("module {name} gets no records already: {why}")));
    }
    without_digest(releases, name, standing, Action::Pause).await
}

async fn resume(releases: &mut Releases, operator: &Operator, name: &str) -> Result<Decided, Refusal> {
    let standing = known(releases, operator, name).await?;
    if standing.paused.is_none() {
        return Err(Refusal::Conflict(format!("module {name} is not paused")));
    }
    without_digest(releases, name, standing, Action::Resume).await
}

async fn without_digest(
    releases: &mut Releases,
    name: &str,
    standing: Standing,
    action: Action,
) -> Result<Decided, Refusal> {
    let active = standing.active().unwrap_or_default().to_owned();
    let module = releases.module(name, &active).await.map_err(|error| unavailable(&error))?;
    Ok(Decided {
        module: name.to_owned(),
        standing,
        action,
        digest: None,
        version: Some(module.manifest().version.clone()),
        file: None,
        target: None,
        changes: Vec::new(),
    })
}

/// A module that was deployed, and that is the operator's.
pub(super) async fn known(releases: &mut Releases, operator: &Operator, name: &str) -> Result<Standing, Refusal> {
    let standing = releases.log().and_then(|(_, log)| log.standing(name));
    let standing = standing.filter(|standing| standing.active().is_some());
    let Some(standing) = standing else {
        return Err(Refusal::Unknown(format!("there is no module {name}; `lakeward modules` lists the modules")));
    };
    let active = standing.active().unwrap_or_default().to_owned();
    let module = releases.module(name, &active).await.map_err(|error| unavailable(&error))?;
    allowed(operator, &module.manifest().owner)?;
    Ok(standing)
}

pub(super) fn allowed(operator: &Operator, owner: &str) -> Result<(), Refusal> {
    if operator.may(owner) {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!("operator {} may not change modules of domain {owner}", operator.name)))
}

/// Who was first, for who came second.
pub(super) fn overtaken(releases: &mut Releases, name: &str) -> String {
    let last = releases.log().and_then(|(_, log)| log.history(name).last().cloned());
    let Some(last) = last else { return format!("module {name} was changed meanwhile") };
    let at = crate::serve::Time(last.at_ms);
    let digest = last.digest.as_deref().map(|digest| format!(" of {}", short(digest))).unwrap_or_default();
    format!(
        "{} was first: {}{digest} at {at} is decision {} about module {name}; look at it, and decide again",
        last.who,
        last.action.name(),
        last.sequence
    )
}

pub(super) fn unfit(error: &Error) -> Refusal {
    if error.remedy() == super::Remedy::Retry {
        return unavailable(error);
    }
    Refusal::Unfit("the module does not fit the pipeline".to_owned(), vec![chain(error)])
}

/// The same of an older module whose products were made anew since.
fn unfit_before_rebuild(error: &Error) -> Refusal {
    let way = "the products were rebuilt since it ran: `lakeward deploy --rebuild` with its file makes them anew by it";
    Refusal::Unfit("the module does not fit the pipeline".to_owned(), vec![chain(error), way.to_owned()])
}

pub(super) fn unavailable(error: &Error) -> Refusal {
    Refusal::Unavailable(chain(error))
}

/// The first digits of a digest, as people compare them.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_one_answer() {
        let answer = |work: fn() -> u32| futures::executor::block_on(guarded(async move { Ok(work()) }));
        assert_eq!(answer(|| 7), Ok(7));
        assert_eq!(answer(|| unreachable!("a fault of ours")), Err(Refusal::Internal));
    }
}
