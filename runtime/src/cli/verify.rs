//! `lakeward verify`: an audit of what a pipeline has written, while it runs or after.

use super::{Error, VerifyArgs, output, run};
use crate::audit::{Audit, Outcome, Subjects};
use crate::config::Config;
use crate::pipeline;
use crate::release::{self, Deployments};
use crate::sink::Warehouse;
use crate::transform::ModuleFile;

/// Audits the pipeline of a configuration file; changes nothing.
///
/// # Errors
/// When the configuration is wrong, the lake cannot be read, or something does not hold.
pub fn verify(args: &VerifyArgs) -> Result<(), Error> {
    let config = Config::load(&args.config)?;
    let lake = open_lake(&config)?;
    let runtime = run::runtime()?;
    let subjects = Subjects::of(&runtime.block_on(active_modules(&config, &lake))?);
    let audit = Audit { config: &config, lake: &lake, subjects: &subjects, server: args.server.as_deref() };
    let report = runtime.block_on(audit.run(&mut |line| output::say(format_args!("{line}\n"))))?;
    let json = || serde_json::to_string(&report).unwrap_or_default() + "\n";
    output::print(if args.json { json() } else { report.to_string() })?;
    match report.count(Outcome::Failed) {
        0 => Ok(()),
        failed => Err(Error::Refuted { failed }),
    }
}

/// The modules of a pipeline: those that were deployed, or what the configuration names where nothing ever was.
pub(super) async fn active_modules(config: &Config, lake: &Warehouse) -> Result<Vec<ModuleFile>, Error> {
    let log = Deployments::find(lake, &config.pipeline).await.map_err(pipeline::Error::from)?;
    let Some(log) = log.filter(|log| !log.standings().is_empty()) else {
        return Ok(pipeline::read_modules(config, &run::build_crate)?);
    };
    let mut modules = Vec::new();
    for (name, standing) in log.standings() {
        if let Some(digest) = standing.active() {
            let found = release::find_as(lake, name, digest).await;
            modules.push(found.map_err(|source| pipeline::Error::Stored { source: Box::new(source) })?);
        }
    }
    Ok(modules)
}

/// The lake of a configuration, to be read.
pub(super) fn open_lake(config: &Config) -> Result<Warehouse, Error> {
    let options = config.lake.options.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Ok(Warehouse::at(&config.lake.location, &options).map_err(pipeline::Error::from)?)
}
