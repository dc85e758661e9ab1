//! What the topics of a pipeline are and hold: their ids, and the first and the last offset of each partition, if somebody can say.

use crate::config::Config;
use crate::source::{Error, Kafka, Settings};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the broker may take to say which topics it has.
const ANSWER: Duration = Duration::from_secs(5);

/// The first offset of a partition and the one that the next record gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The oldest offset that can still be read.
    pub start: i64,
    /// The offset that the next record will get.
    pub end: i64,
}

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logs {
    /// Its partitions.
    Ranges(BTreeMap<i32, Log>),
    /// Why nothing is known.
    NotAsked(String),
}

/// What was said of topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topics {
    /// By topic: what it holds.
    pub logs: BTreeMap<String, Logs>,
    /// By topic: the id that the broker gave it when it was made; none from old brokers and of files.
    pub ids: BTreeMap<String, String>,
}

/// A topic that was deleted and made anew since the tables were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recreated {
    /// The id of the one that the tables stand in.
    pub stored: String,
    /// The id of the one that the broker has.
    pub found: String,
}

impl Topics {
    /// Whether `topic` in its `incarnation` is another than the tables know, who say `stored` by `orders#0`; `None` where that is not known.
    #[must_use]
    pub fn recreated(&self, topic: &str, incarnation: u32, stored: &BTreeMap<String, String>) -> Option<Recreated> {
        let (stored, found) = (stored.get(&format!("{topic}#{incarnation}"))?, self.ids.get(topic)?);
        (stored != found).then(|| Recreated { stored: stored.clone(), found: found.clone() })
    }

    /// Whether it is another; `None` where either id is not known.
    #[must_use]
    pub fn is_recreated(&self, topic: &str, incarnation: u32, stored: &BTreeMap<String, String>) -> Option<bool> {
        Some(stored.get(&format!("{topic}#{incarnation}"))? != self.ids.get(topic)?)
    }
}

/// A client for the configured brokers; `None` without brokers.
///
/// # Errors
/// When librdkafka refuses a property.
pub fn client(config: &Config) -> Result<Option<Kafka>, Error> {
    let Some(brokers) = config.kafka.brokers.clone() else { return Ok(None) };
    let properties = config.kafka.properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Kafka::new(&Settings { brokers, group: config.kafka.group.clone(), properties }).map(Some)
}

/// Asks for what the topics are and hold. It waits for brokers, so it blocks its thread.
#[must_use]
pub fn ask<'a>(config: &Config, topics: impl IntoIterator<Item = &'a str>) -> Topics {
    let kafka = client(config);
    let mut unreachable = None;
    let mut logs = BTreeMap::new();
    for topic in topics {
        let is_files = config.topics.get(topic).is_some_and(|settings| settings.path.is_some());
        let found = match (&kafka, &unreachable) {
            _ if is_files => Logs::NotAsked("the topic is read from files".to_owned()),
            (Err(error), _) => Logs::NotAsked(error.to_string()),
            (Ok(None), _) => Logs::NotAsked("no brokers are configured".to_owned()),
            // One broker that is away costs one wait, not one for each topic.
            (_, Some(why)) => Logs::NotAsked(String::clone(why)),
            (Ok(Some(kafka)), None) => match ranges(kafka, topic) {
                Ok(ranges) => Logs::Ranges(ranges),
                Err(error) => {
                    let why = error.to_string();
                    if matches!(error, Error::Unreachable { .. }) {
                        unreachable = Some(why.clone());
                    }
                    Logs::NotAsked(why)
                }
            },
        };
        logs.insert(topic.to_owned(), found);
    }
    let there: Vec<&str> =
        logs.iter().filter(|(_, log)| matches!(log, Logs::Ranges(_))).map(|(name, _)| &**name).collect();
    let ids = match &kafka {
        Ok(Some(kafka)) => kafka.topic_ids().ask(&there, ANSWER).unwrap_or_default(),
        Ok(None) | Err(_) => BTreeMap::new(),
    };
    Topics { logs, ids }
}

fn ranges(kafka: &Kafka, topic: &str) -> Result<BTreeMap<i32, Log>, Error> {
    let range = |partition: i32| {
        let range = kafka.log_range(topic, partition)?;
        Ok((partition, Log { start: range.start, end: range.end }))
    };
    kafka.partitions(topic)?.into_iter().map(range).collect()
}
