//! Where a rewind leads: a micro-batch becomes versions of tables and offsets of partitions, or the reason why it cannot be.

use super::Error;
use super::session;
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::config::Config;
use crate::release::Target;
use crate::serve::Time;
use crate::serve::orders::Refusal;
use crate::sink::bronze::Held;
use crate::sink::{Kept, Past, Snapshot, Warehouse, find_commit, system};
use crate::source::Files;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use lakeward_manifest::Manifest;
use std::collections::BTreeMap;

const COLUMNS: [&str; 6] = ["micro_batch", "kind", "committed_at", "offsets", "tables", "modules"];

/// A row of the commits table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) micro_batch: i64,
    pub(super) kind: String,
    pub(super) at_ms: i64,
    pub(super) offsets: BTreeMap<String, [i64; 2]>,
    pub(super) tables: BTreeMap<String, u64>,
    pub(super) modules: BTreeMap<String, String>,
}

impl Row {
    pub(super) fn is_micro_batch(&self) -> bool {
        self.kind == system::CommitKind::MicroBatch.name()
    }
}

/// What a person asked for.
enum Wanted<'a> {
    MicroBatch(i64),
    Time(i64),
    /// Before the first micro-batch of this digest, by its first digits.
    Digest(&'a str),
}

/// The target of a rewind of a module to `to`, and what it undoes, a line each for a person.
pub(super) async fn find(
    config: &Config,
    lake: &Warehouse,
    manifest: &Manifest,
    to: &str,
    now_ms: i64,
) -> Result<(Target, Vec<String>), Refusal> {
    let failed = |error: crate::sink::Error| Refusal::Unavailable(super::commit::chain(&Error::from(error)));
    let mut rows = rows(config, lake).await.map_err(failed)?;
    // Tables that were rebuilt since had other columns before.
    let is_rebuild =
        |row: &Row| row.kind == system::CommitKind::Rebuilt.name() && row.modules.contains_key(&manifest.name);
    if let Some(rebuilt) = rows.iter().rposition(is_rebuild) {
        rows.drain(..=rebuilt);
    }
    leave_out_undone(&mut rows, &manifest.name);
    let at = choose(&rows, &manifest.name, to, now_ms)?;
    let stay = &rows[at];
    let named: Checkpoint = stay
        .offsets
        .iter()
        .filter_map(|(of, [_, next])| Some((SourcePartition::parse(of)?, *next)))
        .filter(|(of, _)| of.reader.as_deref().is_none_or(|reader| *reader == *manifest.name) && reads(manifest, of))
        .collect();
    let version =
        find_commit(lake, &config.pipeline, system::COMMITS, stay.micro_batch, &named).await.map_err(failed)?;
    let Some(version) = version else {
        return Err(Refusal::Conflict(format!(
            "the log of the commits table no longer goes back to micro-batch {}",
            stay.micro_batch
        )));
    };
    let offsets = stood(config, lake, manifest, &rows, version).await.map_err(failed)?;
    readable(config, lake, manifest, &rows, &offsets).await?;
    let own = own_tables(manifest);
    let tables: BTreeMap<String, u64> = stay
        .tables
        .iter()
        .filter(|(path, _)| own.contains(path) || *path == system::DEAD_LETTERS)
        .map(|(path, version)| (path.clone(), *version))
        .collect();
    let mut lines = Vec::new();
    let undone = rows[at + 1..].iter().filter(|row| row.modules.contains_key(&manifest.name)).count();
    let at_time = Time(stay.at_ms);
    lines.push(format!("micro-batch {} of {at_time} stays, {undone} after it are undone", stay.micro_batch));
    for path in own {
        lines.push(loses(config, lake, &path, tables.get(&path).copied()).await.map_err(failed)?);
    }
    for (partition, next) in &offsets {
        lines.push(format!("{partition} is read again from offset {next}"));
    }
    Ok((Target { micro_batch: stay.micro_batch, tables, offsets, ..Target::default() }, lines))
}

/// All rows of the commits table, by number; none before there is one.
pub(super) async fn rows(config: &Config, lake: &Warehouse) -> Result<Vec<Row>, crate::sink::Error> {
    let mut rows = Vec::new();
    if let Some(commits) = Snapshot::open(lake, &config.pipeline, system::COMMITS, None).await? {
        for batch in commits.all_rows(&COLUMNS).await? {
            rows.extend((0..batch.num_rows()).filter_map(|row| parse(&batch, row)));
        }
    }
    rows.sort_by_key(|row: &Row| row.micro_batch);
    Ok(rows)
}

/// Leaves out the micro-batches that an earlier rewind of the module has undone: their rows are no more, and nothing goes back to them.
fn leave_out_undone(rows: &mut Vec<Row>, module: &str) {
    let is_rewind = |row: &Row| row.kind == system::CommitKind::Rewound.name() && row.modules.contains_key(module);
    let is_left = |at: usize, row: &Row| {
        let is_of_module = row.is_micro_batch() && row.modules.contains_key(module);
        !is_of_module || !rows[at..].iter().any(|later| is_rewind(later) && undoes(later, row, module))
    };
    let left: Vec<bool> = rows.iter().enumerate().map(|(at, row)| is_left(at, row)).collect();
    let mut left = left.into_iter();
    rows.retain(|_| left.next().unwrap_or(true));
}

/// Whether a rewind went back to before what the module has read with a micro-batch.
fn undoes(rewind: &Row, row: &Row, module: &str) -> bool {
    row.offsets.iter().any(|(of, [_, next])| {
        let Some(parsed) = SourcePartition::parse(of) else { return false };
        let own = parsed.of_reader(module).to_string();
        let counts = match &parsed.reader {
            // Where the module stands apart, its own range counts.
            None => !row.offsets.contains_key(&own),
            Some(reader) => **reader == *module,
        };
        counts && rewind.offsets.get(&own).is_some_and(|[_, to]| next > to)
    })
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

/// The index of the row that stays.
fn choose(rows: &[Row], module: &str, to: &str, now_ms: i64) -> Result<usize, Refusal> {
    let wanted = match (to.parse(), chrono::DateTime::parse_from_rfc3339(to)) {
        (Ok(number), _) => Wanted::MicroBatch(number),
        (_, Ok(time)) => Wanted::Time(time.timestamp_millis()),
        _ if to.len() >= 6 && to.bytes().all(|byte| byte.is_ascii_hexdigit()) => Wanted::Digest(to),
        _ => {
            let what = "a micro-batch's number, an RFC 3339 time, or the first digits (6 at least) of a digest to go back before";
            return Err(Refusal::Unfit(format!("{to:?} is not {what}"), Vec::new()));
        }
    };
    let ran = |row: &&Row| row.is_micro_batch() && row.modules.contains_key(module);
    let all = || rows.iter().enumerate().filter(|(_, row)| ran(row));
    let Some((_, newest)) = all().next_back() else {
        return Err(Refusal::Conflict(format!("module {module} has committed nothing yet")));
    };
    let found = match wanted {
        Wanted::MicroBatch(number) if number > newest.micro_batch => {
            return Err(Refusal::Conflict(format!(
                "micro-batch {number} is in the future, the newest is {}",
                newest.micro_batch
            )));
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
    found.map(|(index, _)| index).ok_or_else(|| {
        let (number, at) = (oldest.micro_batch, Time(oldest.at_ms));
        Refusal::Conflict(format!(
            "there is nothing before that: the first micro-batch of {module} is {number} of {at}"
        ))
    })
}

/// Where the module stood in each partition of its topics at a version of the commits table. A partition that came later is read from its
/// first record on.
async fn stood(
    config: &Config,
    lake: &Warehouse,
    manifest: &Manifest,
    rows: &[Row],
    version: u64,
) -> Result<BTreeMap<String, i64>, crate::sink::Error> {
    let mut first: BTreeMap<SourcePartition, i64> = BTreeMap::new();
    for row in rows {
        for (of, [from, _]) in &row.offsets {
            if let Some(of) = SourcePartition::parse(of).map(|of| of.of_all()).filter(|of| reads(manifest, of)) {
                first.entry(of).and_modify(|first| *first = (*first).min(*from)).or_insert(*from);
            }
        }
    }
    let own = first.keys().map(|of| of.of_reader(&manifest.name));
    let known: Vec<SourcePartition> = first.keys().cloned().chain(own).collect();
    let past = Past::of(lake, &config.pipeline, system::COMMITS, version, &known).await?;
    let stood = |(of, first): (&SourcePartition, &i64)| {
        let next = past.offsets.get(&of.of_reader(&manifest.name)).or_else(|| past.offsets.get(of));
        (of.to_string(), next.unwrap_or(*first))
    };
    Ok(first.iter().map(stood).collect())
}

/// Whether everything from there on can still be read, from a topic's log or from bronze before it.
async fn readable(
    config: &Config,
    lake: &Warehouse,
    manifest: &Manifest,
    rows: &[Row],
    offsets: &BTreeMap<String, i64>,
) -> Result<(), Refusal> {
    let failed = |error: Error| Refusal::Unavailable(super::commit::chain(&error));
    let logs = tokio::task::block_in_place(|| starts(config, manifest)).map_err(failed)?;
    let partitions: Vec<SourcePartition> = offsets.keys().filter_map(|of| SourcePartition::parse(of)).collect();
    let starts = with_bronze(config, lake, &partitions, &logs).await.map_err(|error| failed(error.into()))?;
    for (of, next) in offsets {
        let Some(parsed) = SourcePartition::parse(of) else { continue };
        let Some(start) = gone(&starts, &parsed, *next) else { continue };
        let is_there = |row: &&Row| {
            row.offsets.iter().all(|(of, [_, next])| starts_before(&starts, of, *next)) && row.is_micro_batch()
        };
        let earliest = rows.iter().find(is_there).map(|row| row.micro_batch);
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

fn starts_before(starts: &Starts, of: &str, next: i64) -> bool {
    SourcePartition::parse(of).and_then(|of| gone(starts, &of, next)).is_none()
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
        Some(version) => Some(Past::of(lake, &config.pipeline, path, version, &[]).await?.rows),
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

fn parse(batch: &RecordBatch, row: usize) -> Option<Row> {
    let text = |name: &str| Some(batch.column_by_name(name)?.as_string_opt::<i32>()?.value(row));
    let micro_batch = batch.column_by_name("micro_batch")?.as_primitive_opt::<Int64Type>()?.value(row);
    let at = batch.column_by_name("committed_at")?.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
    Some(Row {
        micro_batch,
        kind: text("kind")?.to_owned(),
        at_ms: at.div_euclid(1000),
        offsets: serde_json::from_str(text("offsets")?).ok()?,
        tables: serde_json::from_str(text("tables")?).ok()?,
        modules: serde_json::from_str(text("modules")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(micro_batch: i64, at_ms: i64, digest: &str) -> Row {
        let modules = [("retail".to_owned(), digest.to_owned())].into();
        let (offsets, tables) = (BTreeMap::new(), BTreeMap::new());
        Row { micro_batch, kind: system::CommitKind::MicroBatch.name().to_owned(), at_ms, offsets, tables, modules }
    }

    #[track_caller]
    fn check(to: &str, expected: Result<i64, &str>) {
        let rows = [row(1, 1_000, "aaaaaaaa"), row(2, 2_000, "bbbbbbbb"), row(5, 3_000, "bbbbbbbb")];
        let found = choose(&rows, "retail", to, 10_000).map(|index| rows[index].micro_batch);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{to}"),
            (Err(refusal), Err(words)) => assert!(format!("{refusal:?}").contains(words), "{to}: {refusal:?}"),
            (found, _) => panic!("{to}: {found:?}"),
        }
    }

    /// Rows of micro-batches that read from where the one before had ended, up to these offsets; `Err` is a rewind to one.
    #[track_caller]
    fn check_undone(steps: &[Result<i64, i64>], left: &[i64]) {
        let mut from = 0;
        let mut rows = Vec::new();
        for (number, step) in (1..).zip(steps) {
            let (Ok(next) | Err(next)) = *step;
            let (kind, of) = match step {
                Ok(_) => (system::CommitKind::MicroBatch, "orders#0/0"),
                Err(_) => (system::CommitKind::Rewound, "orders#0/0@retail"),
            };
            let offsets = [(of.to_owned(), [from, next])].into();
            rows.push(Row { offsets, kind: kind.name().to_owned(), ..row(number, number, "aaaaaaaa") });
            from = next;
        }
        let all = rows.len();
        leave_out_undone(&mut rows, "wholesale");
        assert_eq!(rows.len(), all, "{steps:?}");
        leave_out_undone(&mut rows, "retail");
        let numbers: Vec<i64> = rows.iter().filter(|row| row.is_micro_batch()).map(|row| row.micro_batch).collect();
        assert_eq!(numbers, left, "{steps:?}");
    }

    #[test]
    fn nothing_goes_back_to_what_was_undone() {
        check_undone(&[Ok(10), Ok(20)], &[1, 2]);
        check_undone(&[Ok(10), Ok(20), Ok(30), Err(10), Ok(40)], &[1, 5]);
        // The later one goes back to before the earlier one, and to after it.
        check_undone(&[Ok(10), Ok(20), Ok(30), Err(20), Ok(30), Ok(40), Err(10), Ok(20)], &[1, 8]);
        check_undone(&[Ok(10), Ok(20), Ok(30), Err(10), Ok(20), Ok(30), Err(20), Ok(30)], &[1, 5, 8]);
        check_undone(&[Ok(10), Err(0), Ok(10), Err(0), Ok(10), Err(0)], &[]);
    }

    #[test]
    fn a_target_is_a_number_a_time_or_the_code_to_go_back_before() {
        check("2", Ok(2));
        check("4", Ok(2));
        check("6", Err("micro-batch 6 is in the future, the newest is 5"));
        check("0", Err("there is nothing before that: the first micro-batch of retail is 1"));
        check("1970-01-01T00:00:02.5Z", Ok(2));
        check("1970-01-01T00:00:11Z", Err("is in the future"));
        check("bbbbbb", Ok(1));
        check("aaaaaa", Err("nothing before that"));
        check("cccccc", Err("no micro-batch was made by cccccc"));
        check("yesterday", Err("an RFC 3339 time"));
    }
}
