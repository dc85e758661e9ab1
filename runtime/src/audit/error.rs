//! Why an audit cannot be made.

use crate::sink;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The lake cannot be read.
    #[error(transparent)]
    Sink(#[from] sink::Error),
    /// Nothing was ever committed there.
    #[error("there is no commits table at {location}: the pipeline has not run there")]
    NoLake {
        /// The lake's location.
        location: String,
    },
    /// A row of the commits table is not as this version writes them.
    #[error("a row of the commits table at version {version} is not as Lakeward writes them")]
    Ledger {
        /// The version.
        version: u64,
    },
}
