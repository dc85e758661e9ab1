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

    /// The retail module with some of its source replaced, each `(old, new)` wherever it stands: another version, by the same team.
    ///
    /// # Errors
    /// When there is nothing of the kind to replace, or the result does not build.
    pub fn retail_variant(&self, name: &str, replaced: &[(&str, &str)]) -> Result<PathBuf> {
        self.variant("retail", name, replaced)
    }

    /// The same as a module of another name.
    ///
    /// # Errors
    /// When there is nothing of the kind to replace, or the result does not build.
    pub fn variant(&self, module_name: &str, name: &str, replaced: &[(&str, &str)]) -> Result<PathBuf> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("variant {name}");
        if let Some(module) = modules.get(&key) {
            return Ok(module.clone());
        }
        let folder = self.folder.path().join("variants").join(name);
        Self::retail_copy(&folder, module_name, replaced)?;
        let module = self.folder.path().join(format!("retail-{name}.wasm"));
        let mut build = self.command();
        build.args(["build"]).arg(&folder).arg("--out").arg(&module).env("CARGO_TARGET_DIR", self.variants_target());
        command::output(&mut build).with_context(|| format!("building retail variant {name}"))?;
        modules.insert(key, module.clone());
        Ok(module)
    }

    /// Writes the retail module's crate into `folder`, under another name and with some of its source replaced.
    ///
    /// # Errors
    /// When there is nothing of the kind to replace, or the files cannot be written.
    pub fn retail_copy(folder: &Path, module_name: &str, replaced: &[(&str, &str)]) -> Result<()> {
        let workspace = crate::workspace();
        let mut source = std::fs::read_to_string(workspace.join("transforms/retail/src/lib.rs"))?;
        source.truncate(source.find("#[cfg(test)]").unwrap_or(source.len()));
        for (old, new) in replaced {
            anyhow::ensure!(source.contains(old), "the retail module has no {old:?}");
            source = source.replace(old, new);
        }
        std::fs::create_dir_all(folder.join("src"))?;
        std::fs::write(folder.join("src/lib.rs"), source)?;
        let sdk = workspace.join("sdk");
        let manifest = format!(
            "[package]\nname = {module_name:?}\nversion = \"0.2.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n\
             [dependencies]\nlakeward-sdk = {{ path = {sdk:?} }}\n[workspace]\n\
             [profile.module]\ninherits = \"release\"\nopt-level = 1\npanic = \"abort\"\nstrip = \"debuginfo\"\n"
        );
        std::fs::write(folder.join("Cargo.toml"), manifest)?;
        std::fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        Ok(())
    }

    /// One `CARGO_TARGET_DIR` for all copies, so that what they are built from is built once.
    #[must_use]
    pub fn variants_target(&self) -> PathBuf {
        self.folder.path().join("variants-target")
    }

    /// A folder for files that cases share.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
