//! Reads records: from Kafka in batches, or from files; gathers them into chunks of one partition each.

mod backed;
mod chunker;
mod error;
mod files;
mod kafka;
mod membership;
mod peers;
mod queue;
mod topic_id;

pub use backed::{Backed, Past};
pub use chunker::Chunker;
pub use error::Error;
pub use files::Files;
pub use kafka::{Kafka, Settings};
pub use membership::{Lease, Membership, TopicPartition};
pub use topic_id::TopicIds;

use std::sync::Arc;

/// A partition to read and where to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset to read next.
    pub start: i64,
    /// Whether somebody wants the records' headers: librdkafka unpacks them one by one, and only when asked.
    pub with_headers: bool,
    /// Whether nobody misses what the log loses until it is read: it is read from its beginning, wherever behind `start` that is by then.
    pub from_beginning: bool,
}

/// The first and the next-to-be-written offset of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRange {
    /// The oldest offset that can still be read.
    pub start: i64,
    /// The offset that the next record will get.
    pub end: i64,
}

/// Something that records can be read from, on a thread of its own.
pub trait Reader: Send {
    /// Reads what is there into `chunker`, whose slots are the assigned partitions in order; waits a few milliseconds if there is nothing.
    ///
    /// # Errors
    /// When a partition cannot be read on; the error says whether trying again may help.
    fn read(&mut self, chunker: &mut Chunker) -> Result<(), Error>;

    /// The newest known log-end offset of a slot.
    fn log_end(&self, slot: usize) -> Option<i64>;

    /// Tells the source how far the tables have got, as a hint for dashboards.
    fn committed(&mut self, next_offsets: &[(usize, i64)]);
}
