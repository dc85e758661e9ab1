//! A Kafka broker inside this process: librdkafka's mock cluster, for the demo and for tests that need no real one.
//!
//! It speaks the protocol on a port of 127.0.0.1, so `kcat` can look into it. It keeps 5 MiB or 100,000 message sets of a partition
//! and drops what is older, read or not; the [publisher](super::Publisher) waits for the reader. Nothing outlives the process.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::error::KafkaError;

/// A running broker; it ends when this is dropped.
pub struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

/// Why the broker cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// librdkafka cannot set the cluster up.
    #[error("the embedded broker cannot be started")]
    Start(#[source] KafkaError),
    /// A topic cannot be made.
    #[error("the embedded broker cannot make the topic {topic} with {partitions} partitions")]
    Topic {
        /// The topic.
        topic: String,
        /// The number of its partitions.
        partitions: i32,
        /// What librdkafka says.
        source: KafkaError,
    },
}

impl Broker {
    /// Starts a broker with `topics`: names and numbers of partitions.
    ///
    /// # Errors
    /// When there is no port left or a topic is refused.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, Error> {
        let cluster = MockCluster::new(1).map_err(Error::Start)?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).map_err(|source| Error::Topic {
                topic: (*topic).to_owned(),
                partitions: *partitions,
                source,
            })?;
        }
        Ok(Self { cluster })
    }

    /// What a client is given as `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("bootstrap_servers", &self.bootstrap_servers()).finish()
    }
}
