//! Why a command fails, how that is told, and with which exit code.

use super::{EXIT_USAGE, build, compare, demo, dev, new, release};
use crate::transform::ReadError;
use crate::{audit, config, letters, pipeline, telemetry};
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
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The pipeline cannot start or had to stop.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The log cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The embedded broker cannot be started.
    #[error(transparent)]
    Broker(#[from] demo::Error),
    /// The modules that the demo runs are not there.
    #[error("the modules that the demo builds are not at {}: run it from the checkout", folder.display())]
    Modules {
        /// Where they should be.
        folder: std::path::PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// The demo cannot write its configuration.
    #[error("cannot write {}", path.display())]
    WriteConfig {
        /// The file.
        path: std::path::PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// A running pipeline did not do what it was asked.
    #[error(transparent)]
    Server(#[from] release::ServerError),
    /// A shadow got no records.
    #[error("nothing was compared with module {module} in that time: it got no records; the shadow goes on")]
    NothingCompared {
        /// The module.
        module: String,
    },
    /// Another module is the shadow.
    #[error("{path} does not run as the shadow of module {module}; `lakeward shadow` starts it")]
    NotTheShadow {
        /// The module.
        module: String,
        /// The file.
        path: String,
    },
    /// Two modules cannot be compared, or the new one does not stand the comparison.
    #[error(transparent)]
    Compare(#[from] compare::Error),
    /// `lakeward dev` cannot go on.
    #[error(transparent)]
    Dev(#[from] dev::Error),
    /// The audit cannot be made.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The audit found that something does not hold.
    #[error("{failed} of the checks failed")]
    Refuted {
        /// How many.
        failed: usize,
    },
    /// A command was given no configuration.
    #[error("name a configuration: --config FILE or LAKEWARD_CONFIG")]
    NoConfig,
    /// Offsets are not moved.
    #[error("nothing was moved: {reason}")]
    Move {
        /// Why.
        reason: String,
    },
    /// What was asked for cannot be printed.
    #[error("the output cannot be written")]
    Output {
        /// The cause.
        source: std::io::Error,
    },
    /// An argument cannot be understood.
    #[error("{reason}")]
    Argument {
        /// Why, and what would do.
        reason: String,
    },
    /// Dead letters cannot be shown, or a request about them is not taken.
    #[error(transparent)]
    Letters(#[from] letters::Error),
    /// The threads that wait cannot be started.
    #[error("the runtime cannot be started")]
    Runtime {
        /// The cause.
        source: std::io::Error,
    },
}

impl Error {
    /// 64 when the user gave something wrong, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let usage = match self {
            Self::Build(error) => error.is_usage(),
            Self::Pipeline(error) => error.is_configuration(),
            // A file that is not a module is as wrong an argument as one that a configuration names; so is a filter that is none.
            Self::Inspect(_) | Self::Telemetry(telemetry::Error::Filter(_)) => true,
            Self::Config(_) | Self::NoConfig | Self::Move { .. } | Self::Argument { .. } => true,
            Self::Letters(error) => error.is_usage(),
            Self::Telemetry(telemetry::Error::Twice(_))
            | Self::Broker(_)
            | Self::Modules { .. }
            | Self::WriteConfig { .. }
            | Self::Audit(_)
            | Self::NothingCompared { .. }
            | Self::NotTheShadow { .. }
            | Self::Refuted { .. }
            | Self::Output { .. }
            | Self::Runtime { .. } => false,
            Self::New(error) => error.is_usage(),
            Self::Server(error) => error.is_usage(),
            Self::Compare(error) => error.is_usage(),
            Self::Dev(error) => error.is_usage(),
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
