//! Tables read by others: Python `deltalake` (delta-rs) and DuckDB, in a virtual environment of the tests' own.

use crate::lake::TableAt;
use crate::{cache, command};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Versions that were seen to read the same tables alike. The extensions must bear DuckDB's own version.
const PACKAGES: [&str; 5] = [
    "deltalake==1.6.6",
    "duckdb==1.5.5",
    "duckdb-extension-delta==1.5.5",
    "duckdb-extension-httpfs==1.5.5",
    "pytz==2026.6",
];

/// Who reads the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// DuckDB with its delta extension.
    DuckDb,
    /// Python `deltalake`.
    DeltaLake,
}

impl Engine {
    /// Both.
    pub const ALL: [Self; 2] = [Self::DuckDb, Self::DeltaLake];
}

/// The Python environment.
#[derive(Debug)]
pub struct Readers {
    python: PathBuf,
}

impl Readers {
    /// Finds the environment in the cache, or makes it.
    ///
    /// # Errors
    /// When Python is missing or a package cannot be had.
    pub fn install() -> Result<Self> {
        let folder = cache::folder("readers-deltalake-1.6.6-duckdb-1.5.5-s3", |folder| {
            command::output(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
            // Through `python -m`, because the scripts of an environment do not survive its renaming.
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            command::output(Command::new(folder.join("bin/python")).args(pip).args(PACKAGES))?;
            Ok(())
        })?;
        Ok(Self { python: folder.join("bin/python") })
    }

    /// Runs a query in DuckDB's dialect over tables by name.
    ///
    /// # Errors
    /// When a table cannot be read or the query fails.
    pub fn query(&self, engine: Engine, tables: &[(&str, TableAt)], sql: &str) -> Result<Vec<Value>> {
        let tables: BTreeMap<_, _> = tables.iter().map(|(name, at)| (name, at)).collect();
        self.ask(&json!({ "engine": engine, "tables": tables, "sql": sql }))
            .with_context(|| format!("{engine:?} running {sql}"))
    }

    /// The versions that a table holds under transaction ids, as delta-rs reads them.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn transactions(&self, table: &TableAt, ids: &[String]) -> Result<BTreeMap<String, Option<i64>>> {
        self.ask(&json!({ "transactions": { "table": table, "ids": ids } }))
    }

    /// Makes a table of a query's rows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, table: &Path, sql: &str) -> Result<()> {
        self.ask(&json!({ "write": { "path": table, "sql": sql } }))
    }

    /// The interpreter, for scripts that use the same packages.
    #[must_use]
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Changes a table behind its writer's back; `how` is what `read_table.py` takes under `tamper`, without the path.
    ///
    /// # Errors
    /// When the table cannot be changed.
    pub fn tamper(&self, table: &Path, how: &Value) -> Result<()> {
        let mut request = how.clone();
        request["path"] = json!(table);
        self.ask(&json!({ "tamper": request })).with_context(|| format!("tampering with {}: {how}", table.display()))
    }

    fn ask<T: DeserializeOwned>(&self, request: &Value) -> Result<T> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/harness/read_table.py");
        let answer = command::with_input(Command::new(&self.python).arg(script), &request.to_string())?;
        serde_json::from_str(&answer).context("reading the answer of read_table.py")
    }
}
