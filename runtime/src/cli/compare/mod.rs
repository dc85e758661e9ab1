//! `lakeward check-compat` and `lakeward diff`: a candidate beside the module that it is to replace, before anybody deploys it.

mod bronze;
mod edge;
mod error;
mod progress;
mod source;
mod tryout;
mod work;

pub use edge::Edge;
pub use error::Error;
pub(super) use tryout::Tryout;

use super::{CheckCompatArgs, DiffArgs, output};
use crate::clock;
use crate::config::{Config, Secret};
use crate::release::compare::{Comparison, Report};
use crate::release::{Trial, compat};
use crate::transform::{self, Host, Limits, ModuleFile};
use serde::Serialize;
use source::Source;
use std::path::Path;
use std::sync::Arc;

/// Says whether a module can take another's place; contacts nothing.
///
/// # Errors
/// When a file is no module, or something breaks.
pub fn check_compat(args: &CheckCompatArgs) -> Result<(), Error> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let found = compat::compare(&old.manifest, &new.manifest);
    let json = || serde_json::to_string(&found).unwrap_or_default() + "\n";
    output::try_print(if args.json { json() } else { found.to_string() }).map_err(Error::Output)?;
    match found.breaking.len() {
        0 => Ok(()),
        changes => Err(Error::Breaking { changes }),
    }
}

/// A module whose manifest makes sense.
fn read(path: &Path) -> Result<ModuleFile, Error> {
    let file = ModuleFile::read(path)?;
    let problems: Vec<String> = transform::check(&file.manifest).iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        return Ok(file);
    }
    Err(Error::Manifest { path: path.to_owned(), problems: problems.join("; ") })
}

/// What `lakeward diff --json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    old: Named<'a>,
    new: Named<'a>,
    seconds: f64,
    threads: usize,
    #[serde(flatten)]
    report: &'a Report,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    module: &'a str,
    version: &'a str,
    digest: &'a str,
}

impl<'a> From<&'a ModuleFile> for Named<'a> {
    fn from(file: &'a ModuleFile) -> Self {
        Self { module: &file.manifest.name, version: &file.manifest.version, digest: &file.digest }
    }
}

/// Compares what two modules make of past events. Writes nothing, and joins no consumer group.
///
/// # Errors
/// When a module or the configuration cannot be used, the events cannot be read, or a condition does not hold.
pub fn diff(args: &DiffArgs) -> Result<(), super::Error> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    Ok(compare(args, config.as_ref())?)
}

fn compare(args: &DiffArgs, config: Option<&Config>) -> Result<(), Error> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let comparison = Comparison::new(&old.manifest, &new.manifest)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let host = Host::new(config.map_or_else(Limits::default, limits), threads)?;
    // Without the pipeline's secret any will do: both modules are masked alike, and nobody can guess what is behind the values shown.
    let random = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    let secret = config.and_then(|config| config.masks.secret.as_ref()).map_or(random.as_slice(), Secret::expose);
    let trial = |file: &ModuleFile| Trial::load(&host, file, Some(secret)).map(Arc::new);
    let (before, after) = (trial(&old)?, trial(&new)?);
    let topics = work::topics(&before, &after, args.topic.as_deref())?;
    if args.from.is_behind(args.to) {
        return Err(Error::Backwards { from: args.from, to: args.to });
    }
    let sources = Source::open_all(args, config, &topics)?;
    let team = work::Team { old: before, new: after, topics, threads };
    let started = clock::instant();
    let report = team.compare(sources, &comparison)?.report();
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        let document = Document { old: (&old).into(), new: (&new).into(), seconds, threads, report: &report };
        output::try_print(serde_json::to_string(&document).unwrap_or_default() + "\n").map_err(Error::Output)?;
    } else {
        output::say(format_args!("{}\n", progress::summary(report.records, seconds, threads)));
        output::try_print(&report).map_err(Error::Output)?;
    }
    let unmet: Vec<String> = args
        .conditions
        .iter()
        .filter_map(|condition| condition.holds(&report).err())
        .map(|unmet| unmet.to_string())
        .collect();
    if unmet.is_empty() { Ok(()) } else { Err(Error::Unmet { unmet: unmet.join("; ") }) }
}

/// What a module may use up, as the pipeline of this configuration has it.
fn limits(config: &Config) -> Limits {
    Limits {
        fuel: config.transform.fuel.get(),
        memory: usize::try_from(config.transform.memory).unwrap_or(usize::MAX),
        output: usize::try_from(config.transform.output).unwrap_or(usize::MAX),
        timeout: config.transform.timeout,
    }
}
