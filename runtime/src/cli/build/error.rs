//! Why a module cannot be built.

use crate::transform::{Problem, Unusable};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a module cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no crate where one should be.
    #[error("there is no module crate at {}: it has no Cargo.toml", dir.display())]
    NoCrate {
        /// The folder.
        dir: PathBuf,
    },
    /// A tool cannot be started.
    #[error("cannot run `{program}`; building modules needs the Rust toolchain, see https://rustup.rs")]
    Start {
        /// The tool.
        program: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A tool's answer breaks off.
    #[error("cannot read what cargo says")]
    Answer(#[source] io::Error),
    /// The compiler has no WebAssembly target and there is no rustup that could add it.
    #[error(
        "this Rust toolchain has no target {0} and there is no rustup to add it; install the package that holds it \
         (Debian: libstd-rust-dev-wasm32, Fedora: rust-std-static-{0}) or Rust from https://rustup.rs",
        super::cargo::TARGET
    )]
    NoTarget,
    /// rustup could not add the target.
    #[error("`rustup target add {}` failed ({status})", super::cargo::TARGET)]
    AddTarget {
        /// How rustup ended.
        status: ExitStatus,
    },
    /// The crate does not compile; cargo has said why.
    #[error("the crate does not compile for {} (cargo: {status})", super::cargo::TARGET)]
    Compile {
        /// How cargo ended.
        status: ExitStatus,
    },
    /// The crate compiles but is not a module.
    #[error(
        "{} makes no .wasm file: its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\", \"rlib\"]`",
        dir.display()
    )]
    NoWasm {
        /// The crate's folder.
        dir: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// The compiler's output is not WebAssembly.
    #[error("what the compiler made is not WebAssembly")]
    Core(#[source] wasmparser::BinaryReaderError),
    /// The module wants what no module gets.
    #[error("the module imports {}; a module may import nothing except lakeward:transform/host@1.x{}", names.join(", "), hint)]
    Imports {
        /// The imports at fault, each once.
        names: Vec<String>,
        /// What usually brings them in.
        hint: String,
    },
    /// The module lacks an export or has one of a wrong type.
    #[error("the module does not fit lakeward:transform (is `lakeward_sdk::module!` in its lib.rs?)")]
    Component(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The engine refuses the component.
    #[error("the component does not compile to machine code")]
    Engine(#[source] wasmtime::Error),
    /// The module fails when asked what it is.
    #[error("the module fails when asked for its manifest{}", said.as_ref().map_or(String::new(), |said| format!(": {said}")))]
    Describe {
        /// What it logged last, as a panic does.
        said: Option<String>,
        /// The trap.
        source: wasmtime::Error,
    },
    /// The manifest is not one.
    #[error("the module's manifest cannot be read")]
    Manifest(#[source] lakeward_manifest::Error),
    /// The manifest is one that the host cannot take.
    #[error("the module's manifest is refused:{}", .0.iter().map(|problem| format!("\n  - {problem}")).collect::<String>())]
    Problems(Vec<Problem>),
    /// The component cannot be read back.
    #[error("the component that was built cannot be used")]
    Unusable(#[source] Unusable),
}

impl Error {
    /// Whether the command was given wrongly, rather than that something failed.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoCrate { .. })
    }

    /// Whether another version of the crate's source may build.
    #[must_use]
    pub fn is_of_the_source(&self) -> bool {
        match self {
            Self::Compile { .. }
            | Self::NoWasm { .. }
            | Self::Core(_)
            | Self::Imports { .. }
            | Self::Component(_)
            | Self::Engine(_)
            | Self::Describe { .. }
            | Self::Manifest(_)
            | Self::Problems(_)
            | Self::Unusable(_) => true,
            Self::NoCrate { .. }
            | Self::Start { .. }
            | Self::Answer(_)
            | Self::NoTarget
            | Self::AddTarget { .. }
            | Self::Read { .. }
            | Self::Write { .. } => false,
        }
    }
}
