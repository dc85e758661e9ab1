//! Runs a pipeline: starts the threads, commits until told to stop, and starts over where that helps.

use super::commit::chain;
use super::committer::Committer;
use super::desk::Desk;
use super::drive::Drive;
use super::plan::Plan;
use super::releases::Release;
use super::report::{Look, standing};
use super::session::{self, Found, Gone, Stuck};
use super::threads::Threads;
use super::torn::Torn;
use super::{Error, Pipeline, Remedy, catalog, rewind};
use crate::clock;
use crate::config::Sharing;
use crate::serve::status::{Failure, State};
use crate::serve::{Readiness, Time};
use crate::sink::Warehouse;
use crate::source::{self, Membership, TopicPartition};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the committer looks whether something is due.
const TICK: Duration = Duration::from_millis(20);

/// How often the status is brought up to date.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked what other instances committed.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether somebody moved offsets.
const MOVES_EVERY: Duration = Duration::from_secs(5);

/// How often the topics are asked for new partitions.
const PARTITIONS_EVERY: Duration = Duration::from_secs(30);

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
    /// Rows that came after their window had closed.
    pub late: u64,
    /// Micro-batches committed.
    pub micro_batches: u64,
    /// How long the run took.
    pub seconds: f64,
}

/// Why a session ended without an error.
enum End {
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
        let desk = Desk {
            releases: Arc::clone(&self.releases),
            site: Arc::clone(&self.site),
            shadows: Arc::clone(&self.shadows),
            clock: self.clock.clone(),
            next: self.next.clone(),
        };
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(desk.clone().follow());
        if let Some(orders) = orders {
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
                gone.push((topic.clone(), *partition, *offset));
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
                    match error.remedy() {
                        // A batch job over something that is not there has nothing to wait for.
                        _ if options.until_current && error.is_missing() => {
                            self.state(State::Stopped(text));
                            return Err(error);
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

    fn state(&self, state: State) {
        self.site.update_status(|status| status.state = state.clone());
    }

    fn failed(&self, message: &str) {
        let at = Time(self.clock.now_ms());
        self.site.update_status(|status| {
            status.last_error = Some(Failure { at, message: message.to_owned() });
        });
    }

    fn passed_over(&self, stuck: &Stuck) {
        tracing::error!(error = %stuck.error, "a partition is not read; the others go on");
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
        let options_of_lake = self.config.lake.options.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let lake = Warehouse::open(&self.config.lake.location, &options_of_lake.collect())?;
        lake.probe().await?;
        let release = self.release(&lake, torn).await?;
        let plan = &release.plan;
        rewind::finish(&self.config, &lake, &release, self.clock.now_ms()).await?;
        let tables = session::open_tables(&self.config, plan, &lake).await?;
        let found = tokio::task::block_in_place(|| session::discover(&self.config, plan))?;
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
        let mut session = session::open(&self.config, &release, &lake, tables, found, lease.as_ref(), gone).await?;
        if torn.take(&mut session.torn, &release) {
            tracing::info!(digests = ?torn.under(&release), "what other modules have begun is finished by them first");
            return Ok(End::Anew);
        }
        let torn_until = torn.until(&session);
        self.site.publish(catalog(plan, &lake), session.views.iter().map(Arc::clone));
        let targets: Vec<i64> = session.slots.iter().map(|slot| slot.log.end).collect();
        let stuck = std::mem::take(&mut session.stuck);
        stuck.iter().for_each(|stuck| self.passed_over(stuck));
        let (mut committer, threads) = self.start(plan, lake, session, &stuck)?;
        let (state, readiness) = standing(&committer.slots, &committer.stopped);
        self.site.set_readiness(readiness);
        self.state(state);
        let drive = Drive {
            options,
            stop: stop.clone(),
            targets: &targets,
            lease: lease.as_ref(),
            membership: membership.as_ref().map(|joined| &*joined.member),
            next: self.next.clone(),
            rewinds: &release.rewinds,
            torn_until: &torn_until,
            grace: self.config.shutdown.grace,
            told_at: OnceLock::new(),
            has_stuck: !stuck.is_empty(),
        };
        let ended = self.drive(&mut committer, &threads, &drive).await;
        let readers = threads.stop_readers();
        let ended = match (ended, readers) {
            (Ok(end), Ok(())) => self.drain(&mut committer, &drive).await.map(|()| end),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        committer.finish_checkpoints(matches!(ended, Ok(End::Done))).await;
        self.look(&mut committer);
        self.add_up(summary, &committer);
        match stuck.into_iter().next() {
            // A batch job has not done its work while a partition could not be read.
            Some(stuck) if options.until_current && ended.is_ok() => Err(stuck.error),
            _ => ended,
        }
    }

    /// What the log of deployments says is to run.
    /// Modules that have to finish what they have begun are as they were then.
    async fn release(&self, lake: &Warehouse, torn: &mut Torn) -> Result<Release, Error> {
        let mut releases = self.releases.lock().await;
        releases.open(lake).await?;
        releases.refresh().await?;
        let release = releases.release().await?;
        self.site.set_released(releases.released().await);
        self.next.send_replace(Some(release.clone()));
        let torn = torn.under(&release);
        if torn.is_empty() { Ok(release) } else { releases.release_as(torn).await }
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

    /// The partitions that instances share.
    fn shared(&self, found: &Found) -> Vec<TopicPartition> {
        let all = found.slots.iter().map(|slot| (slot.partition.topic.to_string(), slot.partition.partition));
        all.filter(|(topic, _)| !self.is_of_files(topic)).collect()
    }

    /// Commits what was read.
    async fn drain(&self, committer: &mut Committer, drive: &Drive<'_>) -> Result<(), Error> {
        self.state(State::Draining);
        drive.told_at.get_or_init(clock::instant);
        committer.is_last = true;
        drive
            .in_time(async {
                committer.close().await?;
                committer.publish_gold().await
            })
            .await
    }

    /// Commits whenever it is due, until the end.
    async fn drive(&self, committer: &mut Committer, threads: &Threads, drive: &Drive<'_>) -> Result<End, Error> {
        let (options, targets) = (drive.options, drive.targets);
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
                self.look(committer);
            }
            if !self.adopt(committer, threads, drive).await? {
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
                self.look(committer);
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
                let known = committer.slots.len() + committer.others.slots.len();
                if drive.has_stuck || self.has_new_partitions(&committer.plan, known).await {
                    return Ok(End::Anew);
                }
            }
        }
    }

    /// Goes on with other modules where that is what is to run; `false` where that takes a new session, since they make other tables.
    async fn adopt(&self, committer: &mut Committer, threads: &Threads, drive: &Drive<'_>) -> Result<bool, Error> {
        let Some(next) = drive.other_release(committer) else { return Ok(true) };
        if !next.follows(&committer.plan, drive.rewinds) {
            return Ok(false);
        }
        let offsets = drive.in_time(committer.close_with(Some(next.plan))).await?;
        drive.tell_committed(threads, committer, &offsets);
        self.site.publish(catalog(&committer.plan, &committer.lake), committer.views.iter().map(Arc::clone));
        self.look(committer);
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

    fn look(&self, committer: &mut Committer) {
        committer.report.look(&Look {
            now_ms: self.clock.now_ms(),
            plan: &committer.plan,
            slots: &committer.slots,
            elsewhere: &committer.others.slots,
            stopped: &committer.stopped,
            progress: &committer.progress,
            tables: &committer.tables.tables,
            horizon: &committer.horizon,
        });
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
