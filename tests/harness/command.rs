//! Tools that run to their end: Maven, Python, cargo.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a tool and gives its standard output.
///
/// # Errors
/// When it cannot be started or fails; with the end of what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    with_input(command, "")
}

/// Runs a tool on `input` and gives its standard output.
///
/// # Errors
/// When it cannot be started or fails; with the end of what it printed.
pub fn with_input(command: &mut Command, input: &str) -> Result<String> {
    let program = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let mut stdin = child.stdin.take().context("a child without standard input")?;
    // A tool that ends without reading its input says why in what it prints.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed ({}): {}", output.status, tail(&format!("{text}\n{errors}"), 30));
    }
    Ok(text)
}

/// Whether a tool can be started and succeeds.
#[must_use]
pub fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The last `count` lines of `text`.
#[must_use]
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
