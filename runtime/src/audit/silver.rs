//! One pass over a silver table: every row's origin is noted, and the gold products over it are computed anew on the way.
//!
//! Rows of one record that one table partition holds stand in one file, side by side, because a chunk's rows are written at once. So an origin
//! that two files of one partition hold, or one file of ours in two places, is there twice. Files of others (a compaction) may have
//! any order; there a repetition counts only where no record of the product ever makes several rows.

use super::Error;
use super::ledger::Ledger;
use super::origins::{Columns, FileOrigins, Origins, Source, common, partition_of, show};
use super::progress::Progress;
use super::regroup::Regrouped;
use super::report::{Check, Offenders};
use super::subject::Silver;
use crate::checkpoint::Checkpoint;
use crate::sink::{Part, Rows, Snapshot, system};
use futures::TryStreamExt;
use std::collections::BTreeMap;

/// What a silver table holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Every record that has a row.
    pub(super) origins: Origins,
    /// The rows.
    pub(super) rows: u64,
    twice: Offenders,
    /// Repetitions in files of others, which may be several rows of one record.
    maybe_twice: Offenders,
    outside: Offenders,
    unreadable: Offenders,
    fans_out: bool,
    /// By partition: the offsets that each of our commits holds, by the commit's time.
    commits: BTreeMap<Source, BTreeMap<i64, (i64, i64)>>,
}

/// The records of the files of a table partition that were read so far.
#[derive(Default)]
struct Seen {
    /// In files that Lakeward wrote.
    ours: Origins,
    /// In files of other engines.
    others: Origins,
}

/// A silver table and where its rows may be.
pub(super) struct Reading<'a> {
    /// The table.
    pub(super) table: &'a Snapshot,
    /// The product.
    pub(super) silver: &'a Silver,
    /// The offsets that the table itself names.
    pub(super) offsets: &'a Checkpoint,
    /// What the commits table says.
    pub(super) ledger: &'a Ledger,
    /// Records whose rows a redrive may have added, long after their neighbours.
    pub(super) redriven: &'a Origins,
}

impl Reading<'_> {
    /// Reads the table once, file by file.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn read(&self, golds: &mut [Regrouped<'_>], progress: &mut Progress<'_>) -> Result<Found, Error> {
        let mut found = Found::default();
        let mut parts: BTreeMap<&BTreeMap<String, Option<String>>, Vec<&Part>> = BTreeMap::new();
        for part in self.table.parts() {
            parts.entry(&part.partition_values).or_default().push(part);
        }
        let mut columns: Vec<&str> = golds.iter().flat_map(Regrouped::columns).collect();
        columns.extend(system::ORIGIN_COLUMNS);
        for files in parts.into_values() {
            let mut seen = Seen::default();
            let mut files = self.table.rows_of(files, &columns);
            while let Some((part, rows)) = files.try_next().await? {
                self.read_file(part, rows, &mut seen, &mut found, golds, progress).await?;
            }
            // The same record in two table partitions: its rows fell apart by their values, or somebody else wrote one again.
            for seen in [&seen.ours, &seen.others] {
                let elsewhere = common(&self.silver.topic, seen, &found.origins);
                found.maybe_twice.extend(elsewhere);
            }
            found.origins.merge(&seen.ours);
            found.origins.merge(&seen.others);
        }
        self.judge(&mut found);
        Ok(found)
    }

    /// Reads the table once more, for those gold products that have to look again.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn read_again(
        &self,
        golds: &mut [Regrouped<'_>],
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let mut again: Vec<&mut Regrouped<'_>> =
            golds.iter_mut().filter_map(|gold| gold.look_again().then_some(gold)).collect();
        if again.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<&str> = again.iter().flat_map(|gold| gold.columns()).collect();
        columns.extend(system::ORIGIN_COLUMNS);
        let mut files = self.table.rows_of(self.table.parts(), &columns);
        while let Some((part, mut rows)) = files.try_next().await? {
            while let Some(batch) = rows.batches.try_next().await? {
                if let Some(origins) = Columns::of(&batch, system::ORIGIN_COLUMNS) {
                    for gold in &mut again {
                        // A file that cannot be read so was named the first time.
                        let _ = gold.add(part, &batch, &origins);
                    }
                }
                progress.rows(self.table.path(), 0);
            }
        }
        Ok(())
    }

    async fn read_file(
        &self,
        part: &Part,
        mut rows: Rows,
        seen: &mut Seen,
        found: &mut Found,
        golds: &mut [Regrouped<'_>],
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let topic = &self.silver.topic;
        let mut file = FileOrigins::default();
        while let Some(batch) = rows.batches.try_next().await? {
            let Some(origins) = Columns::of(&batch, system::ORIGIN_COLUMNS) else {
                found.unreadable.add(|| "a file without the columns of origins".to_owned());
                return Ok(());
            };
            for row in 0..batch.num_rows() {
                let (source, offset) = origins.at(row);
                file.push(topic, source, offset);
            }
            for gold in golds.iter_mut() {
                if !gold.add(part, &batch, &origins) {
                    found.unreadable.add(|| "a file without the columns that a gold product aggregates".to_owned());
                }
            }
            found.rows += batch.num_rows() as u64;
            progress.rows(self.table.path(), batch.num_rows() as u64);
        }
        progress.file();
        let (origins, neighbours, apart) = file.finish(topic);
        let with_others = common(topic, &origins, &seen.others);
        found.maybe_twice.extend(with_others);
        let with_ours = common(topic, &origins, &seen.ours);
        if rows.is_ours {
            // All rows of a record are in one file of ours; who compacts may part them.
            found.twice.extend(with_ours);
            found.fans_out |= !neighbours.is_empty();
            found.twice.extend(apart);
            found.note_commit(part.committed_at_ms, &origins.clone().without(self.redriven));
        } else {
            found.maybe_twice.extend(with_ours);
            found.maybe_twice.extend(neighbours);
            found.maybe_twice.extend(apart);
        }
        self.outside(&origins, &mut found.outside);
        if rows.is_ours { &mut seen.ours } else { &mut seen.others }.merge(&origins);
        Ok(())
    }

    /// Rows behind the table's own offsets, or where the table was moved over.
    fn outside(&self, origins: &Origins, bad: &mut Offenders) {
        let topic = &self.silver.topic;
        let passed = self.ledger.passed.get(self.table.path());
        for source in origins.0.keys() {
            let partition = partition_of(topic, *source);
            let next = self.offsets.get(&partition).unwrap_or(0);
            let beyond = origins.named(*source, next..i64::MAX);
            beyond.for_each(|offset| {
                bad.add(|| format!("{} is beyond the table's offset {next}", show(topic, *source, offset)))
            });
            let chain = self.ledger.chain_of(&self.silver.module, &partition);
            let before = origins.named(*source, 0..chain.map_or(0, |chain| chain.first));
            before.for_each(|offset| bad.add(|| format!("{} is of no micro-batch", show(topic, *source, offset))));
            let skipped = chain.map(|chain| chain.skipped.as_slice()).unwrap_or_default();
            let passed = passed.and_then(|passed| passed.get(&partition)).map(Vec::as_slice).unwrap_or_default();
            for range in skipped.iter().chain(passed) {
                let inside = origins.named(*source, range.clone());
                inside.for_each(|offset| bad.add(|| format!("{} was moved over", show(topic, *source, offset))));
            }
        }
    }

    /// Decides on the repetitions that may be several rows of one record.
    fn judge(&self, found: &mut Found) {
        if found.twice.is_empty() {
            found.twice.extend(found.shared_by_commits(self.silver));
        }
        let recorded = |entry: &super::ledger::Entry| {
            entry.rows > entry.with_rows || entry.redriven.rows > entry.redriven.with_rows
        };
        found.fans_out |= self.ledger.entries.iter().any(recorded);
        if !found.fans_out {
            let maybe = std::mem::take(&mut found.maybe_twice);
            found.twice.extend(maybe);
        }
    }
}

impl Found {
    fn note_commit(&mut self, at_ms: i64, origins: &Origins) {
        for (source, set) in &origins.0 {
            let (Some(first), Some(last)) = (set.min(), set.max()) else { continue };
            let (first, last) = (first.cast_signed(), last.cast_signed());
            let range = self.commits.entry(*source).or_default().entry(at_ms).or_insert((first, last));
            *range = (range.0.min(first), range.1.max(last));
        }
    }

    /// Offsets between which two of our commits both hold rows.
    fn shared_by_commits(&self, silver: &Silver) -> Offenders {
        let mut bad = Offenders::default();
        for (source, commits) in &self.commits {
            let mut ranges: Vec<(i64, i64)> = commits.values().copied().collect();
            ranges.sort_unstable();
            for pair in ranges.windows(2) {
                if pair[1].0 <= pair[0].1 {
                    let from = show(&silver.topic, *source, pair[1].0);
                    bad.add(|| format!("two commits both hold rows from {from} to {}", pair[0].1.min(pair[1].1)));
                }
            }
        }
        bad
    }

    /// The verdict on the table's origins.
    #[must_use]
    pub(super) fn check(&self, table: &Snapshot) -> Check {
        let mut detail = format!("{} rows of {} records, none twice", self.rows, self.origins.len());
        let mut bad = Offenders::default();
        for (offenders, what) in [(&self.twice, " stands twice"), (&self.outside, ""), (&self.unreadable, "")] {
            bad.extend(offenders.clone().with(what));
        }
        if !bad.is_empty() {
            detail = format!("{} rows of {} records", self.rows, self.origins.len());
        }
        if !self.maybe_twice.is_empty() {
            let count = self.maybe_twice.count();
            detail += &format!("; {count} repetitions may be several rows of one record, and are not checked");
        }
        Check::of("origins", table.path(), detail, bad)
    }
}
