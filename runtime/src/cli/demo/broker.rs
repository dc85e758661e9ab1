//! A Kafka broker inside this process: librdkafka's mock cluster, for the demo and for tests that need no real one.
//!
//! It speaks the protocol on a port of 127.0.0.1, so `kcat` can look into it. It keeps 5 MiB or 100,000 message sets of a partition
//! and drops what is older, read or not; the [publisher](super::Publisher) waits for the reader. Nothing outlives the process.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};

/// A running broker; it ends when this is dropped.
///
/// The cluster belongs to a client that sends nothing: so, unlike a bare mock cluster, it may move between threads.
pub struct Broker {
    _owner: BaseProducer,
    bootstrap_servers: String,
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
        let owner: BaseProducer =
            ClientConfig::new().set("test.mock.num.brokers", "1").create().map_err(Error::Start)?;
        let cluster = owner.client().mock_cluster();
        let cluster = cluster.ok_or(Error::Start(KafkaError::MockCluster(RDKafkaErrorCode::Fail)))?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).map_err(|source| Error::Topic {
                topic: (*topic).to_owned(),
                partitions: *partitions,
                source,
            })?;
        }
        let bootstrap_servers = cluster.bootstrap_servers();
        drop(cluster);
        Ok(Self { _owner: owner, bootstrap_servers })
    }

    /// What a client is given as `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("bootstrap_servers", &self.bootstrap_servers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use std::time::Duration;

    #[test]
    fn a_broker_has_its_topics_and_may_move_between_threads() {
        let broker = Broker::start(&[("orders", 3), ("returns", 1)]).unwrap();
        let topics = std::thread::spawn(move || {
            let consumer: BaseConsumer =
                ClientConfig::new().set("bootstrap.servers", broker.bootstrap_servers()).create().unwrap();
            let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
            let topics = metadata.topics().iter();
            let mut topics: Vec<_> = topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect();
            topics.sort();
            topics
        });
        assert_eq!(topics.join().unwrap(), [("orders".to_owned(), 3), ("returns".to_owned(), 1)]);
    }

    #[test]
    fn a_topic_that_exists_is_not_made_again() {
        let error = Broker::start(&[("orders", 1), ("orders", 2)]).unwrap_err();
        assert_eq!(error.to_string(), "the embedded broker cannot make the topic orders with 2 partitions");
    }
}
