//! A table as a reader sees it: the files and offsets of one version. Nothing is made or changed.

use super::Error;
use super::lasting::Lasting;
use super::ranges::RangeReader;
use super::recent::{Log, Recent};
use super::types;
use super::warehouse::{TableStore, Warehouse};
use crate::checkpoint::{Checkpoint, SourcePartition};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use deltalake::DeltaTable;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Rows of a batch: few enough that a wide column of it is small.
const BATCH_ROWS: usize = 8_192;

/// Files that are opened at the same time: more would hide more of a store's latency, and hold as many more footers.
const AHEAD: usize = 16;

/// One version of a table.
#[derive(Debug)]
pub struct Snapshot {
    path: String,
    pipeline: String,
    store: TableStore,
    delta: DeltaTable,
    version: u64,
    schema: SchemaRef,
    recent: Checkpoint,
    topic_ids: BTreeMap<String, String>,
    rows_added: Option<u64>,
    /// Whether every entry of the log was read.
    has_read_all: bool,
    parts: Vec<Part>,
}

/// A file of a table.
#[derive(Debug, Clone, Default)]
pub struct Part {
    path: Path,
    /// Bytes.
    pub size: u64,
    /// The number of rows, where the log says it.
    pub rows: u64,
    /// When it was committed, in milliseconds since 1970-01-01T00:00:00Z: one time for all files of one of our commits.
    pub committed_at_ms: i64,
    /// The values of the partition columns, as the log holds them.
    pub partition_values: BTreeMap<String, Option<String>>,
}

impl Part {
    /// The file's path below the table.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_ref()
    }

    pub(super) fn location(&self) -> &Path {
        &self.path
    }
}

/// Rows of a file, batch by batch.
pub struct Rows {
    /// Whether Lakeward wrote the file.
    pub is_ours: bool,
    /// The batches, with the columns in the file's order.
    pub batches: BoxStream<'static, Result<RecordBatch, Error>>,
}

impl Snapshot {
    /// Opens a table at a version, the newest without one; `None` if there is no table.
    ///
    /// # Errors
    /// When the store fails or the log cannot be read.
    pub async fn open(
        lake: &Warehouse,
        pipeline: &str,
        path: &str,
        version: Option<u64>,
    ) -> Result<Option<Self>, Error> {
        let store = lake.table_store(path);
        let first = store.store.list(Some(&Path::from("_delta_log"))).next().await;
        if first.transpose().map_err(Error::Store)?.is_none() {
            return Ok(None);
        }
        let log_error = |source| Error::Log { table: path.to_owned(), source: Box::new(source) };
        let mut delta = DeltaTable::new(lake.log_store(path));
        match version {
            Some(version) => delta.load_version(version).await.map_err(log_error)?,
            None => delta.load().await.map_err(log_error)?,
        }
        let state = delta.snapshot().map_err(log_error)?;
        let (version, schema, mut parts) = (state.version(), state.snapshot().arrow_schema(), Vec::new());
        for file in state.log_data().iter() {
            parts.push(Part {
                path: file.object_store_path(),
                size: u64::try_from(file.size()).unwrap_or(0),
                rows: file.num_records().unwrap_or(0) as u64,
                committed_at_ms: file.modification_time(),
                partition_values: file.partition_values_map().into_iter().collect(),
            });
        }
        parts.sort_by(|left, right| left.path.cmp(&right.path));
        let mut snapshot = Self {
            path: path.to_owned(),
            pipeline: pipeline.to_owned(),
            store,
            delta,
            version,
            schema,
            recent: Checkpoint::default(),
            topic_ids: BTreeMap::new(),
            rows_added: None,
            has_read_all: false,
            parts,
        };
        snapshot.read_recent().await?;
        Ok(Some(snapshot))
    }

    /// The table's path below the lake's location.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The files.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether every row that our commits have added is still there, of a table from which we take none away. A compaction leaves them all.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let rows: u64 = self.parts.iter().map(|part| part.rows).sum();
        self.rows_added.is_some_and(|added| rows >= added)
    }

    /// The offsets that the newest commits name: of all partitions that somebody owned lately.
    #[must_use]
    pub fn recent_offsets(&self) -> &Checkpoint {
        &self.recent
    }

    /// The broker's ids of the topics that the offsets count in, by [`SourcePartition::of_topic`], as far as the newest commits name them.
    #[must_use]
    pub fn topic_ids(&self) -> &BTreeMap<String, String> {
        &self.topic_ids
    }

    /// The offsets of these partitions and of all recent ones.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn offsets<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a SourcePartition>,
    ) -> Result<Checkpoint, Error> {
        let mut offsets = self.recent.clone();
        let log_error = |source| Error::Log { table: self.path.clone(), source: Box::new(source) };
        for partition in partitions {
            if self.has_read_all || offsets.get(partition).is_some() {
                continue;
            }
            let state = self.delta.snapshot().map_err(log_error)?;
            let app_id = partition.app_id(&self.pipeline);
            let found = state.transaction_version(self.delta.log_store().as_ref(), app_id).await.map_err(log_error)?;
            if let Some(next) = found {
                offsets.set(partition.clone(), next);
            }
        }
        Ok(offsets)
    }

    /// The smallest and the largest value of a column of integers in each file, by the file's path, where the log says them.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn bounds(&self, column: &str) -> Result<BTreeMap<Path, (i64, i64)>, Error> {
        let log_error = |source| Error::Log { table: self.path.clone(), source: Box::new(source) };
        let state = self.delta.snapshot().map_err(log_error)?;
        let bounds = |stats: String| {
            let stats: serde_json::Value = serde_json::from_str(&stats).ok()?;
            Some((stats["minValues"][column].as_i64()?, stats["maxValues"][column].as_i64()?))
        };
        let files = state.log_data();
        let file = files.iter().filter_map(|file| Some((file.object_store_path(), bounds(file.stats()?)?)));
        Ok(file.collect())
    }

    /// Rows of a file, only these columns of those that it has. Types are those of the table, whoever wrote the file.
    ///
    /// # Errors
    /// When the store fails or the file is no Parquet file.
    pub async fn rows(&self, part: &Part, columns: &[&str]) -> Result<Rows, Error> {
        self.some_rows(part, columns, None).await
    }

    /// The same, of the rows with these numbers in the file.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub(super) async fn some_rows(
        &self,
        part: &Part,
        columns: &[&str],
        among: Option<Range<usize>>,
    ) -> Result<Rows, Error> {
        let (table, file) = (self.path.clone(), part.path.to_string());
        let error = move |source| Error::Decode { table: table.clone(), file: file.clone(), source };
        let reader = RangeReader::new(self.store.store.clone(), part.path.clone(), part.size);
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder =
            ParquetRecordBatchStreamBuilder::new_with_options(reader, options).await.map_err(error.clone())?;
        let is_ours =
            builder.metadata().file_metadata().created_by().is_some_and(|writer| writer.starts_with("lakeward/"));
        let wanted = builder.schema().fields().iter().enumerate();
        let wanted = wanted.filter(|(_, field)| columns.contains(&field.name().as_str())).map(|(index, _)| index);
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.collect::<Vec<_>>());
        let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        if let Some(among) = among {
            builder = builder.with_offset(among.start).with_limit(among.len());
        }
        let stream = builder.build().map_err(error.clone())?;
        let schema = Arc::clone(&self.schema);
        let batches = stream.map(move |rows| Ok(types::cast(&rows?, &schema)?));
        Ok(Rows { is_ours, batches: batches.map_err(error).boxed() })
    }

    /// The same of several files, in order; the next few are opened ahead, since a remote store answers late rather than slowly.
    pub fn rows_of<'a>(
        &'a self,
        parts: impl IntoIterator<Item = &'a Part, IntoIter: Send + 'a>,
        columns: &'a [&'a str],
    ) -> BoxStream<'a, Result<(&'a Part, Rows), Error>> {
        let open = move |part: &'a Part| async move { Ok((part, self.rows(part, columns).await?)) };
        futures::stream::iter(parts).map(open).buffered(AHEAD).boxed()
    }

    /// All rows of the table, for small ones of many files.
    ///
    /// # Errors
    /// When the store fails or a file is no Parquet file.
    pub async fn all_rows(&self, columns: &[&str]) -> Result<Vec<RecordBatch>, Error> {
        let read = |part| async move { self.rows(part, columns).await?.batches.try_collect::<Vec<_>>().await };
        let files: Vec<Vec<RecordBatch>> =
            futures::stream::iter(&self.parts).map(read).buffered(AHEAD).try_collect().await?;
        Ok(files.into_iter().flatten().collect())
    }

    /// Of each partition the offset, and of each topic the id, in the newest commit that names it.
    async fn read_recent(&mut self) -> Result<(), Error> {
        let log = Log { table: &self.path, pipeline: &self.pipeline, store: &*self.store.store };
        let Recent { entries, is_all } = log.recent(self.version).await?;
        for entry in entries {
            for (topic, id) in entry.topic_ids {
                self.topic_ids.entry(topic).or_insert(id);
            }
            self.rows_added = self.rows_added.or(entry.rows_added);
            for (partition, next) in entry.offsets {
                if self.recent.get(&partition).is_none() {
                    self.recent.set(partition, next);
                }
            }
        }
        self.has_read_all = is_all;
        if is_all {
            self.rows_added.get_or_insert(0);
        } else if self.rows_added.is_none() {
            let log_error = |source| Error::Log { table: self.path.clone(), source: Box::new(source) };
            let state = self.delta.snapshot().map_err(log_error)?;
            let lasting = Lasting::read(state, &*self.delta.log_store(), &self.pipeline).await.map_err(log_error)?;
            self.rows_added = lasting.rows_added;
        }
        Ok(())
    }
}
