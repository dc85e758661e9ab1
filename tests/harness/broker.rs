//! What the cases ask of a broker, whichever it is.

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use std::net::TcpListener;
use std::time::Duration;

/// A Kafka-protocol broker as one case sees it.
pub trait Broker: Send + Sync {
    /// The address for `[kafka] brokers`.
    fn bootstrap(&self) -> String;

    /// Creates a topic that is empty and that no other case uses.
    ///
    /// # Errors
    /// When the broker refuses.
    fn create_topic(&self, topic: &str, partitions: i32) -> Result<()>;

    /// Bytes that a partition keeps; what goes beyond pushes out the oldest records.
    fn partition_bytes(&self) -> u64;
}

/// Whether a broker answers at `bootstrap`.
#[must_use]
pub fn answers(bootstrap: &str) -> bool {
    let producer: Result<BaseProducer, _> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("log_level", "0").create();
    producer.is_ok_and(|producer| producer.client().fetch_metadata(None, Duration::from_secs(1)).is_ok())
}

/// A port that was free a moment ago.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}
