//! Modules and what was decided about them, for a person.

use super::super::table::Table;
use crate::serve::orders::{Accepted, Decision, Released};
use std::time::Duration;

/// An order that was taken.
pub(super) fn accepted(accepted: &Accepted, runs: bool, followed: bool, waited: Duration) -> String {
    let Accepted { module, sequence, digest, version, changes } = accepted;
    let mut text = format!("decision {sequence} about module {module}\n");
    for change in changes {
        text += &format!("  {change}\n");
    }
    let waited = waited.as_secs_f64();
    text += &match (runs, followed) {
        (true, true) => format!("{module} {version} ({}) is active after {waited:.1} s\n", short(digest)),
        (false, true) => format!("{module} gets no more records after {waited:.1} s\n"),
        (_, false) => format!("the order is in the log; the instance asked has not followed it within {waited:.0} s\n"),
    };
    text
}

/// A shadow that was started.
pub(super) fn shadowed(accepted: &Accepted) -> String {
    let Accepted { module, sequence, version, changes, .. } = accepted;
    let mut text = format!("decision {sequence}: {version} runs beside module {module}\n");
    for change in changes {
        text += &format!("  {change}\n");
    }
    text
}

/// A line for each module.
pub(super) fn overview(modules: &[Released]) -> String {
    let mut table = Table::new(0);
    table.row(["module", "owner", "version", "digest", "state", "deployed by", "at"]);
    for module in modules {
        let last = module.history.iter().find(|decision| decision.digest.is_some());
        let (who, at) = last.map(|last| (last.who.clone(), last.at.to_string())).unwrap_or_default();
        let digest = short(&module.digest);
        table.row([&*module.module, &module.owner, &module.version, digest, &state(module), &who, &at]);
    }
    table.to_string()
}

/// Everything that was decided about modules.
pub(super) fn histories(modules: &[Released]) -> String {
    let mut text = String::new();
    for module in modules {
        text += &format!("{} {} of {}: {}\n", module.module, module.version, module.owner, state(module));
        let mut table = Table::new(2);
        table.row(["", "what", "digest", "version", "who", "at", "why"]);
        for Decision { sequence, action, digest, version, who, why, at } in &module.history {
            let digest = digest.as_deref().map(short).unwrap_or_default();
            let version = version.as_deref().unwrap_or_default();
            let why = why.as_deref().unwrap_or_default();
            table.row([&*sequence.to_string(), action, digest, version, who, &at.to_string(), why]);
        }
        text += &table.to_string();
    }
    text
}

fn state(module: &Released) -> String {
    match (&module.paused, &module.running) {
        (Some(why), _) => format!("paused: {why}"),
        (None, Some(running)) if *running == module.digest => "running".to_owned(),
        (None, Some(running)) => format!("running {} until the next micro-batch", short(running)),
        (None, None) => "starting".to_owned(),
    }
}

/// The first digits of a digest, as people compare them.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
