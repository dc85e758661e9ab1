//! A dead letter as a row of the table tells of it.

use crate::checkpoint::SourcePartition;
use crate::record::Stage;
use crate::sink::system::LetterStatus;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use std::fmt;
use std::sync::Arc;

/// Where a record came from; written `orders#0/3:4711`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The partition.
    pub partition: SourcePartition,
    /// The record's offset in it.
    pub offset: i64,
}

impl Origin {
    /// Reads what [`fmt::Display`] writes; without an incarnation, `orders/3:4711`, the first is meant. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (partition, offset) = text.rsplit_once(':')?;
        let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
        let first = || {
            let (topic, partition) = partition.rsplit_once('/')?;
            Some(SourcePartition::new(topic, 0, partition.parse().ok()?))
        };
        Some(Self { partition: SourcePartition::parse(partition).or_else(first)?, offset })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// What makes two rows of the table be about one letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The record.
    pub origin: Origin,
    /// The module that could not make rows of it.
    pub module: String,
    /// The gold product for which its rows came too late; `None` where there are no rows.
    pub late_for: Option<String>,
}

impl Identity {
    /// The letter of a row with this stage and product.
    #[must_use]
    pub fn of(origin: Origin, module: &str, stage: &str, product: Option<&str>) -> Self {
        let late_for = product.filter(|_| stage == Stage::Aggregate.name());
        Self { origin, module: module.to_owned(), late_for: late_for.map(str::to_owned) }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.late_for {
            Some(product) => write!(f, "{} of {}, late for {product}", self.origin, self.module),
            None => write!(f, "{} of {}", self.origin, self.module),
        }
    }
}

/// A row of the dead-letter table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Which letter it is about.
    pub identity: Identity,
    /// The record's timestamp, in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: Option<i64>,
    /// The record's key, where it was read.
    pub key: Option<Vec<u8>>,
    /// The record's value, where it was read; a tombstone has none.
    pub value: Option<Vec<u8>>,
    /// Where it failed: `decode`, `transform`, `product` or `aggregate`.
    pub stage: String,
    /// Why, in the guest's words where it was the guest.
    pub reason: String,
    /// The digest of the module that had it last.
    pub digest: String,
    /// The product whose contract or window it missed.
    pub product: Option<String>,
    /// What became of it.
    pub status: LetterStatus,
    /// How often it has been through a module.
    pub tries: i32,
    /// The number of the request that this row answers; `None` for the first row of a letter.
    pub request: Option<i64>,
    /// The micro-batch that wrote the row.
    pub micro_batch: i64,
}

/// The columns that tell a letter's state.
pub(super) const STATE_COLUMNS: [&str; 9] =
    ["topic", "incarnation", "partition", "offset", "stage", "module", "product", "status", "request"];

/// All columns but the record's bytes.
pub(super) const COLUMNS: [&str; 14] = [
    "topic",
    "incarnation",
    "partition",
    "offset",
    "stage",
    "module",
    "product",
    "status",
    "request",
    "timestamp",
    "reason",
    "module_digest",
    "tries",
    "micro_batch",
];

/// The record's bytes.
pub(super) const BYTES: [&str; 2] = ["key", "value"];

/// Rows of the table, with as many columns as were read.
pub(super) struct Rows<'a> {
    topics: &'a StringArray,
    incarnations: &'a Int32Array,
    partitions: &'a Int32Array,
    offsets: &'a Int64Array,
    stages: &'a StringArray,
    modules: &'a StringArray,
    products: &'a StringArray,
    statuses: &'a StringArray,
    requests: &'a Int64Array,
    more: Option<More<'a>>,
    bytes: Option<[&'a BinaryArray; 2]>,
}

struct More<'a> {
    timestamps: &'a TimestampMicrosecondArray,
    reasons: &'a StringArray,
    digests: &'a StringArray,
    tries: &'a Int32Array,
    micro_batches: &'a Int64Array,
}

impl<'a> Rows<'a> {
    /// The columns of a batch; `None` if one that tells a letter's state is missing.
    pub(super) fn of(batch: &'a RecordBatch) -> Option<Self> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let int = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int32Type>();
        let long = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let bytes = |name: &str| batch.column_by_name(name)?.as_binary_opt::<i32>();
        let more = || {
            let timestamps = batch.column_by_name("timestamp")?.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some(More {
                timestamps,
                reasons: text("reason")?,
                digests: text("module_digest")?,
                tries: int("tries")?,
                micro_batches: long("micro_batch")?,
            })
        };
        Some(Self {
            topics: text("topic")?,
            incarnations: int("incarnation")?,
            partitions: int("partition")?,
            offsets: long("offset")?,
            stages: text("stage")?,
            modules: text("module")?,
            products: text("product")?,
            statuses: text("status")?,
            requests: long("request")?,
            more: more(),
            bytes: bytes(BYTES[0]).zip(bytes(BYTES[1])).map(|(key, value)| [key, value]),
        })
    }

    pub(super) fn origin(&self, row: usize) -> Origin {
        let partition = SourcePartition::new(
            Arc::from(self.topics.value(row)),
            self.incarnations.value(row).cast_unsigned(),
            self.partitions.value(row),
        );
        Origin { partition, offset: self.offsets.value(row) }
    }

    pub(super) fn is_of(&self, row: usize, origin: &Origin) -> bool {
        self.offsets.value(row) == origin.offset && self.origin(row) == *origin
    }

    pub(super) fn identity(&self, row: usize) -> Identity {
        let product = self.products.is_valid(row).then(|| self.products.value(row));
        Identity::of(self.origin(row), self.modules.value(row), self.stages.value(row), product)
    }

    pub(super) fn status(&self, row: usize) -> LetterStatus {
        LetterStatus::parse(self.statuses.value(row)).unwrap_or_default()
    }

    pub(super) fn request(&self, row: usize) -> Option<i64> {
        self.requests.is_valid(row).then(|| self.requests.value(row))
    }

    /// A row with all columns; `None` if they were not read.
    pub(super) fn letter(&self, row: usize) -> Option<Letter> {
        let more = self.more.as_ref()?;
        let bytes = |of: usize| {
            let column = self.bytes.as_ref()?[of];
            column.is_valid(row).then(|| column.value(row).to_vec())
        };
        Some(Letter {
            identity: self.identity(row),
            timestamp_ms: more.timestamps.is_valid(row).then(|| more.timestamps.value(row).div_euclid(1000)),
            key: bytes(0),
            value: bytes(1),
            stage: self.stages.value(row).to_owned(),
            reason: more.reasons.value(row).to_owned(),
            digest: more.digests.value(row).to_owned(),
            product: self.products.is_valid(row).then(|| self.products.value(row).to_owned()),
            status: self.status(row),
            tries: more.tries.value(row),
            request: self.request(row),
            micro_batch: more.micro_batches.value(row),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A rejected record of `orders#0/3`, timestamp 1 s.
    pub(in super::super) fn letter(offset: i64, reason: &str) -> Letter {
        let partition = SourcePartition::new("orders", 0, 3);
        Letter {
            identity: Identity::of(Origin { partition, offset }, "retail", "transform", None),
            timestamp_ms: Some(1_000),
            key: None,
            value: Some(b"{}".to_vec()),
            stage: "transform".to_owned(),
            reason: reason.to_owned(),
            digest: "d1".to_owned(),
            product: None,
            status: LetterStatus::Open,
            tries: 1,
            request: None,
            micro_batch: 1,
        }
    }

    #[test]
    fn an_origin_reads_back() {
        let origin = letter(4711, "").identity.origin;
        assert_eq!(origin.to_string(), "orders#0/3:4711");
        assert_eq!(Origin::parse("orders#0/3:4711"), Some(origin.clone()));
        assert_eq!(Origin::parse("orders/3:4711"), Some(origin));
        for wrong in ["", "orders", "orders#0/3", "orders#0/3:x", "orders#0/3:-1", "orders:7"] {
            assert_eq!(Origin::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_late_record_is_another_letter_for_every_gold_product() {
        let origin = letter(7, "").identity.origin;
        let of = |stage, product| Identity::of(origin.clone(), "retail", stage, product);
        assert_eq!(of("decode", None), of("product", Some("retail/sales")));
        assert_ne!(of("aggregate", Some("retail/by_hour")), of("aggregate", Some("retail/by_day")));
        assert_ne!(of("aggregate", Some("retail/by_hour")), of("decode", None));
    }
}
