//! The newest entries of a table's log, read by themselves: a log is replayed for its files, and says more than which these are.

use super::Error;
use super::lasting::Lasting;
use super::log::{self, Entry};
use super::table::Table;
use super::warehouse::Warehouse;
use crate::checkpoint::SourcePartition;
use arrow_array::cast::AsArray;
use deltalake::table::state::DeltaTableState;
use deltalake::{DeltaTable, DeltaTableError};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::BTreeMap;

/// How many of the newest commits are searched for offsets before the whole log is asked: each of our commits names every partition.
const RECENT_COMMITS: u64 = 20;

/// How many are searched for one of ours where others alone have committed of late: an engine that compacts every minute makes as many in a
/// week, and reading them takes seconds.
const FURTHEST: u64 = 10_000;

/// Entries read at the same time.
const READS: usize = 16;

/// A table's log.
pub(super) struct Log<'a> {
    pub(super) table: &'a str,
    pub(super) pipeline: &'a str,
    pub(super) store: &'a dyn ObjectStore,
}

/// Entries of a log, the newest first, without what they do to the files.
pub(super) struct Recent {
    pub(super) entries: Vec<Entry>,
    /// Whether there are none before them.
    pub(super) is_all: bool,
}

impl Log<'_> {
    /// The entry of a version; `None` if there is none.
    pub(super) async fn entry(&self, version: u64) -> Result<Option<Entry>, Error> {
        let bytes = match self.store.get(&Path::from(log::entry_path(version))).await {
            Ok(found) => found.bytes().await.map_err(Error::Store)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(Error::Store(source)),
        };
        let entry = Entry::parse(&bytes, self.pipeline);
        entry.map(Some).map_err(|source| Error::Commit { table: self.table.to_owned(), version, source })
    }

    /// The newest entries up to `newest`: some, and as many more as it takes to meet one of ours, which says what all of ours before it
    /// added up to.
    pub(super) async fn recent(&self, newest: u64) -> Result<Recent, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut end = newest + 1;
        loop {
            let start = end.saturating_sub(RECENT_COMMITS + 1);
            let read = futures::stream::iter((start..end).rev()).map(|version| self.entry(version));
            let read: Vec<Option<Entry>> = read.buffered(READS).try_collect().await?;
            // The log does not go back further where one is missing.
            let is_whole = read.iter().all(Option::is_some);
            entries.extend(read.into_iter().map_while(|entry| entry).map(Entry::without_files));
            let is_all = is_whole && start == 0;
            if is_all || !is_whole || newest - start > FURTHEST || entries.iter().any(Entry::is_ours) {
                return Ok(Recent { entries, is_all });
            }
            end = start;
        }
    }
}

/// The paths of the active files as the log writes them, by the decoded ones.
pub(super) fn raw_paths(state: &DeltaTableState) -> Result<BTreeMap<String, String>, DeltaTableError> {
    let mut paths = BTreeMap::new();
    for files in state.add_actions_batches(true)? {
        let raw = files.column_by_name("path").and_then(|paths| paths.as_string_opt::<i32>());
        let raw = raw.into_iter().flatten().flatten();
        paths.extend(raw.map(|raw| (log::decoded(raw), raw.to_owned())));
    }
    Ok(paths)
}

impl Table {
    /// Takes what outlasts the entries, where none of ours is left.
    pub(super) async fn recall(&mut self, delta: &DeltaTable) -> Result<(), Error> {
        if self.micro_batch() > 0 || self.has_read_all {
            return Ok(());
        }
        let log_error = |source| Error::Log { table: self.spec.path.clone(), source: Box::new(source) };
        let state = delta.snapshot().map_err(log_error)?;
        let lasting = Lasting::read(state, &*delta.log_store(), &self.pipeline).await.map_err(log_error)?;
        self.remember(lasting);
        Ok(())
    }

    /// Looks further back for the modules that brought a partition to where it is, where the recent commits do not name it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn find_modules(&mut self, partition: &SourcePartition) -> Result<(), Error> {
        let Some(stands) = self.offsets.get(partition).filter(|_| !self.modules.contains_key(partition)) else {
            return Ok(());
        };
        let furthest = self.version.saturating_sub(FURTHEST);
        let mut found = None;
        {
            let read = futures::stream::iter((furthest..=self.version).rev()).map(|version| self.read_entry(version));
            let mut entries = std::pin::pin!(read.buffered(READS));
            while let Some(Some(entry)) = entries.try_next().await? {
                match entry.offsets.iter().find(|(of, _)| of == partition) {
                    // Later ones only named it.
                    Some((_, next)) if *next == stands => found = Some(entry.modules),
                    Some(_) => break,
                    None => {}
                }
            }
        }
        self.modules.extend(found.map(|modules| (partition.clone(), modules)));
        Ok(())
    }

    /// Looks through the whole log, up to the version at hand, for the offsets of those `partitions` that the recent commits did not name
    /// (idle for very long, or new).
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn find_offsets(&mut self, lake: &Warehouse, partitions: &[SourcePartition]) -> Result<(), Error> {
        let unknown: Vec<_> = partitions.iter().filter(|partition| self.offsets.get(partition).is_none()).collect();
        if unknown.is_empty() || self.has_read_all {
            return Ok(());
        }
        let log_error = |source| Error::Log { table: self.spec.path.clone(), source: Box::new(source) };
        let mut delta = DeltaTable::new(lake.log_store(&self.spec.path));
        delta.load_version(self.version).await.map_err(log_error)?;
        let state = delta.snapshot().map_err(log_error)?;
        for partition in unknown {
            let app_id = partition.app_id(&self.pipeline);
            let found = state.transaction_version(delta.log_store().as_ref(), app_id).await.map_err(log_error)?;
            if let Some(next) = found {
                self.offsets.set(partition.clone(), next);
            }
        }
        Ok(())
    }
}
