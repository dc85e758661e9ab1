//! One Delta table as its writer sees it: schema, version, and how far each partition has got.

use super::Error;
use super::closed::Closed;
use super::lasting::Lasting;
use super::log::{self, Entry};
use super::metadata::Metadata;
use super::recent::{Log, Recent, raw_paths};
use super::warehouse::{TableStore, Warehouse};
use super::writer::DataFile;
use super::{schema, types};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::clock::Clock;
use crate::fault;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use deltalake::DeltaTable;
use futures::{Stream, StreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Objects read at the same time while a table is opened: on a store some tens of milliseconds away their number is what a start takes.
const READS: usize = 16;

/// The newest protocol that we write: append-only tables and column invariants, neither of which our tables use.
const WRITER_VERSION: i32 = 2;

/// What a table is to be.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The table's path below the lake's location, `silver/retail/sales`.
    pub path: String,
    /// What the table holds, for its metadata.
    pub description: String,
    /// The columns, partition columns included.
    pub schema: SchemaRef,
    /// The names of the partition columns.
    pub partition_columns: Vec<String>,
    /// Whether commits replace files, so that the list of files must be known.
    pub track_files: bool,
    /// Whether the table may lack nullable columns of `schema`, which the first commit with files then adds, and have others. Not where rows
    /// are read back: a partial aggregate without one of its columns is none.
    pub evolves: bool,
}

impl TableSpec {
    /// That of a table which is there, whatever its columns are.
    #[must_use]
    pub fn unknown(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            description: String::new(),
            schema: SchemaRef::new(arrow_schema::Schema::empty()),
            partition_columns: Vec::new(),
            track_files: false,
            evolves: false,
        }
    }
}

/// An open table.
#[derive(Debug)]
pub struct Table {
    pub(super) spec: TableSpec,
    pub(super) store: TableStore,
    pub(super) pipeline: String,
    pub(super) version: u64,
    pub(super) offsets: Checkpoint,
    pub(super) files: BTreeMap<String, FileEntry>,
    pub(super) topic_ids: BTreeMap<String, String>,
    /// How many rows our commits have added, ever; `None` where the recent ones do not say.
    pub(super) rows_added: Option<u64>,
    /// Another pipeline, where that writes the table and this one has not.
    other: Option<String>,
    /// By partition: the modules of the commit that brought it to where it is.
    pub(super) modules: BTreeMap<SourcePartition, Arc<BTreeMap<String, String>>>,
    pub(super) metadata: Metadata,
    /// The last of our commits that was met in the log after its outcome was unknown, and its version.
    pub(super) landed: Option<(String, u64)>,
    micro_batch: i64,
    closed: Closed,
    /// Whether every entry of the log was read, from the first one on: what they do not say nobody has said.
    pub(super) has_read_all: bool,
    checkpointed: u64,
    /// When the end of the log was last seen, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) looked_ms: i64,
    url: url::Url,
}

/// A file of a table.
#[derive(Debug, Clone)]
pub struct FileEntry {
    /// The path as the log writes it, a URI reference: a file is named by it, letter for letter.
    pub raw: String,
    /// Bytes.
    pub size: i64,
    /// The partition values by column, as the log holds them.
    pub partition_values: HashMap<String, Option<String>>,
}

impl Table {
    /// Opens the table, creating it if there is none, and reads the offsets of the newest commits.
    ///
    /// # Errors
    /// When the store fails, the table is not one that we write, or its schema is another.
    pub async fn open(lake: &Warehouse, pipeline: &str, spec: TableSpec) -> Result<Self, Error> {
        let log_error = |source| Error::Log { table: spec.path.clone(), source: Box::new(source) };
        let mut delta = DeltaTable::new(lake.log_store(&spec.path));
        let mut table = Self::new(lake, pipeline, spec.clone());
        if !table.exists().await? {
            table.create().await?;
        }
        delta.load().await.map_err(log_error)?;
        table.adopt(&delta)?;
        table.other = table.recent_offsets().await?;
        table.recall(&delta).await?;
        table.checkpointed = table.last_checkpoint().await;
        Ok(table)
    }

    /// Says whether the table that is there, if there is one, takes rows of this schema; changes nothing.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub async fn check(lake: &Warehouse, pipeline: &str, spec: TableSpec) -> Result<(), Error> {
        let mut table = Self::new(lake, pipeline, spec);
        if !table.exists().await? {
            return Ok(());
        }
        let mut delta = DeltaTable::new(lake.log_store(table.path()));
        let log_error = |source| Error::Log { table: table.path().to_owned(), source: Box::new(source) };
        delta.load().await.map_err(log_error)?;
        table.adopt(&delta)
    }

    /// Opens a table that is there, whatever its rows are, for commits that move its offsets; `None` if there is none.
    ///
    /// # Errors
    /// When the store fails or the table is not one that we write.
    pub async fn find(lake: &Warehouse, pipeline: &str, path: &str) -> Result<Option<Self>, Error> {
        let mut table = Self::unopened(lake, pipeline, path);
        if !table.exists().await? {
            return Ok(None);
        }
        let mut delta = DeltaTable::new(lake.log_store(path));
        let log_error = |source| Error::Log { table: path.to_owned(), source: Box::new(source) };
        delta.load().await.map_err(log_error)?;
        let state = delta.snapshot().map_err(log_error)?;
        table.check_protocol(state.protocol().min_writer_version())?;
        table.version = state.version();
        table.recent_offsets().await?;
        table.recall(&delta).await?;
        Ok(Some(table))
    }

    /// A table of whatever rows, of which nothing was read.
    pub(super) fn unopened(lake: &Warehouse, pipeline: &str, path: &str) -> Self {
        Self::new(lake, pipeline, TableSpec::unknown(path))
    }

    pub(super) fn new(lake: &Warehouse, pipeline: &str, spec: TableSpec) -> Self {
        Self {
            store: lake.table_store(&spec.path),
            pipeline: pipeline.to_owned(),
            version: 0,
            offsets: Checkpoint::default(),
            files: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            rows_added: None,
            other: None,
            modules: BTreeMap::new(),
            metadata: Metadata::default(),
            landed: None,
            micro_batch: 0,
            closed: Closed::default(),
            has_read_all: false,
            checkpointed: 0,
            looked_ms: Clock::system().now_ms(),
            url: lake.table_url(&spec.path),
            spec,
        }
    }

    /// The table's path below the lake's location.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.spec.path
    }

    /// Where the table stands.
    #[must_use]
    pub fn url(&self) -> &url::Url {
        &self.url
    }

    /// The newest version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version of the newest checkpoint when the table was opened; 0 without one.
    #[must_use]
    pub fn checkpointed(&self) -> u64 {
        self.checkpointed
    }

    /// The next offset of each partition.
    #[must_use]
    pub fn offsets(&self) -> &Checkpoint {
        &self.offsets
    }

    /// The broker's id of the topic that a partition's offsets count in; `None` where the recent commits do not say.
    #[must_use]
    pub fn topic_id(&self, partition: &SourcePartition) -> Option<&str> {
        self.topic_ids.get(&partition.of_topic()).map(String::as_str)
    }

    /// The broker's ids of the topics that the offsets count in, as far as the recent commits name them.
    #[must_use]
    pub fn topic_ids(&self) -> &BTreeMap<String, String> {
        &self.topic_ids
    }

    /// The digest of the module `name` in the recent commit that brought a partition to where it is; `None` where no recent one did.
    #[must_use]
    pub fn digest(&self, partition: &SourcePartition, name: &str) -> Option<&str> {
        self.modules.get(partition)?.get(name).map(String::as_str)
    }

    /// Makes sure that no other pipeline writes the table, as far as the recent commits tell.
    ///
    /// # Errors
    /// When one does, and this one does not.
    pub fn check_alone(&self) -> Result<(), Error> {
        let Some(other) = self.other.clone() else { return Ok(()) };
        Err(Error::OtherPipeline { table: self.spec.path.clone(), other, pipeline: self.pipeline.clone() })
    }

    /// The largest micro-batch that the recent commits name; 0 without one.
    #[must_use]
    pub fn micro_batch(&self) -> i64 {
        self.micro_batch
    }

    /// What the recent commits declare closed.
    #[must_use]
    pub fn closed(&self) -> Closed {
        self.closed
    }

    /// The event time before which everything is closed, in milliseconds; `i64::MIN` without one.
    #[must_use]
    pub fn horizon_ms(&self) -> i64 {
        self.closed.horizon_ms.unwrap_or(i64::MIN)
    }

    /// The active files by path; empty unless the table tracks them.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, FileEntry> {
        &self.files
    }

    async fn read(&self, file: &str) -> Result<bytes::Bytes, Error> {
        let result = self.store.store.get(&log::location(file)).await.map_err(Error::Store)?;
        result.bytes().await.map_err(Error::Store)
    }

    /// Writes a file that a later commit names; nobody sees it before.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write_file(&self, file: &DataFile) -> Result<(), Error> {
        self.store.put(&file.path, file.bytes.clone()).await.map_err(Error::Store)?;
        fault::point("file.written");
        Ok(())
    }

    /// The rows of an active file, with the table's types.
    ///
    /// # Errors
    /// When the store fails, or the file is not one of the table's rows.
    pub async fn read_rows(&self, file: &str) -> Result<Vec<RecordBatch>, Error> {
        let bytes = self.read(file).await?;
        let error = |source| Error::Decode { table: self.spec.path.clone(), file: file.to_owned(), source };
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|builder| builder.build()).map_err(error)?;
        let rows = reader.map(|rows| rows.and_then(|rows| types::cast(&rows, &self.spec.schema)));
        rows.collect::<Result<_, _>>().map_err(|source| error(source.into()))
    }

    /// The rows of all active files, a file at a time and in no order.
    pub fn all_rows(&self) -> impl Stream<Item = Result<Vec<RecordBatch>, Error>> {
        futures::stream::iter(self.files.keys()).map(|file| self.read_rows(file)).buffer_unordered(READS)
    }

    pub(super) async fn exists(&self) -> Result<bool, Error> {
        let log = Path::from("_delta_log");
        let first = self.store.store.list(Some(&log)).next().await;
        Ok(first.transpose().map_err(Error::Store)?.is_some())
    }

    /// A task that writes a checkpoint of the log, so that opening the table needs not read every commit. It blocks its thread.
    pub fn checkpoint(&self, lake: &Warehouse) -> impl FnOnce() + Send + 'static {
        let (log_store, table) = (lake.log_store(&self.spec.path), self.spec.path.clone());
        let runtime = tokio::runtime::Handle::current();
        move || {
            fault::point("checkpoint.before");
            let mut delta = DeltaTable::new(log_store);
            let written = runtime.block_on(async {
                delta.load().await?;
                deltalake::checkpoints::create_checkpoint(&delta, None).await
            });
            if let Err(error) = written {
                tracing::warn!(table, %error, "no checkpoint was written; the next one makes up for it");
            }
            fault::point("checkpoint.after");
        }
    }

    /// What the log's hint says. Where it cannot be read a checkpoint is written early, which is no harm.
    async fn last_checkpoint(&self) -> u64 {
        let Ok(hint) = self.read("_delta_log/_last_checkpoint").await else { return 0 };
        let hint: Value = serde_json::from_slice(&hint).unwrap_or_default();
        hint["version"].as_u64().unwrap_or(0)
    }

    pub(super) async fn create(&self) -> Result<(), Error> {
        let metadata = json!({"metaData": {
            "id": uuid::Uuid::new_v4().to_string(),
            "name": self.spec.path,
            "description": self.spec.description,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema::to_delta(&self.spec.schema).to_string(),
            "partitionColumns": self.spec.partition_columns,
            "configuration": {},
        }});
        let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": WRITER_VERSION}});
        let info = json!({"commitInfo": {"operation": "CREATE TABLE", "engineInfo": log::ENGINE}});
        let bytes = format!("{info}\n{protocol}\n{metadata}\n");
        match self.store.create(&log::entry_path(0), bytes.into()).await {
            Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(source) => Err(Error::Store(source)),
        }
    }

    fn check_protocol(&self, version: i32) -> Result<(), Error> {
        if version > WRITER_VERSION {
            return Err(Error::Unsupported { table: self.spec.path.clone(), version });
        }
        Ok(())
    }

    /// Takes everything from a loaded table that takes rows of this schema.
    fn adopt(&mut self, delta: &DeltaTable) -> Result<(), Error> {
        let differences = self.take(delta)?;
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Schema { table: self.spec.path.clone(), differences: differences.join("; ") })
    }

    /// Takes version, files and metadata from a loaded table; gives what keeps rows of this schema out of it.
    pub(super) fn take(&mut self, delta: &DeltaTable) -> Result<Vec<String>, Error> {
        let state = delta
            .snapshot()
            .map_err(|source| Error::Log { table: self.spec.path.clone(), source: Box::new(source) })?;
        self.check_protocol(state.protocol().min_writer_version())?;
        let action = serde_json::to_value(state.metadata()).unwrap_or_default();
        let (metadata, differences) = Metadata::new(action, &self.spec);
        self.metadata = metadata;
        self.version = state.version();
        if self.spec.track_files {
            let mut raw = raw_paths(state)
                .map_err(|source| Error::Log { table: self.spec.path.clone(), source: Box::new(source) })?;
            for file in state.log_data().iter() {
                let path = file.path().into_owned();
                let raw = raw.remove(&path).unwrap_or_else(|| path.clone());
                let entry = FileEntry { raw, size: file.size(), partition_values: file.partition_values_map() };
                self.files.insert(path, entry);
            }
        }
        Ok(differences)
    }

    /// Reads the offsets that the newest commits name. A pipeline's commits name every partition they own, so the newest few tell all
    /// that is owned today; [`Self::find_offsets`] looks for others. The name of another pipeline, where some of them are its and none
    /// is ours.
    pub(super) async fn recent_offsets(&mut self) -> Result<Option<String>, Error> {
        let Recent { entries, is_all } = self.log().recent(self.version).await?;
        let is_ours = entries.iter().any(Entry::is_ours);
        let other = entries.iter().find_map(|entry| entry.other.clone()).filter(|_| !is_ours);
        // A rewind took back what was closed until then.
        let mut is_past = false;
        let mut ended: BTreeSet<SourcePartition> = BTreeSet::new();
        for entry in entries {
            self.micro_batch = self.micro_batch.max(entry.micro_batch.unwrap_or(0));
            if !is_past {
                self.closed = self.closed.and(entry.closed);
            }
            is_past |= entry.is_rewind;
            for (topic, id) in entry.topic_ids {
                self.topic_ids.entry(topic).or_insert(id);
            }
            self.rows_added = self.rows_added.or(entry.rows_added);
            for (partition, next) in entry.offsets {
                match self.offsets.get(&partition) {
                    None => self.offsets.set(partition.clone(), next),
                    // Later ones only named it.
                    Some(newest) if newest == next && !ended.contains(&partition) => {}
                    Some(_) => {
                        ended.insert(partition);
                        continue;
                    }
                }
                self.modules.insert(partition, Arc::clone(&entry.modules));
            }
        }
        self.has_read_all = is_all;
        self.rows_added = self.rows_added.or(is_all.then_some(0));
        Ok(other)
    }

    /// Takes in what entries say that are no longer there.
    pub(super) fn remember(&mut self, lasting: Lasting) {
        self.micro_batch = self.micro_batch.max(lasting.micro_batch.unwrap_or(0));
        self.closed = self.closed.and(lasting.closed);
        self.rows_added = self.rows_added.or(lasting.rows_added);
    }

    /// Takes in an entry that is newer than all others.
    pub(super) fn note(&mut self, entry: &Entry) {
        self.micro_batch = self.micro_batch.max(entry.micro_batch.unwrap_or(0));
        self.closed = if entry.is_rewind { entry.closed } else { self.closed.and(entry.closed) };
    }

    pub(super) async fn read_entry(&self, version: u64) -> Result<Option<Entry>, Error> {
        self.log().entry(version).await
    }

    fn log(&self) -> Log<'_> {
        Log { table: &self.spec.path, pipeline: &self.pipeline, store: &*self.store.store }
    }
}
