//! What a crash left half committed, and the modules that finish it before others go on.

use super::Error;
use super::begin::own_tables;
use super::committer::Committer;
use super::lane::Lane;
use super::plan::{COMMITS, DEAD_LETTERS, Plan};
use super::session::Slot;
use crate::checkpoint::SourcePartition;
use crate::release::Target;
use crate::sink::Table;
use crate::sink::redrives::sequence_of;
use crate::transform::Module;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A module, the number of its newest rewind, and where that leads.
type Rewind = (String, i64, Target);

/// Modules that have begun something else than what is to run.
#[derive(Debug, Default)]
pub(super) struct Torn {
    /// By module, the digest that finishes what it began.
    digests: BTreeMap<String, String>,
    /// The rewinds under which that was found: one that came later has undone it.
    rewinds: Vec<Rewind>,
    /// What they were to finish, until a session of theirs comes to read it.
    awaited: BTreeSet<Named>,
    /// What a session that reads it has to finish of requests.
    asked: BTreeSet<Named>,
    /// How many decisions there were: each may change who can finish what.
    decisions: i64,
}

/// Of a partition, what a module's digest has begun.
type Named = (SourcePartition, String, String);

/// What a module has begun of a partition's records, or of the requests about its dead letters, and not committed to all of its tables.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) partition: SourcePartition,
    pub(super) module: String,
    /// Whose rows there are.
    pub(super) digest: String,
    /// Whether that is what the session runs.
    pub(super) runs: bool,
    pub(super) until: Until,
}

/// How far tables of a module are ahead of its progress in the commits table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Until {
    /// The largest offset that one stands at; `None` where none is ahead.
    offset: Option<i64>,
    /// The number behind the last request about dead letters, likewise.
    request: Option<i64>,
}

impl Until {
    const NOTHING: Self = Self { offset: None, request: None };

    /// Whether requests are among it: these are of all modules together.
    pub(super) fn has_requests(self) -> bool {
        self.request.is_some()
    }

    fn max(self, other: Self) -> Self {
        Self { offset: self.offset.max(other.offset), request: self.request.max(other.request) }
    }

    /// Whether a committer has come that far in a slot.
    pub(super) fn is_done(self, committer: &Committer, slot: usize) -> bool {
        self.offset.is_none_or(|offset| committer.committed[slot] >= offset)
            && self.request.is_none_or(|request| committer.redrives.is_done(slot, request))
    }
}

impl Begun {
    fn named(&self) -> Named {
        (self.partition.clone(), self.module.clone(), self.digest.clone())
    }
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, module, digest, until, .. } = self;
        write!(f, "{partition}")?;
        if let Some(offset) = until.offset {
            write!(f, " up to {offset}")?;
        }
        if let Some(request) = until.request {
            write!(f, " and requests up to {request}")?;
        }
        write!(f, " by {module} {digest}")
    }
}

impl Torn {
    /// The digests that have something to finish under these rewinds.
    pub(super) fn under(&mut self, rewinds: &[Rewind]) -> &BTreeMap<String, String> {
        if self.rewinds != rewinds {
            self.digests.clear();
        }
        &self.digests
    }

    /// Takes in how many decisions about modules there are by now.
    pub(super) fn decided(&mut self, decisions: i64) {
        if std::mem::replace(&mut self.decisions, decisions) != decisions {
            self.awaited.clear();
        }
    }

    /// The partitions that the session has to leave alone, because other digests have begun something there; `None` where it has to begin
    /// anew, since other modules come first than those that it runs.
    pub(super) fn settle(&mut self, begun: &[Begun], rewinds: &[Rewind]) -> Option<Vec<SourcePartition>> {
        let (digests, held) = first(begun);
        let is_held = |begun: &Begun| held.contains(&begun.partition);
        let all_run = begun.iter().all(|begun| begun.runs || is_held(begun));
        // Where the digests that come first are those that run anyway, whoever looks what is to run sees nothing that comes after them.
        let shown = || begun.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let others = || begun.iter().filter(|begun| !begun.runs);
        if !all_run && others().all(|begun| self.awaited.contains(&begun.named())) {
            // They had a session, and could not read there.
            tracing::warn!(begun = shown(), "what other versions have begun cannot be finished yet, and waits");
            return Some(others().map(|begun| begun.partition.clone()).collect());
        }
        if !all_run || (!held.is_empty() && self.digests.is_empty()) {
            tracing::info!(begun = shown(), "what other versions have begun is finished by them first");
            self.awaited = begun.iter().map(Begun::named).collect();
            self.rewinds = rewinds.to_vec();
            self.digests = digests;
            return None;
        }
        if begun.is_empty() {
            self.digests.clear();
        } else {
            self.awaited.clear();
        }
        self.asked = begun.iter().filter(|begun| begun.until.has_requests()).map(Begun::named).collect();
        Some(held)
    }

    /// A digest cannot go on before it has finished what it has begun; whether it had to finish anything. It is found out anew what there is
    /// to be finished.
    pub(super) fn is_stopped(&mut self, module: &str, digest: &str) -> bool {
        let finishes = self.digests.get(module).is_some_and(|first| first == digest);
        if finishes {
            self.digests.clear();
        }
        finishes
    }

    /// Lets requests wait that nobody can finish: of a module that gets no records nothing else is begun.
    pub(super) fn wait(&mut self) {
        self.awaited = std::mem::take(&mut self.asked);
    }
}

/// By module, the digest that finishes what it began before any other comes to run, and the partitions that wait for that: two instances
/// that died on either side of a deployment leave two digests of one module to whoever gets their partitions.
fn first(begun: &[Begun]) -> (BTreeMap<String, String>, Vec<SourcePartition>) {
    let mut by_partition = BTreeMap::<&SourcePartition, Vec<&Begun>>::new();
    for one in begun {
        by_partition.entry(&one.partition).or_default().push(one);
    }
    let (mut digests, mut held) = (BTreeMap::<String, String>::new(), Vec::new());
    for (partition, begun) in by_partition {
        if begun.iter().any(|one| digests.get(&one.module).is_some_and(|first| *first != one.digest)) {
            held.push(partition.clone());
            continue;
        }
        digests.extend(begun.iter().map(|one| (one.module.clone(), one.digest.clone())));
    }
    (digests, held)
}

/// By slot: up to where the modules of the session have to finish what was `begun`; nothing where nothing is left. Also where it was begun
/// by the very digests that run: another that came before they had finished would share a record with them.
pub(super) fn until(begun: &[Begun], lanes: &[Lane]) -> Vec<Until> {
    if begun.is_empty() {
        return Vec::new();
    }
    let of = |lane: &Lane| {
        let here = begun.iter().filter(|one| !lane.is_held && one.partition == lane.partition);
        here.map(|one| one.until).fold(Until::NOTHING, Until::max)
    };
    lanes.iter().map(of).collect()
}

/// Finds out who has begun what is not wholly committed, also where others have committed much since.
pub(super) async fn recall(plan: &Plan, tables: &mut [Table], lanes: &[Lane]) -> Result<(), Error> {
    let mut unknown: Vec<(usize, SourcePartition)> = Vec::new();
    for (index, module) in plan.modules.iter().enumerate() {
        let name = module.manifest().name.as_str();
        for lane in lanes.iter().filter(|lane| plan.readers(lane.topic).any(|reader| reader == name)) {
            let letters = lane.partition.of_reader(name);
            let sequence = sequence_of(&lane.partition.topic, lane.partition.partition);
            let ways =
                [(&lane.partition, Some(&letters), lane.floor(COMMITS, index)), (&sequence, None, lane.redrive.next)];
            for (of, of_letters, done) in ways {
                let ahead = moved_together(plan, name, of, of_letters);
                let ahead = ahead.filter(|(table, of)| tables[*table].offsets().get(of) > Some(done));
                unknown.extend(ahead.map(|(table, of)| (table, of.clone())));
            }
        }
    }
    for (table, of) in unknown {
        tables[table].find_modules(&of).await?;
    }
    Ok(())
}

/// The tables that a module's commits move with a partition, and what it is called there.
fn moved_together<'a>(
    plan: &Plan,
    module: &str,
    of: &'a SourcePartition,
    of_letters: Option<&'a SourcePartition>,
) -> impl Iterator<Item = (usize, &'a SourcePartition)> {
    let own = own_tables(plan, module).unwrap_or_default().into_iter().map(move |table| (table, of));
    own.chain(of_letters.map(|of| (DEAD_LETTERS, of)))
}

/// A crash between two tables leaves records of which some tables have the rows and others do not. Whichever digest made the first makes
/// the rest, so that each record is of one: where a table of a module is ahead of the module's progress in the commits table, that is the
/// digest of the commit that brought it there. So with requests about dead letters, whose rows some tables have.
pub(super) fn find(plan: &Plan, tables: &[Table], lanes: &[Lane]) -> Vec<Begun> {
    let mut found = Vec::new();
    for (index, module) in plan.modules.iter().enumerate() {
        let name = module.manifest().name.as_str();
        for lane in lanes.iter().filter(|lane| plan.readers(lane.topic).any(|reader| reader == name)) {
            let letters = lane.partition.of_reader(name);
            let records = ahead(plan, tables, name, &lane.partition, Some(&letters), lane.floor(COMMITS, index));
            let sequence = sequence_of(&lane.partition.topic, lane.partition.partition);
            // A module that took no part in them has its own tables where they were; the dead letters are of all.
            let requests = ahead(plan, tables, name, &sequence, None, lane.redrive.next);
            found.extend(begun(module, &lane.partition, records, requests));
        }
    }
    found
}

/// Requests that modules which get no records any more have begun, in partitions from which they could read on.
pub(super) fn find_paused(plan: &Plan, tables: &[Table], slots: &[Slot]) -> Vec<Begun> {
    let mut found = Vec::new();
    for module in &plan.modules {
        let name = module.manifest().name.as_str();
        for slot in slots.iter().filter(|slot| plan.readers(slot.topic).any(|reader| reader == name)) {
            let own = tables[COMMITS].offsets().get(&slot.partition.of_reader(name));
            if !own.is_some_and(|own| (slot.log.start..=slot.log.end).contains(&own)) {
                continue;
            }
            let sequence = sequence_of(&slot.partition.topic, slot.partition.partition);
            let done = tables[COMMITS].offsets().get(&sequence).unwrap_or(0);
            let requests = ahead(plan, tables, name, &sequence, None, done);
            let paused = begun(module, &slot.partition, None, requests);
            found.extend(paused.map(|begun| Begun { runs: false, ..begun }));
        }
    }
    found
}

/// How far the module's own tables, or the dead letters in what they call the same if that counts, are ahead of `done`, and which digest brought them there.
fn ahead<'a>(
    plan: &Plan,
    tables: &'a [Table],
    module: &str,
    of: &SourcePartition,
    of_letters: Option<&SourcePartition>,
    done: i64,
) -> Option<(i64, Option<&'a str>)> {
    let (mut until, mut digest) = (None, None);
    for (table, of) in moved_together(plan, module, of, of_letters) {
        let table = &tables[table];
        let Some(next) = table.offsets().get(of).filter(|next| *next > done) else { continue };
        until = until.max(Some(next));
        digest = digest.or(table.digest(of, module));
    }
    Some((until?, digest))
}

/// What a module has begun, if anything.
fn begun(
    module: &Module,
    partition: &SourcePartition,
    records: Option<(i64, Option<&str>)>,
    requests: Option<(i64, Option<&str>)>,
) -> Option<Begun> {
    let (_, digest) = records.or(requests)?;
    let running: &str = module.digest();
    let digest = digest.unwrap_or(running).to_owned();
    let until = Until { offset: records.map(|(offset, _)| offset), request: requests.map(|(request, _)| request) };
    let (name, runs) = (module.manifest().name.clone(), digest == running);
    Some(Begun { partition: partition.clone(), module: name, digest, runs, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// What `module` at `digest` has begun of a partition, where a session runs the digests that are named.
    fn begun(partition: i32, module: &str, digest: &str, running: &[(&str, &str)]) -> Begun {
        let partition = SourcePartition::new(Arc::from("orders"), 0, partition);
        let runs = running.contains(&(module, digest));
        Begun {
            partition,
            module: module.to_owned(),
            digest: digest.to_owned(),
            runs,
            until: Until { offset: Some(7), request: None },
        }
    }

    /// Plays the sessions that follow each other until nothing is left: gives what each of them finished.
    fn sessions(left: &[(i32, &str, &str)], active: &[(&str, &str)]) -> Vec<Vec<i32>> {
        let (mut torn, mut left) = (Torn::default(), left.to_vec());
        let mut finished = Vec::new();
        for _ in 0..20 {
            let under = torn.under(&[]).clone();
            let digest = |name: &str| under.get(name).map(String::as_str);
            let running: Vec<(&str, &str)> =
                active.iter().map(|(name, of)| (*name, digest(name).unwrap_or(of))).collect();
            let all: Vec<Begun> = left.iter().map(|(of, module, by)| begun(*of, module, by, &running)).collect();
            let Some(held) = torn.settle(&all, &[]) else { continue };
            if left.is_empty() {
                assert!(torn.digests.is_empty());
                return finished;
            }
            let is_held = |of: i32| held.iter().any(|held| held.partition == of);
            let done: Vec<i32> = left.iter().map(|one| one.0).filter(|of| !is_held(*of)).collect();
            assert!(left.iter().all(|(of, module, by)| is_held(*of) || running.contains(&(module, by))));
            left.retain(|one| is_held(one.0));
            finished.push(done);
        }
        panic!("no end after {finished:?}, {left:?}");
    }

    #[test]
    fn whoever_began_finishes_before_another_digest_goes_on() {
        let active = [("retail", "new"), ("logistics", "one")];
        assert_eq!(sessions(&[], &active), Vec::<Vec<i32>>::new());
        assert_eq!(sessions(&[(0, "retail", "new")], &active), [[0]]);
        assert_eq!(sessions(&[(0, "retail", "old"), (1, "retail", "old")], &active), [[0, 1]]);
        assert_eq!(sessions(&[(0, "retail", "old"), (0, "logistics", "zero")], &active), [[0, 0]]);
    }

    #[test]
    fn two_digests_of_a_module_finish_one_after_the_other() {
        let active = [("retail", "new"), ("logistics", "one")];
        assert_eq!(sessions(&[(0, "retail", "old"), (1, "retail", "new")], &active), [[0], [1]]);
        assert_eq!(sessions(&[(0, "retail", "new"), (1, "retail", "old")], &active), [[0], [1]]);
        let three = [(0, "retail", "new"), (1, "retail", "old"), (2, "retail", "older"), (3, "retail", "new")];
        assert_eq!(sessions(&three, &active), [vec![0, 3], vec![1], vec![2]]);
        let across = [(0, "retail", "old"), (0, "logistics", "zero"), (1, "retail", "new"), (1, "logistics", "zero")];
        assert_eq!(sessions(&across, &active), [[0, 0], [1, 1]]);
    }

    /// What nobody can finish of a paused module's requests waits, however far its records had come, until something is decided.
    #[test]
    fn requests_that_cannot_be_finished_wait() {
        let of = |partition| SourcePartition::new("orders", 0, partition);
        let asked = |offset| {
            let until = Until { offset, request: Some(5) };
            Begun { runs: offset.is_some(), until, ..begun(0, "retail", "old", &[]) }
        };
        let records = begun(1, "retail", "old", &[("retail", "old")]);
        let mut torn = Torn::default();
        torn.decided(7);
        for decisions in [7, 7, 8] {
            torn.decided(decisions);
            // They are of a module that is paused, and its digest comes to finish them.
            assert_eq!(torn.settle(&[asked(None)], &[]), None);
            assert_eq!(torn.under(&[]).get("retail").map(String::as_str), Some("old"));
            assert_eq!(torn.settle(&[asked(Some(3_500)), records.clone()], &[]), Some(Vec::new()));
            assert!(!torn.is_stopped("retail", "new") && torn.is_stopped("retail", "old"));
        }
        torn.wait();
        for _ in 0..3 {
            torn.decided(8);
            assert_eq!(torn.settle(&[asked(None)], &[]), Some(vec![of(0)]));
        }
        torn.decided(9);
        assert_eq!(torn.settle(&[asked(None)], &[]), None);
    }

    /// Records that a version has begun are tried again by it, until its module is parked.
    #[test]
    fn records_that_cannot_be_finished_do_not_wait() {
        let mut torn = Torn::default();
        let left = |running: &[(&str, &str)]| [begun(0, "retail", "old", running)];
        for _ in 0..3 {
            assert_eq!(torn.settle(&left(&[("retail", "new")]), &[]), None);
            assert_eq!(torn.settle(&left(&[("retail", "old")]), &[]), Some(Vec::new()));
            assert!(torn.is_stopped("retail", "old"));
            torn.wait();
        }
        assert_eq!(torn.settle(&[], &[]), Some(Vec::new()));
    }
}
