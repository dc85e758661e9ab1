//! Whether the tables of a pipeline agree on how far they are, and whether the topics still hold what comes next.
//!
//! | a table's offset is    | silver, dead letters, state                              | gold                     |
//! |------------------------|----------------------------------------------------------|--------------------------|
//! | that of the commits    | agrees                                                   | agrees                   |
//! | ahead of it            | open: a micro-batch is under way, or was cut off         | agrees, if the state is  |
//! | behind it              | fails: a micro-batch says more than the table holds      | agrees: it follows later |

use super::answers::is_of_topic;
use super::chain::subtract;
use super::ledger::Ledger;
use super::report::{Check, Offenders};
use super::topics::{Log, Logs, Topics};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::sink::bronze::Held;
use crate::sink::redrives::topic_of;
use std::collections::BTreeMap;
use std::ops::Range;

/// The newest incarnation of each topic that the commits table knows.
fn is_newest(ledger: &Ledger, partition: &SourcePartition) -> bool {
    let newer = |other: &SourcePartition| other.topic == partition.topic && other.incarnation > partition.incarnation;
    !ledger.chains.keys().any(newer)
}

/// The commits table itself: its ranges follow each other, and end where its own offsets say.
#[must_use]
pub(super) fn of_commits(ledger: &Ledger, own: &Checkpoint) -> Check {
    let mut bad = Offenders::default();
    for (partition, chain) in &ledger.chains {
        chain.faults.iter().for_each(|fault| bad.add(|| format!("{partition}: {fault}")));
        match own.get(partition) {
            Some(next) if next != chain.next => {
                bad.add(|| format!("{partition}: its rows end at {}, its offset is {next}", chain.next));
            }
            None if chain.next > 0 => bad.add(|| format!("{partition}: it has rows and no offset")),
            _ => {}
        }
    }
    let all = || ledger.chains.iter().filter(|(partition, _)| partition.reader.is_none());
    let (asked, read): (Vec<_>, Vec<_>) = all().partition(|(partition, _)| topic_of(partition).is_some());
    let records: i64 = read.iter().map(|(_, chain)| chain.next).sum();
    let skipped: i64 = all().flat_map(|(_, chain)| &chain.skipped).map(|range| range.end - range.start).sum();
    let moved = if skipped > 0 { format!(", {skipped} of them moved over") } else { String::new() };
    let answered: i64 = asked.iter().map(|(_, chain)| chain.next).sum();
    let answered =
        if answered > 0 { format!("; so are {answered} requests about dead letters") } else { String::new() };
    let detail = format!("{} partitions, {records} offsets without gap or overlap{moved}{answered}", read.len());
    Check::of("offsets", "_lakeward/commits", detail, bad)
}

/// Who feeds a table that is committed before the commits table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Feeder<'a> {
    /// All modules.
    All,
    /// One module from one topic.
    Module(&'a str, &'a str),
    /// Whatever is read of a topic, as it is.
    Records(&'a str),
}

/// A table that is committed before the commits table, which stands at `commits`: it is as far or further. One of a module that stands
/// apart from the others is as far as that module.
#[must_use]
pub(super) fn of_table(
    table: &str,
    feeder: Feeder<'_>,
    ledger: &Ledger,
    commits: &Checkpoint,
    own: &Checkpoint,
) -> Check {
    let (mut bad, mut open, mut behind, mut partitions) = (Offenders::default(), 0, 0, 0_usize);
    for (partition, chain) in &ledger.chains {
        let is_sequence = topic_of(partition).is_some();
        let expected = match feeder {
            Feeder::All => chain.next,
            Feeder::Records(topic) if *partition.topic != *topic || partition.reader.is_some() => continue,
            Feeder::Records(_) => chain.next,
            Feeder::Module(_, topic) if !is_of_topic(partition, topic) || partition.reader.is_some() => continue,
            Feeder::Module(module, _) => commits.get(&partition.of_reader(module)).unwrap_or(chain.next),
        };
        partitions += usize::from(!is_sequence);
        match own.get(partition) {
            Some(next) if next > expected => open += next - expected,
            // While its module is paused a product takes no part in what is redriven, and goes on behind it.
            Some(next) if next < expected && is_sequence && stands_apart(commits, feeder, partition) => {}
            // What all were moved over bronze never has, and it goes on with the next micro-batch.
            Some(next) if next < expected && was_moved_over(feeder, &chain.skipped, &(next..expected)) => {}
            Some(next) if next < expected => {
                if ledger.moved_back.contains(&(table.to_owned(), partition.clone())) {
                    behind += expected - next;
                } else {
                    bad.add(|| format!("{partition}: it is at {next}, the commits table at {expected}"));
                }
            }
            // A module that is new to the partition has only said where it will begin.
            None if matches!(feeder, Feeder::Module(module, _) if !ledger.has_begun(module, partition)) => {}
            // A product that came later knows nothing of older incarnations, nor of what was redriven before.
            None if expected > 0 && !is_sequence && is_newest(ledger, partition) => {
                bad.add(|| format!("{partition}: it has no offset, the commits table is at {expected}"));
            }
            _ => {}
        }
    }
    let mut detail = format!("{partitions} partitions, as far as the commits table");
    if open > 0 {
        detail += &format!("; {open} offsets ahead are open: a micro-batch is under way or was cut off");
    }
    if behind > 0 {
        detail += &format!("; {behind} offsets behind after a move: it catches up");
    }
    Check::of("offsets", table, detail, bad)
}

/// A table that is not there, though it was in the micro-batch `known`. A session makes all of its tables before its first micro-batch, whether
/// their modules are paused or not, and a rebuild empties them: none goes by itself.
#[must_use]
pub(super) fn of_missing(table: &str, known: Option<i64>) -> Check {
    let Some(micro_batch) = known else { return Check::not_checked("offsets", table, "there is no table yet") };
    let mut bad = Offenders::default();
    bad.add(|| format!("it was there in micro-batch {micro_batch}"));
    Check::of("offsets", table, "the table is gone", bad)
}

/// Whether bronze lacks a range because nobody ever read it.
fn was_moved_over(feeder: Feeder<'_>, skipped: &[Range<i64>], range: &Range<i64>) -> bool {
    let mut left = vec![range.clone()];
    skipped.iter().for_each(|skipped| subtract(&mut left, skipped));
    matches!(feeder, Feeder::Records(_)) && left.is_empty()
}

/// Whether the module of a table was ever apart from the others in the partition whose redrives a sequence numbers.
fn stands_apart(commits: &Checkpoint, feeder: Feeder<'_>, sequence: &SourcePartition) -> bool {
    let Feeder::Module(module, topic) = feeder else { return false };
    commits.iter().any(|(of, _)| {
        of.reader.as_deref() == Some(module) && *of.topic == *topic && of.partition == sequence.partition
    })
}

/// A gold table: never further than its state.
#[must_use]
pub(super) fn of_gold(table: &str, own: &Checkpoint, state: &Checkpoint) -> Check {
    let (mut bad, mut behind) = (Offenders::default(), 0);
    // What names a module is no partition, but says how often that was taken back.
    for (partition, next) in own.iter().filter(|(partition, _)| partition.reader.is_none()) {
        let state = state.get(partition).unwrap_or(0);
        behind += (state - next).max(0);
        if next > state {
            bad.add(|| format!("{partition}: it is at {next}, its state at {state}"));
        }
    }
    let is_published = |of: &SourcePartition| {
        own.iter()
            .any(|(own, _)| own.topic == of.topic && own.partition == of.partition && own.incarnation >= of.incarnation)
    };
    let unpublished = state.iter().filter(|(of, next)| of.reader.is_none() && *next > 0 && !is_published(of)).count();
    let mut lag =
        if behind > 0 { format!("{behind} offsets behind its state") } else { "where its state is".to_owned() };
    if unpublished > 0 {
        lag = format!("nothing was published of {unpublished} partitions yet; else it is {lag}");
    }
    Check::of("offsets", table, lag, bad)
}

/// Where modules stand that may stand apart from the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// What the commits table says.
    pub(super) commits: &'a Checkpoint,
    /// The modules that read the topic.
    pub(super) readers: &'a [&'a str],
}

/// A topic: it is the one that the tables stand in, whose ids they `stored`, and the next record to read is still there, or not yet, for
/// every module. Where records are `kept`, the next one may be there instead, and all others up to the log's start.
#[must_use]
pub(super) fn of_topic(
    topic: &str,
    ledger: &Ledger,
    standing: Standing<'_>,
    found: &Topics,
    stored: &BTreeMap<String, String>,
    kept: Option<&Checkpoint>,
) -> Check {
    let logs = match found.logs.get(topic) {
        Some(Logs::Ranges(logs)) => logs,
        Some(Logs::NotAsked(why)) => return Check::not_checked("offsets", topic, why.clone()),
        None => return Check::not_checked("offsets", topic, "nobody was asked"),
    };
    let (mut bad, mut lag, mut in_bronze) = (Offenders::default(), 0, 0_usize);
    let of_topic = ledger.chains.keys().filter(|partition| *partition.topic == *topic);
    let newest = of_topic.map(|partition| partition.incarnation).max().unwrap_or(0);
    if let Some(recreated) = found.recreated(topic, newest, stored) {
        bad.add(|| {
            format!(
                "{topic}#{newest}: the tables stand in the topic with id {}, the broker has one with id {}: it was made anew",
                recreated.stored, recreated.found
            )
        });
    }
    for (id, Log { start, end }) in logs {
        let is_its = |(partition, _): &(&SourcePartition, &super::chain::Chain)| {
            let is_it = *partition.topic == *topic && partition.partition == *id && partition.reader.is_none();
            is_it && is_newest(ledger, partition)
        };
        let Some((partition, chain)) = ledger.chains.iter().rfind(is_its) else {
            lag += end - start;
            continue;
        };
        lag += (end - chain.next).max(0);
        let held = kept.and_then(|kept| Held::of(kept, partition));
        let is_held = |next: i64| held.is_some_and(|held| held.reaches(next, *start));
        for reader in standing.readers {
            let own = partition.of_reader(reader);
            if let Some(next) = standing.commits.get(&own).filter(|next| *next < *start && !is_held(*next)) {
                bad.add(|| format!("{own}: the module is at {next}, the log starts at {start}"));
            }
        }
        if chain.next < *start && is_held(chain.next) {
            in_bronze += 1;
        } else if chain.next < *start {
            bad.add(|| format!("{partition}: the tables are at {}, the log starts at {start}", chain.next));
        } else if chain.next > *end {
            bad.add(|| format!("{partition}: the tables are at {}, the log ends at {end}", chain.next));
        }
    }
    let stands = |partition: &&SourcePartition| *partition.topic == *topic && partition.reader.is_none();
    for partition in ledger.chains.keys().filter(stands).filter(|partition| is_newest(ledger, partition)) {
        // Brokers take no partition away from a topic: it is another one of that name.
        if !logs.contains_key(&partition.partition) {
            bad.add(|| format!("{partition}: the tables have records of it, the topic has no such partition"));
        }
    }
    let elsewhere = if in_bronze > 0 { format!(", {in_bronze} in bronze") } else { String::new() };
    let within = logs.len() - in_bronze;
    Check::of(
        "offsets",
        topic,
        format!("{within} partitions within the log{elsewhere}, {lag} records not read yet"),
        bad,
    )
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Entry;
    use super::super::report::Outcome;
    use super::*;

    fn at(incarnation: u32, partition: i32) -> SourcePartition {
        SourcePartition::new("orders", incarnation, partition)
    }

    fn ledger() -> Ledger {
        let offsets = [(at(0, 0), 0..50), (at(1, 0), 0..10), (at(1, 1), 0..20)].into_iter().collect();
        let modules = std::sync::Arc::new(["a".to_owned()].into());
        Ledger::of(vec![Entry { micro_batch: 1, offsets, modules, ..Entry::default() }])
    }

    fn check(own: &[(SourcePartition, i64)], outcome: Outcome, words: &str) {
        let own = own.iter().cloned().collect();
        let check = of_table("silver/a/b", Feeder::Module("a", "orders"), &ledger(), &Checkpoint::default(), &own);
        assert_eq!(check.outcome, outcome, "{check:?}");
        assert!(format!("{check:?}").contains(words), "{check:?}");
    }

    #[test]
    fn a_table_may_be_ahead_but_not_behind() {
        check(&[(at(0, 0), 50), (at(1, 0), 10), (at(1, 1), 20)], Outcome::Ok, "3 partitions");
        check(&[(at(1, 0), 15), (at(1, 1), 20)], Outcome::Ok, "5 offsets ahead are open");
        check(&[(at(1, 0), 9), (at(1, 1), 20)], Outcome::Failed, "orders#1/0: it is at 9, the commits table at 10");
        check(&[(at(1, 0), 10)], Outcome::Failed, "orders#1/1: it has no offset");
    }

    #[test]
    fn a_module_that_has_read_nothing_yet_has_only_said_where_it_begins() {
        let commits = [(at(1, 0).of_reader("b"), 4)].into_iter().collect();
        let new = of_table("silver/a/b", Feeder::Module("b", "orders"), &ledger(), &commits, &Checkpoint::default());
        assert_eq!(new.outcome, Outcome::Ok, "{new:?}");
    }

    #[test]
    fn a_table_that_was_there_is_gone() {
        let tables = std::sync::Arc::new(["gold/a/b".to_owned()].into());
        let ledger = Ledger::of(vec![Entry { micro_batch: 7, tables, ..Entry::default() }]);
        let check = |table| of_missing(table, ledger.newest_with(table));
        assert_eq!(check("gold/a/new").outcome, Outcome::NotChecked);
        assert_eq!(check("gold/a/b").offenders, ["it was there in micro-batch 7"]);
    }

    #[test]
    fn bronze_lacks_only_what_nobody_read() {
        let step = |micro_batch, start: i64, end: i64, is_move| Entry {
            micro_batch,
            is_move,
            offsets: [(at(0, 0), Range { start, end })].into(),
            tables: std::sync::Arc::new([crate::sink::system::DEAD_LETTERS.to_owned()].into()),
            ..Entry::default()
        };
        let ledger = Ledger::of(vec![step(1, 0, 10, false), step(2, 10, 50, true)]);
        let check = |next| {
            let own = [(at(0, 0), next)].into_iter().collect();
            of_table("bronze/orders", Feeder::Records("orders"), &ledger, &Checkpoint::default(), &own).outcome
        };
        assert_eq!((check(10), check(50), check(9)), (Outcome::Ok, Outcome::Ok, Outcome::Failed));
    }

    #[test]
    fn the_table_of_a_module_apart_is_as_far_as_the_module() {
        let commits: Checkpoint = [(at(1, 0).of_reader("a"), 4)].into_iter().collect();
        let check = |next| {
            let own = [(at(0, 0), 50), (at(1, 0), next), (at(1, 1), 20)].into_iter().collect();
            of_table("silver/a/b", Feeder::Module("a", "orders"), &ledger(), &commits, &own).outcome
        };
        assert_eq!((check(4), check(3)), (Outcome::Ok, Outcome::Failed));
    }

    #[test]
    fn a_gold_table_follows_its_state() {
        let state = [(at(1, 0), 10)].into_iter().collect();
        let behind = of_gold("gold/a/b", &[(at(1, 0), 4)].into_iter().collect(), &state);
        assert_eq!((behind.outcome, behind.detail.as_str()), (Outcome::Ok, "6 offsets behind its state"));
        let ahead = of_gold("gold/a/b", &[(at(1, 0), 11)].into_iter().collect(), &state);
        assert_eq!(ahead.outcome, Outcome::Failed);
        let rewound = [(at(1, 0), 10), (SourcePartition::new("rewind", 0, 0).of_reader("a"), 2)].into_iter().collect();
        assert_eq!(of_gold("gold/a/b", &rewound, &state).outcome, Outcome::Ok);
        let unpublished = of_gold("gold/a/b", &Checkpoint::default(), &state).detail;
        assert_eq!(unpublished, "nothing was published of 1 partitions yet; else it is where its state is");
    }

    #[test]
    fn a_topic_holds_what_comes_next() {
        let logs = |start, end| {
            let logs = [(0, Log { start, end }), (1, Log { start: 0, end: 25 })].into_iter().collect();
            let ids = [("orders".to_owned(), "new".to_owned())].into();
            Topics { logs: [("orders".to_owned(), Logs::Ranges(logs))].into(), ids }
        };
        let stored =
            |id: &str| [("orders#0".to_owned(), "first".to_owned()), ("orders#1".to_owned(), id.to_owned())].into();
        let none = Checkpoint::default();
        let all = Standing { commits: &none, readers: &[] };
        let kept: Checkpoint = [(at(1, 0), 11), (crate::sink::bronze::start_of(&at(1, 0)), 4)].into_iter().collect();
        let in_bronze = super::of_topic("orders", &ledger(), all, &logs(11, 12), &stored("new"), Some(&kept));
        assert_eq!(
            (in_bronze.outcome, in_bronze.detail.as_str()),
            (Outcome::Ok, "1 partitions within the log, 1 in bronze, 7 records not read yet")
        );
        let lost = super::of_topic("orders", &ledger(), all, &logs(12, 12), &stored("new"), Some(&kept));
        assert_eq!(lost.offenders, ["orders#1/0: the tables are at 10, the log starts at 12"]);
        let of_topic = |start, end, id| of_topic("orders", &ledger(), all, &logs(start, end), &stored(id), None);
        let check = of_topic(0, 12, "new");
        assert_eq!(
            (check.outcome, check.detail.as_str()),
            (Outcome::Ok, "2 partitions within the log, 7 records not read yet")
        );
        assert_eq!(of_topic(11, 12, "new").offenders, ["orders#1/0: the tables are at 10, the log starts at 11"]);
        assert_eq!(of_topic(0, 9, "new").offenders, ["orders#1/0: the tables are at 10, the log ends at 9"]);
        let paused = [(at(1, 0).of_reader("retail"), 4)].into_iter().collect();
        let apart = Standing { commits: &paused, readers: &["retail", "logistics"] };
        let apart = super::of_topic("orders", &ledger(), apart, &logs(5, 12), &stored("new"), None);
        assert_eq!(apart.offenders, ["orders#1/0@retail: the module is at 4, the log starts at 5"]);
        let mut fewer = logs(0, 12);
        if let Some(Logs::Ranges(logs)) = fewer.logs.get_mut("orders") {
            logs.remove(&1);
        }
        assert_eq!(
            super::of_topic("orders", &ledger(), all, &fewer, &stored("new"), None).offenders,
            ["orders#1/1: the tables have records of it, the topic has no such partition"]
        );
        assert_eq!(
            of_topic(0, 12, "old").offenders,
            ["orders#1: the tables stand in the topic with id old, the broker has one with id new: it was made anew"]
        );
    }
}
