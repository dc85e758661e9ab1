//! What an operator sees: plain data that the pipeline fills in and `/v1/status` shows.

use super::Time;
use lakeward_manifest::Layer;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The state of the whole pipeline at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The pipeline's name.
    pub pipeline: String,
    /// The version of the binary.
    pub version: String,
    /// What the pipeline is doing.
    pub state: State,
    /// When the process started.
    pub started_at: Time,
    /// The last thing that went wrong, even if it has been overcome since.
    pub last_error: Option<Failure>,
    /// How far each topic has been read.
    pub topics: Vec<Topic>,
    /// What has been committed.
    pub commits: Commits,
    /// The modules, those that get no records among them.
    pub modules: Vec<Module>,
    /// The tables of the products.
    pub products: Vec<Product>,
    /// How fast records are being read.
    pub throughput: Throughput,
    /// Modules that are behind the others and catch up beside them; `None` while all are together.
    pub catch_up: Option<CatchUp>,
    /// The age of the newest record in the live answers: seconds between its Kafka timestamp and now. `None` before the
    /// first record.
    pub freshness_seconds: Option<f64>,
}

impl Status {
    /// The status of a pipeline that has done nothing yet.
    #[must_use]
    pub fn starting(pipeline: impl Into<String>, started_at: Time) -> Self {
        Self {
            pipeline: pipeline.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: State::Starting,
            started_at,
            last_error: None,
            topics: Vec::new(),
            commits: Commits::default(),
            modules: Vec::new(),
            products: Vec::new(),
            throughput: Throughput::default(),
            catch_up: None,
            freshness_seconds: None,
        }
    }

    /// The table of the product `path`.
    #[must_use]
    pub fn product(&self, path: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.path == path)
    }
}

/// What the pipeline is doing; a sentence in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Loading modules and state.
    Starting,
    /// Reading, committing, answering.
    Running,
    /// Kafka, a topic or the lake is not there, or no partition can be read on; why.
    Waiting(String),
    /// Committing what was read, before it ends.
    Draining,
    /// Ended; why.
    Stopped(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Running => f.write_str("running"),
            Self::Waiting(why) => write!(f, "waiting: {why}"),
            Self::Draining => f.write_str("draining"),
            Self::Stopped(why) => write!(f, "stopped: {why}"),
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// When.
    pub at: Time,
    /// The chain of causes, for a person.
    pub message: String,
}

/// How far a topic has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// The topic.
    pub topic: String,
    /// Its partitions that this instance reads.
    pub partitions: Vec<Partition>,
    /// Its partitions that other instances read.
    pub elsewhere: Vec<i32>,
    /// Its partitions that cannot be read on, and why.
    pub stopped: BTreeMap<i32, String>,
}

/// How far a partition has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// The partition.
    pub partition: i32,
    /// The offset to read next.
    pub next_offset: i64,
    /// The offset that the next record written to the partition will get, as far as the broker has said.
    pub log_end_offset: Option<i64>,
    /// Records between the two.
    pub lag: Option<i64>,
    /// Event time before which the partition is expected to bring nothing more.
    pub watermark: Option<Time>,
    /// Whether the partition has been silent so long that windows close without it.
    pub idle: bool,
}

/// What has been committed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Commits {
    /// The number of the last micro-batch; `None` before the first.
    pub micro_batch: Option<i64>,
    /// When it was committed.
    pub committed_at: Option<Time>,
    /// What it held.
    pub last: Counts,
    /// How long its commit took, in seconds.
    pub seconds: f64,
    /// What has been committed since the process started.
    pub total: Counts,
}

/// What became of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records read.
    pub records: u64,
    /// Rows written, over all silver products.
    pub rows: u64,
    /// Records from which a transform made nothing, on purpose.
    pub skips: u64,
    /// Records that could not become rows.
    pub dead_letters: u64,
    /// Rows that came after their window had closed, or whose time is too far ahead.
    pub late: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.rows += other.rows;
        self.skips += other.skips;
        self.dead_letters += other.dead_letters;
        self.late += other.late;
    }
}

/// A module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Module {
    /// The module's name.
    pub name: String,
    /// Its version, as the manifest says.
    pub version: String,
    /// The domain that owns it.
    pub owner: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// Why somebody paused it; `None` while it gets records, and while it is parked.
    pub paused: Option<String>,
    /// Why the runtime parked it: it failed too often. `None` while it gets records, and while it is paused.
    pub parked: Option<String>,
    /// By partition, `orders#0/3`: why it is not read on for this module. Its products lack what comes there until that is mended.
    pub stopped: BTreeMap<String, String>,
    /// What it was given, made and used.
    #[serde(flatten)]
    pub metered: Metered,
}

/// What a module was given, made of it and used, since this process runs its digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metered {
    /// Records given to it.
    pub records: u64,
    /// Records that it rejected or failed on.
    pub rejects: u64,
    /// Of these, records that it failed on: by a panic, a limit, or an output that is not what it says.
    pub failures: u64,
    /// Rows that it gave back, before they were held to their contracts.
    pub rows: u64,
    /// Calls of it, of up to 8,192 records each.
    pub calls: u64,
    /// Calls that failed: a record at fault takes several.
    pub traps: u64,
    /// Time in it, over all workers.
    pub seconds: f64,
    /// Fuel used.
    pub fuel: u64,
    /// Bytes that it gave back.
    pub output_bytes: u64,
    /// The mean time of one record in it, all in; `None` before the first.
    pub nanoseconds_per_event: Option<f64>,
    /// The mean fuel of one record; `None` before the first.
    pub fuel_per_event: Option<f64>,
    /// The share of the workers' time that it took within the last minute, 1 for all of it; `None` where nothing was committed.
    pub worker_share: Option<f64>,
    /// Why it is called slow: it takes most of the workers' time.
    pub slow: Option<String>,
    /// The most that one call used, beside what a call may use.
    pub call: CallUse,
}

/// The most that one call of a module used, beside what a call may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CallUse {
    /// Fuel.
    pub fuel: Bounded<u64>,
    /// Linear memory.
    pub memory_bytes: Bounded<u64>,
    /// What it gave back.
    pub output_bytes: Bounded<u64>,
    /// Wall-clock time.
    pub seconds: Bounded<f64>,
}

/// A figure and its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounded<T> {
    /// The most that there was.
    pub most: T,
    /// The most that there may be.
    pub limit: T,
}

/// The table of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// `domain/name`.
    pub path: String,
    /// The layer.
    pub layer: Layer,
    /// The table's newest version; `None` before the table exists.
    pub table_version: Option<i64>,
    /// The micro-batch that this version holds.
    pub micro_batch: Option<i64>,
    /// When that version was committed.
    pub committed_at: Option<Time>,
    /// Rows written to a silver table since the process started.
    pub rows_total: u64,
    /// The next offset that the table will take, by `topic#incarnation/partition`.
    pub next_offsets: BTreeMap<String, i64>,
}

/// Modules that catch up with the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CatchUp {
    /// The modules.
    pub modules: Vec<String>,
    /// Records between them and the others.
    pub records_left: i64,
    /// How many fewer these become a second, over the last seconds.
    pub records_per_second: f64,
    /// When they meet, if it goes on so; `None` while they do not come nearer.
    pub expected_at: Option<Time>,
    /// By partition, `orders#0/3`: why they cannot read it on. They stay apart until that is mended.
    pub stopped: BTreeMap<String, String>,
}

/// How fast records are being read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Throughput {
    /// Records read a second, over the last seconds.
    pub records_per_second: f64,
}
