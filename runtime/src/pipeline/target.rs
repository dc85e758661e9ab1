//! Where a rewind leads: a micro-batch becomes versions of tables and offsets of partitions, or the reason why it cannot be.

use super::Error;
use super::commit::chain;
use super::cut::{Around, Cut};
use super::history::{Row, first_read, last_read, leave_out_undone, rows, since_rebuilt};
use super::incarnations::Incarnations;
use super::session;
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use crate::release::Target;
use crate::serve::Time;
use crate::serve::orders::Refusal;
use crate::sink::Error::Vacuumed;
use crate::sink::bronze::Held;
use crate::sink::{Kept, Part, Past, Snapshot, Warehouse};
use crate::source::Files;
use lakeward_manifest::Manifest;
use std::collections::{BTreeMap, BTreeSet};

/// What a person asked for.
enum Wanted<'a> {
    MicroBatch(i64),
    Time(i64),
    /// Before the first micro-batch of this digest, by its first digits.
    Digest(&'a str),
}

/// The target of a rewind of the `active` module to `to`, from where `next` reads on, and what it undoes, a line each for a person.
pub(super) async fn find(
    config: &Config,
    lake: &Warehouse,
    [active, next]: [&Manifest; 2],
    to: &str,
    now_ms: i64,
) -> Result<(Target, Vec<String>), Refusal> {
    let failed = |error: crate::sink::Error| Refusal::Unavailable(chain(&Error::from(error)));
    let (all, name) = (rows(config, lake).await.map_err(failed)?, &active.name);
    let mut rows = since_rebuilt(&all, name).to_vec();
    // Also of what was undone since: a partition that it came to then is read again from its beginning.
    let first = first_read(&rows, name);
    let made = rows.clone();
    leave_out_undone(&mut rows, name);
    let chosen = choose(&rows, &made, name, to, now_ms)?;
    let history = Around { config, lake, active, next, rows: &rows, first: &first };
    let Cut { at, offsets, tables } = history.cut(&chosen).await?;
    let (stay, own) = (&rows[at], history.own_tables());
    went_on(&rows[..=at], next)?;
    let incarnations = Incarnations::find(config, lake, &all, next, &own).await;
    let incarnations = incarnations.map_err(|error| Refusal::Unavailable(chain(&error)))?;
    readable(&history, &incarnations, &offsets).await?;
    let mut lines = Vec::new();
    if at != chosen.at {
        let number = rows[chosen.at].micro_batch;
        lines.push(format!("at micro-batch {number} another instance was in the midst of one: an earlier one stays"));
    }
    let undone = rows[at + 1..].iter().filter(|row| row.modules.contains_key(name)).count();
    let at_time = Time(stay.at_ms);
    lines.push(format!("micro-batch {} of {at_time} stays, {undone} after it are undone", stay.micro_batch));
    for path in own {
        let loses = loses(config, lake, &path, tables.get(&path).copied()).await;
        lines.push(loses.map_err(|error| match error {
            Vacuumed { .. } => Refusal::Conflict(chain(&error)),
            _ => failed(error),
        })?);
    }
    for (partition, next) in &offsets {
        lines.push(format!("{partition} is read again from offset {next}"));
    }
    Ok((Target { micro_batch: stay.micro_batch, tables, offsets, ..Target::default() }, lines))
}

/// Whether a module reads the partition's topic.
pub(super) fn reads(manifest: &Manifest, of: &SourcePartition) -> bool {
    manifest.inputs.iter().any(|input| *input.topic == *of.topic)
}

/// The tables that a module's own are: silver, gold and state.
pub(super) fn own_tables(manifest: &Manifest) -> Vec<String> {
    let owner = &manifest.owner;
    let silver = manifest.products.iter().map(|product| format!("silver/{owner}/{}", product.name));
    let gold = manifest
        .gold
        .iter()
        .flat_map(|gold| [format!("gold/{owner}/{}", gold.name), format!("_lakeward/state/{owner}/{}", gold.name)]);
    silver.chain(gold).collect()
}

/// Which row is to stay.
pub(super) struct Chosen<'a> {
    /// The index of the row.
    pub(super) at: usize,
    /// The first digits of the digest of which nothing is to stay, if it is that.
    pub(super) without: Option<&'a str>,
}

/// The index of the row that stays, `made` being the rows with those that were undone since.
fn choose<'a>(rows: &[Row], made: &[Row], module: &str, to: &'a str, now_ms: i64) -> Result<Chosen<'a>, Refusal> {
    let ran = |row: &&Row| row.is_micro_batch() && row.modules.contains_key(module);
    let all = || rows.iter().enumerate().filter(|(_, row)| ran(row));
    let may_be_digest = to.len() >= 6 && to.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_digest = || all().any(|(_, row)| row.modules[module].starts_with(to));
    // Of several instances, what was committed last need not have the greatest number.
    let greatest = all().map(|(_, row)| row.micro_batch).max();
    let is_to_come = |number: i64| greatest.is_some_and(|greatest| number > greatest);
    let wanted = match (to.parse(), chrono::DateTime::parse_from_rfc3339(to)) {
        // A digest may begin with digits that would be a number.
        (Ok(number), _) if !(may_be_digest && is_to_come(number) && is_digest()) => Wanted::MicroBatch(number),
        (_, Ok(time)) => Wanted::Time(time.timestamp_millis()),
        _ if may_be_digest => Wanted::Digest(to),
        _ => {
            let what = "a micro-batch's number, an RFC 3339 time, or the first digits (6 at least) of a digest to go back before";
            return Err(Refusal::Unfit(format!("{to:?} is not {what}"), Vec::new()));
        }
    };
    let was_made = |number: i64| made.iter().filter(ran).any(|row| row.micro_batch == number);
    let Some((_, newest)) = all().max_by_key(|(_, row)| row.micro_batch) else {
        return Err(Refusal::Conflict(format!("module {module} has committed nothing yet")));
    };
    let found = match wanted {
        Wanted::MicroBatch(number) if all().all(|(_, row)| row.micro_batch != number) && was_made(number) => {
            let before = all().rfind(|(_, row)| row.micro_batch < number);
            let before = before.map_or_else(
                || "there is none before it".to_owned(),
                |(_, row)| format!("the one before it that stands is {}", row.micro_batch),
            );
            return Err(Refusal::Conflict(format!("micro-batch {number} was undone: {before}")));
        }
        Wanted::MicroBatch(number) if is_to_come(number) => {
            let newest = newest.micro_batch;
            return Err(Refusal::Conflict(format!("micro-batch {number} is in the future: the newest is {newest}")));
        }
        Wanted::Time(ms) if ms > now_ms => {
            return Err(Refusal::Conflict(format!("{} is in the future", Time(ms))));
        }
        Wanted::MicroBatch(number) => all().rfind(|(_, row)| row.micro_batch <= number),
        Wanted::Time(ms) => all().rfind(|(_, row)| row.at_ms <= ms),
        Wanted::Digest(digest) => {
            let of = |row: &Row| row.modules.get(module).is_some_and(|of| of.starts_with(digest));
            let Some(first) = all().position(|(_, row)| of(row)) else {
                return Err(Refusal::Unknown(format!("no micro-batch was made by {digest} of module {module}")));
            };
            first.checked_sub(1).and_then(|before| all().nth(before))
        }
    };
    let (_, oldest) = all().next().unwrap_or((0, newest));
    let without = if let Wanted::Digest(digest) = wanted { Some(digest) } else { None };
    found.map(|(at, _)| Chosen { at, without }).ok_or_else(|| {
        let (number, at) = (oldest.micro_batch, Time(oldest.at_ms));
        Refusal::Conflict(format!(
            "there is nothing before that: the first micro-batch of {module} is {number} of {at}"
        ))
    })
}

/// Whether every table that `next` goes on with was written with the last of these rows: one that a version between has left out stopped
/// before, and lacks what came then.
fn went_on(rows: &[Row], next: &Manifest) -> Result<(), Refusal> {
    let Some(stay) = rows.last() else { return Ok(()) };
    let wrote = |row: &&Row, path: &str| {
        row.is_micro_batch() && row.modules.contains_key(&next.name) && row.tables.contains_key(path)
    };
    let left = own_tables(next).into_iter().filter(|path| !stay.tables.contains_key(path));
    let last = |path: String| Some((rows.iter().rfind(|row| wrote(row, &path))?.micro_batch, path));
    let Some((last, path)) = left.filter_map(last).next() else { return Ok(()) };
    Err(Refusal::Conflict(format!(
        "at micro-batch {} {path} was left out: the last that wrote it is {last}; go back to that, or `lakeward deploy --rebuild` with \
         the module's file makes all anew",
        stay.micro_batch
    )))
}

/// Whether everything from there on can still be read, from a topic's log or from bronze before it.
async fn readable(
    around: &Around<'_>,
    incarnations: &Incarnations,
    offsets: &BTreeMap<String, i64>,
) -> Result<(), Refusal> {
    let Around { config, lake, active, next: module, rows, first } = around;
    let failed = |error: Error| Refusal::Unavailable(chain(&error));
    let logs = tokio::task::block_in_place(|| starts(config, module)).map_err(failed)?;
    let partitions = offsets.keys().filter_map(|of| SourcePartition::parse(of));
    let (old, there): (Vec<_>, Vec<_>) = partitions.partition(|of| incarnations.is_gone(of));
    let read = last_read(rows, &active.name);
    for of in old {
        let (next, stands) = (offsets.get(&of.to_string()).copied(), read.get(&of).copied());
        if next < stands {
            let next = next.unwrap_or(0);
            return Err(Refusal::Conflict(format!(
                "{of} would be read again from offset {next}, but its topic was made anew since: its records are gone"
            )));
        }
    }
    let starts = with_bronze(config, lake, &there, &logs).await.map_err(|error| failed(error.into()))?;
    for (of, next) in offsets {
        let Some(parsed) = SourcePartition::parse(of).filter(|of| there.contains(of)) else { continue };
        let Some(start) = gone(&starts, &parsed, *next) else { continue };
        let can_read = |of: &SourcePartition, next: i64| match read.get(of) {
            Some(stands) if !there.contains(of) => next >= *stands,
            _ => gone(&starts, of, next).is_none(),
        };
        let earliest = earliest(rows, &active.name, first, can_read);
        let earliest = earliest.map_or_else(
            || "there is no micro-batch from which all is there".to_owned(),
            |number| format!("the earliest to go back to is micro-batch {number}"),
        );
        let reach = reach(&logs, &parsed, start);
        return Err(Refusal::Conflict(format!(
            "{of} would be read again from offset {next}, but {reach}: the records between are gone; {earliest}"
        )));
    }
    Ok(())
}

/// The first micro-batch from which on the module can read every partition again, `first` being what it ever read of each first.
fn earliest(
    rows: &[Row],
    module: &str,
    first: &BTreeMap<SourcePartition, i64>,
    can_read: impl Fn(&SourcePartition, i64) -> bool,
) -> Option<i64> {
    let mut stands = first.clone();
    let found = rows.iter().filter(|row| row.is_micro_batch() && row.modules.contains_key(module)).find(|row| {
        stands.extend(last_read(std::slice::from_ref(*row), module));
        stands.iter().all(|(of, next)| can_read(of, *next))
    });
    found.map(|row| row.micro_batch)
}

/// How far back a partition can be read, for a person.
pub(super) fn reach(logs: &Starts, of: &SourcePartition, start: i64) -> String {
    let log = logs.get(&(of.topic.to_string(), of.partition)).copied().unwrap_or(start);
    let bronze = if start < log { format!(" and bronze before it at {start}") } else { String::new() };
    format!("its log starts at {log}{bronze}")
}

/// The first offset that can still be read, by topic and partition.
pub(super) type Starts = BTreeMap<(String, i32), i64>;

/// Where a partition can be read from, if the records from `next` up to there are gone.
pub(super) fn gone(starts: &Starts, of: &SourcePartition, next: i64) -> Option<i64> {
    starts.get(&(of.topic.to_string(), of.partition)).copied().filter(|start| *start > next)
}

/// The oldest offset of every partition, here or in bronze.
pub(super) async fn with_bronze(
    config: &Config,
    lake: &Warehouse,
    partitions: &[SourcePartition],
    logs: &Starts,
) -> Result<Starts, crate::sink::Error> {
    let mut starts = logs.clone();
    for topic in config.topics.iter().filter(|(_, settings)| settings.bronze).map(|(name, _)| name) {
        let of: Vec<SourcePartition> = partitions.iter().filter(|of| *of.topic == **topic).cloned().collect();
        let kept = Kept::open(lake, &config.pipeline, topic, &of).await?;
        for of in of {
            let held = kept.as_ref().and_then(|kept| kept.held(&of));
            if let Some(start) = starts.get_mut(&(topic.clone(), of.partition)) {
                *start = Held::oldest(held, *start);
            }
        }
    }
    Ok(starts)
}

/// The first offset of every partition that the module reads.
pub(super) fn starts(config: &Config, manifest: &Manifest) -> Result<Starts, Error> {
    let mut starts = BTreeMap::new();
    for input in &manifest.inputs {
        let path = config.topics.get(&input.topic).and_then(|topic| topic.path.as_ref());
        if let Some(path) = path {
            starts.insert((input.topic.clone(), 0), Files::new(path)?.log_range()?.start);
            continue;
        }
        let kafka = session::connect(config, &input.topic)?;
        for partition in kafka.partitions(&input.topic)? {
            let range = kafka.log_range(&input.topic, partition)?;
            starts.insert((input.topic.clone(), partition), range.start);
        }
    }
    Ok(starts)
}

/// What a table loses, for a person.
async fn loses(
    config: &Config,
    lake: &Warehouse,
    path: &str,
    version: Option<u64>,
) -> Result<String, crate::sink::Error> {
    let newest = Snapshot::open(lake, &config.pipeline, path, None).await?;
    let rows = |table: &Option<Snapshot>| -> u64 {
        table.as_ref().map_or(0, |table| table.parts().iter().map(|part| part.rows).sum())
    };
    let past = match version {
        Some(version) => {
            let past = Past::of(lake, &config.pipeline, path, version, &[]).await?;
            let active: BTreeSet<&str> = newest.iter().flat_map(|table| table.parts().iter().map(Part::path)).collect();
            past.check(|path| active.contains(path)).await?;
            Some(past.rows)
        }
        None => None,
    };
    let now = newest.as_ref().map_or(0, Snapshot::version);
    Ok(match (version, past) {
        (Some(version), Some(past)) => {
            format!("{path} goes from version {now} back to {version}: {} rows become {past}", rows(&newest))
        }
        _ => format!("{path} was not there then: its {} rows go", rows(&newest)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::system;

    fn row(micro_batch: i64, at_ms: i64, digest: &str) -> Row {
        let modules = [("retail".to_owned(), digest.to_owned())].into();
        let (offsets, tables) = (BTreeMap::new(), BTreeMap::new());
        Row { micro_batch, kind: system::CommitKind::MicroBatch.name().to_owned(), at_ms, offsets, tables, modules }
    }

    #[track_caller]
    fn check(to: &str, expected: Result<i64, &str>) {
        let digests = ["aaaaaaaa", "bbbbbbbb", "bbbbbbbb", "12345678"];
        let numbers = [(1, 1_000), (2, 2_000), (5, 3_000), (6, 4_000)];
        let rows: Vec<Row> =
            numbers.iter().zip(digests).map(|((number, at), digest)| row(*number, *at, digest)).collect();
        let made: Vec<Row> =
            rows.iter().cloned().chain([row(3, 2_500, "aaaaaaaa"), row(7, 5_000, "bbbbbbbb")]).collect();
        let found = choose(&rows, &made, "retail", to, 10_000).map(|chosen| rows[chosen.at].micro_batch);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{to}"),
            (Err(refusal), Err(words)) => assert!(format!("{refusal:?}").contains(words), "{to}: {refusal:?}"),
            (found, _) => panic!("{to}: {found:?}"),
        }
    }

    #[test]
    fn a_target_is_a_number_a_time_or_the_code_to_go_back_before() {
        check("2", Ok(2));
        check("4", Ok(2));
        check("6", Ok(6));
        check("3", Err("micro-batch 3 was undone: the one before it that stands is 2"));
        check("7", Err("micro-batch 7 was undone: the one before it that stands is 6"));
        check("8", Err("micro-batch 8 is in the future: the newest is 6"));
        check("123456", Ok(5));
        check("123457", Err("is in the future"));
        check("0", Err("there is nothing before that: the first micro-batch of retail is 1"));
        check("1970-01-01T00:00:02.5Z", Ok(2));
        check("1970-01-01T00:00:11Z", Err("is in the future"));
        check("bbbbbb", Ok(1));
        check("aaaaaa", Err("nothing before that"));
        check("cccccc", Err("no micro-batch was made by cccccc"));
        check("yesterday", Err("an RFC 3339 time"));
    }

    #[test]
    fn the_earliest_is_where_all_partitions_can_be_read() {
        let [a, b] = [0, 1].map(|partition| SourcePartition::new("sales", 0, partition));
        let of = |number: i64, offsets: &[(&SourcePartition, i64)]| {
            let offsets = offsets.iter().map(|(of, next)| (of.to_string(), [0, *next])).collect();
            Row { offsets, ..row(number, 0, "aaaaaaaa") }
        };
        let rows = [of(1, &[(&a, 10)]), of(2, &[(&b, 20)]), of(3, &[(&a, 30)]), of(4, &[(&b, 40)])];
        let first = [(a.clone(), 0), (b.clone(), 0)].into();
        let check = |oldest: [i64; 2], expected: Option<i64>| {
            let can_read = |of: &SourcePartition, next: i64| next >= oldest[usize::from(*of == b)];
            assert_eq!(earliest(&rows, "retail", &first, can_read), expected, "{oldest:?}");
        };
        check([0, 0], Some(1));
        check([10, 1], Some(2));
        check([11, 1], Some(3));
        check([30, 40], Some(4));
        check([31, 0], None);
    }

    #[test]
    fn what_was_left_out_meanwhile_is_not_gone_on_with() {
        let manifest = crate::transform::sample::manifest();
        let own = own_tables(&manifest);
        let rows = |made: &[&[&String]]| -> Vec<Row> {
            let tables = |of: &&[&String]| of.iter().map(|path| ((*path).clone(), 3)).collect();
            let row = |(number, of)| Row { tables: tables(of), ..self::row(number, 1_000, "aaaaaaaa") };
            let named = |row: Row| Row { modules: [(manifest.name.clone(), "aaaaaaaa".to_owned())].into(), ..row };
            (1..).zip(made).map(row).map(named).collect()
        };
        let all: Vec<&String> = own.iter().collect();
        let (first, last) = (&all[..1], own.last().unwrap());
        assert!(went_on(&rows(&[&all, &all]), &manifest).is_ok());
        // What came later was in none before.
        assert!(went_on(&rows(&[first, first]), &manifest).is_ok());
        let refused = went_on(&rows(&[first, &all[..all.len() - 1], &all, &all[..all.len() - 1]]), &manifest);
        let refused = format!("{:?}", refused.unwrap_err());
        assert!(refused.contains(&format!("{last} was left out: the last that wrote it is 3")), "{refused}");
    }
}
