//! Where each table stands in a partition, and whether what comes next can still be read.

use super::Error;
use super::begin::{begin, own_tables};
use super::bronze::held;
use super::lane::OwnFloors;
use super::plan::{COMMITS, DEAD_LETTERS, Plan, TableKind};
use super::releases::Release;
use super::session::{Gone, Slot};
use crate::checkpoint::SourcePartition;
use crate::config::{Config, Start};
use crate::release::Target;
use crate::sink::Table;
use crate::sink::bronze::Held;

/// Where the tables stand in a partition.
pub(super) struct Floors {
    /// By table.
    pub(super) floors: Vec<i64>,
    /// Whether nothing is missed that the log loses until it is read: no product has read anything of the partition.
    pub(super) from_beginning: bool,
}

/// Where each table stands in a partition. A table without an offset starts where the configuration says, or at the oldest record if others
/// have an offset already.
///
/// | stored offset          | log         | what happens |
/// |------------------------|-------------|--------------|
/// | none in any table      | any         | `start` decides; one that the topic gained while the process ran begins at its oldest record |
/// | none in this table     | any         | this table starts at the oldest record: the log's start, or bronze's where it reaches that |
/// | within the log         |             | goes on there |
/// | below the log's start  | records are gone | goes on in bronze, where it has them up to the log's start; else error |
/// | there, set by a rebuild that takes what is left, and nothing read since | | goes on at the log's start |
/// | above the log's end    | recreated   | error |
/// | gone while it was read, there again | recreated | error |
///
/// By topic, `whole` says whether bronze has all that it says to hold. A bronze table holds nobody back: where it has no offset, or one before all others because it was off, it starts where the others are.
/// A topic that was recreated is found out before this by its id, where the broker gives one: see `topics.rs`.
pub(super) fn floors(
    config: &Config,
    release: &Release,
    tables: &[Table],
    whole: &[bool],
    slot: &Slot,
    gone: &[Gone],
) -> Result<Floors, Error> {
    let plan = &*release.plan;
    let is_of = |table: &usize| plan.tables[*table].topic.is_none_or(|topic| topic == slot.topic);
    let stored = |table: usize| tables[table].offsets().get(&slot.partition);
    // Gold tables are written from state; they hold nothing back.
    let holds_back = |table: &usize| !matches!(plan.tables[*table].kind, TableKind::Gold | TableKind::Bronze);
    let relevant: Vec<usize> = (0..tables.len()).filter(|table| is_of(table) && holds_back(table)).collect();
    let bronze = plan.topics[slot.topic].bronze;
    let held = held(plan, tables, slot.topic, &slot.partition).filter(|_| whole[slot.topic]);
    let made_anew = made_anew(plan, &release.rewinds, tables, &slot.partition);
    let has_own_alone = has_own_alone(plan, tables, slot);
    let is_anew =
        |table: &usize| made_anew.iter().any(|name| own_tables(plan, name).is_some_and(|own| own.contains(table)));
    let is_of_all = |table: &usize| [DEAD_LETTERS, COMMITS].contains(table);
    let counts = |table: &&usize| !(is_anew(table) || has_own_alone && is_of_all(table));
    let log = Log { slot, held, gone };
    log.check(relevant.iter().filter(counts).filter_map(|table| stored(*table)))?;
    log.check(bronze.and_then(stored).filter(|bronze| *bronze >= slot.log.start))?;
    let readers = plan.readers(slot.topic).filter(|name| !made_anew.contains(name));
    log.check(readers.flat_map(|name| stands(plan, tables, name, &slot.partition)))?;
    let start = config.topics.get(&*slot.partition.topic).map(|topic| topic.start).unwrap_or_default();
    let is_new = relevant.iter().all(|table| stored(*table).is_none());
    let oldest = Held::oldest(held, slot.log.start);
    let default = if is_new && start == Start::Latest && !slot.is_gained { slot.log.end } else { oldest };
    let stands = |table: &usize| match stored(*table) {
        Some(stored) if counts(&table) => stored,
        // What is gone there is missed by nobody.
        Some(stored) => stored.max(oldest),
        None => default,
    };
    let smallest = relevant.iter().map(stands).min().unwrap_or(default);
    let floor = |table: usize| match stored(table) {
        // What others fill stands nobody in the way.
        Some(_) if Some(table) == bronze && !plan.writes(table) => smallest,
        Some(stored) if Some(table) == bronze => stored.max(smallest),
        _ if relevant.contains(&table) => stands(&table),
        _ => smallest,
    };
    let is_unread = |table: &usize| stored(*table).is_none() || is_anew(table);
    let is_product = |table: &&usize| matches!(plan.tables[**table].kind, TableKind::Silver | TableKind::State);
    let mut products = relevant.iter().filter(is_product).peekable();
    // An empty log has nothing to lose, and is asked for with the others' records.
    let has_records = slot.log.start < slot.log.end;
    let from_beginning =
        has_records && smallest == slot.log.start && products.peek().is_some() && products.all(is_unread);
    Ok(Floors { floors: (0..tables.len()).map(floor).collect(), from_beginning })
}

/// The modules that were made anew of what is left of the partition, and have read nothing of it since.
fn made_anew<'a>(
    plan: &Plan,
    rewinds: &'a [(String, i64, Target)],
    tables: &[Table],
    partition: &SourcePartition,
) -> Vec<&'a str> {
    let is_unread = |(name, _, target): &&(String, i64, Target)| {
        let (own, begin) = (own_tables(plan, name), target.offsets.get(&partition.to_string()).copied());
        let (Some(own), Some(begin)) = (own, begin) else { return false };
        let reader = partition.of_reader(name);
        let stands = |table: usize, of: &SourcePartition| tables[table].offsets().get(of);
        own.iter().all(|table| stands(*table, partition).is_none_or(|stored| stored == begin))
            && [DEAD_LETTERS, COMMITS].into_iter().all(|table| stands(table, &reader) == Some(begin))
    };
    let takes_what_is_left = rewinds.iter().filter(|(_, _, target)| target.takes_what_is_left);
    takes_what_is_left.filter(is_unread).map(|(name, ..)| name.as_str()).collect()
}

/// What can be read of a partition.
struct Log<'a> {
    slot: &'a Slot,
    held: Option<Held>,
    gone: &'a [Gone],
}

impl Log<'_> {
    /// Whether the partition can be read on from these offsets.
    fn check(&self, offsets: impl IntoIterator<Item = i64>) -> Result<(), Error> {
        let Slot { partition, log, .. } = self.slot;
        let was_gone = |offset: i64| {
            let is_it = |gone: &Gone| *gone == (partition.topic.to_string(), partition.partition, offset);
            self.gone.iter().any(is_it)
        };
        let is_kept = |offset: i64| self.held.is_some_and(|held| held.reaches(offset, log.start));
        for offset in offsets {
            let explanation = match offset {
                _ if offset < log.start && is_kept(offset) => continue,
                _ if offset < log.start => "records were deleted before they were read",
                _ if offset > log.end => "the topic was recreated, or its log was cut",
                // A log does not grow back: what was gone once and is there now is another's.
                _ if was_gone(offset) => "the topic was recreated while it was read",
                _ => continue,
            };
            return Err(Error::OutOfLog {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                stored: offset,
                start: log.start,
                end: log.end,
                explanation,
            });
        }
        Ok(())
    }
}

/// Whether every module that reads a partition has progress of its own in the tables that all feed, so what all share there says nothing.
fn has_own_alone(plan: &Plan, tables: &[Table], slot: &Slot) -> bool {
    let has = |table: usize, name: &str| tables[table].offsets().get(&slot.partition.of_reader(name)).is_some();
    let mut readers = plan.readers(slot.topic).peekable();
    readers.peek().is_some() && readers.all(|name| has(DEAD_LETTERS, name) && has(COMMITS, name))
}

/// Where a module's own tables stand in a partition, and its progress in those that all feed: nowhere before it has read anything.
fn stands(plan: &Plan, tables: &[Table], module: &str, partition: &SourcePartition) -> Vec<i64> {
    let own = own_tables(plan, module).unwrap_or_default().into_iter();
    let mut stands: Vec<i64> = own.filter_map(|table| tables[table].offsets().get(partition)).collect();
    if !stands.is_empty() {
        let reader = partition.of_reader(module);
        stands.extend([DEAD_LETTERS, COMMITS].into_iter().filter_map(|table| tables[table].offsets().get(&reader)));
    }
    stands
}

/// The modules that cannot read a partition on, since its log has lost what they have not read, where others can.
pub(super) fn at_fault(release: &Release, tables: &[Table], whole: &[bool], slot: &Slot) -> Vec<String> {
    let plan = &*release.plan;
    let held = held(plan, tables, slot.topic, &slot.partition).filter(|_| whole[slot.topic]);
    let made_anew = made_anew(plan, &release.rewinds, tables, &slot.partition);
    let is_lost =
        |offset: i64| offset < slot.log.start && !held.is_some_and(|held| held.reaches(offset, slot.log.start));
    let readers: Vec<&str> = plan.readers(slot.topic).collect();
    let cannot = |name: &&&str| {
        !made_anew.contains(*name) && stands(plan, tables, name, &slot.partition).into_iter().any(is_lost)
    };
    let found: Vec<String> = readers.iter().filter(cannot).map(|name| (*name).to_owned()).collect();
    if found.len() < readers.len() { found } else { Vec::new() }
}

/// Where the tables that all modules feed stand for the modules that read a topic.
pub(super) fn own_floors(
    plan: &Plan,
    tables: &[Table],
    topic: usize,
    partition: &SourcePartition,
    floors: &[i64],
) -> Vec<OwnFloors> {
    let mut own_floors = Vec::new();
    for (module, of) in plan.modules.iter().enumerate() {
        let name = of.manifest().name.as_str();
        let own = partition.of_reader(name);
        let stored =
            |table: usize| tables[table].offsets().get(&own).filter(|_| plan.readers(topic).any(|of| of == name));
        if let (Some(dead_letters), Some(commits)) = (stored(DEAD_LETTERS), stored(COMMITS)) {
            // What has left the log before the module read anything is nobody's.
            let least = begin(plan, tables, name, partition, floors).unwrap_or(0);
            let (dead_letters, commits) = (dead_letters.max(least), commits.max(least));
            own_floors.push(OwnFloors { module, dead_letters, commits });
        }
    }
    own_floors
}

/// The same where the modules leave the offsets that all share to others: what all feed stands where they do.
pub(super) fn own_only(mut floors: Vec<i64>, own: &[OwnFloors]) -> Vec<i64> {
    floors[DEAD_LETTERS] = own.iter().map(|own| own.dead_letters).min().unwrap_or(floors[DEAD_LETTERS]);
    floors[COMMITS] = own.iter().map(|own| own.commits).min().unwrap_or(floors[COMMITS]);
    floors
}
