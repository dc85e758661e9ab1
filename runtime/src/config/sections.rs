//! The sections of the configuration, but for Kafka's.

use super::ratio::Ratio;
use super::value::{self, Properties, Secret};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// `[lake]`: where the tables are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lake {
    /// A folder (relative to the current directory) or a URL: `file://`, `s3://`, `s3a://`, `gs://`, `az://`,
    /// `abfss://`. Default `./lake`.
    #[serde(deserialize_with = "value::location")]
    pub location: String,
    /// What the object store needs to know, as `aws_endpoint` or `aws_access_key_id`; none by default.
    pub options: Properties,
}

impl Default for Lake {
    fn default() -> Self {
        Self { location: "./lake".to_owned(), options: Properties::default() }
    }
}

/// `[modules.<name>]`: a module that the pipeline runs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// A `.wasm` file, or the folder of a module crate, which is built first. Relative to the configuration file.
    pub path: PathBuf,
    /// As `park_after` under `[transform]`, for this module alone. Default: what stands there.
    #[serde(default, deserialize_with = "value::park_after")]
    pub park_after: Option<ParkAfter>,
}

/// When a module that keeps failing is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkAfter {
    /// Once it has failed on this share of the records of the last minute.
    Share(Ratio),
    /// Never; written `off`.
    Never,
}

impl Default for ParkAfter {
    fn default() -> Self {
        Self::Share(Ratio::HALF)
    }
}

/// `[micro_batch]`: when rows are committed. Whichever limit is met first ends a micro-batch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MicroBatch {
    /// How long a micro-batch collects at the live edge. Larger: fewer and larger files, but rows reach the lake later
    /// and more is read again after a crash. Smaller: fresher tables, but many small files, which make every query
    /// slower. At least 100 ms, default 5 s.
    #[serde(deserialize_with = "value::period")]
    pub every: Duration,
    /// The most records of a micro-batch, which decides while the pipeline catches up. Larger: larger files and fewer
    /// commits, but more memory. Smaller: the reverse. Default 1,000,000.
    pub rows: NonZeroU64,
    /// The most bytes of records in a micro-batch. Larger: as `rows`; memory is several times this. Smaller: the
    /// reverse. Default 128 MiB.
    #[serde(deserialize_with = "value::size")]
    pub size: u64,
}

/// The default of [`MicroBatch::rows`].
const ROWS: NonZeroU64 = NonZeroU64::new(1_000_000).expect("a million is not 0");

impl Default for MicroBatch {
    fn default() -> Self {
        Self { every: Duration::from_secs(5), rows: ROWS, size: 128 << 20 }
    }
}

/// `[transform]`: what one call of a module, which is up to 8,192 records, may use up. A record that exceeds a limit
/// alone is a dead letter, so a change of these limits can change which records become rows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transform {
    /// WebAssembly instructions, about. Larger: an endless loop is cut off later. Smaller: it holds a worker up for
    /// less time, but an honest, heavy transform may be cut off too. Default 1,000,000,000 (about half a second).
    pub fuel: NonZeroU64,
    /// The module's memory. Larger: big chunks and records fit, but every worker may need so much. Smaller: chunks are
    /// cut in two more often, which is slower. From 64 KiB to 4 GiB, default 64 MiB.
    #[serde(deserialize_with = "value::wasm_size")]
    pub memory: u64,
    /// The backstop for what `fuel` does not see. Larger: a hanging call blocks its worker for longer. Smaller: a busy
    /// machine cuts off calls that would have ended. It is not deterministic, so keep it well above what `fuel`
    /// allows. Default 10 s.
    #[serde(deserialize_with = "value::duration")]
    pub timeout: Duration,
    /// What a call may return. Larger: transforms that make many rows of one event fit, but cost that memory. Smaller:
    /// these become dead letters. Default 64 MiB.
    #[serde(deserialize_with = "value::wasm_size")]
    pub output: u64,
    /// A module that fails on this share of the records of the last minute, and on 20 of them at least, is parked: its
    /// products stay at their offsets until it is resumed or another version is deployed, and nothing else stops. What
    /// counts is what the module does wrong: a panic, a limit above, an output that is not what it says. Records that it
    /// rejects, that break a contract or that nobody can decode are the data's fault, however many they are. Larger: a
    /// broken module goes on for longer, and each record that it fails on is a dead letter to be redriven. Smaller: a
    /// module is parked that is good for most records; while it is parked they wait in Kafka, for no longer than the topic
    /// keeps them, or in bronze. `off` parks nobody: then a module that uses up its `fuel` over record after record holds its
    /// workers up for hours. Default 50%: from there on its products are wrong more often than right.
    #[serde(deserialize_with = "value::park_after_all")]
    pub park_after: ParkAfter,
}

/// The default of [`Transform::fuel`].
const FUEL: NonZeroU64 = NonZeroU64::new(1_000_000_000).expect("a billion is not 0");

impl Default for Transform {
    fn default() -> Self {
        Self {
            fuel: FUEL,
            memory: 64 << 20,
            timeout: Duration::from_secs(10),
            output: 64 << 20,
            park_after: ParkAfter::default(),
        }
    }
}

/// `[workers]`: the threads that decode, transform and aggregate.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// How many. More than there are partitions or cores bring nothing but memory; fewer leave cores to others.
    /// Default: one for each core.
    pub count: Option<NonZeroUsize>,
}

/// `[catch_up]`: modules that are behind the others, since they are new, were rewound, or were resumed after a pause.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatchUp {
    /// A module with so many records more before it than the one that is furthest ahead is read apart, by threads of its own at low
    /// priority, until a tenth of that is left; then it joins the others. Larger: the others wait until a backlog of that size is read.
    /// Smaller: a short backlog too costs a second reading of the topic, the memory of a second open micro-batch, and a moment's
    /// standstill at the end. Default 100,000.
    pub behind: u64,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { behind: 100_000 }
    }
}

/// `[gold]`: gold tables and their windows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gold {
    /// How often gold tables are published at most; live answers do not wait for it. Larger: readers of the tables see
    /// older windows. Smaller: partitions with open windows are rewritten more often. At least 100 ms, default 10 s.
    #[serde(deserialize_with = "value::period")]
    pub every: Duration,
    /// How long, in event time, closed windows are still answered live; older ones are in the gold table only. Whole calendar parts of
    /// the table (its `partition_by`) are let go of, once they are published and can change no more. Larger: a longer history over
    /// HTTP, at about a kilobyte of memory for each group. Smaller: the reverse. What was let go of once stays so when it becomes larger.
    /// Default 400 days.
    #[serde(deserialize_with = "value::duration")]
    pub keep: Duration,
    /// A partition that brings the watermark no further for so long does not hold it back, once what its broker has of it is read. Larger:
    /// one silent partition keeps windows open for longer. Smaller: records of a partition that was only slow come too late for their window.
    /// Default 5 min.
    #[serde(deserialize_with = "value::duration")]
    pub idle_after: Duration,
    /// How far an event's time may be ahead of its record's Kafka timestamp; a row that is further ahead is in silver, but a dead letter to
    /// the gold product, since it would close the windows of all that follow in its partition. Redriven, it is counted in its window. A record
    /// without a timestamp is not bounded. Larger: a wrong clock makes more of what follows late. Smaller: so are events of a place whose
    /// local time is taken for UTC. Default 1 day.
    #[serde(deserialize_with = "value::duration")]
    pub ahead: Duration,
}

impl Default for Gold {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            keep: Duration::from_secs(400 * 86_400),
            idle_after: Duration::from_secs(300),
            ahead: Duration::from_secs(86_400),
        }
    }
}

/// `[masks]`: how columns are masked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masks {
    /// The key of the `hash` mask, at least 16 bytes (`openssl rand -hex 32` makes a good one); needed by products with
    /// such a mask only. Under another secret equal values hash to others, so that old and new rows no longer join.
    #[serde(deserialize_with = "value::secret")]
    pub secret: Option<Secret>,
}

/// `[serve]`: the HTTP server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Where to listen; `None`, written `off`, to not serve. Default `127.0.0.1:8080`, which no other machine reaches;
    /// `0.0.0.0:8080` lets everybody on the network read.
    #[serde(deserialize_with = "value::listen")]
    pub listen: Option<SocketAddr>,
    /// Where other instances reach this one, `host:port`; it is told to the consumer group. Default: where it listens,
    /// which does for instances on one machine.
    pub advertise: Option<String>,
}

impl Serve {
    /// The address that other instances are told; empty where nothing is served.
    #[must_use]
    pub fn address(&self) -> String {
        let listen = self.listen.map(|listen| listen.to_string());
        self.advertise.clone().or(listen).unwrap_or_default()
    }
}

impl Default for Serve {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)), advertise: None }
    }
}

/// `[operators.<name>]`: who may deploy modules to the running pipeline; nobody by default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// What the operator shows, as `Authorization: Bearer ..`; at least 16 bytes. Take it from a variable.
    #[serde(deserialize_with = "value::token")]
    pub token: Secret,
    /// The domains whose modules are theirs to deploy. Default: all.
    pub domains: Option<Vec<String>>,
}

/// `[shutdown]`: how the pipeline ends and hands partitions over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long the last micro-batch may take after SIGTERM, or when the group gives partitions to another instance.
    /// What is not committed by then is read again by whoever comes next: nothing is lost. Larger: a slow store gets
    /// its commit done, but a hand-over may take so long. Smaller: the reverse. Keep it below the time after which
    /// your process manager kills. Default 20 s.
    #[serde(deserialize_with = "value::duration")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(20) }
    }
}

/// `[log]`: the log.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Lines for people (the default) or for machines.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
