//! What can be asked about dead letters on the command line.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Look at dead letters, send them through their module again, or let them be
#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    /// What to do
    #[command(subcommand)]
    pub command: DeadLettersCommand,
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List the newest, or count them by reason, module or product
    List(ListArgs),
    /// Show all that is known of a record: its bytes, why it failed, and what was tried
    Show(ShowArgs),
    /// Send records through the module that is active now; a running pipeline does it within seconds
    Redrive(RequestArgs),
    /// Decide that records stay without rows
    Discard(RequestArgs),
}

/// Where the letters are. Without --config a running pipeline is asked.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The configuration file of the pipeline, whose lake is read and written
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// The address of the running pipeline; it takes an operator's token in LAKEWARD_TOKEN
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}

/// Which letters are listed.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Where
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Which letters
    #[command(flatten)]
    pub filter: FilterArgs,
    /// What became of them
    #[arg(long, value_enum, value_name = "STATUS", default_value_t = StatusArg::Open)]
    pub status: StatusArg,
    /// Count them instead
    #[arg(long, value_enum, value_name = "WHAT")]
    pub by: Option<By>,
    /// Show so many letters, or groups
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Which record is shown.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The record, as the list names it: `orders#0/3:4711`
    pub origin: String,
    /// Where
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Of this module
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Which letters are redriven or discarded, and who wants it.
#[derive(Debug, Args)]
pub struct RequestArgs {
    /// These records: `orders#0/3:4711`
    #[arg(value_name = "RECORD")]
    pub origins: Vec<String>,
    /// Where
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Which letters; of the records named, or of all
    #[command(flatten)]
    pub filter: FilterArgs,
    /// All open letters
    #[arg(long)]
    pub all: bool,
    /// Only say which letters that would be
    #[arg(long)]
    pub dry_run: bool,
    /// Who wants it, for the history; a running pipeline knows it by the token
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    pub who: String,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Conditions that letters must meet, all of them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conditions")]
pub struct FilterArgs {
    /// About this product
    #[arg(long, value_name = "DOMAIN/PRODUCT")]
    pub product: Option<String>,
    /// With this in their reason
    #[arg(long, value_name = "WORDS")]
    pub reason: Option<String>,
    /// Of this module
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// That failed at this stage
    #[arg(long, value_enum, value_name = "STAGE")]
    pub stage: Option<StageArg>,
    /// Of this topic
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Of this partition
    #[arg(long, value_name = "N")]
    pub partition: Option<i32>,
    /// Whose record has a timestamp at or after this RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Whose record has a timestamp before this RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// No row yet
    Open,
    /// Went through the module again, with success
    Redriven,
    /// Stays without rows
    Discarded,
    /// Whatever became of them
    All,
}

/// Where a letter failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StageArg {
    /// The payload is not what the module declares
    Decode,
    /// The module rejected it or failed on it
    Transform,
    /// A row of it breaks the product's contract
    Product,
    /// It came after its window had closed
    Aggregate,
}

/// By what letters are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// By reason
    Reason,
    /// By module
    Module,
    /// By the product whose contract or window was missed
    Product,
}

impl FilterArgs {
    /// The conditions, as names and values.
    pub(super) fn given(&self) -> Given {
        let mut given = Given::default();
        given.add("product", self.product.as_deref());
        given.add("reason", self.reason.as_deref());
        given.add("module", self.module.as_deref());
        given.add("stage", self.stage.map(named).as_deref());
        given.add("topic", self.topic.as_deref());
        given.add("partition", self.partition.map(|partition| partition.to_string()).as_deref());
        given.add("from", self.from.as_deref());
        given.add("to", self.to.as_deref());
        given
    }
}

impl ListArgs {
    /// What is asked, as names and values.
    pub(super) fn given(&self) -> Given {
        let mut given = self.filter.given();
        given.add("status", Some(&named(self.status)));
        given.add("by", self.by.map(named).as_deref());
        given.add("limit", Some(&self.limit.to_string()));
        given
    }
}

impl ShowArgs {
    /// What is asked, as names and values.
    pub(super) fn given(&self) -> Given {
        let mut given = Given::default();
        given.add("record", Some(&self.origin));
        given.add("module", self.module.as_deref());
        given
    }
}

impl RequestArgs {
    /// What is asked, as names and values.
    pub(super) fn given(&self) -> Given {
        let mut given = self.filter.given();
        self.origins.iter().for_each(|origin| given.add("record", Some(origin)));
        given.add("all", Some(&self.all.to_string()));
        given.add("dry_run", Some(&self.dry_run.to_string()));
        given
    }
}

/// Names and values.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<(&'static str, String)>);

impl Given {
    fn add(&mut self, name: &'static str, value: Option<&str>) {
        self.0.extend(value.map(|value| (name, value.to_owned())));
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// The word for a value on the command line.
pub(super) fn named(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
