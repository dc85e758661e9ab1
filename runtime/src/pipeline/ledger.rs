//! What became of every record: `records = with rows + skips + dead letters`, per module and in all.

use super::plan::Plan;
use crate::sink::system::RedrivenCounts;
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
    /// Calls that failed.
    pub(super) traps: u64,
    /// Nanoseconds in its calls, the copies in and out and the checks among them.
    pub(super) nanoseconds: u64,
    /// Fuel used.
    pub(super) fuel: u64,
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
        self.traps += other.traps;
        self.nanoseconds += other.nanoseconds;
        self.fuel += other.fuel;
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
