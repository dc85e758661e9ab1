//! Bronze tables: the records of a topic as they were read, and which of them a table is known to hold without a gap.
//!
//! ```text
//! txn  orders#0/3          the next offset, as every table has it
//! txn  bronze:orders#0/3   from which offset on the table holds every record that was read, up to the next offset
//! ```
//!
//! The second one moves only where the first one jumps: when bronze is switched on, and where it was off for a while.

use super::system::{incarnation_column, origin_fields};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::columns::UTC;
use crate::record::Chunk;
use arrow_array::builder::{
    BinaryBuilder, Int64Builder, ListBuilder, StringBuilder, StructBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, Int32Array};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use lakeward_manifest::{Granularity, PartitionBy};
use std::sync::Arc;

/// What stands before a topic's name in the name under which a table says from where on it holds everything; Kafka has no such topics.
const PREFIX: &str = "bronze:";

/// The last millisecond of the year 9999. Producers make up timestamps (microseconds for milliseconds, for one), and the readers of tables
/// know no later dates: one such record would keep them from reading any.
const LAST_MS: i64 = 253_402_300_799_999;

/// The table of a topic, below the lake's location.
#[must_use]
pub fn path(topic: &str) -> String {
    format!("bronze/{topic}")
}

/// The name under which the table of a partition's topic says from where on it holds every record of the partition.
#[must_use]
pub fn start_of(partition: &SourcePartition) -> SourcePartition {
    SourcePartition { topic: format!("{PREFIX}{}", partition.topic).into(), ..partition.of_all() }
}

/// What a bronze table holds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The first offset from which on every record that was read is there.
    pub since: i64,
    /// The offset behind the last one.
    pub next: i64,
}

impl Held {
    /// What a table with these offsets holds; `None` where it never held anything.
    #[must_use]
    pub fn of(offsets: &Checkpoint, partition: &SourcePartition) -> Option<Self> {
        let (since, next) = (offsets.get(&start_of(partition))?, offsets.get(partition)?);
        (since < next).then_some(Self { since, next })
    }

    /// Whether everything from `offset` on is here, up to where a log that starts at `log_start` goes on.
    #[must_use]
    pub fn reaches(&self, offset: i64, log_start: i64) -> bool {
        self.since <= offset && log_start <= self.next
    }

    /// The oldest offset from which on everything can be read, here or in a log that starts at `log_start`.
    #[must_use]
    pub fn oldest(held: Option<Self>, log_start: i64) -> i64 {
        match held {
            Some(held) if held.reaches(held.since, log_start) => held.since.min(log_start),
            _ => log_start,
        }
    }
}

/// The columns of a bronze table: the key and the value are null where the record has none (a tombstone has no value), the headers are in
/// their order, the timestamp is null where there is none or it is beyond the year 9999.
#[must_use]
pub fn schema() -> Schema {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let mut fields: Vec<_> = vec![
        Arc::new(Field::new("key", DataType::Binary, true)),
        Arc::new(Field::new("value", DataType::Binary, true)),
        Arc::new(Field::new("headers", DataType::List(Arc::new(header_field())), false)),
        Arc::new(Field::new("timestamp", timestamp, true)),
    ];
    fields.extend(origin_fields());
    Schema::new(fields)
}

fn header_field() -> Field {
    Field::new("element", DataType::Struct(header_fields()), false)
}

fn header_fields() -> Fields {
    vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into()
}

/// Files are of one day of the records' timestamps.
#[must_use]
pub fn partition_by() -> PartitionBy {
    PartitionBy { column: "timestamp".to_owned(), by: Granularity::Day }
}

/// The columns of a chunk's records from the one at `first` on, as [`schema`] says.
#[must_use]
pub fn columns(chunk: &Chunk, first: usize, incarnation: u32) -> Vec<ArrayRef> {
    let rows = chunk.len() - first;
    let mut keys = BinaryBuilder::with_capacity(rows, 0);
    let mut values = BinaryBuilder::with_capacity(rows, chunk.bytes());
    let mut times = TimestampMicrosecondBuilder::with_capacity(rows)
        .with_data_type(DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())));
    let mut offsets = Int64Builder::with_capacity(rows);
    let header =
        StructBuilder::new(header_fields(), vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]);
    let mut headers = ListBuilder::new(header).with_field(header_field());
    for index in first..chunk.len() {
        let record = chunk.record(index);
        keys.append_option(record.key);
        values.append_option(record.value);
        times.append_option((0..=LAST_MS).contains(&record.timestamp_ms).then_some(record.timestamp_ms * 1000));
        offsets.append_value(record.offset);
        for (name, value) in chunk.headers(index) {
            let header = headers.values();
            if let Some(names) = header.field_builder::<StringBuilder>(0) {
                names.append_value(String::from_utf8_lossy(name));
            }
            if let Some(values) = header.field_builder::<BinaryBuilder>(1) {
                values.append_option(value);
            }
            header.append(true);
        }
        headers.append(true);
    }
    vec![
        Arc::new(keys.finish()),
        Arc::new(values.finish()),
        Arc::new(headers.finish()),
        Arc::new(times.finish()),
        Arc::new(Int32Array::from_value(incarnation_column(incarnation), rows)),
        Arc::new(Int32Array::from_value(chunk.partition(), rows)),
        Arc::new(offsets.finish()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Record};
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;
    use arrow_array::{Array, RecordBatch};

    #[test]
    fn a_record_is_kept_as_it_was_read() {
        let mut chunk = Chunk::new("orders".into(), 3, 5);
        let mut packed = Vec::new();
        Headers::pack(&mut packed, b"trace", Some(b"7"));
        Headers::pack(&mut packed, b"none", None);
        let record = |offset, timestamp_ms, key, value| Record { offset, timestamp_ms, key, value };
        chunk.push(record(5, 1, None, None));
        chunk.push_with(record(6, 2, Some(b"k"), Some(b"v")), Headers::packed(&packed));
        chunk.push(record(7, -1, Some(b""), Some(b"")));
        chunk.push(record(8, LAST_MS + 1, None, None));
        let rows = RecordBatch::try_new(Arc::new(schema()), columns(&chunk, 1, 2)).unwrap();
        let (keys, values) = (rows.column(0).as_binary::<i32>(), rows.column(1).as_binary::<i32>());
        assert_eq!((keys.value(0), values.value(0)), (&b"k"[..], &b"v"[..]));
        assert!(keys.is_valid(1) && keys.is_null(2) && values.is_valid(1) && values.is_null(2));
        let headers = rows.column(2).as_list::<i32>();
        assert_eq!((headers.value_length(0), headers.value_length(1)), (2, 0));
        let first = headers.value(0);
        assert_eq!(first.as_struct().column(0).as_string::<i32>().value(0), "trace");
        assert!(first.as_struct().column(1).is_null(1));
        let times = rows.column(3).as_primitive::<TimestampMicrosecondType>();
        assert_eq!((times.value(0), times.is_null(1), times.is_null(2)), (2_000, true, true));
        assert_eq!(rows.column(6).as_primitive::<arrow_array::types::Int64Type>().values(), &[6, 7, 8]);
    }

    #[test]
    fn what_is_held_is_what_follows_without_a_gap() {
        let partition = SourcePartition::new("orders", 1, 3);
        assert_eq!(start_of(&partition).to_string(), "bronze:orders#1/3");
        let offsets =
            |since: i64, next: i64| [(start_of(&partition), since), (partition.clone(), next)].into_iter().collect();
        assert_eq!(Held::of(&offsets(5, 5), &partition), None);
        assert_eq!(Held::of(&Checkpoint::default(), &partition), None);
        let held = Held::of(&offsets(5, 20), &partition).unwrap();
        // From where, where the log starts, and whether all is there.
        for (offset, log_start, reaches) in [(5, 20, true), (4, 20, false), (7, 21, false), (7, 8, true)] {
            assert_eq!(held.reaches(offset, log_start), reaches, "{offset} {log_start}");
        }
        for (log_start, oldest) in [(20, 5), (21, 21), (0, 0)] {
            assert_eq!(Held::oldest(Some(held), log_start), oldest, "{log_start}");
        }
        assert_eq!(Held::oldest(None, 9), 9);
    }
}
