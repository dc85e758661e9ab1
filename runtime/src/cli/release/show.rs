//! Modules and what was decided about them, for a person.

use super::super::table::Table;
use super::Awaited;
use crate::release::compare::grouped;
use crate::serve::orders::{Accepted, Decision, Released};
use crate::serve::status::Metered;
use bytesize::ByteSize;
use std::time::Duration;

/// What has become of an order that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was awaited.
    There,
    /// The module gets no records, so nothing of it runs.
    Paused,
    /// A later order has taken its place.
    Overtaken,
    /// Nothing yet.
    Awaited,
}

/// An order that was taken.
pub(super) fn accepted(accepted: &Accepted, awaited: Awaited, outcome: Outcome, waited: Duration) -> String {
    let Accepted { module, sequence, digest, version, changes } = accepted;
    let mut text = format!("decision {sequence} about module {module}\n");
    for change in changes {
        text += &format!("  {change}\n");
    }
    let waited = waited.as_secs_f64();
    let code = format!("{module} {version} ({})", short(digest));
    text += &match (outcome, awaited) {
        (Outcome::There, Awaited::Active) => format!("{code} is active after {waited:.1} s\n"),
        (Outcome::There, Awaited::Rewound) => {
            format!("the products are back there after {waited:.1} s, and {code} reads on from there\n")
        }
        (Outcome::There, Awaited::Paused) => format!("{module} gets no more records after {waited:.1} s\n"),
        (Outcome::Paused, Awaited::Rewound) => {
            format!(
                "{module} gets no records: its products go back when it is resumed, and {code} reads on from there\n"
            )
        }
        (Outcome::Paused, _) => format!("{module} gets no records: {code} is active once it is resumed\n"),
        (Outcome::Overtaken, _) => "a later decision has taken the place of this one\n".to_owned(),
        (Outcome::Awaited, _) => {
            format!("the order is in the log; the instance asked has not followed it within {waited:.0} s\n")
        }
    };
    text
}

/// An order that would have been taken.
pub(super) fn answered(accepted: &Accepted) -> String {
    let Accepted { module, version, changes, .. } = accepted;
    let mut text: String = changes.iter().map(|change| format!("{change}\n")).collect();
    if changes.is_empty() {
        text += "the tables stay as they are\n";
    }
    text + &format!("the order would be taken, with {module} {version}; nothing was changed\n")
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
        let state = cut(&state(module));
        table.row([&*module.module, &module.owner, &module.version, digest, &state, &who, &at]);
    }
    table.to_string()
}

/// Everything that was decided about modules, and what they use.
pub(super) fn histories(modules: &[Released]) -> String {
    let mut text = String::new();
    for module in modules {
        text += &format!("{} {} of {}: {}\n", module.module, module.version, module.owner, state(module));
        text += &module.metered.as_ref().map(metered).unwrap_or_default();
        let mut table = Table::new(2);
        table.row(["", "what", "to", "digest", "version", "who", "at", "why"]);
        for Decision { sequence, action, digest, version, micro_batch, who, why, at } in &module.history {
            let to = match micro_batch {
                Some(0) => "its start".to_owned(),
                Some(micro_batch) => format!("micro-batch {micro_batch}"),
                None => String::new(),
            };
            let digest = digest.as_deref().map(short).unwrap_or_default();
            let version = version.as_deref().unwrap_or_default();
            let why = why.as_deref().unwrap_or_default();
            table.row([&*sequence.to_string(), action, &to, digest, version, who, &at.to_string(), why]);
        }
        text += &table.to_string();
    }
    text
}

/// What a module was given and used in the instance that was asked, and the most of a call beside its limit.
fn metered(of: &Metered) -> String {
    let Metered { records, rejects, failures, rows, calls, call, .. } = of;
    let mut text = format!(
        "  {} records in {} calls: {} rows, {} rejects, {} of them failures\n",
        grouped(*records),
        grouped(*calls),
        grouped(*rows),
        grouped(*rejects),
        grouped(*failures)
    );
    if let (Some(nanoseconds), Some(fuel)) = (of.nanoseconds_per_event, of.fuel_per_event) {
        text += &format!("  {nanoseconds:.0} ns and {fuel:.0} fuel an event");
        if let Some(share) = of.worker_share {
            text += &format!(", {:.0} % of the workers' time within the last minute", share * 100.0);
        }
        text += "\n";
    }
    if let Some(slow) = &of.slow {
        text += &format!("  slow: {slow}\n");
    }
    let mut table = Table::new(2);
    table.row(["most of a call", "used", "limit"]);
    table.row(["fuel", &grouped(call.fuel.most), &grouped(call.fuel.limit)]);
    for (name, of) in [("memory", call.memory_bytes), ("output", call.output_bytes)] {
        table.row([name, &ByteSize(of.most).to_string(), &ByteSize(of.limit).to_string()]);
    }
    table.row(["time", &format!("{:.3} s", call.seconds.most), &format!("{} s", call.seconds.limit)]);
    text + &table.to_string()
}

/// What fits into a column of many; all of it is in the module's own history.
fn cut(state: &str) -> String {
    const WIDTH: usize = 60;
    if state.chars().count() <= WIDTH {
        return state.to_owned();
    }
    state.chars().take(WIDTH - 2).chain("..".chars()).collect()
}

fn state(module: &Released) -> String {
    match (&module.paused, &module.running) {
        (Some(why), _) if module.parked => format!("parked: {why}"),
        (Some(why), _) => format!("paused: {why}"),
        (None, Some(running)) if *running == module.digest => match module.stopped.first_key_value() {
            None => "running".to_owned(),
            Some((partition, why)) => {
                let more = match module.stopped.len() - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("stopped in {partition}{more}: {why}")
            }
        },
        (None, Some(running)) => format!("running {} until the next micro-batch", short(running)),
        (None, None) => "starting".to_owned(),
    }
}

/// The first digits of a digest, as people compare them.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
