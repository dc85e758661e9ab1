//! A module's file: the component, its digest and its manifest, read without running anything.

use super::version::deployed_as;
use lakeward_manifest::{MANIFEST_SECTION, Manifest};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use wasmparser::{Encoding, Parser, Payload};

/// The major version of `lakeward:transform` that this version hosts.
const ABI_MAJOR: &str = "1";
const MODULE_INTERFACE: &str = "lakeward:transform/module@";
const HOST_INTERFACE: &str = "lakeward:transform/host@";
const PACKAGE: &str = "lakeward:transform/";

/// A component that exports `lakeward:transform/module@1.x`, imports nothing but the host, and carries its manifest.
#[derive(Debug, Clone)]
pub struct ModuleFile {
    /// The whole component.
    pub bytes: Vec<u8>,
    /// The SHA-256 of `bytes`, in lower-case hex; it names the module.
    pub digest: String,
    /// What the module says of itself.
    pub manifest: Manifest,
}

impl ModuleFile {
    /// Reads the component at `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is not a component that this version hosts.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let bytes = std::fs::read(path).map_err(|source| ReadError::Read { path: path.to_owned(), source })?;
        Self::parse(bytes).map_err(|source| ReadError::Unusable { path: path.to_owned(), source: Box::new(source) })
    }

    /// Takes the bytes of a component.
    ///
    /// # Errors
    /// When they are not a component that this version hosts.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Unusable> {
        let surface = Surface::of(&bytes)?;
        surface.check()?;
        let manifest = surface.manifest.ok_or(Unusable::NoManifest)?;
        let text = std::str::from_utf8(manifest).map_err(|_| Unusable::ManifestText)?;
        let manifest = Manifest::from_json(text).map_err(Unusable::Manifest)?;
        Ok(Self { digest: digest(&bytes), manifest, bytes })
    }

    /// The same module under the name that it is deployed as: its own, or that of a version of it. `None` if it goes by no such name.
    #[must_use]
    pub fn deployed_as(self, name: &str) -> Option<Self> {
        let manifest = deployed_as(&self.manifest, name)?;
        Some(Self { manifest, ..self })
    }
}

/// Why a module's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read the module {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// The file is not a component that this version hosts.
    #[error("{} is not a module that can be run", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<Unusable>,
    },
}

/// Why bytes are not a module that this version hosts.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The bytes do not begin as WebAssembly does.
    #[error("it is not WebAssembly at all")]
    NotWasm,
    /// The bytes begin as WebAssembly and then break off or go wrong.
    #[error("it is damaged")]
    Damaged(#[source] wasmparser::BinaryReaderError),
    /// A module as the compiler leaves it.
    #[error("it is a core WebAssembly module, not a component: `lakeward build` makes a component of a module crate")]
    Core,
    /// A component of something else.
    #[error("it is a component, but not a transform: it does not export lakeward:transform/module@{ABI_MAJOR}.x")]
    NotATransform,
    /// A transform for another version of the wall.
    #[error("it is built for lakeward:transform {found}, this version hosts {ABI_MAJOR}.x")]
    Abi {
        /// The version that it was built for.
        found: String,
    },
    /// The component wants what no module gets.
    #[error("it imports {}, but a module may import nothing except lakeward:transform/host@{ABI_MAJOR}.x", names.join(", "))]
    Imports {
        /// The imports at fault.
        names: Vec<String>,
    },
    /// The manifest is missing.
    #[error("it carries no manifest (custom section `{MANIFEST_SECTION}`): `lakeward build` puts it in")]
    NoManifest,
    /// The manifest is not text.
    #[error("its manifest is not UTF-8")]
    ManifestText,
    /// The manifest cannot be read.
    #[error("its manifest cannot be read")]
    Manifest(#[source] lakeward_manifest::Error),
}

/// Whether `interface` is one that this version's host gives to modules.
pub(crate) fn is_host_interface(interface: &str) -> bool {
    interface.strip_prefix(HOST_INTERFACE).is_some_and(is_hosted)
}

/// The SHA-256 of `bytes` in lower-case hex.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn is_hosted(version: &str) -> bool {
    version.split('.').next() == Some(ABI_MAJOR)
}

/// What a component shows to the outside.
#[derive(Default)]
struct Surface<'a> {
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
    manifest: Option<&'a [u8]>,
}

impl<'a> Surface<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Unusable> {
        if !bytes.starts_with(b"\0asm") {
            return Err(Unusable::NotWasm);
        }
        let mut surface = Self::default();
        // Components nest: only what stands in the outermost one counts.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(Unusable::Damaged)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(Unusable::Core),
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 1 => {
                    for import in imports {
                        surface.imports.push(import.map_err(Unusable::Damaged)?.name.name);
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 1 => {
                    for export in exports {
                        surface.exports.push(export.map_err(Unusable::Damaged)?.name.name);
                    }
                }
                Payload::CustomSection(section) if depth == 1 && section.name() == MANIFEST_SECTION => {
                    surface.manifest = Some(section.data());
                }
                _ => {}
            }
        }
        Ok(surface)
    }

    /// The version comes first: a module for another version may well import what this one does not know.
    fn check(&self) -> Result<(), Unusable> {
        let version = self.exports.iter().find_map(|name| name.strip_prefix(MODULE_INTERFACE));
        let foreign_version = self.imports.iter().chain(&self.exports).find_map(|name| {
            let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
            (!is_hosted(version)).then_some(version)
        });
        if let Some(found) = foreign_version {
            return Err(Unusable::Abi { found: found.to_owned() });
        }
        version.ok_or(Unusable::NotATransform)?;
        let foreign: Vec<String> =
            self.imports.iter().filter(|name| !is_host_interface(name)).map(|name| (*name).to_owned()).collect();
        if foreign.is_empty() { Ok(()) } else { Err(Unusable::Imports { names: foreign }) }
    }
}

#[cfg(test)]
mod tests;
