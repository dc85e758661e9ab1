//! The binary under test and the modules that it runs, built once for all cases.

use crate::command;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// `lakeward`, as a user would have it.
#[derive(Debug)]
pub struct Product {
    binary: PathBuf,
    folder: TempDir,
    modules: Mutex<BTreeMap<String, PathBuf>>,
}

impl Product {
    /// The binary that cargo built beside the tests.
    ///
    /// # Errors
    /// When no folder for the modules can be made.
    pub fn new(binary: PathBuf) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("lakeward-modules-").tempdir()?;
        Ok(Self { binary, folder, modules: Mutex::default() })
    }

    /// A call of the binary.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(crate::workspace());
        command
    }

    /// The module whose crate stands at `source` in the workspace, built by `lakeward build`.
    ///
    /// # Errors
    /// When it does not build.
    pub fn module(&self, source: &str) -> Result<PathBuf> {
        // The lock is held while building: a second case wants the same module, not another build beside it.
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(source) {
            return Ok(module.clone());
        }
        let module = self.folder.path().join(format!("{}.wasm", source.replace('/', "-")));
        command::output(self.command().args(["build", source, "--out"]).arg(&module))
            .with_context(|| format!("building module {source}"))?;
        modules.insert(source.to_owned(), module.clone());
        Ok(module)
    }

    /// A folder for files that cases share.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
