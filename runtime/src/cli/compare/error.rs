//! Why two modules are not compared, or what the comparison says against the new one.

use super::edge::Edge;
use crate::release::{TrialError, compare};
use crate::transform::{self, ReadError};
use crate::{decode, source};
use std::path::PathBuf;

/// Why `check-compat` or `diff` does not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is no module.
    #[error(transparent)]
    Module(#[from] ReadError),
    /// A module's manifest does not make sense.
    #[error("the manifest of {} does not hold together: {problems}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: String,
    },
    /// The new module breaks something.
    #[error("the new module cannot take the old one's place: {changes} breaking {}", if *changes == 1 { "change" } else { "changes" })]
    Breaking {
        /// How many changes break something.
        changes: usize,
    },
    /// A module cannot be run.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// The machine cannot run modules.
    #[error(transparent)]
    Host(#[from] transform::Error),
    /// The modules cannot be compared.
    #[error(transparent)]
    Compare(#[from] compare::Error),
    /// Neither module reads the topic.
    #[error("neither module reads topic {topic}, they read {known}")]
    Topic {
        /// The topic.
        topic: String,
        /// What they read.
        known: String,
    },
    /// It is not said which topic the events are of.
    #[error("the modules read several topics ({known}): name the one that the events are of with --topic")]
    WhichTopic {
        /// What they read.
        known: String,
    },
    /// Nothing lies between the two ends.
    #[error("nothing lies between --from {from} and --to {to}: give the earlier one as --from")]
    Backwards {
        /// The beginning.
        from: Edge,
        /// The end.
        to: Edge,
    },
    /// Files were to be read from a time.
    #[error(
        "topic {topic} is read from files, which have no times: give --from and --to as offsets, which are the numbers of the lines"
    )]
    NoTimes {
        /// The topic.
        topic: String,
    },
    /// There is nowhere to read from.
    #[error("topic {topic} is to be read from Kafka, but `kafka.brokers` is not set")]
    NoBrokers {
        /// The topic.
        topic: String,
    },
    /// Events cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(Box<crate::cli::Error>),
    /// No records come although there are more.
    #[error("no record of {place} has come for {seconds} s, although the log goes on to {end}")]
    Stalled {
        /// The partition and the offset that is waited for.
        place: String,
        /// How long nothing came.
        seconds: u64,
        /// The offset to which records are wanted.
        end: i64,
    },
    /// Events cannot be decoded as a module declares them.
    #[error("topic {topic} cannot be decoded")]
    Decode {
        /// The topic.
        topic: String,
        /// Why not.
        source: decode::Error,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// What was found cannot be printed.
    #[error("the output cannot be written")]
    Output(#[source] std::io::Error),
    /// Conditions do not hold.
    #[error("{unmet}")]
    Unmet {
        /// Which, and what was found instead.
        unmet: String,
    },
}

impl Error {
    /// Whether the user gave something wrong.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Module(_)
            | Self::Manifest { .. }
            | Self::Trial(_)
            | Self::Compare(_)
            | Self::Topic { .. }
            | Self::WhichTopic { .. }
            | Self::NoTimes { .. }
            | Self::Backwards { .. }
            | Self::NoBrokers { .. }
            | Self::Decode { .. } => true,
            Self::Source(error) => {
                matches!(
                    error,
                    source::Error::File { .. }
                        | source::Error::Pattern { .. }
                        | source::Error::NoFiles { .. }
                        | source::Error::Property { .. }
                        | source::Error::Configuration(_)
                )
            }
            Self::Lake(error) => error.exit_code() == crate::cli::EXIT_USAGE,
            Self::Breaking { .. }
            | Self::Host(_)
            | Self::Stalled { .. }
            | Self::Thread(_)
            | Self::Output(_)
            | Self::Unmet { .. } => false,
        }
    }
}
