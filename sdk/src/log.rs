//! Lines for the host's log. For finding out what a module does; a reason that matters belongs into a `Reject`.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps when something is wrong.
    Debug,
    /// What is worth knowing.
    Info,
    /// What should not be.
    Warn,
    /// What must not be.
    Error,
}

/// Writes a line to the host's log (stderr in a native test). The host cuts long lines and takes few of them per call.
pub fn log(level: Level, message: &str) {
    crate::wall::log(level, message);
}
