//! Requests that nobody has executed yet.

use super::Error;
use super::letter::{Identity, Origin};
use super::states::Key;
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::sink::redrives::{Action, REDRIVES, first_of_file, sequence_of};
use crate::sink::{Part, Snapshot};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;
use roaring::RoaringTreemap;
use std::collections::HashMap;
use std::sync::Arc;

const COLUMNS: [&str; 7] = ["sequence", "action", "incarnation", "offset", "module", "stage", "product"];

/// Letters that are on their way.
#[derive(Debug, Default)]
pub(super) struct Requested(HashMap<(Key, Action), RoaringTreemap>);

impl Requested {
    /// Reads the requests at and behind `executed`, which says of each sequence what the dead-letter table executes next.
    pub(super) async fn read(table: &Snapshot, executed: &Checkpoint) -> Result<Self, Error> {
        let mut requested = Self::default();
        for part in table.parts() {
            let Some((topic, partition)) = partition_of(part) else { continue };
            let next = executed.get(&sequence_of(&topic, partition)).unwrap_or(0);
            let last = first_of_file(part.path()).map(|first| first + i64::try_from(part.rows).unwrap_or(i64::MAX));
            if last.is_some_and(|last| last <= next) {
                continue;
            }
            let mut rows = table.rows(part, &COLUMNS).await?;
            while let Some(batch) = rows.batches.try_next().await? {
                requested
                    .add(&batch, &topic, partition, next)
                    .ok_or_else(|| Error::Columns { table: REDRIVES, file: part.path().to_owned() })?;
            }
        }
        Ok(requested)
    }

    fn add(&mut self, batch: &RecordBatch, topic: &Arc<str>, partition: i32, next: i64) -> Option<()> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let long = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let incarnations = batch.column_by_name("incarnation")?.as_primitive_opt::<Int32Type>()?;
        let (sequences, offsets, actions) = (long("sequence")?, long("offset")?, text("action")?);
        let (modules, stages, products) = (text("module")?, text("stage")?, text("product")?);
        for row in (0..batch.num_rows()).filter(|row| sequences.value(*row) >= next) {
            let Some(action) = Action::parse(actions.value(row)) else { continue };
            let incarnation = incarnations.value(row).cast_unsigned();
            let partition = SourcePartition::new(Arc::clone(topic), incarnation, partition);
            let origin = Origin { partition, offset: offsets.value(row) };
            let product = products.is_valid(row).then(|| products.value(row));
            self.note(&Identity::of(origin, modules.value(row), stages.value(row), product), action);
        }
        Some(())
    }

    /// Takes one in.
    pub(super) fn note(&mut self, identity: &Identity, action: Action) {
        let (key, offset) = Key::of(identity);
        self.0.entry((key, action)).or_default().insert(offset.cast_unsigned());
    }

    /// What is requested for a letter.
    pub(super) fn action(&self, identity: &Identity) -> Option<Action> {
        if self.0.is_empty() {
            return None;
        }
        let (key, offset) = Key::of(identity);
        let is_there = |action: Action| {
            let found = self.0.get(&(key.clone(), action));
            found.is_some_and(|offsets| offsets.contains(offset.cast_unsigned()))
        };
        [Action::Redrive, Action::Discard].into_iter().find(|action| is_there(*action))
    }
}

/// The topic and the partition that a file of the table is about.
pub(super) fn partition_of(part: &Part) -> Option<(Arc<str>, i32)> {
    let value = |column: &str| part.partition_values.get(column)?.as_deref();
    Some((value("topic")?.into(), value("partition")?.parse().ok()?))
}
