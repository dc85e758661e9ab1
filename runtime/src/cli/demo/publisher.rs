//! Publishes the demo's orders to a broker: at a steady rate, never further ahead of the reader than the broker keeps.

use super::generator::{Counts, Event, Generator};
use super::pace::Pace;
use crate::clock::{self, Clock};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How many records the reader is behind; `None` while that is not known.
pub type Lag = Box<dyn Fn() -> Option<i64> + Send>;

/// The publisher waits while the reader is behind by more than this for each partition. A partition of the embedded broker
/// keeps 5 MiB, some 20,000 orders: half of that, since partitions do not fill evenly.
pub const MAX_LAG_PER_PARTITION: i64 = 10_000;

/// Short against what a person notices, long enough to send in batches.
const STEP: Duration = Duration::from_millis(10);
/// How long an order may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// What publishes: a topic, a rate, and how far it may be ahead.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// The broker's address.
    pub bootstrap_servers: String,
    /// The topic; it must exist.
    pub topic: String,
    /// Orders a second.
    pub rate: u32,
    /// The publisher waits while the reader is behind by more than this many records.
    pub max_lag: i64,
    /// What time the orders tell.
    pub clock: Clock,
}

/// What was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// What was made, by kind; the broker acknowledged all of it.
    pub counts: Counts,
    /// The time spent waiting for the reader.
    pub waited: Duration,
}

/// Why publishing ends early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The client cannot be set up.
    #[error("the publisher cannot be set up")]
    Client(#[source] KafkaError),
    /// The broker does not take an order.
    #[error("the publisher cannot send to {topic}")]
    Send {
        /// The topic.
        topic: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// The broker did not acknowledge what it was sent.
    #[error("the broker did not take {lost} of {sent} orders")]
    Lost {
        /// Orders without an acknowledgement.
        lost: u64,
        /// All orders.
        sent: u64,
    },
}

/// Counts what the broker did not acknowledge.
#[derive(Debug, Default)]
struct Acknowledged {
    lost: AtomicU64,
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Publisher {
    /// Publishes what `generator` makes until `stop` is set, then waits until all of it has arrived. Blocks: give it a thread.
    ///
    /// # Errors
    /// When the broker does not take the orders.
    pub fn run(&self, generator: &mut Generator, lag: &Lag, stop: &AtomicBool) -> Result<Published, PublishError> {
        let producer = self.producer().map_err(PublishError::Client)?;
        let started = clock::instant();
        let mut pace = Pace::new(self.rate);
        let mut waited = Duration::ZERO;
        // Until the reader tells how far it is, what was sent is what it may be behind.
        let mut sent = 0_i64;
        while !stop.load(Ordering::Relaxed) {
            let elapsed = started.elapsed();
            if lag().unwrap_or(sent) > self.max_lag {
                pace.skip(elapsed);
                waited += STEP;
            } else {
                for _ in 0..pace.due(elapsed) {
                    self.send(&producer, &generator.next(self.clock.now_ms()))?;
                    sent += 1;
                }
            }
            std::thread::sleep(STEP);
        }
        producer.flush(ARRIVAL).map_err(|source| PublishError::Send { topic: self.topic.clone(), source })?;
        match producer.context().lost.load(Ordering::Relaxed) {
            0 => Ok(Published { counts: generator.counts().clone(), waited }),
            lost => Err(PublishError::Lost { lost, sent: u64::try_from(sent).unwrap_or(u64::MAX) }),
        }
    }

    fn producer(&self) -> Result<ThreadedProducer<Acknowledged>, KafkaError> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "lakeward-demo")
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("partitioner", "murmur2_random")
            // Retries must not turn the lines of an invoice around.
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", ARRIVAL.as_millis().to_string())
            .create_with_context(Acknowledged::default())
    }

    /// Hands an order to the client; waits while its queue is full, which ends because no order stays there longer than [`ARRIVAL`].
    fn send(&self, producer: &ThreadedProducer<Acknowledged>, event: &Event) -> Result<(), PublishError> {
        loop {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic);
            record.key = event.key.as_deref();
            record.payload = event.value.as_deref();
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => std::thread::sleep(STEP),
                Err((source, _)) => return Err(PublishError::Send { topic: self.topic.clone(), source }),
            }
        }
    }
}

#[cfg(test)]
mod tests;
