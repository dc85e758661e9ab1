//! How far a comparison is, on standard error.

use super::super::output;
use crate::clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a line is shown.
const EVERY: Duration = Duration::from_secs(2);

/// Shows a line every now and then.
pub(super) struct Progress<'a> {
    compared: &'a AtomicU64,
    total: u64,
    started: Instant,
    shown: Instant,
}

impl<'a> Progress<'a> {
    /// `compared` counts the records of `total` that are done.
    pub(super) fn new(compared: &'a AtomicU64, total: u64) -> Self {
        let now = clock::instant();
        Self { compared, total, started: now, shown: now }
    }

    pub(super) fn show(&mut self, now: Instant) {
        if now.duration_since(self.shown) < EVERY {
            return;
        }
        self.shown = now;
        let compared = self.compared.load(Ordering::Relaxed);
        let seconds = now.duration_since(self.started).as_secs_f64();
        output::say(format_args!("  {compared} of {} records, {:.0}/s\n", self.total, rate(compared, seconds)));
    }
}

/// What is said at the end.
pub(super) fn summary(records: u64, seconds: f64, threads: usize) -> String {
    format!("{records} records in {seconds:.1} s on {threads} threads, {:.0}/s", rate(records, seconds))
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown without digits behind the point")]
fn rate(records: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { records as f64 / seconds } else { 0.0 }
}
