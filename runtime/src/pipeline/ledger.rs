//! What became of every record: `records = with rows + skips + dead letters`, per module and in all.

use super::plan::Plan;
use crate::sink::system::RedrivenCounts;
use crate::transform::Usage;
use std::ops::AddAssign;

/// Counts of a micro-batch, or of a worker's share of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// By module.
    pub(super) modules: Vec<ModuleCounts>,
    /// Rows written, by silver product.
    pub(super) rows: Vec<u64>,
    /// Rows that came after their window had closed, by gold product.
    pub(super) late: Vec<u64>,
    /// Broken expectations, by silver product and expectation.
    pub(super) violations: Vec<Vec<u64>>,
    /// Records read, whatever modules read them.
    pub(super) read: u64,
    /// By module: the first things that it said when it failed.
    pub(super) messages: Vec<Messages>,
    /// Dead letters that somebody asked for.
    pub(super) redriven: RedrivenCounts<u64>,
}

/// What became of the records given to a module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ModuleCounts {
    /// Records given to it.
    pub(super) records: u64,
    /// Records that became rows.
    pub(super) with_rows: u64,
    /// Records from which it made nothing, on purpose.
    pub(super) skips: u64,
    /// Records that became dead letters.
    pub(super) dead_letters: u64,
    /// Of these, records whose payload is not what the module's input declares.
    pub(super) undecoded: u64,
    /// Of these, records that the module rejected or failed on; the rest broke a contract.
    pub(super) rejects: u64,
    /// Of the rejects, records that it failed on: by a panic, a limit, or an output that is not what it says.
    pub(super) failures: u64,
    /// What its calls used.
    pub(super) usage: Usage,
}

/// Things said, without repetitions: the first few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Messages(Vec<String>);

impl Messages {
    const KEPT: usize = 3;

    pub(super) fn add(&mut self, message: &str) {
        if self.0.len() < Self::KEPT && self.0.iter().all(|said| said != message) {
            self.0.push(message.to_owned());
        }
    }

    pub(super) fn add_all(&mut self, others: &Self) {
        others.0.iter().for_each(|message| self.add(message));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Counts {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            modules: vec![ModuleCounts::default(); plan.modules.len()],
            rows: vec![0; plan.products.len()],
            late: vec![0; plan.golds.len()],
            violations: plan
                .products
                .iter()
                .map(|product| vec![0; product.contract.product().expectations.len()])
                .collect(),
            read: 0,
            messages: vec![Messages::default(); plan.modules.len()],
            redriven: RedrivenCounts::default(),
        }
    }

    /// Rows of all silver products.
    pub(super) fn rows_written(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// Late rows of all gold products.
    pub(super) fn late_rows(&self) -> u64 {
        self.late.iter().sum()
    }

    /// The counts of all modules together.
    pub(super) fn total(&self) -> ModuleCounts {
        let mut total = ModuleCounts::default();
        for module in &self.modules {
            total += *module;
        }
        total
    }

    /// Whether every record is accounted for.
    pub(super) fn is_balanced(&self) -> bool {
        let again = &self.redriven;
        self.modules.iter().all(|module| module.records == module.with_rows + module.skips + module.dead_letters)
            && again.records == again.with_rows + again.skips + again.dead_letters
    }
}

impl AddAssign for ModuleCounts {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.with_rows += other.with_rows;
        self.skips += other.skips;
        self.dead_letters += other.dead_letters;
        self.undecoded += other.undecoded;
        self.rejects += other.rejects;
        self.failures += other.failures;
        self.usage += other.usage;
    }
}

impl AddAssign<&Counts> for Counts {
    fn add_assign(&mut self, other: &Self) {
        let add = |ours: &mut Vec<u64>, theirs: &[u64]| {
            ours.resize(ours.len().max(theirs.len()), 0);
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours += theirs);
        };
        self.modules.resize(self.modules.len().max(other.modules.len()), ModuleCounts::default());
        self.modules.iter_mut().zip(&other.modules).for_each(|(ours, theirs)| *ours += *theirs);
        add(&mut self.rows, &other.rows);
        add(&mut self.late, &other.late);
        self.violations.resize(self.violations.len().max(other.violations.len()), Vec::new());
        self.violations.iter_mut().zip(&other.violations).for_each(|(ours, theirs)| add(ours, theirs));
        self.read += other.read;
        self.messages.resize(self.messages.len().max(other.messages.len()), Messages::default());
        self.messages.iter_mut().zip(&other.messages).for_each(|(ours, theirs)| ours.add_all(theirs));
        let (ours, theirs) = (&mut self.redriven, &other.redriven);
        ours.records += theirs.records;
        ours.with_rows += theirs.with_rows;
        ours.skips += theirs.skips;
        ours.dead_letters += theirs.dead_letters;
        ours.rows += theirs.rows;
        ours.discarded += theirs.discarded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_was_said_the_first_things_are_kept_once() {
        let mut messages = Messages::default();
        ["a", "a", "b", "a", "c", "d"].into_iter().for_each(|message| messages.add(message));
        assert_eq!(messages.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_record_that_is_nowhere_is_noticed() {
        let counted = ModuleCounts { records: 5, with_rows: 2, skips: 1, dead_letters: 2, ..ModuleCounts::default() };
        let balanced = |module| Counts { modules: vec![module], ..Counts::default() }.is_balanced();
        assert!(balanced(counted));
        assert!(!balanced(ModuleCounts { records: 6, ..counted }));
        assert!(!balanced(ModuleCounts { dead_letters: 3, ..counted }));
        let again = |dead_letters| RedrivenCounts {
            records: 4,
            with_rows: 2,
            skips: 1,
            dead_letters,
            ..RedrivenCounts::default()
        };
        let balanced = |dead_letters| Counts { redriven: again(dead_letters), ..Counts::default() }.is_balanced();
        assert!(balanced(1) && !balanced(0));
    }
}
