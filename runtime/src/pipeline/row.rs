//! The row of a micro-batch in the commits table: what became of which records, by which modules.

use super::Error;
use super::commit::Group;
use super::committer::Committer;
use super::ledger::Counts;
use super::plan::COMMITS;
use crate::checkpoint::SourcePartition;
use crate::sink::system::{CommitKind, CommitRow, RedrivenCounts};
use crate::sink::{DataFile, FileWriter};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Committer {
    pub(super) fn row(&self, group: &Group, counts: &Counts, seconds: f64) -> CommitRow {
        let total = counts.total();
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let stood = |partition: &SourcePartition| self.tables.tables[COMMITS].offsets().get(partition);
        let mut offsets: BTreeMap<String, [i64; 2]> = BTreeMap::new();
        for (partition, topic, next) in &group.positions {
            let from = stood(partition).filter(|_| !self.plan.catches_up);
            if !self.plan.catches_up {
                // Before the first row only the modules' own progress says where the reading began.
                let begun = || self.plan.readers(*topic).filter_map(|reader| stood(&partition.of_reader(reader))).min();
                let start = from.or_else(begun).unwrap_or(0);
                offsets.insert(partition.to_string(), [start, from.map_or(*next, |from| from.max(*next))]);
            }
            // What a module reads behind or before the others is told beside it, or alone.
            for own in self.plan.readers(*topic).map(|reader| partition.of_reader(reader)) {
                let is_apart = |own: &i64| self.plan.catches_up || from.is_some_and(|from| *own != from);
                if let Some(from_own) = stood(&own).filter(is_apart) {
                    offsets.insert(own.to_string(), [from_own, from_own.max(*next)]);
                }
            }
        }
        CommitRow {
            micro_batch: group.micro_batch,
            kind: CommitKind::MicroBatch,
            committed_at_ms: group.at_ms,
            records: signed(total.records),
            with_rows: signed(total.with_rows),
            skips: signed(total.skips),
            dead_letters: signed(total.dead_letters),
            rows: signed(counts.rows_written()),
            late: signed(counts.late_rows()),
            redriven: RedrivenCounts {
                records: signed(counts.redriven.records),
                with_rows: signed(counts.redriven.with_rows),
                skips: signed(counts.redriven.skips),
                dead_letters: signed(counts.redriven.dead_letters),
                rows: signed(counts.redriven.rows),
                discarded: signed(counts.redriven.discarded),
            },
            offsets: serde_json::to_string(&offsets).unwrap_or_default(),
            tables: self.tables.versions(),
            modules: self.plan.digests(),
            seconds,
        }
    }

    pub(super) fn encode_row(&self, row: &CommitRow) -> Result<Vec<DataFile>, Error> {
        let mut writer = FileWriter::new(Arc::clone(&self.plan.tables[COMMITS].layout));
        writer.write(row.columns())?;
        Ok(writer.finish()?)
    }
}
