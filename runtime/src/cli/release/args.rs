//! What the commands about a running pipeline's modules take.

use clap::Args;
use std::path::PathBuf;

/// Which pipeline is asked. Orders need an operator's token in LAKEWARD_TOKEN.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The address of the running pipeline
    #[arg(long, value_name = "URL", env = "LAKEWARD_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Make a module active in a running pipeline, without a restart
///
/// The pipeline checks the module as a start would, stores it, and writes the decision into its log; every instance goes on with it at its
/// next micro-batch. A module that its tables cannot take is refused with the list of what does not fit, and nothing changes.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// A component that `lakeward build` made
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// Deploy it beside the module of its name, as version N of it: its products get names of their own, as sales_v2, and are filled from
    /// the start of their topics. Once it is there, --as-version N deploys the next build of it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub as_version: Option<u32>,
    /// Make the module's products anew: their tables are emptied, get the columns that this module gives them, and are filled again from the
    /// start of their topics
    #[arg(long)]
    pub rebuild: bool,
    /// Rebuild also where records that the products were made of are gone: what they became goes for good
    #[arg(long, requires = "rebuild")]
    pub yes: bool,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the log of deployments
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Which pipeline
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Run a module beside the active one of its name, and say what would be different
///
/// It gets the same events in a sandbox and a budget of its own; its rows go nowhere. It goes on after this command has ended, until it is
/// promoted, ended with --end, or another module is deployed.
#[derive(Debug, Args)]
pub struct ShadowArgs {
    /// A component that `lakeward build` made
    #[arg(value_name = "FILE.wasm", required_unless_present_any = ["end", "report"])]
    pub file: Option<PathBuf>,
    /// Beside version N of its module, as it was deployed with --as-version
    #[arg(long, value_name = "N", requires = "file", value_parser = clap::value_parser!(u32).range(2..))]
    pub as_version: Option<u32>,
    /// Report when this many records were compared
    #[arg(long, value_name = "N", conflicts_with = "within")]
    pub records: Option<u64>,
    /// Report after this time, as `10m`; without it and --records, after 10 s
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub within: Option<std::time::Duration>,
    /// Report on the shadow of this module as it is
    #[arg(long, value_name = "MODULE", conflicts_with_all = ["file", "end", "records", "within"])]
    pub report: Option<String>,
    /// End the shadow of this module
    #[arg(long, value_name = "MODULE", conflicts_with_all = ["file", "records", "within"])]
    pub end: Option<String>,
    /// Why, for the log of deployments
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Which pipeline
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Make the shadow of a module active
///
/// With --if only where all conditions hold over what was compared so far by the instance that is asked.
#[derive(Debug, Args)]
#[command(after_help = "A condition is FIGURE RELATION NUMBER[%], as 'changed <= 0.1%' or 'new_rejects = 0'.\n\
    Figures: records, same, changed, only_old, only_new, new_rejects, lost_rejects, groups, stops, slower, more_fuel.")]
pub struct PromoteArgs {
    /// The module's name, or the file that runs as its shadow
    #[arg(value_name = "MODULE|FILE.wasm")]
    pub module: String,
    /// What has to hold; may be given several times
    #[arg(long = "if", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// Why, for the log of deployments
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Which pipeline
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Take the products of a module back to where they stood, and read on from there
///
/// Tables, gold, aggregate state and offsets go back together; what the module's records were since is undone, and they are read again by
/// the module that is active. Other modules' products stay where they are.
#[derive(Debug, Args)]
pub struct RewindArgs {
    /// The module's name
    #[arg(value_name = "MODULE")]
    pub module: String,
    /// The last micro-batch that stays, an RFC 3339 time, or the first digits of a digest to go back before
    #[arg(long, value_name = "WHERE")]
    pub to: String,
    /// Make the version before active from there on
    #[arg(long)]
    pub rollback: bool,
    /// Only say what would be undone
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the log of deployments
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Which pipeline
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A module of a running pipeline.
#[derive(Debug, Args)]
pub struct ModuleArgs {
    /// The module's name
    #[arg(value_name = "MODULE")]
    pub module: String,
    /// Why, for the log of deployments
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Which pipeline
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Show the modules of a running pipeline, or everything that was decided about one
#[derive(Debug, Args)]
pub struct ModulesArgs {
    /// Only this module, with its history
    #[arg(value_name = "MODULE")]
    pub module: Option<String>,
    /// Which pipeline
    #[command(flatten)]
    pub server: ServerArgs,
}
