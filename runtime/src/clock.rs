//! Time as the pipeline sees it, so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A source of time. Cloning gives the same clock.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `ms` until it is moved.
    #[must_use]
    pub fn manual(ms: i64) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(ms))))
    }

    /// Moves a manual clock by `ms`; the machine's clock cannot be moved.
    pub fn advance(&self, ms: i64) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Source::Manual(now) => now.load(Ordering::Relaxed),
        }
    }
}

/// A point on the monotonic clock, for measuring how long something took.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}
