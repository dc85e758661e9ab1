//! Runs a pipeline: starts the threads, commits until told to stop, and starts over where that helps.

use super::catch_up::CatchUp;
use super::commit::chain;
use super::committer::Committer;
use super::drive::Drive;
use super::parts::{Parting, Parts, Running};
use super::releases::Release;
use super::session::{self, Found, Gone, Stuck};
use super::still::Still;
use super::torn::Torn;
use super::{Error, Pipeline, Remedy, rewind};
use crate::checkpoint::SourcePartition;
use crate::clock;
use crate::config::Sharing;
use crate::release::Target;
use crate::serve::orders::Asked;
use crate::serve::status::{Failure, State};
use crate::serve::{Readiness, Time};
use crate::sink::Warehouse;
use crate::source::{self, Lease, Membership, TopicPartition};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The longest wait before the start is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How a pipeline is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// End when everything that was in the topics at the start is committed.
    pub until_current: bool,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Records given to modules.
    pub records: u64,
    /// Rows written, by silver product.
    pub rows: BTreeMap<String, u64>,
    /// Records from which a module made nothing, on purpose.
    pub skips: u64,
    /// Records that could not become rows.
    pub dead_letters: u64,
    /// Rows that came after their window had closed, or whose time is too far ahead.
    pub late: u64,
    /// Micro-batches committed.
    pub micro_batches: u64,
    /// How long the run took.
    pub seconds: f64,
}

/// Why a session ended without an error.
pub(super) enum End {
    /// It was told to, or it is current.
    Done,
    /// A topic has more partitions than the session reads, the group has given this instance others, or modules run that make other tables.
    Anew,
}

/// The group that was joined, over these topics.
struct Joined {
    topics: Vec<String>,
    member: Arc<Membership>,
}

impl Pipeline {
    /// Runs until `stop` turns true, or until it is current where the options say so.
    ///
    /// # Errors
    /// When something is wrong that waiting or starting over does not mend.
    pub async fn run(&self, options: Options, stop: watch::Receiver<bool>) -> Result<Summary, Error> {
        let mut membership = None;
        let desk = self.desk();
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(desk.clone().follow());
        tasks.spawn(desk.clone().watch());
        if let Some(Asked { orders, inquiries }) = asked {
            tasks.spawn(desk.clone().answer_letters(inquiries));
            tasks.spawn(desk.take(orders));
        }
        let ended = self.sessions(options, stop, &mut membership).await;
        tasks.shutdown().await;
        // Leaving the group takes a moment, in which the others are told.
        tokio::task::block_in_place(|| drop(membership));
        ended
    }

    async fn sessions(
        &self,
        options: Options,
        mut stop: watch::Receiver<bool>,
        membership: &mut Option<Joined>,
    ) -> Result<Summary, Error> {
        let started = clock::instant();
        let mut summary = Summary::default();
        let mut wait = Duration::from_millis(200);
        let mut gone: Vec<Gone> = Vec::new();
        let mut torn = Torn::default();
        loop {
            let result = self.session(options, &mut stop, &mut summary, membership, &gone, &mut torn).await;
            if let Err(Error::Source(source::Error::OutOfRange { topic, partition, offset })) = &result {
                let found = (topic.clone(), *partition, *offset);
                if !gone.contains(&found) {
                    gone.push(found);
                }
            }
            summary.seconds = started.elapsed().as_secs_f64();
            match result {
                Ok(End::Done) => {
                    self.site.set_readiness(Readiness::NotReady("the pipeline has ended".to_owned()));
                    self.state(State::Stopped("done".to_owned()));
                    return Ok(summary);
                }
                Ok(End::Anew) => wait = Duration::from_millis(200),
                Err(error) => {
                    let text = chain(&error);
                    self.failed(&text);
                    if let Some((module, digest)) = error.culprit()
                        && !(options.until_current && matches!(error, Error::Stopped(_)))
                    {
                        let why = if let Error::GivenUp(failing) = &error { &failing.to_string() } else { &text };
                        self.park(module, digest, why, &mut torn).await;
                    }
                    match error.remedy() {
                        // A batch job over something that is not there, or that stops it, has nothing to wait for.
                        _ if options.until_current && (error.is_missing() || matches!(error, Error::Stopped(_))) => {
                            self.state(State::Stopped(text));
                            return Err(error);
                        }
                        // Whoever has the partitions by now reads on from what is committed.
                        Remedy::Restart if *stop.borrow() && error.is_conflict() && !options.until_current => {
                            tracing::warn!(error = %text, "stopped; another instance goes on from the tables");
                            self.state(State::Stopped("done".to_owned()));
                            return Ok(summary);
                        }
                        Remedy::Restart if *stop.borrow() => {
                            self.state(State::Stopped(text));
                            return Err(error);
                        }
                        Remedy::Stop => {
                            self.state(State::Stopped(text));
                            return Err(error);
                        }
                        Remedy::Restart => tracing::warn!(error = %text, "starting over from the tables"),
                        Remedy::Retry => {
                            tracing::warn!(error = %text, "trying again");
                            self.state(State::Waiting(text.clone()));
                        }
                    }
                    self.site.set_readiness(Readiness::NotReady(text));
                    let stopped = tokio::select! {
                        () = tokio::time::sleep(wait) => false,
                        _ = stop.wait_for(|stop| *stop) => true,
                    };
                    if stopped {
                        return Ok(summary);
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Parks a module that cannot go on, whether it runs or only finishes something.
    async fn park(&self, module: &str, digest: &str, why: &str, torn: &mut Torn) {
        if !torn.is_stopped(module, digest) {
            self.desk().park(module, digest, why).await;
        } else if self.desk().park_unfinished(module, digest, why).await {
            torn.wait();
        }
    }

    pub(super) fn state(&self, state: State) {
        self.site.update_status(|status| status.state = state.clone());
    }

    fn failed(&self, message: &str) {
        let at = Time(self.clock.now_ms());
        self.site.update_status(|status| {
            status.last_error = Some(Failure { at, message: message.to_owned() });
        });
    }

    pub(super) fn passed_over(&self, stuck: &Stuck) {
        match stuck.at_fault.as_slice() {
            [] => tracing::error!(error = %stuck.error, "a partition is not read; the others go on"),
            modules => {
                tracing::error!(?modules, error = %stuck.error, "a partition is not read by these modules; the others go on")
            }
        }
        self.failed(&stuck.error.to_string());
    }

    /// One session: from opening the tables to the last commit.
    async fn session(
        &self,
        options: Options,
        stop: &mut watch::Receiver<bool>,
        summary: &mut Summary,
        membership: &mut Option<Joined>,
        gone: &[Gone],
        torn: &mut Torn,
    ) -> Result<End, Error> {
        if *stop.borrow() {
            return Ok(End::Done);
        }
        let lake = self.lake().await?;
        let release = self.release(&lake, torn).await?;
        // What is shown of tables is from before; a rewind takes them back.
        self.site.update_status(|status| (status.products, status.catch_up) = Default::default());
        rewind::finish(&self.config, &lake, &release, self.clock.now_ms()).await?;
        let tables = session::open_tables(&self.config, &release.plan, &lake).await?;
        let found = tokio::task::block_in_place(|| session::discover(&self.config, &release.plan, &self.seen))?;
        if !options.until_current {
            self.join(membership, &release)?;
        }
        let lease = match &*membership {
            None => None,
            Some(Joined { member, .. }) => {
                let all = self.shared(&found);
                tokio::select! {
                    lease = member.lease(&all) => Some(lease),
                    _ = stop.wait_for(|stop| *stop) => return Ok(End::Done),
                }
            }
        };
        let opened = session::open(&self.config, &release, &lake, tables, found, lease.as_ref(), gone).await?;
        let rewinds = release.rewinds.clone();
        let may = Parting::of(options.until_current, !torn.under(&release.rewinds).is_empty());
        let mut parts = Parts::of(self, release, opened, &lake, lease.as_ref(), gone, may).await?;
        let still = Still::open(self, &lake, &parts.whole).await?;
        let begun = parts.begun(still.as_ref(), |of| self.reads(lease.as_ref(), of));
        let held = if self.is_overtaken(&rewinds).await? { None } else { torn.settle(&begun, &parts.live.0.rewinds) };
        let Some(held) = held else { return Ok(End::Anew) };
        let torn_until = parts.hold(&held);
        let (rewinds, is_put_off) = (parts.live.0.rewinds.clone(), parts.is_put_off);
        let Running { mut committer, threads, mut catch_up, stuck } = parts.start(self, &lake, still.as_ref()).await?;
        let targets: Vec<i64> = committer.slots.iter().map(|slot| slot.log.end).collect();
        let drive = Drive {
            options,
            stop: stop.clone(),
            targets: &targets,
            lease: lease.as_ref(),
            membership: membership.as_ref().map(|joined| &*joined.member),
            next: self.next.clone(),
            rewinds: &rewinds,
            torn_until: &torn_until,
            is_put_off,
            grace: self.config.shutdown.grace,
            told_at: OnceLock::new(),
            stuck: &stuck,
            still: still.as_ref(),
        };
        let ended = self.drive(&mut committer, &threads, catch_up.as_mut(), &drive).await;
        catch_up.iter().for_each(CatchUp::stop);
        let readers = threads.stop_readers();
        let mut ended = match (ended, readers) {
            (Ok(end), Ok(())) => self.drain(&mut committer, &drive).await.map(|()| end),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        if let Some(catch_up) = catch_up {
            let (apart, caught_up) = catch_up.end(&drive).await;
            apart.iter().for_each(|apart| self.add_up(summary, apart));
            ended = ended.and_then(|end| caught_up.map(|()| end));
        }
        committer.finish_checkpoints(matches!(ended, Ok(End::Done))).await;
        committer.look();
        self.add_up(summary, &committer);
        match stuck.into_iter().next() {
            // A batch job has not done its work while a partition could not be read.
            Some(stuck) if options.until_current && ended.is_ok() => Err(stuck.error),
            _ => ended,
        }
    }

    async fn lake(&self) -> Result<Warehouse, Error> {
        let options = self.config.lake.options.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let lake = Warehouse::open(&self.config.lake.location, &options.collect())?;
        lake.probe().await?;
        Ok(lake)
    }

    /// What the log of deployments says is to run; modules that have to finish what they have begun are as they were then.
    async fn release(&self, lake: &Warehouse, torn: &mut Torn) -> Result<Release, Error> {
        let mut releases = self.releases.lock().await;
        releases.open(lake).await?;
        releases.refresh().await?;
        let release = releases.release().await?;
        self.desk().show(&mut releases).await;
        self.next.send_replace(Some(release.clone()));
        torn.decided(release.decisions());
        let torn = torn.under(&release.rewinds);
        if torn.is_empty() {
            return Ok(release);
        }
        match releases.release_as(torn).await {
            // What they began waits, as if they could not read there, and everything else goes on.
            Err(error) if error.remedy() == Remedy::Stop => {
                tracing::error!(error = %chain(&error), "modules that have begun something cannot run beside the others by now");
                Ok(release)
            }
            finishing => finishing,
        }
    }

    /// Whether a rewind was ordered while partitions were waited for. One that is ordered after this meets our commits.
    async fn is_overtaken(&self, rewinds: &[(String, i64, Target)]) -> Result<bool, Error> {
        let mut releases = self.releases.lock().await;
        releases.refresh().await?;
        Ok(releases.release().await?.rewinds != rewinds)
    }

    /// Joins the consumer group over the topics of the modules, where there is one to join.
    fn join(&self, membership: &mut Option<Joined>, release: &Release) -> Result<(), Error> {
        let topics: Vec<&String> = release.topics.iter().filter(|topic| !self.is_of_files(topic)).collect();
        let settings = session::settings(&self.config);
        let settings = settings.filter(|_| self.config.kafka.membership == Sharing::Group && !topics.is_empty());
        let Some(settings) = settings else { return Ok(()) };
        if membership.as_ref().is_some_and(|joined| joined.topics.iter().eq(topics.iter().copied())) {
            return Ok(());
        }
        // A module that reads another topic came, or went: the group shares out those topics anew.
        tokio::task::block_in_place(|| drop(membership.take()));
        let address = self.config.serve.address();
        let names: Vec<&str> = topics.iter().map(|topic| topic.as_str()).collect();
        let member = Arc::new(Membership::join(&settings, &names, &address, self.config.shutdown.grace)?);
        *membership = Some(Joined { topics: topics.into_iter().cloned().collect(), member });
        Ok(())
    }

    fn is_of_files(&self, topic: &str) -> bool {
        self.config.topics.get(topic).is_some_and(|topic| topic.path.is_some())
    }

    /// Whether a partition is this instance's: files have one reader.
    fn reads(&self, lease: Option<&Lease>, of: &SourcePartition) -> bool {
        self.is_of_files(&of.topic) || lease.is_none_or(|lease| lease.holds(&of.topic, of.partition))
    }

    /// The partitions that instances share.
    fn shared(&self, found: &Found) -> Vec<TopicPartition> {
        let all = found.slots.iter().map(|slot| (slot.partition.topic.to_string(), slot.partition.partition));
        all.filter(|(topic, _)| !self.is_of_files(topic)).collect()
    }

    fn add_up(&self, summary: &mut Summary, committer: &Committer) {
        let counts = committer.report.total();
        let total = counts.total();
        summary.records += total.records;
        summary.skips += total.skips;
        summary.dead_letters += total.dead_letters;
        summary.late += counts.late_rows();
        summary.micro_batches += committer.report.micro_batches();
        for (product, rows) in committer.plan.products.iter().zip(&counts.rows) {
            *summary.rows.entry(product.path.clone()).or_default() += rows;
        }
    }
}
