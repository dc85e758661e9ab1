//! What the cases ask of a broker, whichever it is.

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
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

/// A port that was free a moment ago, and that the system gives to nobody by itself (it takes those from 32,768 on). Processes begin at
/// different ones.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(7_919);
    let ports = (0..COUNT).map(|_| FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let mut ports = ports.filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("looking for a free port")
}
