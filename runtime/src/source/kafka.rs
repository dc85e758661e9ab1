//! A Kafka client that reads assigned partitions from the offsets that the tables hold.

use super::membership::is_about_membership;
use super::queue::Queue;
use super::topic_id::TopicIds;
use super::{Assigned, Chunker, Error, LogRange, Reader};
use crate::record::{Headers, Record};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext};
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

/// How long a question to the broker may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a read waits for records.
const WAIT_MS: i32 = 5;

/// How a client is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bootstrap brokers, `host:port`, by comma.
    pub brokers: String,
    /// The consumer group: its members share partitions, and under it progress is shown.
    pub group: String,
    /// Properties of librdkafka that go over our defaults.
    pub properties: BTreeMap<String, String>,
}

/// What a client says of itself is for who looks for it: the pipeline reports in its own words what does not work.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client reports");
    }
}

impl ConsumerContext for Quiet {}

/// A connected client.
pub struct Kafka {
    // Dropped before the consumer: fields are dropped in order.
    reading: Option<Reading>,
    consumer: Arc<BaseConsumer<Quiet>>,
    brokers: String,
}

struct Reading {
    queue: Queue,
    slots: Vec<Slot>,
    by_handle: HashMap<(usize, i32), Place>,
    last: Option<((usize, i32), Place)>,
    /// The headers of one record.
    headers: Vec<u8>,
}

struct Slot {
    topic: CString,
    assigned: Assigned,
    /// The slot's index among those of the chunker.
    own: usize,
}

/// Where the records of a partition go.
#[derive(Clone, Copy)]
struct Place {
    slot: usize,
    with_headers: bool,
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl Kafka {
    /// Makes a client; it connects in the background.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let mut all = ClientConfig::new();
        all.extend(settings.properties.clone());
        // Those too that only members of a group have: whoever checks a configuration makes no member.
        all.create_native_config().map_err(refused)?;
        let mut config = ClientConfig::new();
        for (key, value) in defaults() {
            config.set(key, value);
        }
        for (key, value) in settings.properties.iter().filter(|(key, _)| !is_about_membership(key)) {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &settings.brokers).set("group.id", &settings.group);
        let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet).map_err(refused)?;
        Ok(Self { reading: None, consumer: Arc::new(consumer), brokers: settings.brokers.clone() })
    }

    /// The partitions of a topic.
    ///
    /// # Errors
    /// When no broker answers, or the topic does not exist.
    pub fn partitions(&self, topic: &str) -> Result<Vec<i32>, Error> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER).map_err(|e| self.unreachable(&e))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        let mut partitions: Vec<i32> =
            found.map(|topic| topic.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
        if partitions.is_empty() {
            return Err(Error::NoTopic { topic: topic.to_owned(), brokers: self.brokers.clone() });
        }
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// Asks for the ids of topics over this client's connections, which stay for as long as it is kept.
    #[must_use]
    pub fn topic_ids(&self) -> TopicIds {
        TopicIds { consumer: Arc::clone(&self.consumer), brokers: self.brokers.clone() }
    }

    /// What of a partition can be read.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn log_range(&self, topic: &str, partition: i32) -> Result<LogRange, Error> {
        let (start, end) =
            self.consumer.fetch_watermarks(topic, partition, ANSWER).map_err(|e| self.unreachable(&e))?;
        Ok(LogRange { start, end })
    }

    /// The offset of the first record of a partition that is not older than `ms` since 1970-01-01T00:00:00Z; `None` if all are.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn offset_at(&self, topic: &str, partition: i32, ms: i64) -> Result<Option<i64>, Error> {
        let mut times = TopicPartitionList::new();
        let found = times
            .add_partition_offset(topic, partition, Offset::Offset(ms))
            .and_then(|()| self.consumer.offsets_for_times(times, ANSWER))
            .map_err(|e| self.unreachable(&e))?;
        let offset = found.find_partition(topic, partition).map(|found| found.offset());
        Ok(if let Some(Offset::Offset(offset)) = offset { Some(offset) } else { None })
    }

    /// Starts reading the partitions at their offsets. Offsets are given with the assignment: a seek after it may come too late.
    ///
    /// # Errors
    /// When librdkafka refuses the assignment.
    pub fn assign(&mut self, assigned: &[Assigned]) -> Result<(), Error> {
        self.add(assigned.iter().cloned().enumerate())
    }

    /// Starts reading further partitions, each into a slot of the chunker; those that are read already go on.
    ///
    /// # Errors
    /// When librdkafka refuses the assignment.
    pub(super) fn add(&mut self, assigned: impl Iterator<Item = (usize, Assigned)>) -> Result<(), Error> {
        let (consumer, is_first) = (&self.consumer, self.reading.is_none());
        let reading = self.reading.get_or_insert_with(|| {
            #[expect(unsafe_code, reason = "the queue is dropped before the consumer, by the order of the fields")]
            let queue = unsafe { Queue::new(consumer.client().native_ptr()) };
            Reading { queue, slots: Vec::new(), by_handle: HashMap::new(), last: None, headers: Vec::new() }
        });
        let mut list = TopicPartitionList::new();
        for (own, assigned) in assigned {
            let start = if assigned.from_beginning { Offset::Beginning } else { Offset::Offset(assigned.start) };
            list.add_partition_offset(&assigned.topic, assigned.partition, start).map_err(refused)?;
            let topic = CString::new(assigned.topic.as_bytes()).map_err(|e| Error::Configuration(e.to_string()))?;
            reading.queue.forward(&topic, assigned.partition);
            reading.slots.push(Slot { topic, assigned, own });
        }
        let done = if is_first { consumer.assign(&list) } else { consumer.incremental_assign(&list) };
        done.map_err(refused)
    }

    fn unreachable(&self, error: &KafkaError) -> Error {
        Error::Unreachable { brokers: self.brokers.clone(), reason: error.to_string() }
    }
}

/// Why librdkafka takes no client or assignment. The value of a property is left out, it may be a password.
pub(super) fn refused(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, reason, property, _) => Error::Property { property, reason },
        KafkaError::ClientCreation(reason) => Error::Configuration(reason),
        error => Error::Configuration(error.to_string()),
    }
}

/// What librdkafka is told unless the configuration says otherwise.
fn defaults() -> [(&'static str, &'static str); 14] {
    [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // An offset that the log does not hold is an error to be seen, never a jump.
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        ("allow.auto.create.topics", "false"),
        ("fetch.wait.max.ms", "100"),
        // An answer of 256 KiB stays in cache and is a third cheaper to take than one of 1 MiB.
        ("max.partition.fetch.bytes", "262144"),
        ("queued.min.messages", "100000"),
        ("queued.max.messages.kbytes", "32768"),
        // The default of a second stalls a partition whose queue was full for a moment.
        ("fetch.queue.backoff.ms", "10"),
        ("topic.metadata.refresh.interval.ms", "30000"),
        ("socket.keepalive.enable", "true"),
        ("check.crcs", "false"),
        ("client.id", "lakeward"),
    ]
}

impl Reader for Kafka {
    fn read(&mut self, chunker: &mut Chunker) -> Result<(), Error> {
        // Serves errors and statistics; records come by the private queue.
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            if let Err(error) = event {
                tracing::debug!(%error, "the Kafka client reports");
            }
        }
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let mut failure = None;
        let Reading { queue, slots, by_handle, last, headers } = reading;
        queue.read(WAIT_MS, |message| {
            let handle = (message.topic.addr(), message.partition);
            let place = match last {
                Some((known, place)) if *known == handle => *place,
                _ => {
                    let find = || find_slot(slots, message.topic, message.partition);
                    let Some(place) = by_handle.get(&handle).copied().or_else(find) else { return };
                    by_handle.insert(handle, place);
                    *last = Some((handle, place));
                    place
                }
            };
            match message.error {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    headers.clear();
                    if place.with_headers {
                        message.pack_headers(headers);
                    }
                    let record = Record {
                        offset: message.offset,
                        timestamp_ms: message.timestamp_ms,
                        key: message.key,
                        value: message.value,
                    };
                    chunker.push_with(place.slot, record, Headers::packed(headers));
                }
                // The end of the log: what lies between the last record and it holds no record for us.
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => chunker.advance(place.slot, message.offset),
                // One that ends the reading is not to be lost behind one that passes.
                error if failure.is_none_or(|(_, before)| passes(before)) => failure = Some((place.slot, error)),
                _ => {}
            }
        });
        let Some((slot, error)) = failure else { return Ok(()) };
        let Some(Slot { assigned, .. }) = by_own(slots, slot) else { return Ok(()) };
        let (topic, partition, offset) = (assigned.topic.to_string(), assigned.partition, chunker.next(slot));
        if is_out_of_range(error) {
            return Err(Error::OutOfRange { topic, partition, offset });
        }
        if is_gone(error) {
            return Err(Error::NoTopic { topic, brokers: self.brokers.clone() });
        }
        let code = rdkafka::types::RDKafkaErrorCode::from(error);
        if is_lasting(error) {
            return Err(Error::Partition { topic, partition, offset, reason: code.to_string() });
        }
        tracing::warn!(topic, partition, offset, error = %code, "the broker reports");
        Ok(())
    }

    fn log_end(&self, slot: usize) -> Option<i64> {
        let reading = self.reading.as_ref()?;
        let slot = by_own(&reading.slots, slot)?;
        reading.queue.log_end(&slot.topic, slot.assigned.partition)
    }

    fn committed(&mut self, next_offsets: &[(usize, i64)]) {
        let Some(reading) = &self.reading else { return };
        let mut list = TopicPartitionList::new();
        for (slot, next) in next_offsets {
            let Some(Slot { assigned, .. }) = by_own(&reading.slots, *slot) else { continue };
            if list.add_partition_offset(&assigned.topic, assigned.partition, Offset::Offset(*next)).is_err() {
                return;
            }
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "the group's offsets, a hint for dashboards, were not stored");
        }
    }
}

fn is_out_of_range(error: RDKafkaRespErr) -> bool {
    matches!(
        error,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE
    )
}

/// Whether the topic, or the partition of it, is no longer there.
fn is_gone(error: RDKafkaRespErr) -> bool {
    matches!(
        error,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
    )
}

/// Whether reading on would only repeat the error: librdkafka retries everything else by itself.
fn is_lasting(error: RDKafkaRespErr) -> bool {
    matches!(
        error,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED | RDKafkaRespErr::RD_KAFKA_RESP_ERR__FATAL
    )
}

/// Whether librdkafka goes on by itself after an error.
fn passes(error: RDKafkaRespErr) -> bool {
    !is_out_of_range(error) && !is_gone(error) && !is_lasting(error)
}

/// What reads into the chunker's slot `own`; mostly all of them are assigned, and stand in order.
fn by_own(slots: &[Slot], own: usize) -> Option<&Slot> {
    slots.get(own).filter(|slot| slot.own == own).or_else(|| slots.iter().find(|slot| slot.own == own))
}

/// The place of a topic handle, by its name; the handles are then remembered.
fn find_slot(slots: &[Slot], topic: *const rdkafka_sys::RDKafkaTopic, partition: i32) -> Option<Place> {
    #[expect(unsafe_code, reason = "the handle comes from a message that librdkafka gave, its name is a C string")]
    let name = unsafe { std::ffi::CStr::from_ptr(rdkafka_sys::rd_kafka_topic_name(topic)) };
    let is_it = |slot: &&Slot| slot.topic.as_c_str() == name && slot.assigned.partition == partition;
    slots.iter().find(is_it).map(|slot| Place { slot: slot.own, with_headers: slot.assigned.with_headers })
}
