//! The torture: rounds of faults by a seed, each held against what was sent. Nothing may be lost, doubled or torn.

mod checker;
mod disk;
mod fault;
mod generator;
mod orders;
mod redrives;
mod releases;
mod report;
mod rewinds;
mod round;
mod world;

pub use fault::Kind;
pub use report::{Failure, Summary};

use anyhow::{Result, bail};
use clap::ValueEnum;
use fault::Fault;
use lakeward_tests::random::Random;
use lakeward_tests::wait;
use report::line;
use round::Played;
use std::path::Path;
use std::time::Duration;
use world::{Epoch, World};

/// Rounds over one lake: more make the checks slower, fewer leave no time for logs to grow.
const LAKE_ROUNDS: u64 = 50;

/// Failures after which more tell nothing new.
const ENOUGH: usize = 10;

/// Where the lake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LakeKind {
    /// In a folder.
    File,
    /// On a real S3 behind a proxy that can misbehave.
    S3,
}

/// What to play.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many rounds.
    pub rounds: u64,
    /// The number of the first one; a round hangs on the seed and its number alone.
    pub first: u64,
    /// Decides everything.
    pub seed: u64,
    /// No round begins later than this.
    pub limit: Option<Duration>,
    /// Where the lake is.
    pub lake: LakeKind,
    /// Instances that share the topic.
    pub instances: usize,
    /// The kinds of faults to draw from; all that are possible without.
    pub only: Vec<Kind>,
    /// Falsifies the record in one digit a round: a check that does not notice checks nothing.
    pub falsify: bool,
}

/// Plays rounds with the `lakeward` at `binary`, and says a line about each.
///
/// # Errors
/// When the stage cannot be set up; what the pipeline does wrong is in the summary.
pub fn run(settings: &Settings, binary: &Path, mut say: impl FnMut(&str)) -> Result<Summary> {
    let begun = wait::now();
    let mut world = World::set_up(settings, binary)?;
    let kinds = kinds(settings, &world, &mut say)?;
    let mut summary = Summary { seed: settings.seed, verified: world.can_verify, ..Summary::default() };
    let mut epoch: Option<(u64, Epoch)> = None;
    for round in settings.first..settings.first + settings.rounds {
        if settings.limit.is_some_and(|limit| begun.elapsed() >= limit) || summary.failures.len() >= ENOUGH {
            break;
        }
        let (born, mut current) = match epoch.take() {
            Some(epoch) => epoch,
            // Every other lake keeps the records, so that neither way goes untried; which does hangs on the round, so that it can be replayed.
            None => (round, world.new_lake((round / LAKE_ROUNDS).is_multiple_of(2))?),
        };
        let mut random = Random::of(settings.seed, round);
        let fault = Fault::draw(&mut random, &kinds, current.has_bronze);
        let started = wait::now();
        let is_last = round + 1 == born + LAKE_ROUNDS || round + 1 == settings.first + settings.rounds;
        let outcome = play(&mut world, &mut current, &fault, &mut random, is_last);
        let (played, wrong) = outcome.unwrap_or_else(|error| (Played::default(), Some(format!("{error:#}"))));
        say(&line(round, &fault, &played, if wrong.is_none() { "exact" } else { "WRONG" }, started.elapsed()));
        summary.rounds += 1;
        summary.records += played.records;
        *summary.faults.entry(fault.kind).or_default() += 1;
        if played.missed {
            *summary.missed.entry(fault.kind).or_default() += 1;
        }
        summary.recoveries.extend(played.recovered);
        summary.apart += u64::from(played.apart > 0);
        summary.seen_apart += u64::from(played.was_seen_apart);
        if let Some(wrong) = wrong {
            say(&format!("  {wrong}"));
            if let Some(proxy) = &world.proxy {
                proxy.set(lakeward_tests::store_proxy::Mischief::default());
            }
            let folder = current.keep().ok();
            summary.failures.push(Failure { round, kind: fault.kind, wrong, folder });
        } else if !is_last {
            epoch = Some((born, current));
        }
    }
    Ok(summary)
}

/// Plays a round; at the end of a lake's life everything is read once more. Gives what is wrong.
fn play(
    world: &mut World,
    epoch: &mut Epoch,
    fault: &Fault,
    random: &mut Random,
    is_last: bool,
) -> Result<(Played, Option<String>)> {
    let mut played = round::play(world, epoch, fault, random)?;
    if is_last && played.wrong.is_empty() {
        epoch.terminate()?;
        played.wrong = world.checker.scan()?;
    }
    let wrong = (!played.wrong.is_empty()).then(|| played.wrong.join("\n  "));
    Ok((played, wrong))
}

/// The kinds that can be drawn; says which cannot.
fn kinds(settings: &Settings, world: &World, say: &mut impl FnMut(&str)) -> Result<Vec<Kind>> {
    let wanted = if settings.only.is_empty() { Kind::value_variants() } else { &settings.only };
    let mut kinds = Vec::new();
    for kind in wanted {
        match kind.missing(world.means) {
            None => kinds.push(*kind),
            Some(reason) => say(&format!("left out: {kind}; {reason}")),
        }
    }
    if kinds.is_empty() {
        bail!("no kind of fault is left");
    }
    Ok(kinds)
}
