//! What the threads tell each other while they run: numbers behind atomics, so that looking costs the hot path nothing.

use crate::record::Chunk;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How far everything is.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) lanes: Vec<LaneProgress>,
    open_rows: AtomicU64,
    open_bytes: AtomicU64,
}

/// How far a lane is.
#[derive(Debug)]
pub(super) struct LaneProgress {
    /// The next offset to process.
    pub(super) next: AtomicI64,
    /// The newest known log-end offset; -1 before the first.
    pub(super) log_end: AtomicI64,
    /// The Kafka timestamp of the newest record, in milliseconds; -1 before the first.
    pub(super) newest_ms: AtomicI64,
    records: AtomicU64,
}

impl Progress {
    pub(super) fn new(starts: &[i64]) -> Self {
        let lane = |start: &i64| LaneProgress {
            next: AtomicI64::new(*start),
            log_end: AtomicI64::new(-1),
            newest_ms: AtomicI64::new(-1),
            records: AtomicU64::new(0),
        };
        Self {
            lanes: starts.iter().map(lane).collect(),
            open_rows: AtomicU64::new(0),
            open_bytes: AtomicU64::new(0),
        }
    }

    /// A worker added rows to the open micro-batch and now holds `bytes` for it.
    pub(super) fn open(&self, rows: u64, bytes: u64) {
        self.open_rows.fetch_add(rows, Ordering::Relaxed);
        self.open_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Rows in the open micro-batch, and the bytes of the worker that holds most.
    pub(super) fn open_size(&self) -> (u64, u64) {
        (self.open_rows.load(Ordering::Relaxed), self.open_bytes.load(Ordering::Relaxed))
    }

    /// The micro-batch was closed.
    pub(super) fn reset_open(&self) {
        self.open_rows.store(0, Ordering::Relaxed);
        self.open_bytes.store(0, Ordering::Relaxed);
    }

    /// Records read since the start.
    pub(super) fn read(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.records.load(Ordering::Relaxed)).sum()
    }

    /// Records between what is processed and what the logs hold, as far as known.
    pub(super) fn lag(&self) -> i64 {
        self.lanes.iter().filter_map(LaneProgress::lag).sum()
    }
}

impl LaneProgress {
    pub(super) fn chunk(&self, chunk: &Chunk) {
        self.next.store(chunk.next_offset(), Ordering::Relaxed);
        self.records.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        if let Some(last) = chunk.len().checked_sub(1) {
            self.newest_ms.store(chunk.record(last).timestamp_ms, Ordering::Relaxed);
        }
    }

    pub(super) fn lag(&self) -> Option<i64> {
        let end = self.log_end.load(Ordering::Relaxed);
        (end >= 0).then(|| (end - self.next.load(Ordering::Relaxed)).max(0))
    }

    pub(super) fn log_end(&self) -> Option<i64> {
        let end = self.log_end.load(Ordering::Relaxed);
        (end >= 0).then_some(end)
    }
}
