//! Why a command fails, how that is told, and with which exit code.

use super::{EXIT_USAGE, build, new};
use crate::transform::ReadError;
use std::fmt::Write as _;

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `lakeward build` fails.
    #[error(transparent)]
    Build(#[from] build::Error),
    /// `lakeward inspect` fails.
    #[error(transparent)]
    Inspect(#[from] ReadError),
    /// `lakeward new` fails.
    #[error(transparent)]
    New(#[from] new::Error),
    /// The command is not in this build.
    #[error("this build has no `lakeward {command}`")]
    Unavailable {
        /// The command.
        command: &'static str,
    },
}

impl Error {
    /// 64 when the user gave something wrong, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let usage = match self {
            Self::Build(error) => error.is_usage(),
            Self::Inspect(_) | Self::Unavailable { .. } => false,
            Self::New(error) => error.is_usage(),
        };
        if usage { EXIT_USAGE } else { 1 }
    }
}

/// An error and its causes, one a line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        writeln!(text, "  caused by: {error}").expect("writing to a string cannot fail");
        cause = error.source();
    }
    text
}
