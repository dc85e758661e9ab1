//! The sections of the configuration that are about Kafka and its topics.

use super::value::{self, Properties};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::path::PathBuf;

/// `[kafka]`: how Kafka is reached.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// The brokers to start from, `host:port` with commas between. Not needed when every topic is read from files.
    #[serde(deserialize_with = "value::non_empty")]
    pub brokers: Option<String>,
    /// The consumer group by which instances share partitions; default `lakeward.<pipeline>`. Where reading goes on is
    /// not the group's to say but the tables', so that a new group loses nothing and repeats nothing.
    pub group: String,
    /// Whether this instance shares the topics with others. Default `group`.
    pub membership: Sharing,
    /// Any property of librdkafka but those that Lakeward sets itself, as `security.protocol = "SSL"`.
    #[serde(deserialize_with = "properties")]
    pub properties: Properties,
}

/// How an instance comes by its partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// From the consumer group: instances share the topics and take over from each other.
    #[default]
    Group,
    /// It reads all of them and joins no group. Two such instances over one lake do no harm, but get in each other's way.
    Alone,
}

/// `[topics.<name>]`: settings of one topic.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topic {
    /// Where a table without an offset of its own starts; a table with one goes on from there.
    pub start: Start,
    /// Files to read instead of Kafka, one record a line; `*` is taken. Relative to the configuration file.
    pub path: Option<PathBuf>,
    /// Whether the records are kept in the lake as they were read, in the table `bronze/<topic>`: key, value, headers, timestamp and origin.
    /// A rewind, a new product or a comparison then goes back further than Kafka does. It costs about the topic's compressed size in
    /// storage, a file more for each worker and micro-batch, and some of the workers' time. Switched on later it begins with the next
    /// record. It keeps everything, for ever, also what masks hide in products. Default false.
    pub bronze: bool,
    /// How often the topic was deleted and made again under its name. Add 1 when that happens: the offsets of the old
    /// topic then no longer count, and the new one is read from its start. Or let `lakeward offsets move --all
    /// --new-incarnation` note it in the tables: the newest that is named here or there counts. Default 0.
    pub incarnation: u32,
}

/// Where reading starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the oldest record that there is: a table then holds all of the topic, after reading all of it.
    #[default]
    Earliest,
    /// At the next record: quick, but nothing older ever reaches the table. A partition that the topic gains later is read from its start,
    /// unless the pipeline is started between that and the time when it first sees it.
    Latest,
}

/// The properties that must not be set, and what to do instead.
const RESERVED: [(&str, &str); 9] = [
    ("bootstrap.servers", "set `kafka.brokers`"),
    ("metadata.broker.list", "set `kafka.brokers`"),
    ("group.id", "set `kafka.group`"),
    ("client.id", "it carries the instance's address, `serve.advertise`"),
    ("auto.offset.reset", "set `topics.<name>.start`"),
    ("enable.auto.commit", "the tables hold the offsets"),
    ("auto.commit.enable", "the tables hold the offsets"),
    ("enable.auto.offset.store", "the tables hold the offsets"),
    ("enable.partition.eof", "the source needs it"),
];

fn properties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Properties, D::Error> {
    let properties = Properties::deserialize(deserializer)?;
    match RESERVED.iter().find(|(name, _)| properties.get(name).is_some()) {
        Some((name, instead)) => Err(D::Error::custom(format!("`{name}` is Lakeward's own to set: {instead}"))),
        None => Ok(properties),
    }
}
