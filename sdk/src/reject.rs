//! `Reject`: why a record cannot become rows. `ParseError`: why a text is not a value.

use std::borrow::Cow;
use std::fmt;

/// Why a record cannot become rows. The record becomes a dead letter with this reason.
///
/// Any text is a reason, so that `?` works: `line.description.ok_or("no description")?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject(Cow<'static, str>);

impl Reject {
    /// Rejects for this reason: lower case, no full stop, with the value at fault.
    #[must_use]
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_reason(self) -> String {
        self.0.into_owned()
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reject {}

impl From<&'static str> for Reject {
    fn from(reason: &'static str) -> Self {
        Self::new(reason)
    }
}

impl From<String> for Reject {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}

/// A text is not what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}", self.expected)
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Reject {
    fn from(error: ParseError) -> Self {
        Self::new(error.to_string())
    }
}
