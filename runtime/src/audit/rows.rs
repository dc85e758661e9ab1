//! Whether a table has something of records at or behind an offset.

use super::Error;
use super::origins::{Columns, show};
use super::subject::Subjects;
use crate::checkpoint::SourcePartition;
use crate::sink::{Snapshot, Warehouse, system};
use arrow_array::cast::AsArray;
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The first origin found in a silver or dead-letter table at or behind the offsets of `from`; other tables have no origins.
///
/// # Errors
/// When the table cannot be read.
pub async fn first_at_or_behind(
    lake: &Warehouse,
    pipeline: &str,
    subjects: &Subjects,
    table: &str,
    from: &BTreeMap<SourcePartition, i64>,
) -> Result<Option<String>, Error> {
    let silver = subjects.silver.iter().find(|silver| silver.table() == table);
    let names = match silver {
        Some(_) => system::ORIGIN_COLUMNS,
        None if table == system::DEAD_LETTERS => ["incarnation", "partition", "offset"],
        None => return Ok(None),
    };
    let Some(snapshot) = Snapshot::open(lake, pipeline, table, None).await? else { return Ok(None) };
    let [incarnation, partition, offset] = names;
    for part in snapshot.parts() {
        let mut rows = snapshot.rows(part, &[incarnation, partition, offset, "topic", "module"]).await?;
        while let Some(batch) = rows.batches.try_next().await? {
            let Some(origins) = Columns::of(&batch, names) else { continue };
            let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let (topics, modules) = (text("topic"), text("module"));
            for row in 0..batch.num_rows() {
                let topic: Option<Arc<str>> = match silver {
                    Some(silver) => Some(Arc::clone(&silver.topic)),
                    None => topics.map(|topics| topics.value(row).into()),
                };
                let Some(topic) = topic else { continue };
                let (source, offset) = origins.at(row);
                // Of a dead letter, its module may stand apart from the others.
                let module = modules.filter(|_| silver.is_none()).map(|modules| modules.value(row));
                let partition = super::origins::partition_of(&topic, source);
                let is_of = |reader: &Option<Arc<str>>| reader.is_none() || reader.as_deref() == module;
                if from.iter().any(|(of, from)| offset >= *from && of.of_all() == partition && is_of(&of.reader)) {
                    return Ok(Some(show(&topic, source, offset)));
                }
            }
        }
    }
    Ok(None)
}
