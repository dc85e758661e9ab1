//! What a crash left half committed, and the modules that finish it before others go on.

use super::lane::Lane;
use super::plan::{COMMITS, DEAD_LETTERS, Plan};
use crate::checkpoint::SourcePartition;
use crate::release::Target;
use crate::sink::Table;
use std::collections::BTreeMap;
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
}

/// What a module has begun of a partition's records, and not committed to all of its tables.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) partition: SourcePartition,
    pub(super) module: String,
    /// Whose rows there are.
    pub(super) digest: String,
    /// Whether that is what the session runs.
    pub(super) runs: bool,
    /// The largest offset that a table of the module stands at.
    pub(super) until: i64,
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, module, digest, until, .. } = self;
        write!(f, "{partition} up to {until} by {module} {digest}")
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

    /// The partitions that the session has to leave alone, because other digests have begun something there; `None` where it has to begin
    /// anew, since other modules come first than those that it runs.
    pub(super) fn settle(&mut self, begun: &[Begun], rewinds: &[Rewind]) -> Option<Vec<SourcePartition>> {
        let (digests, held) = first(begun);
        let is_held = |begun: &Begun| held.contains(&begun.partition);
        let all_run = begun.iter().all(|begun| begun.runs || is_held(begun));
        // Where the digests that come first are those that run anyway, whoever looks what is to run sees nothing that comes after them.
        if !all_run || (!held.is_empty() && self.digests.is_empty()) {
            let begun: Vec<String> = begun.iter().map(ToString::to_string).collect();
            tracing::info!(begun = begun.join(", "), "what other versions have begun is finished by them first");
            self.rewinds = rewinds.to_vec();
            self.digests = digests;
            return None;
        }
        if begun.is_empty() {
            self.digests.clear();
        }
        Some(held)
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
pub(super) fn until(begun: &[Begun], lanes: &[Lane]) -> Vec<i64> {
    if begun.is_empty() {
        return Vec::new();
    }
    let of = |lane: &Lane| {
        let here = begun.iter().filter(|one| !lane.is_held && one.partition == lane.partition);
        here.map(|one| one.until).max()
    };
    lanes.iter().map(|lane| of(lane).unwrap_or(i64::MIN)).collect()
}

/// A crash between two tables leaves records of which some tables have the rows and others do not. Whichever digest made the first makes
/// the rest, so that each record is of one: where a table of a module is ahead of the module's progress in the commits table, that is the
/// digest of the commit that brought it there.
pub(super) fn find(plan: &Plan, tables: &[Table], lanes: &[Lane]) -> Vec<Begun> {
    let mut found = Vec::new();
    for (index, module) in plan.modules.iter().enumerate() {
        let manifest = module.manifest();
        let (name, owner) = (manifest.name.as_str(), &manifest.owner);
        let silver = manifest.products.iter().map(|product| format!("silver/{owner}/{}", product.name));
        let state = manifest.gold.iter().map(|gold| format!("_lakeward/state/{owner}/{}", gold.name));
        let own: Vec<String> = silver.chain(state).collect();
        for lane in lanes.iter().filter(|lane| plan.readers(lane.topic).any(|reader| reader == name)) {
            let done = lane.floor(COMMITS, index);
            let letters = (&tables[DEAD_LETTERS], lane.partition.of_reader(name));
            let of_module = tables.iter().filter(|table| own.iter().any(|path| path == table.path()));
            let (mut until, mut digest) = (None, None);
            for (table, of) in of_module.map(|table| (table, lane.partition.clone())).chain([letters]) {
                let Some(next) = table.offsets().get(&of).filter(|next| *next > done) else { continue };
                until = until.max(Some(next));
                digest = digest.or(table.digest(&of, name));
            }
            let Some(until) = until else { continue };
            let running: &str = module.digest();
            let digest = digest.unwrap_or(running).to_owned();
            let (partition, runs) = (lane.partition.clone(), digest == running);
            found.push(Begun { partition, module: name.to_owned(), digest, runs, until });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// What `module` at `digest` has begun of a partition, where a session runs the digests that are named.
    fn begun(partition: i32, module: &str, digest: &str, running: &[(&str, &str)]) -> Begun {
        let partition = SourcePartition::new(Arc::from("orders"), 0, partition);
        let runs = running.contains(&(module, digest));
        Begun { partition, module: module.to_owned(), digest: digest.to_owned(), runs, until: 7 }
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
}
