//! Which rows of a file are runs of rising offsets of a partition that is wanted.

use super::Stretch;
use crate::columns::UTC;
use crate::sink::system::{ORIGIN_COLUMNS, incarnation_column};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use std::ops::Range;
use std::sync::Arc;

/// Rows of a file that hold rising offsets of one partition, rows of others between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// The file's index among the table's.
    pub(super) part: usize,
    pub(super) rows: Range<usize>,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The runs of one file, by stretch.
pub(super) struct FileRuns<'a> {
    part: usize,
    stretches: &'a [Stretch],
    pub(super) runs: Vec<Vec<Run>>,
    row: usize,
    /// The stretch of the row before: neighbours mostly are of one.
    last: usize,
}

impl<'a> FileRuns<'a> {
    pub(super) fn new(part: usize, stretches: &'a [Stretch]) -> Self {
        Self { part, stretches, runs: vec![Vec::new(); stretches.len()], row: 0, last: 0 }
    }

    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let origins = Origins::of(rows)?;
        for row in 0..rows.num_rows() {
            let is_same = self.stretches.get(self.last).is_some_and(|stretch| origins.is_of(row, stretch));
            let other = || self.stretches.iter().position(|stretch| origins.is_of(row, stretch));
            if let Some(stretch) = if is_same { Some(self.last) } else { other() } {
                self.last = stretch;
                self.push(stretch, origins.offsets[row]);
            }
            self.row += 1;
        }
        Ok(())
    }

    fn push(&mut self, stretch: usize, offset: i64) {
        let runs = &mut self.runs[stretch];
        match runs.last_mut() {
            Some(run) if run.last < offset => {
                run.last = offset;
                run.rows.end = self.row + 1;
            }
            _ => runs.push(Run { part: self.part, rows: self.row..self.row + 1, first: offset, last: offset }),
        }
    }
}

/// The origin columns of some rows.
pub(super) struct Origins<'a> {
    incarnations: &'a [i32],
    partitions: &'a [i32],
    pub(super) offsets: &'a [i64],
}

impl<'a> Origins<'a> {
    pub(super) fn of(rows: &'a RecordBatch) -> Result<Self, ArrowError> {
        let int = |name: &str| Some(column(rows, name).ok()?.as_primitive_opt::<Int32Type>()?.values());
        let long = |name: &str| Some(column(rows, name).ok()?.as_primitive_opt::<Int64Type>()?.values());
        let [incarnation, partition, offset] = ORIGIN_COLUMNS;
        let found = || Some((int(incarnation)?, int(partition)?, long(offset)?));
        let lacks =
            || ArrowError::SchemaError("a file lacks the columns of origins, or has others of their names".to_owned());
        let (incarnations, partitions, offsets) = found().ok_or_else(lacks)?;
        Ok(Self { incarnations, partitions, offsets })
    }

    pub(super) fn is_of(&self, row: usize, stretch: &Stretch) -> bool {
        self.partitions[row] == stretch.partition.partition
            && self.incarnations[row] == incarnation_column(stretch.partition.incarnation)
            && stretch.range.contains(&self.offsets[row])
    }
}

/// A column that the file must have.
pub(super) fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Arc<dyn Array>, ArrowError> {
    rows.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("a file lacks column {name}")))
}

/// The records' timestamps; other writers may have them in other units.
pub(super) fn times(rows: &RecordBatch) -> Result<TimestampMicrosecondArray, ArrowError> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let times = arrow_cast::cast(column(rows, "timestamp")?, &micros)?;
    Ok(times.as_primitive::<TimestampMicrosecondType>().clone())
}
