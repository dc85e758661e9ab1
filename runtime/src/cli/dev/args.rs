//! What `lakeward dev` takes.

use clap::Args;
use std::path::PathBuf;

/// Build a module crate again at each save, and show what it makes of events
///
/// Prints the first rows of each product, the first rejects with their reasons, counts, and how all of that differs from the build before.
/// The build is quick and unoptimised and goes into no file: `lakeward build` makes the one to deliver. Ctrl-C ends it.
#[derive(Debug, Clone, Args)]
pub struct DevArgs {
    /// The module crate
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// A file of events, one a line; `*` is taken in the last part. Without it, the orders of `lakeward demo`, 10,000 of them
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// The topic that the events are of, where the module reads several
    #[arg(long, value_name = "TOPIC", requires = "events")]
    pub topic: Option<String>,
    /// Rows of each product, and reasons of rejects, that are shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub rows: u16,
    /// Deploy each build to the running pipeline at this address too, with the operator's token in LAKEWARD_TOKEN
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Build and show once, and end
    #[arg(long)]
    pub once: bool,
}
