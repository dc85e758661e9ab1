//! Runs cargo: a module crate becomes a core WebAssembly module.

use super::Error;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What modules are compiled for: no operating system, so nothing to import.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// The compiler's flags for modules, unless the author sets others: SIMD, which every host has and which gives the same results everywhere.
const FLAGS: (&str, &str) = ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Ctarget-feature=+simd128");

/// What a module is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be used: it is to run fast, however long that takes.
    Use,
    /// To be tried at once by its author: it is to be there fast.
    Trial,
}

/// A module crate, as cargo sees it.
#[derive(Debug)]
pub(super) struct Crate {
    dir: PathBuf,
    manifest: PathBuf,
    /// The `Cargo.toml` whose profiles count.
    root: PathBuf,
}

impl Crate {
    /// The crate at `dir`; the compiler gets its target if it has none.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let no_crate = || Error::NoCrate { dir: dir.to_owned() };
        let manifest = dir.join("Cargo.toml").canonicalize().map_err(|_| no_crate())?;
        let dir = manifest.parent().ok_or_else(no_crate)?.to_owned();
        ensure_target(&dir)?;
        let root = workspace_root(&dir)?;
        Ok(Self { dir, manifest, root })
    }

    /// Compiles it; gives the place of its `.wasm`.
    ///
    /// Cargo puts that under the name of the module, without anything that tells crates apart: where two of one name share a target folder,
    /// the file may be the other's, and cargo takes it for its own. So it is noted beside the file whose it is.
    pub(super) fn compile(&self, purpose: Purpose) -> Result<PathBuf, Error> {
        let Wasm { mut path, is_fresh } = self.cargo(purpose)?;
        let note = path.with_extension("crate");
        let crate_of_it = self.manifest.as_os_str().as_encoded_bytes();
        if is_fresh && std::fs::read(&note).ok().as_deref() != Some(crate_of_it) {
            if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
                // Where it is not there, cargo compiles it anyhow.
                let _ = std::fs::remove_file(folder.join("deps").join(name));
            }
            path = self.cargo(purpose)?.path;
        }
        // Without the note it is compiled once more the next time.
        let _ = std::fs::write(&note, crate_of_it);
        Ok(path)
    }

    fn cargo(&self, purpose: Purpose) -> Result<Wasm, Error> {
        let Self { dir, manifest, root } = self;
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(dir)
            .args(["build", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"])
            .args(profile(purpose, has_module_profile(root)))
            .arg("--manifest-path")
            .arg(manifest)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if std::env::var_os(FLAGS.0).is_none() {
            cargo.env(FLAGS.0, FLAGS.1);
        }
        let mut running = cargo.spawn().map_err(|source| Error::Start { program: "cargo", source })?;
        let stdout = running.stdout.take().expect("stdout is piped, three lines up");
        let mut wasm = None;
        for line in BufReader::new(stdout).lines() {
            wasm = artifact(&line.map_err(Error::Answer)?, manifest).or(wasm);
        }
        let status = running.wait().map_err(Error::Answer)?;
        if !status.success() {
            return Err(Error::Compile { status });
        }
        wasm.ok_or_else(|| Error::NoWasm { dir: dir.clone() })
    }
}

/// The module that cargo reports.
#[derive(Debug, PartialEq, Eq)]
struct Wasm {
    path: PathBuf,
    /// Whether cargo found it there, made by an earlier call.
    is_fresh: bool,
}

/// The options that choose cargo's profile. That of a trial is built on that of use, so that both compute the same: only how much is
/// optimised differs, by which a small crate is compiled in a second. It has a name of its own, so that neither build undoes the other.
fn profile(purpose: Purpose, has_module_profile: bool) -> Vec<String> {
    let of_use = if has_module_profile { "module" } else { "release" };
    match purpose {
        Purpose::Use => vec!["--profile".to_owned(), of_use.to_owned()],
        Purpose::Trial => {
            let mut options = vec!["--profile".to_owned(), "module-dev".to_owned()];
            let inherits = format!("inherits='{of_use}'");
            for setting in
                [&inherits, "opt-level=1", "lto='off'", "codegen-units=16", "incremental=true", "debug=false"]
            {
                options.extend(["--config".to_owned(), format!("profile.module-dev.{setting}")]);
            }
            options
        }
    }
}

/// The `.wasm` that a line of cargo's JSON messages reports for the crate of `manifest`.
fn artifact(line: &str, manifest: &Path) -> Option<Wasm> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || Path::new(message["manifest_path"].as_str()?) != manifest {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str).map(Path::new);
    let path = files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "wasm"))?;
    Some(Wasm { path: path.to_owned(), is_fresh: message["fresh"] == true })
}

/// Adds the target where rustup can; toolchains of distributions have it in a package.
fn ensure_target(dir: &Path) -> Result<(), Error> {
    let rustc = Command::new("rustc")
        .current_dir(dir)
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start { program: "rustc", source })?;
    if Path::new(String::from_utf8_lossy(&rustc.stdout).trim()).is_dir() {
        return Ok(());
    }
    let why = format_args!("the Rust toolchain has no target {TARGET} yet: running `rustup target add {TARGET}`\n");
    crate::cli::output::say(why);
    let rustup = Command::new("rustup").current_dir(dir).args(["target", "add", TARGET]).status();
    match rustup {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::AddTarget { status }),
        Err(_) => Err(Error::NoTarget),
    }
}

/// The `Cargo.toml` of the workspace that the crate belongs to.
fn workspace_root(dir: &Path) -> Result<PathBuf, Error> {
    let located = Command::new("cargo")
        .current_dir(dir)
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .output()
        .map_err(|source| Error::Start { program: "cargo", source })?;
    Ok(PathBuf::from(String::from_utf8_lossy(&located.stdout).trim()))
}

/// Whether the workspace defines `[profile.module]`; a foreign one gets the release profile.
fn has_module_profile(root: &Path) -> bool {
    // Where cargo finds no root, the build that follows says so better than we could.
    let Ok(text) = std::fs::read_to_string(root) else { return false };
    text.parse::<toml::Table>().is_ok_and(|root| root.get("profile").is_some_and(|p| p.get("module").is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_compiled_as_for_use_but_sooner() {
        assert_eq!(profile(Purpose::Use, false), ["--profile", "release"]);
        assert_eq!(profile(Purpose::Use, true), ["--profile", "module"]);
        let trial = profile(Purpose::Trial, true).join(" ");
        assert!(trial.starts_with("--profile module-dev --config profile.module-dev.inherits='module'"), "{trial}");
        assert!(profile(Purpose::Trial, false).join(" ").contains("inherits='release'"));
    }

    #[test]
    fn only_the_crates_own_wasm_counts() {
        let own = Path::new("/crates/retail/Cargo.toml");
        let line = |manifest: &str, files: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","filenames":[{files}],"fresh":true}}"#
            )
        };
        let cases = [
            (line("/crates/retail/Cargo.toml", r#""/t/libretail.rlib","/t/retail.wasm""#), Some("/t/retail.wasm")),
            (line("/crates/other/Cargo.toml", r#""/t/other.wasm""#), None),
            (line("/crates/retail/Cargo.toml", r#""/t/libretail.rlib""#), None),
            (r#"{"reason":"build-finished","success":true}"#.to_owned(), None),
            ("a line that a build script printed".to_owned(), None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|path| Wasm { path: path.into(), is_fresh: true });
            assert_eq!(artifact(&line, own), expected, "{line}");
        }
    }
}
