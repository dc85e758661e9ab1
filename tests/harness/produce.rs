//! Puts records into a topic and makes sure that every one arrived.

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const DELIVERY_LIMIT: Duration = Duration::from_secs(120);

/// A record to be.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The partition; by the key's hash without.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values, which may be null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// In milliseconds since 1970-01-01T00:00:00Z; that of the sending without.
    pub timestamp_ms: Option<i64>,
}

impl Message {
    /// A record with a key, in the partition of the key.
    #[must_use]
    pub fn keyed(key: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.as_bytes().to_vec()), value: Some(value.into()), ..Self::default() }
    }

    /// The same record with another timestamp.
    #[must_use]
    pub fn at(self, timestamp_ms: i64) -> Self {
        Self { timestamp_ms: Some(timestamp_ms), ..self }
    }

    /// A record in a given partition, without a key.
    #[must_use]
    pub fn placed(partition: i32, value: impl Into<Vec<u8>>) -> Self {
        Self { partition: Some(partition), value: Some(value.into()), ..Self::default() }
    }
}

/// A producer that remembers what was delivered.
pub struct Producer(BaseProducer<Deliveries>);

impl Producer {
    /// A producer for the broker at `bootstrap`.
    ///
    /// # Errors
    /// When librdkafka refuses its settings.
    pub fn new(bootstrap: &str) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            // Without it a retry could put a record twice, and the cases count.
            .set("enable.idempotence", "true")
            // The embedded broker writes one log entry a request: 0 would fill its 100,000 entries with single records.
            .set("linger.ms", "5")
            .set("message.max.bytes", "16000000")
            .set("queue.buffering.max.kbytes", "262144")
            // A broker that was killed is back in seconds; the default waits for up to ten before it looks again.
            .set("reconnect.backoff.max.ms", "500")
            .create_with_context(Deliveries::default())?;
        Ok(Self(producer))
    }

    /// Writes the records and waits until the broker has all of them. Gives their number per partition.
    ///
    /// # Errors
    /// When one is refused.
    pub fn send(&self, topic: &str, messages: impl IntoIterator<Item = Message>) -> Result<Counts> {
        let mut sent = 0;
        for message in messages {
            self.enqueue(topic, &message)?;
            sent += 1;
            if sent % 1000 == 0 {
                self.0.poll(Duration::ZERO);
            }
        }
        self.0.flush(DELIVERY_LIMIT).with_context(|| format!("delivering {sent} records to {topic}"))?;
        let mut outcome = self.0.context().0.lock().unwrap_or_else(PoisonError::into_inner);
        let Outcome { delivered, refused } = std::mem::take(&mut *outcome);
        if let Some(error) = refused {
            bail!("the broker refused a record for {topic}: {error}");
        }
        let arrived: i64 = delivered.iter().sum();
        ensure!(arrived == sent, "{arrived} of {sent} records arrived in {topic}");
        Ok(delivered)
    }

    fn enqueue(&self, topic: &str, message: &Message) -> Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        record.partition = message.partition;
        record.key = message.key.as_deref();
        record.payload = message.value.as_deref();
        record.timestamp = message.timestamp_ms;
        if !message.headers.is_empty() {
            let packed = message
                .headers
                .iter()
                .fold(OwnedHeaders::new(), |packed, (key, value)| packed.insert(Header { key, value: value.as_ref() }));
            record.headers = Some(packed);
        }
        loop {
            match self.0.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                    record = same;
                    self.0.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error).with_context(|| format!("writing to {topic}")),
            }
        }
    }
}

/// Records per partition, by partition number.
pub type Counts = Vec<i64>;

#[derive(Default)]
struct Outcome {
    delivered: Counts,
    refused: Option<KafkaError>,
}

#[derive(Default)]
struct Deliveries(Mutex<Outcome>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        use rdkafka::Message as _;
        let mut outcome = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(message) => {
                let partition = usize::try_from(message.partition()).unwrap_or_default();
                if outcome.delivered.len() <= partition {
                    outcome.delivered.resize(partition + 1, 0);
                }
                outcome.delivered[partition] += 1;
            }
            Err((error, _)) => outcome.refused = Some(error.clone()),
        }
    }
}
