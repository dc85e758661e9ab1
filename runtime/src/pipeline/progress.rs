//! What the threads tell each other while they run: numbers behind atomics, so that looking costs the hot path nothing.

use crate::record::Chunk;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How far everything is.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) lanes: Vec<LaneProgress>,
    open_rows: AtomicU64,
    /// By worker: bytes that it holds for the open micro-batch.
    open_bytes: Vec<AtomicU64>,
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
    pub(super) fn new(starts: &[i64], workers: usize) -> Self {
        let lane = |start: &i64| LaneProgress {
            next: AtomicI64::new(*start),
            log_end: AtomicI64::new(-1),
            newest_ms: AtomicI64::new(-1),
            records: AtomicU64::new(0),
        };
        Self {
            lanes: starts.iter().map(lane).collect(),
            open_rows: AtomicU64::new(0),
            open_bytes: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A worker added rows to the open micro-batch and now holds `bytes` for it.
    pub(super) fn open(&self, worker: usize, rows: u64, bytes: u64) {
        self.open_rows.fetch_add(rows, Ordering::Relaxed);
        self.open_bytes[worker].store(bytes, Ordering::Relaxed);
    }

    /// Rows and bytes in the open micro-batch.
    pub(super) fn open_size(&self) -> (u64, u64) {
        let bytes = self.open_bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        (self.open_rows.load(Ordering::Relaxed), bytes)
    }

    /// A worker handed over its share of `rows` rows.
    pub(super) fn closed(&self, worker: usize, rows: u64) {
        self.open_rows.fetch_sub(rows, Ordering::Relaxed);
        self.open_bytes[worker].store(0, Ordering::Relaxed);
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

    /// Records read since the start.
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
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
