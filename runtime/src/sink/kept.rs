//! Reads records back from a bronze table, partition by partition and in the order of their offsets, whoever laid its files out.
//!
//! Our own files hold the records of several partitions, each in order, and those of one micro-batch may lie in several files, by days.
//! A compaction puts many of them into one file, in any order. So it is first looked, by the columns of origins alone, which rows of which
//! file are a run of rising offsets of a wanted partition; then the runs are merged. A run is opened when its first offset comes up, so that
//! as many are open as overlap: one, or a few around midnight.

mod records;
mod runs;
#[cfg(test)]
mod tests;

pub use records::Records;

use super::bronze::{self, Held};
use super::system::ORIGIN_COLUMNS;
use super::{Error, Part, Snapshot, Warehouse};
use crate::checkpoint::{Checkpoint, SourcePartition};
use arrow_array::Array;
use arrow_schema::ArrowError;
use chrono::DateTime;
use futures::TryStreamExt;
use runs::{FileRuns, Origins, Run, times};
use std::ops::Range;

/// Offsets of a partition that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub partition: SourcePartition,
    /// The offsets.
    pub range: Range<i64>,
}

/// A bronze table as it is now.
#[derive(Debug)]
pub struct Kept {
    table: Snapshot,
    offsets: Checkpoint,
}

impl Kept {
    /// Opens the table of a topic; `None` if there is none. `partitions` are those that will be asked for.
    ///
    /// # Errors
    /// When the store fails or the log cannot be read.
    pub async fn open(
        lake: &Warehouse,
        pipeline: &str,
        topic: &str,
        partitions: &[SourcePartition],
    ) -> Result<Option<Self>, Error> {
        let Some(table) = Snapshot::open(lake, pipeline, &bronze::path(topic), None).await? else { return Ok(None) };
        let starts: Vec<SourcePartition> = partitions.iter().map(bronze::start_of).collect();
        let offsets = table.offsets(partitions.iter().chain(&starts)).await?;
        Ok(Some(Self { table, offsets }))
    }

    /// Whether nobody has taken records out of the table: then what it says to hold is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.table.is_whole()
    }

    /// What is held of a partition; nothing where records were taken out of the table.
    #[must_use]
    pub fn held(&self, partition: &SourcePartition) -> Option<Held> {
        Held::of(&self.offsets, partition).filter(|_| self.is_whole())
    }

    /// The newest incarnation of the topic that the table names; 0 where it names none.
    #[must_use]
    pub fn incarnation(&self, topic: &str) -> u32 {
        let of_topic = self.offsets.iter().filter(|(of, _)| *of.topic == *topic);
        of_topic.map(|(of, _)| of.incarnation).max().unwrap_or(0)
    }

    /// The first offset in a stretch whose record is not older than `ms` since 1970-01-01T00:00:00Z; `None` if all are.
    ///
    /// # Errors
    /// When the store fails, or a file is not one of a bronze table.
    pub async fn first_at(&self, stretch: &Stretch, ms: i64) -> Result<Option<i64>, Error> {
        let mut first = None;
        let day = DateTime::from_timestamp_millis(ms).map(|at| at.date_naive().to_string());
        let column = bronze::partition_by().table_column();
        let is_older = |part: &&Part| match (part.partition_values.get(&column), &day) {
            (Some(Some(of)), Some(day)) => of < day,
            _ => false,
        };
        let columns = [ORIGIN_COLUMNS[0], ORIGIN_COLUMNS[1], ORIGIN_COLUMNS[2], "timestamp"];
        let mut files = self.table.rows_of(self.table.parts().iter().filter(|part| !is_older(part)), &columns);
        while let Some((_, mut rows)) = files.try_next().await? {
            while let Some(batch) = rows.batches.try_next().await? {
                let (origins, times) = Origins::of(&batch)
                    .and_then(|origins| Ok((origins, times(&batch)?)))
                    .map_err(|e| self.foreign(e))?;
                for row in 0..batch.num_rows() {
                    let is_it = times.is_valid(row) && times.value(row) >= ms.saturating_mul(1000);
                    if is_it && origins.is_of(row, stretch) {
                        let offset = origins.offsets[row];
                        first = Some(first.map_or(offset, |first: i64| first.min(offset)));
                    }
                }
            }
        }
        Ok(first)
    }

    /// Finds the records of some stretches of the table's topic; they come out in the same order.
    ///
    /// # Errors
    /// When the store fails, or a file is not one of a bronze table.
    pub async fn find(&self, stretches: &[Stretch]) -> Result<Vec<Records<'_>>, Error> {
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); stretches.len()];
        let bounds = self.table.bounds(ORIGIN_COLUMNS[2])?;
        let parts = self.table.parts();
        let may_hold = |part: &Part| {
            let Some((low, high)) = bounds.get(part.location()) else { return true };
            stretches.iter().any(|stretch| *low < stretch.range.end && stretch.range.start <= *high)
        };
        let among: Vec<usize> = (0..parts.len()).filter(|part| may_hold(&parts[*part])).collect();
        let mut files = self.table.rows_of(among.iter().map(|part| &parts[*part]), &ORIGIN_COLUMNS);
        for part in &among {
            let Some((_, mut rows)) = files.try_next().await? else { break };
            let mut found = FileRuns::new(*part, stretches);
            while let Some(batch) = rows.batches.try_next().await? {
                found.add(&batch).map_err(|source| self.foreign(source))?;
            }
            runs.iter_mut().zip(found.runs).for_each(|(all, found)| all.extend(found));
        }
        drop(files);
        let records = |(stretch, runs): (&Stretch, Vec<Run>)| Records::new(self, stretch.clone(), runs);
        Ok(stretches.iter().zip(runs).map(records).collect())
    }

    fn foreign(&self, source: ArrowError) -> Error {
        Error::Columns { table: self.table.path().to_owned(), source }
    }
}
