//! The table of requests about dead letters: the topic, so to say, of which every source partition's redrives are read.
//!
//! For each partition of each topic the requests are numbered from 0; the table's own offsets, under the name that [`sequence_of`] gives,
//! are the numbers that the next requests get, and those of the pipeline's tables are the numbers that they execute next.

use super::{Layout, TableSpec};
use crate::checkpoint::SourcePartition;
use crate::columns::UTC;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lakeward_manifest::{Granularity, PartitionBy};
use std::sync::Arc;

/// The path of the table.
pub const REDRIVES: &str = "_lakeward/redrives";

/// What stands before a topic's name in the name of the sequence of its redrives; Kafka has no such topics.
const PREFIX: &str = "redrive:";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send the record through the module that is active by then.
    Redrive,
    /// Let it be.
    Discard,
}

impl Action {
    /// The action in the column `action`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Discard => "discard",
        }
    }

    /// Reads what [`Self::name`] gives; `None` for anything else.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Redrive, Self::Discard].into_iter().find(|action| action.name() == name)
    }
}

/// The sequence of the redrives of a partition, as offsets know it. It goes on over the topic's incarnations, as the partition's aggregate
/// state does.
#[must_use]
pub fn sequence_of(topic: &str, partition: i32) -> SourcePartition {
    SourcePartition::new(format!("{PREFIX}{topic}"), 0, partition)
}

/// The topic whose redrives a sequence numbers; `None` for a partition of a topic itself.
#[must_use]
pub fn topic_of(sequence: &SourcePartition) -> Option<&str> {
    sequence.topic.strip_prefix(PREFIX)
}

/// The columns of the table. `topic` and `partition` stand in the files' paths.
#[must_use]
pub fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let field = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), false);
    let (text, long, int, bytes) = (DataType::Utf8, DataType::Int64, DataType::Int32, DataType::Binary);
    Arc::new(Schema::new(vec![
        field("topic", &text),
        field("partition", &int),
        field("sequence", &long),
        field("request", &text),
        field("action", &text),
        field("incarnation", &int),
        field("offset", &long),
        field("module", &text),
        field("module_digest", &text),
        field("stage", &text),
        field("reason", &text),
        Field::new("product", text.clone(), true),
        field("tries", &int),
        Field::new("timestamp", time.clone(), true),
        Field::new("key", bytes.clone(), true),
        Field::new("value", bytes, true),
        field("who", &text),
        field("at", &time),
    ]))
}

/// How the table's files are laid out: each is of one partition.
#[must_use]
pub fn layout() -> Arc<Layout> {
    let by = ["topic", "partition"].map(|column| PartitionBy { column: column.to_owned(), by: Granularity::Value });
    Layout::new(REDRIVES, &schema(), &by, &["sequence"])
}

/// The table, for whoever opens it.
#[must_use]
pub fn spec(layout: &Layout) -> TableSpec {
    TableSpec {
        path: REDRIVES.to_owned(),
        description: "Dead letters that somebody wants redriven or discarded.".to_owned(),
        schema: layout.table_schema(),
        partition_columns: layout.partition_columns(),
        track_files: true,
        evolves: false,
    }
}

/// The name of a file whose first request has this number: so nobody has to open it to know.
#[must_use]
pub fn file_name(path: &str, first: i64) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{first:020}-{}.parquet", uuid::Uuid::new_v4())
}

/// The number of the first request in a file of this name; `None` for a file that somebody else wrote.
#[must_use]
pub fn first_of_file(path: &str) -> Option<i64> {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.split_once('-')?.0.parse().ok().filter(|_| name.find('-') == Some(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_not_taken_for_a_topic() {
        let sequence = sequence_of("orders", 3);
        assert_eq!(sequence.to_string(), "redrive:orders#0/3");
        assert_eq!(topic_of(&sequence), Some("orders"));
        assert_eq!(topic_of(&SourcePartition::new("orders", 0, 3)), None);
    }

    #[test]
    fn a_file_tells_its_first_request() {
        let path = file_name("topic=orders/partition=3/part-x.snappy.parquet", 42);
        assert!(path.starts_with("topic=orders/partition=3/00000000000000000042-"), "{path}");
        assert_eq!(first_of_file(&path), Some(42));
        assert_eq!(first_of_file("topic=orders/partition=3/part-00000-c000.snappy.parquet"), None);
        assert_eq!(first_of_file("topic=orders/partition=3/00000-c000.parquet"), None);
    }
}
