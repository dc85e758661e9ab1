//! `lakeward verify`: an audit of what a pipeline has written, while it runs or after.

use super::{Error, VerifyArgs, output, run};
use crate::audit::{Audit, Outcome, Subjects};
use crate::config::Config;
use crate::pipeline;
use crate::sink::Warehouse;

/// Audits the pipeline of a configuration file; changes nothing.
///
/// # Errors
/// When the configuration is wrong, the lake cannot be read, or something does not hold.
pub fn verify(args: &VerifyArgs) -> Result<(), Error> {
    let config = Config::load(&args.config)?;
    let subjects = Subjects::of(&pipeline::read_modules(&config, &run::build_crate)?);
    let lake = open_lake(&config)?;
    let audit = Audit { config: &config, lake: &lake, subjects: &subjects, server: args.server.as_deref() };
    let report = run::runtime()?.block_on(audit.run(&mut |line| output::say(format_args!("{line}\n"))))?;
    let json = || serde_json::to_string(&report).unwrap_or_default() + "\n";
    output::print(if args.json { json() } else { report.to_string() })?;
    match report.count(Outcome::Failed) {
        0 => Ok(()),
        failed => Err(Error::Refuted { failed }),
    }
}

/// The lake of a configuration, to be read.
pub(super) fn open_lake(config: &Config) -> Result<Warehouse, Error> {
    let options = config.lake.options.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Ok(Warehouse::at(&config.lake.location, &options).map_err(pipeline::Error::from)?)
}
