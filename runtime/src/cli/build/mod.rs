//! `lakeward build`: makes one verified component of a module crate.

mod cargo;
mod component;
mod describe;
mod error;
#[cfg(test)]
mod fixture;

pub use error::Error;

use crate::transform::{self, ModuleFile};
use cargo::{Crate, Purpose};
use lakeward_manifest::{MANIFEST_SECTION, Manifest};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use wasm_encoder::{ComponentSection as _, CustomSection};

/// A module that was built, checked and written.
#[derive(Debug, Clone)]
pub struct Built {
    /// The component's file.
    pub path: PathBuf,
    /// What the module says of itself.
    pub manifest: Manifest,
    /// The file's SHA-256, in lower-case hex.
    pub digest: String,
    /// The file's size.
    pub bytes: u64,
}

/// Builds a module crate for `wasm32-unknown-unknown` and makes a verified component of it, at `out` or as
/// `<crate_dir>/<module>.wasm`. What cargo has to say goes to stderr. The file appears whole or not at all.
///
/// # Errors
/// When the crate does not compile, wants more than a module gets, or describes itself in a way that the host cannot take.
pub fn build(crate_dir: &Path, out: Option<&Path>) -> Result<Built, Error> {
    let module = compiled(&Crate::open(crate_dir)?, Purpose::Use)?;
    let path = match out {
        Some(out) => out.to_owned(),
        None => crate_dir.join(format!("{}.wasm", module.manifest.name)),
    };
    write_whole(&path, &module.bytes)?;
    Ok(Built { path, bytes: module.bytes.len() as u64, digest: module.digest, manifest: module.manifest })
}

/// A module crate that its author is at work on, built again and again.
#[derive(Debug)]
pub struct Draft(Crate);

impl Draft {
    /// The crate at `crate_dir`.
    ///
    /// # Errors
    /// When there is none, or the compiler cannot make modules.
    pub fn open(crate_dir: &Path) -> Result<Self, Error> {
        Crate::open(crate_dir).map(Self)
    }

    /// Builds it as it is now, for a trial: soon rather than fast, and into no file. What cargo has to say goes to stderr.
    ///
    /// # Errors
    /// As [`build`].
    pub fn build(&self) -> Result<ModuleFile, Error> {
        compiled(&self.0, Purpose::Trial)
    }
}

fn compiled(of: &Crate, purpose: Purpose) -> Result<ModuleFile, Error> {
    let core_path = of.compile(purpose)?;
    let core = std::fs::read(&core_path).map_err(|source| Error::Read { path: core_path, source })?;
    verified(&core)
}

/// Makes a component of a core module, asks it for its manifest, checks that and puts it in.
fn verified(core: &[u8]) -> Result<ModuleFile, Error> {
    let mut component = component::from_core(core)?;
    let text = describe::describe(&component)?;
    let manifest = Manifest::from_json(&text).map_err(Error::Manifest)?;
    let problems = transform::check(&manifest);
    if !problems.is_empty() {
        return Err(Error::Problems(problems));
    }
    let data = Cow::Borrowed(text.as_bytes());
    CustomSection { name: MANIFEST_SECTION.into(), data }.append_to_component(&mut component);
    ModuleFile::parse(component).map_err(Error::Unusable)
}

/// Writes beside the target and renames, so that a running pipeline never reads half a module.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    std::fs::write(&part, bytes).map_err(failed)?;
    std::fs::rename(&part, path).map_err(|source| {
        // The part is of no use, and the first error says more than a second would.
        let _ = std::fs::remove_file(&part);
        failed(source)
    })
}

#[cfg(test)]
mod tests;
