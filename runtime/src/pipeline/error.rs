//! What stops a pipeline.

use super::Failing;
use crate::{aggregate, decode, product, sink, source, transform};

/// Why the pipeline cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A module's crate does not build.
    #[error("module {module} cannot be built")]
    Build {
        /// The module.
        module: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A module's file is not one that can be hosted.
    #[error("module {module} cannot be read")]
    ReadModule {
        /// The module.
        module: String,
        /// The cause.
        source: transform::ReadError,
    },
    /// The configuration and the module disagree on its name.
    #[error("the configuration names module {configured}, its manifest says {found}: write [modules.{found}]")]
    ModuleName {
        /// The name in the configuration.
        configured: String,
        /// The name in the manifest.
        found: String,
    },
    /// The log of deployments is not open.
    #[error("the log of deployments is not open yet")]
    NoRelease,
    /// A module that was deployed cannot be had from the lake.
    #[error("a deployed module cannot be had; deploy it again, or roll it back")]
    Stored {
        /// The cause.
        source: Box<crate::release::FindError>,
    },
    /// Two modules have one name.
    #[error("two modules are named {module}")]
    TwoModules {
        /// The name.
        module: String,
    },
    /// The manifest contradicts itself.
    #[error("the manifest of module {module} is refused: {problems}")]
    Manifest {
        /// The module.
        module: String,
        /// What is wrong.
        problems: String,
    },
    /// Two modules write one product.
    #[error("product {product} is written by two modules, {other} and {module}: a product has one owner")]
    TwoOwners {
        /// The product.
        product: String,
        /// One module.
        module: String,
        /// The other.
        other: String,
    },
    /// A product's contract cannot be held.
    #[error("a product of module {module} is refused")]
    Contract {
        /// The module.
        module: String,
        /// The cause.
        source: Box<product::Error>,
    },
    /// A module cannot run beside the active one.
    #[error("module {module} cannot be compared with the active one")]
    Compare {
        /// The module.
        module: String,
        /// The cause.
        source: crate::release::compare::Error,
    },
    /// A gold product cannot be computed.
    #[error("a gold product of module {module} is refused")]
    Gold {
        /// The module.
        module: String,
        /// The cause.
        source: Box<aggregate::Error>,
    },
    /// The columns of an input cannot be decoded.
    #[error("the events of topic {topic} cannot be decoded")]
    Decode {
        /// The topic.
        topic: String,
        /// The cause.
        source: decode::Error,
    },
    /// The configuration names a topic that no module reads.
    #[error("the configuration has a section for topic {topic}, which no module reads; they read {read}")]
    UnreadTopic {
        /// The topic.
        topic: String,
        /// The topics that modules read.
        read: String,
    },
    /// Topics come from Kafka and there is no broker.
    #[error("topic {topic} has no path, and [kafka] brokers is not set")]
    NoBrokers {
        /// The topic.
        topic: String,
    },
    /// Bronze is wanted of a topic that is read from files.
    #[error("topic {topic} is read from files, which keep its records: take `bronze` out of [topics.{topic}]")]
    BronzeOfFiles {
        /// The topic.
        topic: String,
    },
    /// A Kafka property of the configuration is refused.
    #[error("line {line} of the configuration cannot be used")]
    Property {
        /// The line, from 1.
        line: usize,
        /// Which one, and why.
        source: source::Error,
    },
    /// The engine or a module failed.
    #[error(transparent)]
    Transform(#[from] transform::Error),
    /// Reading failed.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The lake failed.
    #[error(transparent)]
    Sink(#[from] sink::Error),
    /// The log does not hold the offset at which the tables stand.
    #[error(
        "the tables are at offset {stored} of {topic}/{partition}, but the log holds {start} to {end}: {explanation}; \
         `lakeward offsets move` says where to go on, for one module with --module, of a recreated topic with --all and --new-incarnation"
    )]
    OutOfLog {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset in the tables.
        stored: i64,
        /// The log's first offset.
        start: i64,
        /// The log's end.
        end: i64,
        /// What that means.
        explanation: &'static str,
    },
    /// The topic is not the one whose offsets the tables hold.
    #[error(
        "topic {topic} was deleted and made anew: the tables stand in the one with id {stored}, the broker has one with id {found}; \
         `lakeward offsets move --all --topic {topic} --to earliest --new-incarnation` reads it from its start, --to latest from its end"
    )]
    Recreated {
        /// The topic.
        topic: String,
        /// The id that the tables know.
        stored: String,
        /// The id that the broker says.
        found: String,
    },
    /// The topic became another while it was read. Nothing of the open micro-batch was committed.
    #[error("topic {topic} was deleted and made anew while it was read: its id was {before} and is {now}")]
    TopicChanged {
        /// The topic.
        topic: String,
        /// The id with which the session began.
        before: String,
        /// The id by now.
        now: String,
    },
    /// A rule with `on_violation = "stop"` was broken. The module is parked, and the others go on; a batch job ends.
    #[error("{0}")]
    Stopped(Box<Stopped>),
    /// A module failed on so much of a chunk, and for so long, that the rest was not tried. Nothing of the micro-batch is committed: it is
    /// read again without the module, which is parked.
    #[error("module {name} is given up on: {failing}", name = .0.module, failing = .0)]
    GivenUp(Box<Failing>),
    /// Files of what a module is to go back to are gone by now. The module is parked, the others go on.
    #[error(
        "module {module} cannot go back: `lakeward rewind` to a later micro-batch, or `lakeward deploy --rebuild`, takes the place of that"
    )]
    NoWayBack {
        /// The module.
        module: String,
        /// The digest that was to read on from there.
        digest: std::sync::Arc<str>,
        /// What is gone.
        source: Box<sink::Error>,
    },
    /// The state of a gold product cannot be read back.
    #[error("the state of {product} cannot be restored")]
    State {
        /// The product.
        product: String,
        /// The cause.
        source: Box<aggregate::Error>,
    },
    /// A thread ended in a way that it never should.
    #[error("a {thread} thread ended unexpectedly")]
    Thread {
        /// The thread.
        thread: &'static str,
    },
    /// Some records are not accounted for; nothing of the micro-batch was committed.
    #[error("records are not rows, skips and dead letters together: {counts}; this is a defect of Lakeward")]
    Unbalanced {
        /// The counts by module.
        counts: String,
    },
    /// The last micro-batch took too long.
    #[error(
        "the last micro-batch was not committed within {grace:?}, it will be read again; \
         a longer `grace` under [shutdown] gives it more time"
    )]
    Grace {
        /// The time that it had.
        grace: std::time::Duration,
    },
    /// The address cannot be listened on.
    #[error(
        "{address} cannot be listened on; stop what listens there, or give `listen` under [serve] (of the demo --listen) another address or \
         port, or \"off\""
    )]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// Where a rule stopped a product.
#[derive(Debug, thiserror::Error)]
#[error("product {product} stopped at {topic}/{partition} offset {offset}: {reason}")]
pub struct Stopped {
    /// The module.
    pub module: String,
    /// Its digest.
    pub digest: std::sync::Arc<str>,
    /// The product.
    pub product: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The broken rule.
    pub reason: String,
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Open the tables and start over: what others committed meanwhile is then seen.
    Restart,
    /// Wait and try again: a server is not there.
    Retry,
    /// Stop: somebody must change something.
    Stop,
}

impl Error {
    /// Whether somebody else has moved a table on: nothing is lost by it.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Sink(sink::Error::Moved { .. } | sink::Error::Replaced { .. } | sink::Error::Incarnation { .. })
        )
    }

    /// The module, and its digest, to which it is due: without that the others can go on.
    #[must_use]
    pub fn culprit(&self) -> Option<(&str, &str)> {
        match self {
            Self::GivenUp(failing) => Some((&failing.module, &failing.digest)),
            Self::Stopped(at) => Some((&at.module, &at.digest)),
            Self::NoWayBack { module, digest, .. } => Some((module, digest)),
            _ => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Source(error) if error.is_transient() => Remedy::Retry,
            Self::NoRelease => Remedy::Retry,
            // What was not committed in time is read again by whoever has the partitions now.
            Self::Grace { .. } => Remedy::Restart,
            Self::GivenUp(_) | Self::NoWayBack { .. } | Self::Stopped(_) => Remedy::Restart,
            // The start finds the partition out of its log, and goes on without it.
            Self::Source(source::Error::OutOfRange { .. }) | Self::TopicChanged { .. } => Remedy::Restart,
            _ if self.is_conflict() => Remedy::Restart,
            // Another instance has made the products anew, for a module that the log of deployments knows by now; otherwise the start says
            // what does not fit.
            Self::Sink(sink::Error::SchemaChanged { .. } | sink::Error::Cleaned { .. }) => Remedy::Restart,
            Self::Sink(error) if error.is_transient() => Remedy::Retry,
            _ => Remedy::Stop,
        }
    }

    /// Whether a topic, its files or the lake do not exist or are not for us, while everything answers.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Source(error) => matches!(error, source::Error::NoTopic { .. } | source::Error::NoFiles { .. }),
            Self::Sink(error) => error.is_refused(),
            _ => false,
        }
    }

    /// Whether the configuration or a module is at fault, rather than the world.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Build { .. }
            | Self::ReadModule { .. }
            | Self::ModuleName { .. }
            | Self::TwoModules { .. }
            | Self::Manifest { .. }
            | Self::TwoOwners { .. }
            | Self::Contract { .. }
            | Self::Compare { .. }
            | Self::Gold { .. }
            | Self::Decode { .. }
            | Self::UnreadTopic { .. }
            | Self::NoBrokers { .. }
            | Self::BronzeOfFiles { .. }
            | Self::Transform(transform::Error::Load { .. })
            | Self::Property { .. }
            | Self::Source(
                source::Error::Property { .. } | source::Error::Configuration(_) | source::Error::Pattern { .. },
            )
            | Self::Sink(
                sink::Error::Location { .. }
                | sink::Error::Options { .. }
                | sink::Error::Folder { .. }
                | sink::Error::Schema { .. },
            ) => true,
            Self::Transform(_)
            | Self::NoRelease
            | Self::Stored { .. }
            | Self::Source(_)
            | Self::Sink(_)
            | Self::OutOfLog { .. }
            | Self::Recreated { .. }
            | Self::TopicChanged { .. }
            | Self::Stopped(_)
            | Self::GivenUp(_)
            | Self::NoWayBack { .. }
            | Self::State { .. }
            | Self::Thread { .. }
            | Self::Unbalanced { .. }
            | Self::Grace { .. }
            | Self::Listen { .. } => false,
        }
    }
}
