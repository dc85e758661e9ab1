//! Merges runs of rows into the records of a partition, in the order of offsets.

use super::runs::{Origins, Run, column, times};
use super::{Kept, Stretch};
use crate::record::{Chunk, Record};
use crate::sink::Error;
use crate::sink::system::ORIGIN_COLUMNS;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BinaryArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use std::collections::VecDeque;
use std::sync::Arc;

/// A chunk is full with so many records, or so many bytes.
const CHUNK_RECORDS: usize = 8_192;
const CHUNK_BYTES: usize = 4 << 20;

const RECORD_COLUMNS: [&str; 6] =
    ["key", "value", "timestamp", ORIGIN_COLUMNS[0], ORIGIN_COLUMNS[1], ORIGIN_COLUMNS[2]];

/// The records of a stretch, in the order of offsets.
pub struct Records<'a> {
    of: &'a Kept,
    stretch: Stretch,
    next: i64,
    /// Runs that are not opened yet, by their first offset.
    runs: VecDeque<Run>,
    open: Vec<Open>,
}

/// A run that is being read.
struct Open {
    run: Run,
    batches: BoxStream<'static, Result<RecordBatch, Error>>,
    rows: Rows,
}

/// Rows of a batch, those of the run.
struct Rows {
    wanted: Vec<usize>,
    at: usize,
    keys: BinaryArray,
    values: BinaryArray,
    times: TimestampMicrosecondArray,
    offsets: Int64Array,
}

fn is_full(chunk: &Chunk) -> bool {
    chunk.len() >= CHUNK_RECORDS || chunk.bytes() >= CHUNK_BYTES
}

impl<'a> Records<'a> {
    /// The records of these runs.
    pub(super) fn new(of: &'a Kept, stretch: Stretch, mut runs: Vec<Run>) -> Self {
        runs.sort_by_key(|run| run.first);
        Self { of, next: stretch.range.start, stretch, runs: runs.into(), open: Vec::new() }
    }

    /// The next records; `None` behind the last chunk, whose position is the end of the stretch.
    ///
    /// # Errors
    /// When the store fails, or a file is not one of a bronze table.
    pub async fn chunk(&mut self) -> Result<Option<Chunk>, Error> {
        if self.next >= self.stretch.range.end {
            return Ok(None);
        }
        let partition = &self.stretch.partition;
        let mut chunk = Chunk::new(Arc::clone(&partition.topic), partition.partition, self.next);
        while !is_full(&chunk) {
            self.open_due().await?;
            let lowest = self.open.iter().enumerate().min_by_key(|(_, open)| open.rows.offset());
            let Some((index, _)) = lowest else {
                chunk.advance_to(self.stretch.range.end);
                break;
            };
            let others = self.open.iter().enumerate().filter(|(other, _)| *other != index);
            let others =
                others.filter_map(|(_, open)| open.rows.offset()).chain(self.runs.front().map(|run| run.first));
            let below = others.min().unwrap_or(i64::MAX);
            let open = &mut self.open[index];
            open.rows.take(&mut chunk, below);
            if open.rows.offset().is_none() && !self.of.load(&self.stretch, open).await? {
                self.open.swap_remove(index);
            }
        }
        self.next = chunk.next_offset();
        Ok(Some(chunk))
    }

    /// Opens the runs whose first offset may be the next.
    async fn open_due(&mut self) -> Result<(), Error> {
        loop {
            let lowest = self.open.iter().filter_map(|open| open.rows.offset()).min();
            let is_due = |run: &Run| lowest.is_none_or(|lowest| run.first <= lowest);
            let Some(run) = self.runs.pop_front_if(|run| is_due(&*run)) else { return Ok(()) };
            let table = &self.of.table;
            let rows = table.some_rows(&table.parts()[run.part], &RECORD_COLUMNS, Some(run.rows.clone())).await?;
            let mut open = Open { run, batches: rows.batches, rows: Rows::none() };
            if self.of.load(&self.stretch, &mut open).await? {
                self.open.push(open);
            }
        }
    }
}

impl Kept {
    /// Reads on until there are rows of the run; false at its end.
    async fn load(&self, stretch: &Stretch, open: &mut Open) -> Result<bool, Error> {
        while let Some(batch) = open.batches.try_next().await? {
            open.rows = Rows::of(&batch, stretch, &open.run).map_err(|source| self.foreign(source))?;
            if open.rows.offset().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Rows {
    fn none() -> Self {
        let bytes = || BinaryArray::from(Vec::<&[u8]>::new());
        let (times, offsets) =
            (TimestampMicrosecondArray::from(Vec::<i64>::new()), Int64Array::from(Vec::<i64>::new()));
        Self { wanted: Vec::new(), at: 0, keys: bytes(), values: bytes(), times, offsets }
    }

    fn of(batch: &RecordBatch, stretch: &Stretch, run: &Run) -> Result<Self, ArrowError> {
        let origins = Origins::of(batch)?;
        let is_wanted =
            |row: &usize| origins.is_of(*row, stretch) && (run.first..=run.last).contains(&origins.offsets[*row]);
        let wanted = (0..batch.num_rows()).filter(is_wanted).collect();
        let bytes = |name: &str| {
            Ok::<_, ArrowError>(arrow_cast::cast(column(batch, name)?, &DataType::Binary)?.as_binary().clone())
        };
        Ok(Self {
            wanted,
            at: 0,
            keys: bytes("key")?,
            values: bytes("value")?,
            times: times(batch)?,
            offsets: column(batch, ORIGIN_COLUMNS[2])?.as_primitive::<Int64Type>().clone(),
        })
    }

    /// The offset of the next row.
    fn offset(&self) -> Option<i64> {
        self.wanted.get(self.at).map(|row| self.offsets.value(*row))
    }

    /// Gives rows to a chunk while it takes more and their offsets are below `below`, and at least one. What the chunk has already stands in
    /// the table twice, and is left out.
    fn take(&mut self, chunk: &mut Chunk, below: i64) {
        let mut is_first = true;
        while let Some(offset) = self.offset().filter(|offset| is_first || (*offset < below && !is_full(chunk))) {
            let row = self.wanted[self.at];
            self.at += 1;
            is_first = false;
            if offset < chunk.next_offset() {
                continue;
            }
            chunk.push(Record {
                offset,
                timestamp_ms: if self.times.is_valid(row) { self.times.value(row).div_euclid(1000) } else { -1 },
                key: self.keys.is_valid(row).then(|| self.keys.value(row)),
                value: self.values.is_valid(row).then(|| self.values.value(row)),
            });
        }
    }
}
