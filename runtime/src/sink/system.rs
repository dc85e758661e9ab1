//! The tables that Lakeward keeps for itself: dead letters, and one row a micro-batch.

use crate::columns::UTC;
use crate::record::Record;
use arrow_array::builder::{BinaryBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The path of the dead-letter table.
pub const DEAD_LETTERS: &str = "_lakeward/dead_letters";

/// The path of the commits table.
pub const COMMITS: &str = "_lakeward/commits";

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// The hidden columns that lead a silver row back to its record: the topic's incarnation, its partition and the offset. The topic is the
/// product's only one.
pub const ORIGIN_COLUMNS: [&str; 3] = ["_lakeward_incarnation", "_lakeward_partition", "_lakeward_offset"];

/// The fields of [`ORIGIN_COLUMNS`].
#[must_use]
pub fn origin_fields() -> [FieldRef; 3] {
    let types = [DataType::Int32, DataType::Int32, DataType::Int64];
    std::array::from_fn(|index| Arc::new(Field::new(ORIGIN_COLUMNS[index], types[index].clone(), false)))
}

/// An incarnation as tables hold it: Delta Lake has no unsigned integers.
#[must_use]
pub fn incarnation_column(incarnation: u32) -> i32 {
    incarnation.cast_signed()
}

/// The columns of the dead-letter table.
#[must_use]
pub fn dead_letters_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("incarnation", DataType::Int32, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", timestamp(), true),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("stage", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("module", DataType::Utf8, false),
        Field::new("module_digest", DataType::Utf8, false),
        Field::new("product", DataType::Utf8, true),
        Field::new("status", DataType::Utf8, false),
        Field::new("tries", DataType::Int32, false),
        Field::new("request", DataType::Int64, true),
        Field::new("micro_batch", DataType::Int64, false),
    ]))
}

/// What became of a dead letter: the table is append-only, its newest row says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LetterStatus {
    /// The record is no row yet.
    #[default]
    Open,
    /// The record went through the module again, and came out as rows or as nothing on purpose.
    Redriven,
    /// Somebody decided that the record stays without rows.
    Discarded,
}

impl LetterStatus {
    /// The status in the column `status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }

    /// Reads what [`Self::name`] gives; `None` for anything else.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Open, Self::Redriven, Self::Discarded].into_iter().find(|status| status.name() == name)
    }
}

/// A dead letter and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// The topic.
    pub topic: &'a str,
    /// How often the topic was recreated under its name.
    pub incarnation: u32,
    /// The partition.
    pub partition: i32,
    /// The record as read.
    pub record: Record<'a>,
    /// Where it failed, as [`crate::record::Stage::name`] says it.
    pub stage: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The module that reads the topic.
    pub module: &'a str,
    /// The module's digest.
    pub digest: &'a str,
    /// The product whose contract or window it missed.
    pub product: Option<&'a str>,
    /// What became of it.
    pub status: LetterStatus,
    /// How often the record has been through a module.
    pub tries: i32,
    /// The request that this row answers, by its number in the sequence of the partition's redrives; `None` for a letter's first row.
    pub request: Option<i64>,
}

/// Dead letters on their way to the table.
#[derive(Debug, Default)]
pub struct Letters {
    topic: StringBuilder,
    incarnation: Int32Builder,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMicrosecondBuilder,
    key: BinaryBuilder,
    value: BinaryBuilder,
    stage: StringBuilder,
    reason: StringBuilder,
    module: StringBuilder,
    digest: StringBuilder,
    product: StringBuilder,
    status: StringBuilder,
    tries: Int32Builder,
    request: Int64Builder,
    rows: usize,
    bytes: usize,
}

impl Letters {
    /// Adds a letter.
    pub fn push(&mut self, letter: &Letter<'_>) {
        let record = &letter.record;
        self.topic.append_value(letter.topic);
        self.incarnation.append_value(incarnation_column(letter.incarnation));
        self.partition.append_value(letter.partition);
        self.offset.append_value(record.offset);
        self.timestamp.append_option((record.timestamp_ms >= 0).then(|| record.timestamp_ms.saturating_mul(1000)));
        self.key.append_option(record.key);
        self.value.append_option(record.value);
        self.stage.append_value(letter.stage);
        self.reason.append_value(letter.reason);
        self.module.append_value(letter.module);
        self.digest.append_value(letter.digest);
        self.product.append_option(letter.product);
        self.status.append_value(letter.status.name());
        self.tries.append_value(letter.tries);
        self.request.append_option(letter.request);
        self.rows += 1;
        self.bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + letter.reason.len();
    }

    /// Bytes that the letters hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the columns out, as [`dead_letters_schema`] says; `None` without a letter.
    pub fn finish(&mut self, micro_batch: i64) -> Option<Vec<ArrayRef>> {
        if self.rows == 0 {
            return None;
        }
        let rows = self.rows;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.topic.finish()),
            Arc::new(self.incarnation.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.timestamp.finish().with_timezone(UTC)),
            Arc::new(self.key.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.stage.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.module.finish()),
            Arc::new(self.digest.finish()),
            Arc::new(self.product.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.tries.finish()),
            Arc::new(self.request.finish()),
            Arc::new(Int64Array::from(vec![micro_batch; rows])),
        ];
        (self.rows, self.bytes) = (0, 0);
        Some(columns)
    }
}

/// The columns of the commits table.
#[must_use]
pub fn commits_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("micro_batch", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("committed_at", timestamp(), false),
        Field::new("records", DataType::Int64, false),
        Field::new("with_rows", DataType::Int64, false),
        Field::new("skips", DataType::Int64, false),
        Field::new("dead_letters", DataType::Int64, false),
        Field::new("rows", DataType::Int64, false),
        Field::new("late", DataType::Int64, false),
        Field::new("redriven", DataType::Int64, false),
        Field::new("redriven_with_rows", DataType::Int64, false),
        Field::new("redriven_skips", DataType::Int64, false),
        Field::new("redriven_dead_letters", DataType::Int64, false),
        Field::new("redriven_rows", DataType::Int64, false),
        Field::new("discarded", DataType::Int64, false),
        Field::new("offsets", DataType::Utf8, false),
        Field::new("tables", DataType::Utf8, false),
        Field::new("modules", DataType::Utf8, false),
        Field::new("seconds", DataType::Float64, false),
    ]))
}

/// Why offsets moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CommitKind {
    /// Records were read and became what the counts say.
    #[default]
    MicroBatch,
    /// Somebody moved them on purpose: what lies between was not read, and the counts are 0.
    Moved,
    /// The products of a module went back to an earlier micro-batch: what lies between was undone, and is read again.
    Rewound,
    /// The products of a module were emptied, to be made anew by another that may give them other columns.
    Rebuilt,
}

impl CommitKind {
    /// The kind in the column `kind`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MicroBatch => "micro_batch",
            Self::Moved => "moved",
            Self::Rewound => "rewound",
            Self::Rebuilt => "rebuilt",
        }
    }
}

/// What became of dead letters that somebody asked to be redriven or discarded: `records = with rows + skips + dead letters`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedrivenCounts<N> {
    /// Letters that went through their module again.
    pub records: N,
    /// Of these, records that became rows, or whose late rows were added to their windows.
    pub with_rows: N,
    /// Records from which the module made nothing, on purpose.
    pub skips: N,
    /// Records that failed again.
    pub dead_letters: N,
    /// Rows written to silver tables.
    pub rows: N,
    /// Letters that were discarded.
    pub discarded: N,
}

/// One row of the commits table: a micro-batch, or a move of offsets.
#[derive(Debug, Clone, Default)]
pub struct CommitRow {
    /// The micro-batch.
    pub micro_batch: i64,
    /// Why offsets moved.
    pub kind: CommitKind,
    /// When it was committed, in milliseconds since 1970-01-01T00:00:00Z.
    pub committed_at_ms: i64,
    /// Records given to modules; one that two modules read counts twice.
    pub records: i64,
    /// Of these, records that became rows.
    pub with_rows: i64,
    /// Records from which a module made nothing, on purpose.
    pub skips: i64,
    /// Records that became dead letters.
    pub dead_letters: i64,
    /// Rows written.
    pub rows: i64,
    /// Rows that came after their window had closed.
    pub late: i64,
    /// What became of dead letters that somebody asked for.
    pub redriven: RedrivenCounts<i64>,
    /// `{"orders#0/3": [from, next]}`; of dead letters by their requests, `{"redrive:orders#0/3": [from, next]}`.
    pub offsets: String,
    /// `{"silver/retail/sales": version}`; of a move only the tables that were moved.
    pub tables: String,
    /// `{"retail": "sha-256"}`.
    pub modules: String,
    /// How long the commit took up to this row.
    pub seconds: f64,
}

impl CommitRow {
    /// The row's columns, as [`commits_schema`] says.
    #[must_use]
    pub fn columns(&self) -> Vec<ArrayRef> {
        let long = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
        let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let at = TimestampMicrosecondArray::from(vec![self.committed_at_ms.saturating_mul(1000)]).with_timezone(UTC);
        vec![
            long(self.micro_batch),
            text(self.kind.name()),
            Arc::new(at),
            long(self.records),
            long(self.with_rows),
            long(self.skips),
            long(self.dead_letters),
            long(self.rows),
            long(self.late),
            long(self.redriven.records),
            long(self.redriven.with_rows),
            long(self.redriven.skips),
            long(self.redriven.dead_letters),
            long(self.redriven.rows),
            long(self.redriven.discarded),
            text(&self.offsets),
            text(&self.tables),
            text(&self.modules),
            Arc::new(Float64Array::from(vec![self.seconds])),
        ]
    }
}
