//! What can be asked about dead letters on the command line.

use super::super::Error;
use crate::letters::{Filter, Grouping};
use crate::record::Stage;
use crate::sink::system::LetterStatus;
use chrono::DateTime;
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

/// Which letters are listed.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: PathBuf,
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
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: PathBuf,
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
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "LAKEWARD_CONFIG")]
    pub config: PathBuf,
    /// Which letters; of the records named, or of all
    #[command(flatten)]
    pub filter: FilterArgs,
    /// All open letters
    #[arg(long)]
    pub all: bool,
    /// Only say which letters that would be
    #[arg(long)]
    pub dry_run: bool,
    /// Who wants it, for the history
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

impl By {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Module => "module",
            Self::Product => "product",
        }
    }

    pub(super) fn grouping(self) -> Grouping {
        match self {
            Self::Reason => Grouping::Reason,
            Self::Module => Grouping::Module,
            Self::Product => Grouping::Product,
        }
    }
}

impl StatusArg {
    pub(super) fn status(self) -> Option<LetterStatus> {
        match self {
            Self::Open => Some(LetterStatus::Open),
            Self::Redriven => Some(LetterStatus::Redriven),
            Self::Discarded => Some(LetterStatus::Discarded),
            Self::All => None,
        }
    }
}

impl FilterArgs {
    /// The conditions; of the product's modules only the configuration knows.
    pub(super) fn filter(&self) -> Result<Filter, Error> {
        let stage = self.stage.map(|stage| match stage {
            StageArg::Decode => Stage::Decode,
            StageArg::Transform => Stage::Transform,
            StageArg::Product => Stage::Product,
            StageArg::Aggregate => Stage::Aggregate,
        });
        Ok(Filter {
            product: self.product.clone(),
            reason: self.reason.clone(),
            module: self.module.clone(),
            stage: stage.map(|stage| stage.name().to_owned()),
            topic: self.topic.clone(),
            partition: self.partition,
            from_ms: time("--from", self.from.as_deref())?,
            to_ms: time("--to", self.to.as_deref())?,
            ..Filter::default()
        })
    }
}

fn time(flag: &str, text: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(text) = text else { return Ok(None) };
    let wrong =
        || Error::Argument { reason: format!("{flag} {text} is no RFC 3339 time, such as 2024-05-01T00:00:00Z") };
    Ok(Some(DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?.timestamp_millis()))
}
