//! What an operator may set: the configuration file as plain data.
//!
//! A file is TOML. Variables (`${NAME}`, `${NAME:-default}`) are put in before it is read, numbers carry their unit
//! (`"5s"`, `"128 MiB"`), and unknown keys are refused with the line and the keys that there are. The paths of modules
//! and topics are relative to the file's folder, because they are part of the pipeline; the lake's location is
//! relative to the current directory, because it is part of where the pipeline runs.

mod error;
mod kafka;
mod parse;
mod ratio;
mod sections;
mod substitute;
#[cfg(test)]
mod tests;
mod value;

pub use error::Error;
pub use kafka::{Kafka, Sharing, Start, Topic};
pub use ratio::Ratio;
pub use sections::{
    CatchUp, Gold, Lake, Log, LogFormat, Masks, MicroBatch, Module, Operator, ParkAfter, Serve, Shutdown, Transform,
    Workers,
};
pub use value::{Properties, Secret};

use serde::Deserialize;
use std::collections::BTreeMap;

/// A pipeline's configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The pipeline's name: letters, digits, `_`, `-` and `.`. The tables know the offsets by it: under another name a
    /// pipeline reads its topics from the start and appends every row once more.
    #[serde(deserialize_with = "value::name")]
    pub pipeline: String,
    /// Where the tables are.
    #[serde(default)]
    pub lake: Lake,
    /// How Kafka is reached.
    #[serde(default)]
    pub kafka: Kafka,
    /// Settings of single topics, by topic. Which topics are read, the modules say.
    #[serde(default, deserialize_with = "value::named")]
    pub topics: BTreeMap<String, Topic>,
    /// The modules, by a name of the operator's choice; at least one.
    #[serde(default, deserialize_with = "value::named")]
    pub modules: BTreeMap<String, Module>,
    /// When rows are committed.
    #[serde(default)]
    pub micro_batch: MicroBatch,
    /// What a module may use up.
    #[serde(default)]
    pub transform: Transform,
    /// The threads that do the work.
    #[serde(default)]
    pub workers: Workers,
    /// Modules that are behind the others.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Gold tables and their windows.
    #[serde(default)]
    pub gold: Gold,
    /// How columns are masked.
    #[serde(default)]
    pub masks: Masks,
    /// How the pipeline ends and hands over.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// The HTTP server.
    #[serde(default)]
    pub serve: Serve,
    /// Who may deploy, by a name of the operator's choice that stands in the log of deployments.
    #[serde(default, deserialize_with = "value::named")]
    pub operators: BTreeMap<String, Operator>,
    /// The log.
    #[serde(default)]
    pub log: Log,
}

impl Config {
    /// The share of its records from which on a module that fails on them is parked; `None` where it never is.
    #[must_use]
    pub fn park_after(&self, module: &str) -> Option<Ratio> {
        let own = self.modules.get(module).and_then(|module| module.park_after);
        match own.unwrap_or(self.transform.park_after) {
            ParkAfter::Share(share) => Some(share),
            ParkAfter::Never => None,
        }
    }
}
