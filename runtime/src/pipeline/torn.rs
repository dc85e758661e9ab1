//! What a crash left half committed, and the modules that finish it before others go on.

use super::lane::Lane;
use super::plan::{COMMITS, DEAD_LETTERS, Plan};
use super::releases::Release;
use crate::release::Target;
use crate::sink::Table;
use std::collections::BTreeMap;

/// Modules that have begun something else than what is to run.
#[derive(Debug, Default)]
pub(super) struct Torn {
    /// By module, the digest that finishes what it began.
    digests: BTreeMap<String, String>,
    /// The rewinds under which that was found: one that came later has undone it.
    rewinds: Vec<(String, i64, Target)>,
}

impl Torn {
    /// The digests that have something to finish under this release.
    pub(super) fn under(&mut self, release: &Release) -> &BTreeMap<String, String> {
        if self.rewinds != release.rewinds {
            self.digests.clear();
        }
        &self.digests
    }

    /// Takes in what a session under this release has found.
    pub(super) fn take(&mut self, mut found: BTreeMap<String, String>, release: &Release) {
        self.rewinds.clone_from(&release.rewinds);
        self.digests.append(&mut found);
    }

    /// By slot: up to where the modules of the session have to finish what was `begun`; nothing where nothing is left. Also where it was begun
    /// by the very digests that run: another that came before they had finished would share a record with them.
    pub(super) fn until(&mut self, begun: &[Option<i64>]) -> Vec<i64> {
        if begun.iter().all(Option::is_none) {
            self.digests.clear();
            return Vec::new();
        }
        begun.iter().map(|until| until.unwrap_or(i64::MIN)).collect()
    }
}

/// A crash between two tables leaves records of which some tables have the rows and others do not. Whichever digest made the first makes
/// the rest, so that each record is of one: where a table of a module is ahead of the module's progress in the commits table, that is the
/// digest of the commit that brought it there. Gives these digests, by module, where they are not the plan's, and by slot how far such
/// tables are.
pub(super) fn find(plan: &Plan, tables: &[Table], lanes: &[Lane]) -> (BTreeMap<String, String>, Vec<Option<i64>>) {
    let (mut torn, mut begun) = (BTreeMap::new(), vec![None; lanes.len()]);
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
            for (table, of) in of_module.map(|table| (table, lane.partition.clone())).chain([letters]) {
                let Some(next) = table.offsets().get(&of).filter(|next| *next > done) else { continue };
                begun[lane.slot] = begun[lane.slot].max(Some(next));
                let digest = table.digest(&of, name).filter(|digest| **digest != **module.digest());
                torn.extend(digest.map(|digest| (name.to_owned(), digest.to_owned())));
            }
        }
    }
    (torn, begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_finished_whoever_began_it() {
        let found = || [("retail".to_owned(), "a".to_owned())].into();
        let mut torn = Torn { digests: found(), ..Torn::default() };
        assert_eq!(torn.until(&[None, Some(43)]), [i64::MIN, 43]);
        assert_eq!(torn.digests, found());
        assert!(torn.until(&[None, None]).is_empty() && torn.digests.is_empty());
        // By the digests that run.
        assert_eq!(Torn::default().until(&[Some(7)]), [7]);
    }
}
