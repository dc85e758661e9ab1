//! What changed in one Kafka partition, on its way from the worker to the view and to the state table.

use super::error::Error;
use super::partial::Partial;
use super::plan::Plan;
use super::{stored, window};
use arrow_array::RecordBatch;
use std::sync::Arc;

/// The current partials of some groups of one Kafka partition: whole values, not differences. Shares what is large with
/// the state that it was taken from.
#[derive(Debug, Clone)]
pub struct Changes {
    pub(super) partition: i32,
    pub(super) next_offset: i64,
    pub(super) watermark_us: i64,
    pub(super) groups: Vec<Group>,
}

/// The partials of a group in one Kafka partition.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) start_us: i64,
    pub(super) key: Arc<[u8]>,
    /// One for each measure.
    pub(super) partials: Arc<[Partial]>,
}

impl Changes {
    /// Whether no group changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// The Kafka partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The offset to read next: all before it is in these partials.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The partition's watermark in milliseconds; `i64::MIN` before its first row.
    #[must_use]
    pub fn watermark_ms(&self) -> i64 {
        window::floor_ms(self.watermark_us)
    }

    /// The groups as rows of the state table, in [`Plan::state_schema`]: the micro-batch, the watermark, the window, the
    /// keys, and of each measure
    ///
    /// | function | columns |
    /// |---|---|
    /// | count | the number of rows |
    /// | sum, average | `_sum`, null if it left 38 digits; `_count` of values |
    /// | min, max | the value |
    /// | distinct | 16 bytes a value, sorted: fixed-width values as they are, text and bytes by their SipHash-1-3-128 |
    /// | `distinct_sketch` | a `DataSketches` HLL sketch |
    ///
    /// # Errors
    /// When the distinct values of all groups pass 2 GiB.
    pub fn state_rows(&self, plan: &Plan, micro_batch: i64) -> Result<RecordBatch, Error> {
        stored::write(self, plan, micro_batch)
    }
}
