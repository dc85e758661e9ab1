//! A table as it was at an earlier version: its files, offsets and horizon, so that it can be brought back.
//!
//! Delta's own RESTORE leaves `txn` as it is; here files and offsets go back in one commit, or the records between would never be read again.

use super::Error;
use super::closed::Closed;
use super::log::{self, Commit};
use super::recent::raw_paths;
use super::table::Table;
use super::warehouse::{TableStore, Warehouse};
use crate::checkpoint::{Checkpoint, SourcePartition};
use deltalake::DeltaTable;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Files that are looked for at the same time.
const LOOKS: usize = 16;

/// A version of a table.
#[derive(Debug)]
pub struct Past {
    table: String,
    store: TableStore,
    /// The version's number.
    pub version: u64,
    /// The offset of each partition that was named.
    pub offsets: Checkpoint,
    closed: Closed,
    /// Rows in its files, where the log says it.
    pub rows: u64,
    /// By path, the files' `add` actions.
    files: BTreeMap<String, Value>,
}

impl Past {
    /// Reads a version of the table at `path`, with the offsets of `partitions` and of all recent ones.
    ///
    /// # Errors
    /// When the log cannot be read as far back.
    pub async fn of(
        lake: &Warehouse,
        pipeline: &str,
        path: &str,
        version: u64,
        partitions: &[SourcePartition],
    ) -> Result<Self, Error> {
        let log_error = |source| Error::Log { table: path.to_owned(), source: Box::new(source) };
        let mut delta = DeltaTable::new(lake.log_store(path));
        if let Err(source) = delta.load_version(version).await {
            let is_there = log::leads_to(&log::names(&lake.table_store(path)).await?, version);
            return Err(if is_there {
                log_error(source)
            } else {
                Error::Forgotten { table: path.to_owned(), version }
            });
        }
        let state = delta.snapshot().map_err(log_error)?;
        let (mut files, mut rows) = (BTreeMap::new(), 0);
        let mut raw = raw_paths(state).map_err(log_error)?;
        for file in state.log_data().iter() {
            rows += file.num_records().unwrap_or(0) as u64;
            let path = file.path().into_owned();
            let mut add = json!({
                "path": raw.remove(&path).unwrap_or_else(|| path.clone()),
                "partitionValues": file.partition_values_map(),
                "size": file.size(),
                "modificationTime": file.modification_time(),
                "dataChange": true,
            });
            if let Some(stats) = file.stats() {
                add["stats"] = stats.into();
            }
            files.insert(path, add);
        }
        let mut table = Table::unopened(lake, pipeline, path);
        table.version = version;
        table.recent_offsets().await?;
        table.recall(&delta).await?;
        for partition in partitions {
            if !table.has_read_all && table.offsets.get(partition).is_none() {
                let app_id = partition.app_id(pipeline);
                let found = state.transaction_version(delta.log_store().as_ref(), app_id).await.map_err(log_error)?;
                if let Some(next) = found {
                    table.offsets.set(partition.clone(), next);
                }
            }
        }
        let (closed, offsets) = (table.closed(), std::mem::take(&mut table.offsets));
        let (table, store) = (path.to_owned(), table.store);
        Ok(Self { table, store, version, offsets, closed, rows, files })
    }

    /// Looks whether all files but the active ones are still in the store.
    ///
    /// # Errors
    /// When one is not there any more, or the store fails.
    pub async fn check(&self, is_active: impl Fn(&str) -> bool) -> Result<(), Error> {
        let again: Vec<&String> = self.files.keys().filter(|path| !is_active(path)).collect();
        let looks = again.into_iter().map(|path| async move {
            match self.store.store.head(&log::location(path)).await {
                Ok(_) => Ok(()),
                Err(object_store::Error::NotFound { .. }) => {
                    Err(Error::Vacuumed { table: self.table.clone(), version: self.version, file: path.clone() })
                }
                Err(source) => Err(Error::Store(source)),
            }
        });
        futures::stream::iter(looks).buffer_unordered(LOOKS).try_collect::<Vec<()>>().await.map(drop)
    }
}

impl Table {
    /// Completes a commit so that the table, whose files are tracked, has the files of `past` and no others.
    ///
    /// # Errors
    /// When a file is no longer there, or the store fails.
    pub async fn back_to(&self, past: &Past, commit: Commit) -> Result<Commit, Error> {
        past.check(|path| self.files().contains_key(path)).await?;
        let again = past.files.iter().filter(|(path, _)| !self.files().contains_key(*path));
        let remove = self.files().keys().filter(|path| !past.files.contains_key(*path)).cloned().collect();
        let restore = again.map(|(_, add)| add.clone()).collect();
        Ok(Commit { remove, restore, closed: past.closed, is_rewind: true, ..commit })
    }
}

/// The version of the table at `path` whose commit is of `micro_batch` and leaves the partitions at `offsets`; `None` if there is none. It
/// is searched for from the newest on.
///
/// # Errors
/// When the log cannot be read.
pub async fn find_commit(
    lake: &Warehouse,
    pipeline: &str,
    path: &str,
    micro_batch: i64,
    offsets: &Checkpoint,
) -> Result<Option<u64>, Error> {
    let Some(table) = Table::find(lake, pipeline, path).await? else { return Ok(None) };
    let versions = futures::stream::iter((0..=table.version()).rev());
    let read = |version| {
        let table = &table;
        async move { table.read_entry(version).await.map(|entry| (version, entry)) }
    };
    let mut entries = std::pin::pin!(versions.map(read).buffered(LOOKS));
    while let Some((version, entry)) = entries.try_next().await? {
        // Without the entry the log does not go back so far.
        let Some(entry) = entry else { return Ok(None) };
        let named: Checkpoint = entry.offsets.into_iter().collect();
        let agrees = offsets.iter().all(|(partition, next)| named.get(partition) == Some(next));
        if entry.micro_batch == Some(micro_batch) && agrees {
            return Ok(Some(version));
        }
    }
    Ok(None)
}
