//! Why dead letters cannot be shown, or a request about them is not taken.

use crate::sink;

/// Why something about dead letters does not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The lake failed.
    #[error(transparent)]
    Sink(#[from] sink::Error),
    /// A file of the table is not as Lakeward writes them.
    #[error("the file {file} of {table} lacks columns of the table; restore the version before whoever wrote it")]
    Columns {
        /// The table.
        table: &'static str,
        /// The file.
        file: String,
    },
    /// The request is refused; nothing has changed.
    #[error("nothing was requested: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}
