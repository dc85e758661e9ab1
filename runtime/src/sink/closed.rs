//! What the commits of a state or gold table declare closed.

use serde_json::Value;

/// How far a table's windows are closed, and how far they were let go of; a later commit says the same or more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    /// The event time before which everything is closed, in milliseconds.
    pub horizon_ms: Option<i64>,
    /// The start, in microseconds, before which groups were let go of. What it was once counts, also where windows are to be kept for
    /// longer by now.
    pub kept_from_us: Option<i64>,
}

impl Closed {
    /// What both say.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            horizon_ms: self.horizon_ms.max(other.horizon_ms),
            kept_from_us: self.kept_from_us.max(other.kept_from_us),
        }
    }

    /// Whether the other says more.
    pub(crate) fn is_behind(self, other: Self) -> bool {
        self.without_nothing().and(other.without_nothing()) != self.without_nothing()
    }

    /// The same where nothing is closed by saying so: what was said before is taken back.
    pub(super) fn or_nothing(self) -> Self {
        Self { horizon_ms: self.horizon_ms.or(Some(i64::MIN)), kept_from_us: self.kept_from_us.or(Some(i64::MIN)) }
    }

    /// As [`Self::or_nothing`] was written.
    pub(super) fn without_nothing(self) -> Self {
        let said = |value: &i64| *value != i64::MIN;
        Self { horizon_ms: self.horizon_ms.filter(said), kept_from_us: self.kept_from_us.filter(said) }
    }

    /// As a commit's info has it.
    pub(super) fn parse(info: &Value) -> Self {
        Self { horizon_ms: info["horizonMs"].as_i64(), kept_from_us: info["keptFromUs"].as_i64() }
    }
}
