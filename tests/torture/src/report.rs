//! What a run says: a line a round, and what it comes to.

use crate::fault::{Fault, Kind};
use crate::round::Played;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A round that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// The round.
    pub round: u64,
    /// What befell the pipeline.
    pub kind: Kind,
    /// What was wrong then.
    pub wrong: String,
    /// What is left of it.
    pub folder: Option<PathBuf>,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// The seed that decided everything.
    pub seed: u64,
    /// Rounds played.
    pub rounds: u64,
    /// Records sent.
    pub records: u64,
    /// Rounds by kind of fault.
    pub faults: BTreeMap<Kind, u64>,
    /// Of these, rounds in which an instance was to kill itself at a point and never passed it: it was killed some time later.
    pub missed: BTreeMap<Kind, u64>,
    /// From the end of each fault to the first commit.
    pub recoveries: Vec<Duration>,
    /// Rounds in which a module caught up beside the others, by the commits table.
    pub apart: u64,
    /// Rounds in which an instance was seen to say so.
    pub seen_apart: u64,
    /// What went wrong.
    pub failures: Vec<Failure>,
    /// Whether `lakeward verify` was asked as well.
    pub verified: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, rounds, records, .. } = self;
        writeln!(f, "seed {seed}: {rounds} rounds, {records} records, {} failures", self.failures.len())?;
        writeln!(f, "faults: {}", counts(&self.faults))?;
        if !self.missed.is_empty() {
            writeln!(f, "the point was not passed, the kill came later: {}", counts(&self.missed))?;
        }
        let (apart, seen) = (self.apart, self.seen_apart);
        writeln!(
            f,
            "a module caught up beside the other in {apart} rounds, and the status was seen to say so in {seen}"
        )?;
        let mut sorted = self.recoveries.clone();
        sorted.sort_unstable();
        if let (Some(median), Some(longest)) = (sorted.get(sorted.len() / 2), sorted.last()) {
            let (median, longest) = (median.as_secs_f64(), longest.as_secs_f64());
            writeln!(f, "recoveries: {}, median {median:.2} s, longest {longest:.2} s", sorted.len())?;
        }
        if !self.verified {
            writeln!(f, "this lakeward has no command `verify`; only the foreign readers were asked")?;
        }
        for failure in &self.failures {
            let Failure { round, kind, wrong, .. } = failure;
            writeln!(f, "FAILED in round {round} ({kind}): {wrong}")?;
            writeln!(f, "  again: --seed {seed} --first {round} --rounds 1")?;
            if let Some(folder) = &failure.folder {
                writeln!(f, "  the lake and the logs: {}", folder.display())?;
            }
        }
        Ok(())
    }
}

fn counts(by_kind: &BTreeMap<Kind, u64>) -> String {
    by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

/// The line of a round.
pub(crate) fn line(round: u64, fault: &Fault, played: &Played, verdict: &str, took: Duration) -> String {
    let recovered =
        played.recovered.map_or_else(String::new, |time| format!("recovered in {:.2} s", time.as_secs_f64()));
    let note = played.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
    let missed = if played.missed { "; the point was not passed" } else { "" };
    let apart = if played.apart > 0 { format!("; {} micro-batches apart", played.apart) } else { String::new() };
    let fault = fault.to_string();
    let (records, took) = (played.records, took.as_secs_f64());
    format!(
        "round {round:>4}  {fault:<22} {recovered:<22} {records:>5} records  {took:>5.1} s  {verdict}{note}{missed}{apart}"
    )
}
