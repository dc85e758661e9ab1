//! What can go wrong while reading.

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A Kafka property is not known to librdkafka, or its value is wrong.
    #[error("the Kafka property {property} is refused: {reason}")]
    Property {
        /// The property.
        property: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The Kafka properties do not fit together.
    #[error("the Kafka configuration is refused: {0}")]
    Configuration(String),
    /// No broker answers.
    #[error("no broker answers at {brokers}: {reason}")]
    Unreachable {
        /// The brokers as configured.
        brokers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The topic does not exist.
    #[error("topic {topic} does not exist on the broker at {brokers}")]
    NoTopic {
        /// The topic.
        topic: String,
        /// The brokers as configured.
        brokers: String,
    },
    /// A partition cannot be read.
    #[error("partition {partition} of topic {topic} cannot be read at offset {offset}: {reason}")]
    Partition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What librdkafka says.
        reason: String,
    },
    /// The log no longer holds the offset that is to be read.
    #[error("partition {partition} of topic {topic} no longer holds offset {offset}")]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// Records that the log no longer holds cannot be read from where they are kept.
    #[error("the past of partition {partition} of topic {topic} cannot be read back")]
    Past {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Whether trying again may help.
        is_transient: bool,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file cannot be read.
    #[error("event file {file} cannot be read")]
    File {
        /// The file.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A pattern is not one.
    #[error("{pattern:?} is not a pattern of files: {reason}")]
    Pattern {
        /// The pattern as configured.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// No file matches.
    #[error("no file matches {pattern}")]
    NoFiles {
        /// The pattern as configured.
        pattern: String,
    },
}

impl Error {
    /// Whether trying again may help without anybody's change of the configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoTopic { .. } | Self::NoFiles { .. } => true,
            Self::Past { is_transient, .. } => *is_transient,
            Self::Property { .. }
            | Self::Configuration(_)
            | Self::Partition { .. }
            | Self::OutOfRange { .. }
            | Self::File { .. }
            | Self::Pattern { .. } => false,
        }
    }
}
