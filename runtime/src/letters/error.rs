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
    /// What is asked names nothing that there is, or not enough.
    #[error("{reason}")]
    Argument {
        /// Why.
        reason: String,
    },
}

impl Error {
    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    pub(super) fn argument(reason: impl Into<String>) -> Self {
        Self::Argument { reason: reason.into() }
    }

    /// Whether it is not the lake that failed, but the question.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Argument { .. })
    }
}
