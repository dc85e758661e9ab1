//! Waiting for a condition, with a deadline: the only place in the tests that sleeps.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How long the condition rests between two looks.
const REST: Duration = Duration::from_millis(20);

/// Looks until `condition` gives a value; an error of the condition ends the wait.
///
/// # Errors
/// When `limit` has passed, saying `what` was waited for; or the condition's own error.
pub fn until<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("waited {} s in vain for {what}", limit.as_secs_f32());
        }
        std::thread::sleep(REST);
    }
}

/// Like [`until`], for a condition that only holds or does not.
///
/// # Errors
/// As [`until`].
pub fn until_true(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    until(limit, what, || Ok(condition()?.then_some(())))
}

/// Lets a moment pass, because the *moment* is what is tested: when a process is killed.
pub fn moment(length: Duration) {
    std::thread::sleep(length);
}

/// A point on the monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests that watch a process from outside need the real clock")]
pub fn now() -> Instant {
    Instant::now()
}
