//! The long-lived Python process that reads the lake with engines that are not ours.

use crate::generator::Events;
use crate::orders::Decision;
use crate::redrives::Request;
use anyhow::{Context, Result, anyhow, bail};
use lakeward_tests::lake::Lake;
use lakeward_tests::readers::Readers;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Holds one lake after another against the generator's record.
#[derive(Debug)]
pub(crate) struct Checker {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Where a rewind may lead: what no other has undone.
#[derive(Debug, Deserialize)]
pub(crate) struct Targets {
    /// The numbers of micro-batches.
    pub(crate) micro_batches: Vec<i64>,
    /// Digests before whose first micro-batch there is another.
    pub(crate) digests: Vec<String>,
}

impl Checker {
    /// Starts the process.
    pub(crate) fn start(readers: &Readers) -> Result<Self> {
        // It ends when its standard input does, which is when this process ends, in whatever way.
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/checker.py");
        let mut command = Command::new(readers.python());
        let mut process = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("a child without standard output")?);
        Ok(Self { process, requests, answers })
    }

    /// Turns to a new, empty lake.
    pub(crate) fn open(&mut self, lake: &Lake, pipeline: &str) -> Result<()> {
        let lake = json!({"location": lake.location, "options": lake.options});
        self.ask("open", &json!({"lake": lake, "pipeline": pipeline}))
    }

    /// Adds what was sent to the record; the files that carry it over go into `folder`.
    pub(crate) fn expect(&mut self, events: &Events, folder: &Path) -> Result<()> {
        let (sales, dead_letters) = (folder.join("sales.ndjson"), folder.join("dead_letters.ndjson"));
        write(&sales, &events.sales)?;
        write(&dead_letters, &events.dead_letters)?;
        self.ask("expect", &json!({"sales": sales, "dead_letters": dead_letters}))
    }

    /// How far the commits table has got, by partition, for whoever reads first.
    pub(crate) fn standing(&mut self) -> Result<Vec<i64>> {
        Ok(self.standings()?.remove("").unwrap_or_default())
    }

    /// The same for each module, and under no name for whoever reads first.
    pub(crate) fn standings(&mut self) -> Result<BTreeMap<String, Vec<i64>>> {
        self.ask("standings", &json!({}))
    }

    /// What changes with whatever is committed for a module.
    pub(crate) fn stands(&mut self, module: &str) -> Result<Value> {
        self.ask("stands", &json!({"module": module}))
    }

    /// What is wrong with rows, dead letters and commits, when `sent` records have been sent to each partition and the newest commits are
    /// to be of these digests by module.
    pub(crate) fn check(&mut self, sent: &[i64], active: &Value) -> Result<Vec<String>> {
        self.ask("check", &json!({"sent": sent, "active": active}))
    }

    /// What is wrong with the rows and dead letters of one module, which is to have all that was sent.
    pub(crate) fn check_module(&mut self, module: &str) -> Result<Vec<String>> {
        self.ask("check_module", &json!({"module": module}))
    }

    /// How many micro-batches were of modules that caught up beside the others, at the last check.
    pub(crate) fn apart(&mut self) -> Result<u64> {
        self.ask("apart", &json!({}))
    }

    /// The version of the commits table.
    pub(crate) fn version(&mut self) -> Result<i64> {
        self.ask("version", &json!({}))
    }

    /// What a rewind of a module may lead to; the micro-batches only since a version of the commits table.
    pub(crate) fn targets(&mut self, module: &str, since: i64) -> Result<Targets> {
        self.ask("targets", &json!({"module": module, "since": since}))
    }

    /// The log of deployments, as it stands in its table.
    pub(crate) fn deployments(&mut self) -> Result<Vec<Decision>> {
        self.ask("deployments", &json!({}))
    }

    /// How many redrives are asked for, and how many the commits table has.
    pub(crate) fn redrives(&mut self) -> Result<(i64, i64)> {
        self.ask("redrives", &json!({}))
    }

    /// Takes what was asked for since the last time, when `before` was sent, and is done by now by the `active` modules into the record;
    /// says what of it should not have been asked for, or should have been and was not.
    pub(crate) fn answered(&mut self, requests: &[Request], before: &[i64], active: &Value) -> Result<Vec<String>> {
        self.ask("answered", &json!({"requests": requests, "before": before, "active": active}))
    }

    /// What is wrong with the gold tables of these modules.
    pub(crate) fn check_gold(&mut self, modules: &[&str]) -> Result<Vec<String>> {
        self.ask("check_gold", &json!({"modules": modules}))
    }

    /// What is wrong with any table, read from its beginning by two engines.
    pub(crate) fn scan(&mut self) -> Result<Vec<String>> {
        self.ask("scan", &json!({}))
    }

    /// Compacts the silver table, as a colleague with a notebook would.
    pub(crate) fn compact(&mut self) -> Result<String> {
        self.ask("compact", &json!({}))
    }

    fn ask<T: DeserializeOwned>(&mut self, what: &str, arguments: &Value) -> Result<T> {
        let requests = self.requests.as_mut().context("a child without standard input")?;
        writeln!(requests, "{}", json!({ what: arguments }))?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let mut answer: BTreeMap<String, Value> =
            serde_json::from_str(&line).with_context(|| format!("the checker said {line:?} to {what}"))?;
        if let Some(error) = answer.get("error") {
            bail!("the checker could not {what}: {}", error.as_str().unwrap_or_default());
        }
        let fine = answer.remove("fine").ok_or_else(|| anyhow!("the checker said {line:?}"))?;
        serde_json::from_value(fine).with_context(|| format!("the checker said {line:?} to {what}"))
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        drop(self.requests.take());
        // It has nothing to save; how it ends is nobody's concern.
        let _ = self.process.wait();
    }
}

fn write<T: Serialize>(file: &Path, rows: &[T]) -> Result<()> {
    let mut file = BufWriter::new(File::create(file)?);
    for row in rows {
        writeln!(file, "{}", serde_json::to_string(row)?)?;
    }
    Ok(file.flush()?)
}
