//! Membership in the consumer group by which instances share partitions.
//!
//! The member reads nothing: it only learns which partitions are its own, and keeps them until the pipeline has let go of them. So a
//! hand-over waits for the last commit, and what is read stands where the tables say. The group is a division of labour and no fence:
//! two instances that both believe to own a partition are told apart by the tables' commits.

use super::kafka::{Quiet, Settings, refused};
use super::{Error, peers};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// How long a poll of the member waits; it bounds how long leaving takes.
const POLL: Duration = Duration::from_millis(100);

/// How often an instance without partitions looks whether the other members are alive.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A topic and one of its partitions.
pub type TopicPartition = (String, i32);

/// What the member owns at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Assignment {
    /// Counts the changes.
    epoch: u64,
    partitions: BTreeSet<TopicPartition>,
    /// Taken because nobody else is alive; the group has not confirmed it yet.
    provisional: bool,
}

/// What the member's thread and the pipeline share.
#[derive(Debug)]
struct Shared {
    /// `None` until the first partitions come, or are known not to come.
    assignment: watch::Sender<Option<Assignment>>,
    /// The epoch of the assignment that the pipeline works with; `None` while it works with none.
    leased: Mutex<Option<u64>>,
    released: Condvar,
    /// How long the pipeline has to let go of partitions that are another's from now on.
    grace: Duration,
}

/// A member of the group; dropping it leaves the group.
pub struct Membership {
    consumer: Arc<BaseConsumer<Rebalances>>,
    shared: Arc<Shared>,
    group: String,
    client_id: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("group", &self.group).finish_non_exhaustive()
    }
}

/// The right to work with an assignment. A hand-over waits until it is dropped.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    assignment: Assignment,
}

impl Membership {
    /// Joins the group over `topics`; partitions come later. `address` is where this instance answers HTTP.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn join(settings: &Settings, topics: &[&str], address: &str, grace: Duration) -> Result<Self, Error> {
        let client_id = peers::client_id(address);
        let shared = Arc::new(Shared {
            assignment: watch::Sender::new(None),
            leased: Mutex::new(None),
            released: Condvar::new(),
            grace,
        });
        let config = config(settings, &client_id);
        let consumer: Arc<BaseConsumer<Rebalances>> =
            Arc::new(config.create_with_context(Rebalances(Arc::clone(&shared))).map_err(refused)?);
        consumer.subscribe(topics).map_err(refused)?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (consumer, stop) = (Arc::clone(&consumer), Arc::clone(&stop));
            std::thread::Builder::new()
                .name("member".to_owned())
                .spawn(move || poll(&consumer, &stop))
                .map_err(|error| Error::Configuration(error.to_string()))?
        };
        let group = settings.group.clone();
        Ok(Self { consumer, shared, group, client_id, stop, thread: Some(thread) })
    }

    /// Waits for partitions; an assignment without any is one too. Where every other member is dead, an instance that was killed
    /// and started again among them, this one takes `all` without waiting for the group to notice.
    pub async fn lease(self: &Arc<Self>, all: &[TopicPartition]) -> Lease {
        let mut changes = self.shared.assignment.subscribe();
        loop {
            let known = changes.borrow_and_update().clone();
            if let Some(assignment) = known {
                let lease = Lease::new(&self.shared, assignment);
                if lease.is_current() {
                    return lease;
                }
                continue;
            }
            let member = Arc::clone(self);
            let alone = tokio::task::spawn_blocking(move || member.is_alone()).await.unwrap_or(false);
            if alone {
                self.shared.assignment.send_if_modified(|assignment| {
                    let partitions = all.iter().cloned().collect();
                    let unknown = assignment.is_none();
                    if unknown {
                        *assignment = Some(Assignment { epoch: 1, partitions, provisional: true });
                    }
                    unknown
                });
                continue;
            }
            let _ = tokio::time::timeout(LOOK_EVERY, changes.changed()).await;
        }
    }

    /// Whether no other member of the group is alive, as far as that can be told.
    fn is_alone(&self) -> bool {
        peers::others(&self.consumer, &self.group, &self.client_id)
            .is_some_and(|others| others.iter().all(|other| !other.is_alive()))
    }

    /// Tells the group how far the tables have got, as a hint for dashboards.
    pub fn committed(&self, next_offsets: &[(TopicPartition, i64)]) {
        if self.shared.assignment.borrow().as_ref().is_none_or(|now| now.provisional) {
            // The group does not take them from one who is not in it yet.
            return;
        }
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in next_offsets {
            if list.add_partition_offset(topic, *partition, Offset::Offset(*next)).is_err() {
                return;
            }
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "the group's offsets, a hint for dashboards, were not stored");
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Lease {
    fn new(shared: &Arc<Shared>, assignment: Assignment) -> Self {
        *lock(&shared.leased) = Some(assignment.epoch);
        shared.released.notify_all();
        Self { shared: Arc::clone(shared), assignment }
    }

    /// Whether the assignment is still what the group says.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.shared.assignment.borrow().as_ref().is_some_and(|now| now.epoch == self.assignment.epoch)
    }

    /// Waits until the group says something else.
    pub async fn outdated(&self) {
        let mut changes = self.shared.assignment.subscribe();
        while self.is_current() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether a partition is this instance's.
    #[must_use]
    pub fn holds(&self, topic: &str, partition: i32) -> bool {
        self.assignment.partitions.contains(&(topic.to_owned(), partition))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *lock(&self.shared.leased) = None;
        self.shared.released.notify_all();
    }
}

impl Shared {
    fn assign(&self, added: &BTreeSet<TopicPartition>) {
        self.change(|now| match now {
            // What was taken in advance is given now. A member that gets less than that has not been alone after all.
            Some(now) if now.provisional => added.clone(),
            Some(now) => now.partitions.union(added).cloned().collect(),
            None => added.clone(),
        });
    }

    fn revoke(&self, removed: &BTreeSet<TopicPartition>, lost: bool) {
        self.change(|now| now.map(|now| now.partitions.difference(removed).cloned().collect()).unwrap_or_default());
        if lost {
            // Another has them already: its commits decide, there is nothing to wait for.
            return;
        }
        let epoch = self.assignment.borrow().as_ref().map_or(0, |now| now.epoch);
        let is_held = |leased: &mut Option<u64>| leased.is_some_and(|leased| leased < epoch);
        let waited = self.released.wait_timeout_while(lock(&self.leased), self.grace, is_held);
        let (leased, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(leased);
        if waited.timed_out() {
            tracing::warn!("partitions are handed over before their last micro-batch was committed");
        }
    }

    /// Sets the partitions; only a real change counts as one.
    fn change(&self, partitions: impl FnOnce(Option<&Assignment>) -> BTreeSet<TopicPartition>) {
        self.assignment.send_if_modified(|assignment| {
            let partitions = partitions(assignment.as_ref());
            let epoch = assignment.as_ref().map_or(1, |now| now.epoch + u64::from(now.partitions != partitions));
            let next = Assignment { epoch, partitions, provisional: false };
            let modified = assignment.as_ref() != Some(&next);
            *assignment = Some(next);
            modified
        });
    }
}

fn poll(consumer: &BaseConsumer<Rebalances>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Some(Err(error)) = consumer.poll(POLL) {
            tracing::warn!(%error, "the consumer group reports");
        }
    }
    consumer.unsubscribe();
}

/// Hears of rebalances.
struct Rebalances(Arc<Shared>);

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: BTreeSet<TopicPartition> =
            list.elements().iter().map(|of| (of.topic().to_owned(), of.partition())).collect();
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(partitions = %names(&partitions), "the group gives partitions");
            let done = if cooperative { consumer.incremental_assign(list) } else { consumer.assign(list) };
            // The member does not read.
            let done = done.and_then(|()| if list.count() > 0 { consumer.pause(list) } else { Ok(()) });
            self.0.assign(&partitions);
            done
        } else {
            tracing::info!(partitions = %names(&partitions), "the group takes partitions");
            self.0.revoke(&partitions, consumer.assignment_lost());
            if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the consumer group did not take the answer");
        }
    }
}

/// `orders/0 orders/3`, for the log.
fn names(partitions: &BTreeSet<TopicPartition>) -> String {
    partitions.iter().map(|(topic, partition)| format!("{topic}/{partition}")).collect::<Vec<_>>().join(" ")
}

fn config(settings: &Settings, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    let is_new_protocol = settings.properties.get("group.protocol").is_some_and(|protocol| protocol == "consumer");
    if !is_new_protocol {
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("session.timeout.ms", "15000").set("heartbeat.interval.ms", "1000");
    }
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("allow.auto.create.topics", "false").set("topic.metadata.refresh.interval.ms", "30000");
    config.set("queued.min.messages", "1").set("socket.keepalive.enable", "true");
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &settings.brokers).set("group.id", &settings.group).set("client.id", client_id);
    config
}

/// Whether a property is about membership, so that a client without any is not to have it.
pub(super) fn is_about_membership(property: &str) -> bool {
    const NAMES: [&str; 4] =
        ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "max.poll.interval.ms"];
    property.starts_with("group.") || NAMES.contains(&property)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            assignment: watch::Sender::new(None),
            leased: Mutex::new(None),
            released: Condvar::new(),
            grace: Duration::from_millis(200),
        })
    }

    fn set(partitions: &[i32]) -> BTreeSet<TopicPartition> {
        partitions.iter().map(|partition| ("orders".to_owned(), *partition)).collect()
    }

    fn lease(shared: &Arc<Shared>) -> Lease {
        Lease::new(shared, shared.assignment.borrow().clone().unwrap())
    }

    #[test]
    fn what_is_given_adds_up_and_ends_the_lease() {
        let shared = shared();
        shared.assign(&set(&[0, 1]));
        let first = lease(&shared);
        assert!(first.is_current() && first.holds("orders", 1) && !first.holds("orders", 2));
        shared.assign(&set(&[2]));
        assert!(!first.is_current());
        drop(first);
        assert!(lease(&shared).holds("orders", 2));
    }

    #[test]
    fn giving_nothing_new_changes_nothing() {
        let shared = shared();
        shared.assign(&set(&[0]));
        let lease = lease(&shared);
        shared.assign(&set(&[]));
        assert!(lease.is_current());
    }

    #[test]
    fn what_was_taken_in_advance_goes_on_when_it_is_confirmed() {
        let shared = shared();
        let all = Assignment { epoch: 1, partitions: set(&[0, 1]), provisional: true };
        shared.assignment.send_replace(Some(all.clone()));
        let confirmed = lease(&shared);
        shared.assign(&set(&[0, 1]));
        assert!(confirmed.is_current());
        drop(confirmed);
        shared.assignment.send_replace(Some(all));
        let contradicted = lease(&shared);
        shared.assign(&set(&[1]));
        assert!(!contradicted.is_current());
    }

    #[test]
    fn taking_waits_for_the_lease_but_not_for_ever() {
        let shared = shared();
        shared.assign(&set(&[0, 1]));
        let held = lease(&shared);
        let taker = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.revoke(&set(&[1]), false))
        };
        while held.is_current() {
            std::thread::yield_now();
        }
        assert!(!taker.is_finished(), "the partitions were given away while they were in use");
        drop(held);
        taker.join().unwrap();
        let kept = lease(&shared);
        assert!(kept.holds("orders", 0) && !kept.holds("orders", 1));
        // Nobody lets go: after the grace it goes on all the same. What is lost is not waited for.
        shared.revoke(&set(&[0]), false);
        drop(kept);
        let again = lease(&shared);
        shared.assign(&set(&[0]));
        shared.revoke(&set(&[0]), true);
        assert!(!again.is_current());
    }
}
