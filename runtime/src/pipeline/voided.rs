//! Requests about dead letters that are no more: a rewind or a rebuild took these away after somebody had asked. Their records are read
//! again, and what was asked is void, or a record would have rows by both ways.

use super::Error;
use super::redrives::{Batch, Group, Way};
use crate::record::Stage;
use crate::sink::system::{DEAD_LETTERS, incarnation_column};
use crate::sink::{Snapshot, Warehouse};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;
use std::collections::{HashMap, HashSet};

const COLUMNS: [&str; 7] = ["module", "topic", "partition", "incarnation", "offset", "stage", "product"];

/// Where letters are from: module, topic, partition, incarnation as the table has it, and the gold product that they came too late for.
type Source = (String, String, i32, i32, Option<String>);

/// Leaves out of what is to be settled whatever has no letter any more.
pub(super) async fn leave_out(lake: &Warehouse, pipeline: &str, batches: &mut [(usize, Batch)]) -> Result<(), Error> {
    if batches.iter().all(|(_, batch)| batch.groups.is_empty()) {
        return Ok(());
    }
    let mut there: HashMap<Source, HashSet<i64>> =
        batches.iter().flat_map(|(_, batch)| &batch.groups).map(|group| (source(group), HashSet::new())).collect();
    if let Some(table) = Snapshot::open(lake, pipeline, DEAD_LETTERS, None).await? {
        let mut files = table.rows_of(table.parts(), &COLUMNS);
        while let Some((_, mut rows)) = files.try_next().await? {
            while let Some(batch) = rows.batches.try_next().await? {
                note(&mut there, &batch);
            }
        }
    }
    for group in batches.iter_mut().flat_map(|(_, batch)| &mut batch.groups) {
        let left = &there[&source(group)];
        let all = group.letters.len();
        *group = group.only(|offset| left.contains(&offset));
        let (module, void) = (&group.of.module, all - group.letters.len());
        if void > 0 {
            tracing::info!(module, void, "requests about dead letters that were taken back meanwhile are void");
        }
    }
    batches.iter_mut().for_each(|(_, batch)| batch.groups.retain(|group| !group.letters.is_empty()));
    Ok(())
}

fn source(group: &Group) -> Source {
    let incarnation = incarnation_column(group.of.incarnation);
    let Way { module, late_for, .. } = &group.of;
    (module.clone(), group.chunk.topic().to_string(), group.chunk.partition(), incarnation, late_for.clone())
}

/// Notes the offsets of letters that somebody asks about; rows without the columns tell of none.
fn note(there: &mut HashMap<Source, HashSet<i64>>, rows: &RecordBatch) {
    let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
    let int = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int32Type>();
    let offsets = rows.column_by_name("offset").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (
        Some(modules),
        Some(topics),
        Some(partitions),
        Some(incarnations),
        Some(offsets),
        Some(stages),
        Some(products),
    ) = (text("module"), text("topic"), int("partition"), int("incarnation"), offsets, text("stage"), text("product"))
    else {
        return;
    };
    let late_for = |row: usize| {
        let is_late = stages.value(row) == Stage::Aggregate.name() && products.is_valid(row);
        is_late.then(|| products.value(row))
    };
    for ((module, topic, partition, incarnation, product), found) in there {
        let is_of = |row: &usize| {
            partitions.value(*row) == *partition
                && incarnations.value(*row) == *incarnation
                && modules.value(*row) == module
                && topics.value(*row) == topic
                && late_for(*row) == product.as_deref()
        };
        found.extend((0..rows.num_rows()).filter(is_of).map(|row| offsets.value(row)));
    }
}
