//! The command line: what can be asked, and how an answer ends the process.

pub mod build;
pub mod compare;
pub mod dead_letters;
pub mod demo;
pub mod dev;
mod error;
pub mod inspect;
pub mod new;
pub mod offsets;
mod output;
pub mod release;
pub mod run;
mod table;
pub mod verify;

pub use error::{Error, chain};

use clap::{Args, Parser, Subcommand};
use release::{DeployArgs, ModuleArgs, ModulesArgs, PromoteArgs, RewindArgs, ServerArgs, ShadowArgs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `EX_USAGE` of sysexits.h: the command line or the configuration is wrong.
pub const EXIT_USAGE: u8 = 64;

/// Carries a domain's events to the lake: Kafka topics through WebAssembly transforms into Delta tables and live answers.
#[derive(Debug, Parser)]
#[command(name = "lakeward", version)]
#[command(
    after_help = "Exit codes: 0 done, 64 wrong usage or configuration, 1 anything else.\n\nBegin with `lakeward demo`."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(DemoArgs),
    Run(RunArgs),
    Check(CheckArgs),
    Verify(VerifyArgs),
    Offsets(OffsetsArgs),
    Deploy(DeployArgs),
    Shadow(ShadowArgs),
    Promote(PromoteArgs),
    Rewind(RewindArgs),
    /// Make the version before active again, in the running pipeline
    Rollback(ModuleArgs),
    /// Give a module no more records; its products stay where they are, everything else goes on
    Pause(ModuleArgs),
    /// Give a paused module records again, from where its products stand
    Resume(ModuleArgs),
    Modules(ModulesArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    New(NewArgs),
    Dev(dev::DevArgs),
    Build(BuildArgs),
    Inspect(InspectArgs),
    CheckCompat(CheckCompatArgs),
    Diff(DiffArgs),
}

/// Run the whole pipeline here and now: an embedded broker, generated orders, a transform, a lake and live answers
///
/// Needs no Kafka and no cloud. The orders are dirty on purpose, so that dead letters and late rows are to be seen. The lake is
/// ordinary Delta tables: read them with anything that reads Delta.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stop after this many seconds; without it, on Ctrl-C
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Orders a second
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub rate: u32,
    /// Where the tables go; an existing lake is continued
    #[arg(long, value_name = "DIR", default_value = "./lake")]
    pub lake: PathBuf,
    /// Where live answers are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: std::net::SocketAddr,
}

/// Run the pipeline of a configuration file
///
/// Stops cleanly on Ctrl-C or SIGTERM: what was read is committed first. Killed at any moment, the next run goes on where the tables
/// say, without a row lost or doubled.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: PathBuf,
    /// Stop when all that was in the topics at the start is committed, instead of waiting for more
    #[arg(long)]
    pub until_current: bool,
    /// At the end, print one line of JSON that sums up the run
    #[arg(long)]
    pub json: bool,
}

/// Check a configuration, its modules, their contracts and the lake, without reading or writing an event
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: PathBuf,
}

/// Audit what a pipeline has written: every record once, gold and live answers equal to silver
///
/// Reads the lake (and asks Kafka and the server, where they answer), changes nothing, and may run beside the pipeline. Ends with 0 if all
/// that was checked holds, with 1 otherwise.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: PathBuf,
    /// Print the verdict as one line of JSON
    #[arg(long)]
    pub json: bool,
    /// The address of the running pipeline, `http://host:port`; without it, the configured one is tried
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}

/// Show where every table stands in its topic, or move it
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct OffsetsArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
    /// What to do instead of showing them
    #[command(subcommand)]
    pub command: Option<OffsetsCommand>,
}

/// What can be done with offsets.
#[derive(Debug, Subcommand)]
pub enum OffsetsCommand {
    /// Move offsets on purpose; a running pipeline notices and starts over from the tables
    Move(MoveArgs),
}

/// Where tables go on reading.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["product", "module", "all"]))]
pub struct MoveArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: PathBuf,
    /// Move one silver product, with the state of the gold products over it
    #[arg(long, value_name = "DOMAIN/PRODUCT")]
    pub product: Option<String>,
    /// Move all products of one module; the other modules stay
    #[arg(long, value_name = "MODULE")]
    pub module: Option<String>,
    /// Move all tables
    #[arg(long)]
    pub all: bool,
    /// With --all or --module, only this topic
    #[arg(long, value_name = "TOPIC", conflicts_with = "product")]
    pub topic: Option<String>,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub partition: Option<i32>,
    /// `earliest`, `latest`, the first record from an RFC 3339 time on, or an offset
    #[arg(long, value_name = "WHERE")]
    pub to: String,
    /// The topic was deleted and made anew: its offsets count from the start again
    #[arg(long)]
    pub new_incarnation: bool,
    /// Move over records that are then never read
    #[arg(long)]
    pub yes: bool,
}

/// Scaffold a module crate in ./NAME
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The module's name: letters a-z, digits and _, a letter first; also the folder's and the crate's name
    pub name: String,
    /// The folder of the crate `lakeward-sdk`; without it, the SDK that this `lakeward` was built beside
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

/// Build a module crate and verify the component
///
/// Compiles for wasm32-unknown-unknown, refuses a module that imports anything but the host's log, asks the module for its manifest
/// and checks that, and writes one file.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The module crate
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// The file to write; without it, `DIR/NAME.wasm`, NAME being the module's
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Show what a module reads and writes, without running it
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A component that `lakeward build` made
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// Print the manifest, the digest and the size as JSON
    #[arg(long)]
    pub json: bool,
}

/// Say whether a module can take the place of another: what its tables can follow, and what breaks
///
/// Contacts nothing: it is for a domain team's CI. Ends with 0 if nothing breaks, with 1 if something does, with 64 if a file is no module.
#[derive(Debug, Args)]
pub struct CheckCompatArgs {
    /// The module that is in use
    #[arg(value_name = "OLD.wasm")]
    pub old: PathBuf,
    /// The module that is to replace it
    #[arg(value_name = "NEW.wasm")]
    pub new: PathBuf,
    /// Print the verdict as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Compare what two modules make of past events, row by row
///
/// Reads the topics of the modules from Kafka (or from files, where the configuration says so), runs both modules over the same events on all
/// cores and shows which rows, dead letters and gold groups differ. Writes nothing and joins no consumer group.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true).multiple(true).args(["config", "events"]))]
pub struct DiffArgs {
    /// The module that is in use
    #[arg(value_name = "OLD.wasm")]
    pub old: PathBuf,
    /// The module that is to replace it
    #[arg(value_name = "NEW.wasm")]
    pub new: PathBuf,
    /// The configuration file: where the events are, what modules may use up, and the secret of masks
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// A file of events, one a line, instead of Kafka; `*` is taken in the last part
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Only this topic; with --events, the topic that the events are of
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Where to begin: `earliest`, an RFC 3339 time or an offset
    #[arg(long, value_name = "WHERE", default_value = "earliest")]
    pub from: compare::Edge,
    /// Where to end: `latest`, an RFC 3339 time or an offset, the record there not included
    #[arg(long, value_name = "WHERE", default_value = "latest")]
    pub to: compare::Edge,
    /// End with 1 unless this holds, as `changed <= 0.1%` or `new_rejects = 0`; may be given several times
    #[arg(long = "if", value_name = "CONDITION")]
    pub conditions: Vec<crate::release::compare::Condition>,
    /// Print the report as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command line of this process to its end.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors that belong on stdout; a closed pipe there is nobody's problem.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: &Command) -> Result<(), Error> {
    match command {
        Command::Demo(args) => demo::demo(args),
        Command::Run(args) => run::run(args),
        Command::Check(args) => run::check(args),
        Command::Verify(args) => verify::verify(args),
        Command::Offsets(args) => offsets::offsets(args),
        Command::Deploy(args) => release::deploy(args),
        Command::Shadow(args) => release::shadow(args),
        Command::Promote(args) => release::promote(args),
        Command::Rewind(args) => release::rewind(args),
        Command::Rollback(args) => release::rollback(args),
        Command::Pause(args) => release::pause(args),
        Command::Resume(args) => release::resume(args),
        Command::Modules(args) => release::list(args),
        Command::DeadLetters(args) => dead_letters::dead_letters(args),
        Command::New(args) => {
            let created = new::create(Path::new("."), &args.name, args.sdk.as_deref())?;
            output::print(created)
        }
        Command::Dev(args) => dev::dev(args),
        Command::Build(args) => {
            let built = build::build(&args.dir, args.out.as_deref())?;
            let (path, module) = (built.path.display(), &built.manifest);
            let size = format_args!("{} bytes, sha256 {}", built.bytes, built.digest);
            output::print(format_args!("{path} is {} {}\n{size}\n", module.name, module.version))
        }
        Command::Inspect(args) => {
            let module = crate::transform::ModuleFile::read(&args.file)?;
            output::print(if args.json { inspect::json(&module) } else { inspect::text(&module) })
        }
        Command::CheckCompat(args) => Ok(compare::check_compat(args)?),
        Command::Diff(args) => compare::diff(args),
    }
}

#[cfg(test)]
mod tests;
