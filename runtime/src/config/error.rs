//! Why a configuration file cannot be used.

use std::path::PathBuf;

/// Why a configuration file cannot be used. Somebody must change the file or the environment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file can be read but not used.
    #[error("cannot use the configuration {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<Error>,
    },
    /// The text is not TOML, or not of the layout.
    #[error("line {line}, column {column}: {message}\n{excerpt}")]
    Layout {
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// What is wrong.
        message: String,
        /// The line as it stands in the file, marked; variables are not put in, so that no secret is shown.
        excerpt: String,
    },
    /// No module.
    #[error("there is no module; add a section [modules.<name>] with its `path`")]
    NoModules,
    /// A variable that is not set and has no default.
    #[error("the variable {name} on line {line} is not set; set it, or write ${{{name}:-default}}")]
    UnsetVariable {
        /// The variable.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// A reference that is never closed.
    #[error("`${{` on line {line} has no `}}` on the same line; write `$${{` for a plain `${{`")]
    OpenVariable {
        /// The line, from 1.
        line: usize,
    },
    /// A reference to something that is no variable.
    #[error("`{name}` on line {line} cannot name a variable; write `$${{` for a plain `${{`")]
    VariableName {
        /// What is written.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// A value that would be more than a value.
    #[error("the variable {name} holds characters that cannot stand here, on line {line}")]
    VariableValue {
        /// The variable; its value is not shown, it may be a secret.
        name: String,
        /// The line, from 1.
        line: usize,
    },
}
