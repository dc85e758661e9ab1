//! The partial aggregates of one Kafka partition, on the worker that owns it.

use super::accumulate::{Accumulator, LATE};
use super::changes::Changes;
use super::error::Error;
use super::groups::{self, Groups};
use super::plan::Plan;
use super::stored;
use super::window;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::Rows;
use std::sync::Arc;

/// The partial aggregates of one gold product for one Kafka partition. Owned by one worker thread, without locks.
///
/// Every group that has had a row is kept, closed ones too, until [`Self::forget`]: the state table's snapshot is made of them.
#[derive(Debug)]
pub struct PartitionState {
    plan: Arc<Plan>,
    partition: i32,
    watermark_us: i64,
    /// Windows that start before this were let go of.
    kept_from_us: i64,
    groups: Groups,
    /// The micro-batch from which each group was restored; groups behind its end are new.
    restored: Vec<i64>,
    /// The group of each row of the chunk at hand; kept for its capacity.
    placed: Vec<u32>,
    /// The keys of the chunk at hand; kept for their capacity. None without keys.
    encoded: Option<Rows>,
}

/// Which windows take rows, of those that were not let go of.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Those that neither the watermark nor the horizon has closed.
    Open { horizon_us: i64 },
    /// All.
    Any,
}

impl PartitionState {
    /// The state of a partition that has had no rows.
    #[must_use]
    pub fn new(plan: Arc<Plan>, partition: i32) -> Self {
        let encoded = (!plan.keys.is_empty()).then(|| plan.encoder.empty_rows(0, 0));
        Self {
            plan,
            partition,
            watermark_us: i64::MIN,
            kept_from_us: i64::MIN,
            groups: Groups::default(),
            restored: Vec::new(),
            placed: Vec::new(),
            encoded,
        }
    }

    /// Takes rows of the state table that belong to this partition, before any other row. May be called several times;
    /// where a group stands more than once, the row of the latest micro-batch wins.
    ///
    /// # Errors
    /// When the rows are not of the plan's state schema, or belong to another partition. The state is unusable then.
    pub fn restore(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let stored = stored::Stored::of(&self.plan, self.partition, rows)?;
        let encoded = self.encode(&stored.keys);
        for row in 0..rows.num_rows() {
            let key = encoded.as_ref().map_or(&[][..], |rows| rows.row(row).data());
            let group = self.groups.place(&self.plan, stored.starts_us[row], key);
            if self.restored.len() <= group as usize {
                self.restored.resize(group as usize + 1, i64::MIN);
            }
            let newest = &mut self.restored[group as usize];
            if *newest <= stored.micro_batches[row] {
                *newest = stored.micro_batches[row];
                self.groups.restore(group, stored.partials(&self.plan, row)?);
            }
            self.watermark_us = self.watermark_us.max(stored.watermarks_us[row]);
        }
        self.encoded = encoded;
        Ok(())
    }

    /// Adds rows of the source product: its columns in table types, in the product's order, after masking.
    ///
    /// Returns the rows that came too late and were not added: the watermark up to that row, or `horizon_ms`, had
    /// reached the end of the row's window plus the lateness, or the window was let go of. A late row does not move the watermark.
    ///
    /// # Panics
    /// When the rows are not of the source product's table schema, which the product stage guarantees.
    #[must_use]
    pub fn update(&mut self, rows: &RecordBatch, horizon_ms: i64) -> Vec<u32> {
        self.add(rows, Rule::Open { horizon_us: window::us(horizon_ms) })
    }

    /// Adds rows of the source product to their windows, closed ones too: what those answered is restated. The watermark stays where it is,
    /// so that which later rows are late does not depend on when rows were restated.
    ///
    /// Returns the rows that were not added: their windows were let go of.
    ///
    /// # Panics
    /// When the rows are not of the source product's table schema, which the product stage guarantees.
    #[must_use]
    pub fn restate(&mut self, rows: &RecordBatch) -> Vec<u32> {
        self.add(rows, Rule::Any)
    }

    fn add(&mut self, rows: &RecordBatch, rule: Rule) -> Vec<u32> {
        let late = self.place(rows, rule);
        for (index, measure) in self.plan.measures.iter().enumerate() {
            let mut accumulator = Accumulator {
                partials: &mut self.groups.partials,
                stride: self.plan.measures.len(),
                measure: index,
                placed: &self.placed,
            };
            match measure.column {
                Some(column) => accumulator.add(measure.function, rows.column(column)),
                None => accumulator.count(),
            }
        }
        late
    }

    /// Finds the group of every row, and the rows that are late.
    fn place(&mut self, rows: &RecordBatch, rule: Rule) -> Vec<u32> {
        let keys: Vec<_> = self.plan.keys.iter().map(|key| Arc::clone(rows.column(key.column))).collect();
        let encoded = self.encode(&keys);
        let windows = self.plan.windows;
        let mut late = Vec::new();
        // The window and key of the row before: consecutive rows are often of one group.
        let (mut start_us, mut end_us, mut closes_at_us) = (0, i64::MIN, i64::MIN);
        let (mut group, mut group_key): (u32, &[u8]) = (LATE, &[]);
        self.placed.clear();
        for (row, &time_us) in self.plan.times_us(rows).iter().enumerate() {
            if time_us < start_us || time_us >= end_us {
                start_us = windows.start_us(time_us);
                end_us = windows.end_us(start_us);
                closes_at_us = windows.closes_at_us(start_us);
                group = LATE;
            }
            let is_closed = match rule {
                Rule::Open { horizon_us } => closes_at_us <= self.watermark_us.max(horizon_us),
                Rule::Any => false,
            };
            if is_closed || start_us < self.kept_from_us {
                late.push(u32::try_from(row).expect("a chunk has fewer than 2^32 rows"));
                self.placed.push(LATE);
                continue;
            }
            if matches!(rule, Rule::Open { .. }) {
                self.watermark_us = self.watermark_us.max(time_us);
            }
            let key = encoded.as_ref().map_or(&[][..], |rows| rows.row(row).data());
            if group == LATE || key != group_key {
                group = self.groups.place(&self.plan, start_us, key);
                group_key = key;
                self.groups.touch(group);
            }
            self.placed.push(group);
        }
        self.encoded = encoded;
        late
    }

    /// The keys of a chunk as bytes; the caller puts the buffer back.
    fn encode(&mut self, keys: &[ArrayRef]) -> Option<Rows> {
        let mut encoded = self.encoded.take()?;
        encoded.clear();
        self.plan.encoder.append(&mut encoded, keys).expect("key columns are of the types that the plan was made for");
        Some(encoded)
    }

    /// The largest event time that was added, in milliseconds, rounded down; `i64::MIN` before the first row.
    #[must_use]
    pub fn watermark_ms(&self) -> i64 {
        window::floor_ms(self.watermark_us)
    }

    /// Lets go of the groups of windows that start before `start_us`. They must be closed: rows that still come for them are late.
    pub fn forget(&mut self, start_us: i64) {
        self.kept_from_us = self.kept_from_us.max(start_us);
        let stays = self.groups.forget(start_us);
        groups::keep(&mut self.restored, |group| stays[group]);
    }

    /// The newest micro-batch among the restored groups; 0 without one.
    #[must_use]
    pub fn newest_micro_batch(&self) -> i64 {
        self.restored.iter().copied().max().unwrap_or(0).max(0)
    }

    /// The number of groups, of all windows.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The groups that changed (or were restored) since the last call, for the live view. `next_offset` is the position up
    /// to which the partition's records have been added.
    pub fn take_live(&mut self, next_offset: i64) -> Changes {
        let groups = self.groups.take_live();
        self.changes(next_offset, groups)
    }

    /// The groups that changed since the last call, for the commit. Independent of [`Self::take_live`].
    pub fn take_commit(&mut self, next_offset: i64) -> Changes {
        let groups = self.groups.take_commit();
        self.changes(next_offset, groups)
    }

    /// All groups, for writing the state table anew; nothing is left for [`Self::take_commit`].
    pub fn take_all(&mut self, next_offset: i64) -> Changes {
        let groups = self.groups.take_all();
        self.changes(next_offset, groups)
    }

    fn changes(&self, next_offset: i64, groups: Vec<super::changes::Group>) -> Changes {
        Changes { partition: self.partition, next_offset, watermark_us: self.watermark_us, groups }
    }
}
