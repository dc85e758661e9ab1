//! `cargo run --release -p lakeward-torture`: plays rounds until something is wrong or all are played.

use anyhow::{Context, Result};
use clap::Parser;
use lakeward_torture::{Kind, LakeKind, Settings, Summary};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The name under which this program is the product itself: what is tortured is built with what tortures it.
const PRODUCT: &str = "lakeward";

/// Kills, freezes and starves the pipeline, and holds its tables against what was sent.
///
/// A real Kafka, the real binary, a lake of real Delta tables that Python deltalake and DuckDB read back. Every round draws a fault by
/// the seed, applies it while records come in, ends it, waits until all is committed, and checks rows, dead letters, gold and commits
/// to the last digit. Exit code 1 when a round was not exact.
#[derive(Debug, Parser)]
#[command(name = "lakeward-torture")]
struct Arguments {
    /// Rounds to play
    #[arg(long, value_name = "N", default_value_t = 100)]
    rounds: u64,
    /// The number of the first round, to play one again: a round hangs on the seed and its number
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u64,
    /// Decides faults, moments and events
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// No round begins later than this
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Where the lake is
    #[arg(long, value_enum, default_value_t = LakeKind::File)]
    lake: LakeKind,
    /// Instances that share the topic
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    instances: u8,
    /// Draw this kind of fault only; may be given several times
    #[arg(long, value_name = "KIND", value_enum)]
    only: Vec<Kind>,
}

fn main() -> ExitCode {
    let name = std::env::args_os().next();
    if name.as_deref().and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == PRODUCT) {
        lakeward::memory::use_small_pages();
        return lakeward::cli::main();
    }
    match torture(Arguments::parse()) {
        Ok(summary) => {
            print!("\n{summary}");
            if summary.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn torture(arguments: Arguments) -> Result<Summary> {
    let folder = tempfile::tempdir()?;
    let binary = folder.path().join(PRODUCT);
    std::os::unix::fs::symlink(std::env::current_exe()?, &binary).context("giving this program its other name")?;
    let settings = Settings {
        rounds: arguments.rounds,
        first: arguments.first,
        seed: arguments.seed,
        limit: arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        lake: arguments.lake,
        instances: usize::from(arguments.instances),
        only: arguments.only,
        falsify: false,
    };
    lakeward_torture::run(&settings, &binary, |line| println!("{line}"))
}
