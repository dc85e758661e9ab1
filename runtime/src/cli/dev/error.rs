//! Why a build is not shown, and whether another save may mend that.

use super::super::{build, compare};
use crate::{aggregate, source};
use std::path::PathBuf;

/// Why `lakeward dev` does not show what a module makes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The module does not build.
    #[error(transparent)]
    Build(#[from] build::Error),
    /// The module cannot be run over the events.
    #[error(transparent)]
    Run(#[from] compare::Error),
    /// A gold product cannot be kept.
    #[error("the gold product {product} cannot be kept")]
    Gold {
        /// The product's name.
        product: String,
        /// Why not.
        source: aggregate::Error,
    },
    /// There are no events for the module.
    #[error(
        "module {module} reads {topics}, and events are made up only for topic {made}: give --events FILE, a file with one event a line"
    )]
    NoEvents {
        /// The module.
        module: String,
        /// The topics that it reads.
        topics: String,
        /// The topic for which there are events without a file.
        made: &'static str,
    },
    /// The module does not read the topic.
    #[error("the module does not read topic {topic}, it reads {known}")]
    OtherTopic {
        /// The topic.
        topic: String,
        /// What it reads.
        known: String,
    },
    /// The file of events has none.
    #[error("there is no event in {}: it takes one a line", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
}

impl Error {
    /// Whether the user gave something wrong, rather than wrote something that does not build.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Build(error) => error.is_usage(),
            // A folder that is not there is as wrong an argument as a file that is not.
            Self::Run(compare::Error::Source(source::Error::File { .. })) => true,
            Self::Run(error) => error.is_usage(),
            Self::NoEvents { .. } | Self::OtherTopic { .. } | Self::Empty { .. } => true,
            Self::Gold { .. } => false,
        }
    }

    /// Whether it is the module's source that is at fault, so that the next save may mend it, and not how the command was called. The topics
    /// that a module reads are both: `has_run` says whether an earlier build has found events.
    pub(super) fn is_mendable(&self, has_run: bool) -> bool {
        match self {
            Self::Build(error) => error.is_of_the_source(),
            Self::Gold { .. }
            | Self::Run(
                compare::Error::Module(_)
                | compare::Error::Manifest { .. }
                | compare::Error::Trial(_)
                | compare::Error::Decode { .. },
            ) => true,
            Self::Run(compare::Error::WhichTopic { .. } | compare::Error::Source(_))
            | Self::NoEvents { .. }
            | Self::OtherTopic { .. }
            | Self::Empty { .. } => has_run,
            Self::Run(_) => false,
        }
    }
}

impl From<source::Error> for Error {
    fn from(error: source::Error) -> Self {
        Self::Run(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_mends_the_source_and_not_the_command_line() {
        let no_events = || Error::NoEvents { module: "m".into(), topics: "t".into(), made: "orders" };
        let table = [
            (Error::from(build::Error::NoCrate { dir: "nowhere".into() }), false, false),
            (build::Error::NoWasm { dir: "here".into() }.into(), true, true),
            (no_events(), false, true),
            (source::Error::NoFiles { pattern: "no.ndjson".into() }.into(), false, true),
            (compare::Error::Manifest { path: "m".into(), problems: "p".into() }.into(), true, true),
        ];
        for (error, at_first, later) in table {
            assert_eq!((error.is_mendable(false), error.is_mendable(true)), (at_first, later), "{error}");
        }
        assert!(no_events().is_usage());
    }
}
