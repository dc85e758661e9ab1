//! What micro-batches say they did, held against what the tables hold: record by record, none is missing and none was made up.

use super::ledger::{Entry, Ledger};
use super::letters::Letters;
use super::origins::{Origins, Source, common, show, source_of};
use super::recount::Redriven;
use super::report::{Check, Offenders};
use super::silver::Found;
use super::subject::{Module, Subjects};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The records of a micro-batch that are neither rows nor dead letters are named up to so many.
const CANDIDATES: usize = 5;

/// Everything that the tables hold.
pub(super) struct Counting<'a> {
    subjects: &'a Subjects,
    ledger: &'a Ledger,
    found: &'a [Found],
    letters: &'a Letters,
    /// By module and topic and the products that there were: every record with a row in one of them.
    unions: BTreeMap<(usize, Arc<str>, Vec<usize>), Origins>,
    /// By module and topic: records that have, or may have, their rows by a redrive.
    redriven: BTreeMap<(usize, Arc<str>), Origins>,
}

/// What the tables hold of one micro-batch.
#[derive(Default)]
struct Tally {
    with_rows: u64,
    dead_letters: u64,
    /// Offsets that the micro-batch covers, once for each module that reads them.
    offsets: i64,
    /// Offsets of neither kind, and the first of them.
    neither: u64,
    first: Vec<String>,
    /// Whether some of it was undone, and counts for a later micro-batch.
    undone: bool,
    /// Whether a product was moved over some of it or is to read it again, so that rows may rightly be fewer.
    passed: bool,
}

impl<'a> Counting<'a> {
    /// Holds the commits table against these.
    #[must_use]
    pub(super) fn new(subjects: &'a Subjects, ledger: &'a Ledger, found: &'a [Found], letters: &'a Letters) -> Self {
        let topics =
            |(index, module): (usize, &'a Module)| module.topics.iter().map(move |topic| (index, module, topic));
        let all = subjects.modules.iter().enumerate().flat_map(topics);
        let redriven = all
            .map(|(index, module, topic)| ((index, Arc::clone(topic)), letters.answers.set_aside(&module.name, topic)));
        let redriven = redriven.filter(|(_, records)| records.len() > 0).collect();
        Self { subjects, ledger, found, letters, unions: BTreeMap::new(), redriven }
    }

    /// Checks every micro-batch, and the sums over all.
    #[must_use]
    pub(super) fn checks(mut self) -> Vec<Check> {
        let (mut bad, mut unbalanced) = (Offenders::default(), Offenders::default());
        let (mut total, mut batches, mut unknown) = (Entry::default(), 0_u64, 0_u64);
        for entry in self.ledger.entries.iter().filter(|entry| !entry.is_move) {
            batches += 1;
            total.records += entry.records;
            total.with_rows += entry.with_rows;
            total.skips += entry.skips;
            total.dead_letters += entry.dead_letters;
            if entry.records != entry.with_rows + entry.skips + entry.dead_letters {
                unbalanced.add(|| format!("micro-batch {}: {}", entry.micro_batch, equation(entry)));
            }
            match self.tally(entry) {
                Some(tally) => compare(entry, &tally, &mut bad),
                None => unknown += 1,
            }
        }
        self.both(&mut bad);
        self.fewer(&mut bad);
        let again = Redriven {
            subjects: self.subjects,
            ledger: self.ledger,
            found: self.found,
            answers: &self.letters.answers,
        };
        let detail = format!("{batches} micro-batches: {}", equation(&total));
        let mut checks = vec![Check::of("counts", "_lakeward/commits", detail, unbalanced)];
        if batches > unknown {
            let detail =
                format!("{} micro-batches: the rows and dead letters in the tables are as many", batches - unknown);
            checks.push(Check::of("counts", "silver and dead letters", detail, bad));
        }
        if unknown > 0 {
            let why = format!(
                "{unknown} micro-batches: they ran modules that are not configured, or two transforms on one topic"
            );
            checks.push(Check::not_checked("counts", "silver and dead letters", why));
        }
        checks.extend(again.check());
        checks
    }

    /// What the tables hold of the offsets of a micro-batch; `None` where that cannot be said.
    fn tally(&mut self, entry: &Entry) -> Option<Tally> {
        let (mut tally, ledger) = (Tally::default(), self.ledger);
        for name in &*entry.modules {
            let module = self.subjects.modules.iter().position(|module| module.name == *name)?;
            for (partition, range) in entry.ranges_of(name) {
                let topic = &partition.topic;
                if !self.subjects.modules[module].topics.contains(topic) {
                    continue;
                }
                if !self.subjects.reads_once(name, topic) {
                    return None;
                }
                let products: Vec<usize> = (0..self.subjects.silver.len())
                    .filter(|index| {
                        let silver = &self.subjects.silver[*index];
                        silver.module == *name && silver.topic == *topic && entry.tables.contains(&silver.table())
                    })
                    .collect();
                tally.passed |= products
                    .iter()
                    .any(|product| ledger.may_lack(&self.subjects.silver[*product].table(), partition, range));
                let dead = self.letters.dead.get(&(name.clone(), Arc::clone(topic)));
                let rows = self.union(module, topic, products);
                tally.offsets += (range.end - range.start).max(0);
                let own = ledger.own_range(entry.micro_batch, name, partition, range);
                tally.undone |= own != *range;
                tally.add(topic, source_of(partition), &own, rows, dead);
            }
        }
        Some(tally)
    }

    fn union(&mut self, module: usize, topic: &Arc<str>, products: Vec<usize>) -> &Origins {
        let key = (module, Arc::clone(topic));
        let redriven = self.redriven.get(&key);
        if let ([product], None) = (products.as_slice(), redriven) {
            return &self.found[*product].origins;
        }
        let found = self.found;
        self.unions.entry((module, Arc::clone(topic), products.clone())).or_insert_with(|| {
            let mut union = Origins::default();
            products.iter().for_each(|product| union.merge(&found[*product].origins));
            // What came by a redrive is accounted for where it was redriven.
            match redriven {
                Some(redriven) => union.without(redriven),
                None => union,
            }
        })
    }

    /// Rows that micro-batches wrote and that are gone, though each of their records still has another. Only where nothing ever took rows back
    /// on purpose, and all products are known. More rows than recorded are no fault: what a crash leaves of a micro-batch without its row in
    /// the commits table stays in silver, and is not written, nor counted, again.
    fn fewer(&self, bad: &mut Offenders) {
        let is_known = |table: &String| {
            !table.starts_with("silver/") || self.subjects.silver.iter().any(|silver| silver.table() == *table)
        };
        let entries = &self.ledger.entries;
        let is_moot = |entry: &Entry| entry.is_move || !entry.tables.iter().all(is_known);
        if !bad.is_empty() || entries.iter().any(is_moot) {
            return;
        }
        let recorded: i64 = entries.iter().map(|entry| entry.rows + entry.redriven.rows).sum();
        let found: u64 = self.found.iter().map(|found| found.rows).sum();
        if found < recorded.unsigned_abs() {
            bad.add(|| format!("{recorded} rows recorded, {found} in silver"));
        }
    }

    /// Records that are rows and dead letters of one module at once.
    fn both(&self, bad: &mut Offenders) {
        for ((module, topic), dead) in &self.letters.dead {
            if !self.subjects.reads_once(module, topic) {
                continue;
            }
            let at = self.subjects.modules.iter().position(|known| known.name == *module);
            let redriven = at.and_then(|at| self.redriven.get(&(at, Arc::clone(topic))));
            let dead = redriven.map_or_else(|| dead.clone(), |redriven| dead.clone().without(redriven));
            let of_module = self.subjects.silver.iter().zip(self.found);
            for (_, found) in of_module.filter(|(silver, _)| silver.module == *module && silver.topic == *topic) {
                bad.extend(common(topic, &dead, &found.origins).with(" is a row and a dead letter"));
            }
        }
    }
}

impl Tally {
    fn add(&mut self, topic: &Arc<str>, source: Source, range: &Range<i64>, rows: &Origins, dead: Option<&Origins>) {
        let (with_rows, letters) = (rows.count(source, range), dead.map_or(0, |dead| dead.count(source, range)));
        let length = (range.end - range.start).max(0);
        self.with_rows += with_rows;
        self.dead_letters += letters;
        self.neither += length.unsigned_abs().saturating_sub(with_rows + letters);
        if with_rows + letters < length.unsigned_abs() && self.first.len() < CANDIDATES {
            let is_neither = |offset: &i64| {
                !rows.contains(source, *offset) && !dead.is_some_and(|dead| dead.contains(source, *offset))
            };
            let room = CANDIDATES - self.first.len();
            self.first.extend(range.clone().filter(is_neither).take(room).map(|offset| show(topic, source, offset)));
        }
    }
}

fn compare(entry: &Entry, tally: &Tally, bad: &mut Offenders) {
    let micro_batch = entry.micro_batch;
    let recorded = |count: i64| u64::try_from(count).unwrap_or(0);
    let (rows, dead) = (recorded(entry.with_rows), recorded(entry.dead_letters));
    let rows_agree = if tally.passed || tally.undone { tally.with_rows <= rows } else { tally.with_rows == rows };
    let missing = rows.saturating_sub(tally.with_rows) + dead.saturating_sub(tally.dead_letters);
    if !rows_agree {
        let found = tally.with_rows;
        bad.add(|| {
            format!(
                "micro-batch {micro_batch}: {rows} records with rows recorded, {found} in silver{}",
                hint(entry, tally, missing)
            )
        });
    }
    let letters_agree = if tally.undone { tally.dead_letters <= dead } else { tally.dead_letters == dead };
    if !letters_agree {
        let found = tally.dead_letters;
        bad.add(|| {
            format!(
                "micro-batch {micro_batch}: {dead} dead letters recorded, {found} in the table{}",
                hint(entry, tally, missing)
            )
        });
    }
    if entry.records > tally.offsets {
        bad.add(|| format!("micro-batch {micro_batch}: {} records in {} offsets", entry.records, tally.offsets));
    }
}

/// Which records are missing: exactly, where every offset is a record and none was skipped.
fn hint(entry: &Entry, tally: &Tally, missing: u64) -> String {
    if missing == 0 || tally.first.is_empty() {
        return String::new();
    }
    let first = tally.first.join(", ");
    let more = if tally.neither > tally.first.len() as u64 { ", .." } else { "" };
    if entry.skips == 0 && tally.neither == missing && entry.records == tally.offsets {
        return format!("; neither a row nor a dead letter: {first}{more}");
    }
    format!("; among {} offsets that are neither rows nor dead letters: {first}{more}", tally.neither)
}

fn equation(entry: &Entry) -> String {
    let Entry { records, with_rows, skips, dead_letters, .. } = entry;
    let sign = if *records == with_rows + skips + dead_letters { "=" } else { "is not" };
    format!("{records} records {sign} {with_rows} with rows + {skips} skips + {dead_letters} dead letters")
}

#[cfg(test)]
mod tests;
