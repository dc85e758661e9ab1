//! `lakeward new`: scaffolds a module crate that builds and passes its own tests.

mod workspace;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The files of a new crate: `(path, text)`, with `{{name}}`, `{{sdk}}` and `{{workspace}}` to be filled in.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    ("clippy.toml", include_str!("template/clippy.toml.in")),
    (".gitignore", include_str!("template/gitignore.in")),
    ("README.md", include_str!("template/README.md.in")),
];

/// Makes the crate a workspace of its own, so that no workspace around it claims it.
const OWN_WORKSPACE: &str = include_str!("template/workspace.in");

/// Where the SDK stood when this binary was built.
const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");

/// Words that Rust keeps, so that no crate may have them as its name.
const KEYWORDS: &str = " abstract as async await become box break const continue core crate do dyn else enum extern false final fn for gen if \
    impl in let loop macro match mod move mut override priv pub ref return self static std struct super test trait true try type typeof \
    unsafe unsized use virtual where while yield ";

/// A crate that was scaffolded; displays as what to do next.
#[derive(Debug)]
pub struct Created {
    /// The crate's folder.
    pub dir: PathBuf,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        writeln!(f, "created {dir}; next:")?;
        writeln!(f, "  cd {dir}")?;
        writeln!(f, "  cargo test        # the transform, natively")?;
        writeln!(f, "  lakeward build    # the module, as a pipeline runs it")
    }
}

/// Why no crate was scaffolded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name will not do.
    #[error("`{name}` cannot be a module's name: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something is there already.
    #[error("{} exists already and is left alone", dir.display())]
    Exists {
        /// What is there.
        dir: PathBuf,
    },
    /// The folder that was named as the SDK is not it.
    #[error("{} is not the crate lakeward-sdk", dir.display())]
    NotTheSdk {
        /// The folder.
        dir: PathBuf,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
}

impl Error {
    /// Whether the command was given wrongly, rather than that something failed.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Name { .. } | Self::Exists { .. } | Self::NotTheSdk { .. } => true,
            Self::Write { .. } => false,
        }
    }
}

/// Scaffolds the crate `parent/name` against the SDK at `sdk`, or against the one that this program was built beside.
///
/// # Errors
/// When the name will not do, something is there already, or it cannot be written.
pub fn create(parent: &Path, name: &str, sdk: Option<&Path>) -> Result<Created, Error> {
    check_name(name)?;
    let dir = parent.join(name);
    if dir.symlink_metadata().is_ok() {
        return Err(Error::Exists { dir });
    }
    let failed = |path: &Path, source| Error::Write { path: path.to_owned(), source };
    let absolute = parent.canonicalize().map_err(|source| failed(parent, source))?.join(name);
    let dependency = sdk_dependency(&absolute, sdk)?;
    let own_workspace = if workspace::is_member(&absolute) { "" } else { OWN_WORKSPACE };
    for (file, text) in FILES {
        let path = dir.join(file);
        let folder = path.parent().expect("every file is in the crate's folder");
        std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        let text = text.replace("{{workspace}}", own_workspace).replace("{{sdk}}", &dependency).replace("{{name}}", name);
        std::fs::write(&path, text).map_err(|source| failed(&path, source))?;
    }
    Ok(Created { dir })
}

fn check_name(name: &str) -> Result<(), Error> {
    let refuse = |reason| Err(Error::Name { name: name.to_owned(), reason });
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return refuse("it must begin with a letter a-z");
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        return refuse("it may have the letters a-z, digits and _ only");
    }
    if name.len() > 64 {
        return refuse("it is longer than 64 letters");
    }
    if KEYWORDS.contains(&format!(" {name} ")) {
        return refuse("Rust keeps that word for itself");
    }
    Ok(())
}

/// What stands behind `lakeward-sdk =` in the crate's Cargo.toml: a path relative to the crate inside the SDK's own checkout, an
/// absolute one elsewhere, and the version when no SDK is on this machine.
fn sdk_dependency(dir: &Path, given: Option<&Path>) -> Result<String, Error> {
    let sdk = match given {
        Some(given) => Some(sdk_at(given).ok_or_else(|| Error::NotTheSdk { dir: given.to_owned() })?),
        None => sdk_at(Path::new(SDK)),
    };
    let Some(sdk) = sdk else {
        return Ok(format!("{:?}", env!("CARGO_PKG_VERSION")));
    };
    let path = sdk.parent().and_then(|checkout| relative_within(checkout, dir, &sdk)).unwrap_or(sdk);
    Ok(format!("{{ path = {} }}", toml::Value::from(path.to_string_lossy().replace('\\', "/"))))
}

/// The SDK's absolute folder, if it is there.
fn sdk_at(dir: &Path) -> Option<PathBuf> {
    let dir = dir.canonicalize().ok()?;
    let manifest: toml::Table = std::fs::read_to_string(dir.join("Cargo.toml")).ok()?.parse().ok()?;
    let name = manifest.get("package")?.get("name")?.as_str()?;
    (name == "lakeward-sdk").then_some(dir)
}

/// The way from `from` to `to`, if both are within `root`.
fn relative_within(root: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let up = from.strip_prefix(root).ok()?.components().map(|_| "..");
    Some(up.collect::<PathBuf>().join(to.strip_prefix(root).ok()?))
}

#[cfg(test)]
mod tests;
