//! Bronze tables: every record that was read while the table was kept stands in it once.
//!
//! Which offsets of a range are records, only the log knows, and it forgets. So what a bronze table holds is held against what others say:
//! it has every record that became a row or a dead letter, and of each micro-batch as many as the commits table counts.

use super::ledger::{Entry, Ledger};
use super::letters::Letters;
use super::origins::{Columns, FileOrigins, Origins, common, partition_of, show, source_of};
use super::progress::Progress;
use super::report::{Check, Offenders};
use super::silver::Found;
use super::subject::Subjects;
use super::{Error, Opened};
use crate::checkpoint::SourcePartition;
use crate::sink::bronze::Held;
use crate::sink::{redrives, system};
use futures::TryStreamExt;
use std::sync::Arc;

/// A bronze table that was read.
pub(super) struct Bronze<'a> {
    topic: &'a Arc<str>,
    opened: &'a Opened,
    origins: Origins,
    rows: u64,
    twice: Offenders,
    outside: Offenders,
    unreadable: Offenders,
}

impl<'a> Bronze<'a> {
    /// Reads the origins of all rows.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn read(
        topic: &'a Arc<str>,
        opened: &'a Opened,
        ledger: &Ledger,
        progress: &mut Progress<'_>,
    ) -> Result<Self, Error> {
        let (twice, outside, unreadable) = (Offenders::default(), Offenders::default(), Offenders::default());
        let mut bronze = Self { topic, opened, origins: Origins::default(), rows: 0, twice, outside, unreadable };
        let mut files = opened.table.rows_of(opened.table.parts(), &system::ORIGIN_COLUMNS);
        while let Some((_, mut rows)) = files.try_next().await? {
            let mut file = FileOrigins::default();
            while let Some(batch) = rows.batches.try_next().await? {
                let Some(origins) = Columns::of(&batch, system::ORIGIN_COLUMNS) else {
                    bronze.unreadable.add(|| "a file without the columns of origins".to_owned());
                    break;
                };
                for row in 0..batch.num_rows() {
                    let (source, offset) = origins.at(row);
                    file.push(topic, source, offset);
                }
                bronze.rows += batch.num_rows() as u64;
                progress.rows(opened.table.path(), batch.num_rows() as u64);
            }
            progress.file();
            let (origins, neighbours, apart) = file.finish(topic);
            bronze.twice.extend(neighbours);
            bronze.twice.extend(apart);
            bronze.twice.extend(common(topic, &origins, &bronze.origins));
            bronze.origins.merge(&origins);
        }
        bronze.look_outside(ledger);
        Ok(bronze)
    }

    /// Rows behind the table's own offsets, or of what nobody read.
    fn look_outside(&mut self, ledger: &Ledger) {
        let (topic, bad) = (self.topic, &mut self.outside);
        for source in self.origins.0.keys() {
            let partition = partition_of(topic, *source);
            let next = self.opened.offsets.get(&partition).unwrap_or(0);
            for offset in self.origins.named(*source, next..i64::MAX) {
                bad.add(|| format!("{} is beyond the table's offset {next}", show(topic, *source, offset)));
            }
            let first = ledger.chains.get(&partition).map_or(0, |chain| chain.first);
            for offset in self.origins.named(*source, 0..first) {
                bad.add(|| format!("{} is of no micro-batch", show(topic, *source, offset)));
            }
        }
    }

    fn held(&self, partition: &SourcePartition) -> Option<Held> {
        Held::of(&self.opened.offsets, partition)
    }

    /// The verdict on the table's origins.
    #[must_use]
    pub(super) fn check(&self, subjects: &Subjects, silver: &[Found], letters: &Letters) -> Check {
        let mut missing = Offenders::default();
        let of_silver = subjects.silver.iter().zip(silver).filter(|(silver, _)| silver.topic == *self.topic);
        let dead = letters.dead.iter().filter(|((_, topic), _)| topic == self.topic);
        for known in of_silver.map(|(_, found)| &found.origins).chain(dead.map(|(_, origins)| origins)) {
            let lacking = known.clone().without(&self.origins);
            for source in lacking.0.keys() {
                let Some(held) = self.held(&partition_of(self.topic, *source)) else { continue };
                for offset in lacking.named(*source, held.since..held.next) {
                    missing.add(|| show(self.topic, *source, offset));
                }
            }
        }
        let mut bad = Offenders::default();
        let all = [
            (&self.twice, " stands twice"),
            (&self.outside, ""),
            (&self.unreadable, ""),
            (&missing, " became a row or a dead letter, and is not there"),
        ];
        all.into_iter().for_each(|(offenders, words)| bad.extend(offenders.clone().with(words)));
        let none = if bad.is_empty() { ", none twice" } else { "" };
        let detail = format!("{} records{none}", self.rows);
        Check::of("origins", self.opened.table.path(), detail, bad)
    }
}

/// The verdict on the number of records of each micro-batch, as far as all of its records should be in bronze.
#[must_use]
pub(super) fn counts(tables: &[Bronze<'_>], subjects: &Subjects, ledger: &Ledger) -> Check {
    let (mut bad, mut checked, mut records) = (Offenders::default(), 0_usize, 0);
    for entry in ledger.entries.iter().filter(|entry| !entry.is_move) {
        let Some(held) = held_of(entry, tables, subjects) else { continue };
        checked += 1;
        records += entry.records;
        if held != entry.records {
            bad.add(|| {
                format!("micro-batch {}: {} records were read, bronze holds {held}", entry.micro_batch, entry.records)
            });
        }
    }
    let all = ledger.entries.iter().filter(|entry| !entry.is_move).count();
    Check::of("counts", "bronze", format!("{records} records of {checked} of {all} micro-batches"), bad)
}

/// How many of the records that were given to modules in a micro-batch bronze holds; `None` where it need not hold all of them.
fn held_of(entry: &Entry, tables: &[Bronze<'_>], subjects: &Subjects) -> Option<i64> {
    let mut count = 0;
    for name in &*entry.modules {
        let module = subjects.modules.iter().find(|module| module.name == *name)?;
        for (of, range) in entry.ranges_of(name).filter(|(_, range)| !range.is_empty()) {
            let of = of.of_all();
            let times = module.topics.iter().filter(|topic| **topic == of.topic).count() as u64;
            if times == 0 || redrives::topic_of(&of).is_some() {
                continue;
            }
            let table = tables.iter().find(|table| *table.topic == of.topic)?;
            table.held(&of).filter(|held| held.since <= range.start && range.end <= held.next)?;
            count += (times * table.origins.count(source_of(&of), range)).cast_signed();
        }
    }
    Some(count)
}
