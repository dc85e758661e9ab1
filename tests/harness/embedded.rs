//! The broker inside librdkafka, in this process: quick to start, a cluster of its own for each case.

use crate::broker::Broker;
use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

/// librdkafka's mock cluster with one broker. It lives as long as the producer that carries it.
pub struct Embedded {
    carrier: BaseProducer,
    bootstrap: String,
}

impl Embedded {
    /// Starts a cluster.
    ///
    /// # Errors
    /// When librdkafka cannot.
    pub fn start() -> Result<Self> {
        let carrier: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", "ignored")
            .set("test.mock.num.brokers", "1")
            .set("log_level", "0")
            .create()?;
        let bootstrap =
            carrier.client().mock_cluster().context("a client without its mock cluster")?.bootstrap_servers();
        Ok(Self { carrier, bootstrap })
    }
}

impl Broker for Embedded {
    fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        let cluster = self.carrier.client().mock_cluster().context("a client without its mock cluster")?;
        Ok(cluster.create_topic(topic, partitions, 1)?)
    }

    fn partition_bytes(&self) -> u64 {
        // Hard-wired in librdkafka.
        5 * 1024 * 1024
    }
}
