//! What is fetched or built once per machine: broker jars, an S3 server, Python environments.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Gives the folder `name` of the user's cache; where it is missing, `fill` makes its contents first.
///
/// The folder appears whole or not at all: it is filled under another name and then renamed. A lock file keeps two
/// test runs from filling it at once.
///
/// # Errors
/// When the cache cannot be written, or `fill` fails.
pub fn folder(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = root()?;
    let folder = root.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
    let lock = File::create(root.join(format!("{name}.lock")))?;
    lock.lock()?;
    if !folder.is_dir() {
        let unfinished = root.join(format!("{name}.unfinished"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        fill(&unfinished).with_context(|| format!("filling {}", folder.display()))?;
        fs::rename(&unfinished, &folder)?;
    }
    Ok(folder)
}

/// The user's cache of the tests.
///
/// # Errors
/// When no home folder is known.
pub fn root() -> Result<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    Ok(cache.or_else(home).context("neither XDG_CACHE_HOME nor a home folder is known")?.join("lakeward-tests"))
}
