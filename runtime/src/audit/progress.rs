//! How far a long audit is, told every few seconds.

use crate::clock;
use std::time::{Duration, Instant};

/// How often something is told.
const EVERY: Duration = Duration::from_secs(3);

/// Files and rows that were read, of how many.
pub(super) struct Progress<'a> {
    files: (u64, u64),
    rows: (u64, u64),
    told: Instant,
    tell: &'a mut dyn FnMut(&str),
}

impl<'a> Progress<'a> {
    /// Nothing read yet, of `files` with `rows`.
    pub(super) fn new(files: u64, rows: u64, tell: &'a mut dyn FnMut(&str)) -> Self {
        Self { files: (0, files), rows: (0, rows), told: clock::instant(), tell }
    }

    /// Notes rows that were read from a table.
    pub(super) fn rows(&mut self, table: &str, rows: u64) {
        self.rows.0 += rows;
        let now = clock::instant();
        if now.duration_since(self.told) >= EVERY {
            self.told = now;
            let percent = self.rows.0 * 100 / self.rows.1.max(1);
            let (files, rows) = (self.files, self.rows);
            let line = format!("{table}: {} of {} files, {} of {} rows, {percent} %", files.0, files.1, rows.0, rows.1);
            (self.tell)(&line);
        }
    }

    /// Notes a file that was read to its end.
    pub(super) fn file(&mut self) {
        self.files.0 += 1;
    }
}
