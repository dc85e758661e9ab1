//! Rows of one product become Parquet files, one for each table partition: encoded as they come where there are many, in one go where few.

use super::Error;
use super::partition::{self, Split};
use super::stats;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Bytes of rows that a table partition gathers before a file is opened for it: an open file costs close to a megabyte of dictionaries,
/// however few its rows are. What stays below is written in one go when the micro-batch ends.
const WORTH_OPENING: usize = 1 << 20;

/// How many files may be open at once; above it the one that has waited longest for rows is closed. More would cost memory, fewer would
/// cut a product partitioned by day into more files while it catches up.
const MAX_OPEN: usize = 16;

/// Bytes that may be gathered, over all partitions of a table in one worker; above it those that have waited longest are written.
const MAX_GATHERED: usize = 24 << 20;

/// Rows of a row group: the Parquet default; a micro-batch is no larger.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// The same where whole records are kept: who reads them back holds a row group of several partitions at a time.
const RECORDS_ROW_GROUP_ROWS: usize = 1 << 16;

/// A written file that no commit has named yet.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// The path below the table.
    pub path: String,
    /// The file.
    pub bytes: bytes::Bytes,
    /// How many bytes it has, also once they are no longer held here.
    pub size: usize,
    /// The values of the partition columns.
    pub partition_values: HashMap<String, Option<String>>,
    /// The number of rows.
    pub rows: u64,
    /// Statistics as the Delta log holds them.
    pub stats: Value,
}

/// Bytes of a dictionary of numbers, from which on a column goes on without one: building it costs more than the whole encoding, and a
/// column with more distinct values gains nothing. Text keeps the larger default, where dictionaries pay.
const NUMBER_DICTIONARY_BYTES: usize = 16 << 10;

/// How a table's files are laid out.
#[derive(Debug)]
pub struct Layout {
    table: String,
    split: Split,
    file_schema: SchemaRef,
    properties: WriterProperties,
}

impl Layout {
    /// The layout of the table at `table`: rows of `schema`, partitioned as `partition_by` says, `sorted` columns in delta encoding.
    #[must_use]
    pub fn new(
        table: &str,
        schema: &Schema,
        partition_by: &[lakeward_manifest::PartitionBy],
        increasing: &[&str],
    ) -> Arc<Self> {
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        Self::with(table, schema, partition_by, increasing, properties)
    }

    /// The layout of a table of whole records, whose `payload` no dictionary makes smaller.
    #[must_use]
    pub fn of_records(
        table: &str,
        schema: &Schema,
        partition_by: &[lakeward_manifest::PartitionBy],
        increasing: &[&str],
        payload: &str,
    ) -> Arc<Self> {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(RECORDS_ROW_GROUP_ROWS))
            .set_column_dictionary_enabled(ColumnPath::from(payload), false);
        Self::with(table, schema, partition_by, increasing, properties)
    }

    fn with(
        table: &str,
        schema: &Schema,
        partition_by: &[lakeward_manifest::PartitionBy],
        increasing: &[&str],
        properties: WriterPropertiesBuilder,
    ) -> Arc<Self> {
        let split = Split::new(schema, partition_by);
        let fields: Vec<_> = schema.fields().iter().filter(|field| !split.replaces(field.name())).cloned().collect();
        let file_schema = Arc::new(Schema::new(fields));
        let mut properties =
            properties.set_compression(Compression::SNAPPY).set_created_by(super::log::ENGINE.to_owned());
        for field in file_schema.fields() {
            if !matches!(field.data_type(), DataType::Utf8 | DataType::Binary) {
                let path = ColumnPath::from(field.name().as_str());
                properties = properties.set_column_dictionary_page_size_limit(path, NUMBER_DICTIONARY_BYTES);
            }
        }
        for column in increasing {
            let path = ColumnPath::from(*column);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, parquet::basic::Encoding::DELTA_BINARY_PACKED);
        }
        Arc::new(Self { table: table.to_owned(), split, file_schema, properties: properties.build() })
    }

    /// The schema of the table: the rows' columns and the partition columns.
    #[must_use]
    pub fn table_schema(&self) -> SchemaRef {
        let mut fields: Vec<_> = self.file_schema.fields().iter().cloned().collect();
        fields.extend(self.split.fields());
        Arc::new(Schema::new(fields))
    }

    /// The names of the partition columns.
    #[must_use]
    pub fn partition_columns(&self) -> Vec<String> {
        self.split.fields().iter().map(|field| field.name().clone()).collect()
    }
}

/// The rows of one table in one worker, on their way into files.
#[derive(Debug)]
pub struct FileWriter {
    layout: Arc<Layout>,
    parts: BTreeMap<Vec<Option<String>>, Part>,
    done: Vec<DataFile>,
    /// Bytes of gathered rows, over all partitions.
    gathered: usize,
    /// Counts the writes.
    writes: u64,
}

/// A table partition of the open micro-batch.
#[derive(Debug, Default)]
struct Part {
    /// Rows that are not encoded yet, and their bytes.
    rows: Vec<RecordBatch>,
    bytes: usize,
    /// Where rows go at once.
    open: Option<OpenFile>,
    /// The last write that gave it rows.
    touched: u64,
}

#[derive(Debug)]
struct OpenFile {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
}

impl FileWriter {
    /// A writer without rows.
    #[must_use]
    pub fn new(layout: Arc<Layout>) -> Self {
        Self { layout, parts: BTreeMap::new(), done: Vec::new(), gathered: 0, writes: 0 }
    }

    /// Adds rows; `columns` are those of the layout's row schema, in order.
    ///
    /// # Errors
    /// When the columns are not of the layout's types, or cannot be encoded.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), Error> {
        let layout = Arc::clone(&self.layout);
        let parts = layout.split.split(columns).map_err(|source| self.columns_error(source))?;
        for (values, columns) in parts {
            let batch = RecordBatch::try_new(Arc::clone(&layout.file_schema), columns)
                .map_err(|source| self.columns_error(source))?;
            self.write_part(values, batch)?;
        }
        Ok(())
    }

    fn write_part(&mut self, values: Vec<Option<String>>, batch: RecordBatch) -> Result<(), Error> {
        self.writes += 1;
        let part = self.parts.entry(values.clone()).or_default();
        part.touched = self.writes;
        if let Some(open) = &mut part.open {
            return open.write(&self.layout, &batch);
        }
        let bytes = batch.get_array_memory_size();
        part.rows.push(batch);
        part.bytes += bytes;
        self.gathered += bytes;
        if part.bytes >= WORTH_OPENING {
            self.gathered -= std::mem::take(&mut part.bytes);
            part.open = Some(OpenFile::of(&self.layout, std::mem::take(&mut part.rows))?);
            self.close_beyond(MAX_OPEN)?;
        }
        while self.gathered > MAX_GATHERED {
            self.close_stalest(|part| part.open.is_none())?;
        }
        Ok(())
    }

    fn close_beyond(&mut self, most: usize) -> Result<(), Error> {
        if self.parts.values().filter(|part| part.open.is_some()).count() > most {
            self.close_stalest(|part| part.open.is_some())?;
        }
        Ok(())
    }

    /// Bytes that the gathered rows and the open and closed files hold in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let open = self.parts.values().filter_map(|part| part.open.as_ref());
        let open: usize = open.map(|file| file.writer.in_progress_size() + file.writer.bytes_written()).sum();
        self.gathered + open + self.done.iter().map(|file| file.bytes.len()).sum::<usize>()
    }

    /// Closes all files and gives them out; the writer is empty again.
    ///
    /// # Errors
    /// When a file cannot be encoded.
    pub fn finish(&mut self) -> Result<Vec<DataFile>, Error> {
        for (values, part) in std::mem::take(&mut self.parts) {
            self.close(values, part)?;
        }
        Ok(std::mem::take(&mut self.done))
    }

    /// Rows mostly come in the order of time, so that a partition that has waited long has got all of its rows.
    fn close_stalest(&mut self, among: impl Fn(&Part) -> bool) -> Result<(), Error> {
        let stalest = self.parts.iter().filter(|(_, part)| among(part)).min_by_key(|(_, part)| part.touched);
        let Some(values) = stalest.map(|(values, _)| values.clone()) else { return Ok(()) };
        match self.parts.remove(&values) {
            Some(part) => self.close(values, part),
            None => Ok(()),
        }
    }

    fn close(&mut self, values: Vec<Option<String>>, part: Part) -> Result<(), Error> {
        self.gathered -= part.bytes;
        let layout = &self.layout;
        let mut file = match part.open {
            Some(open) => open,
            None => OpenFile::of(layout, part.rows)?,
        };
        let metadata = file.writer.finish().map_err(|source| encode_error(&layout.table, source))?;
        let bytes = std::mem::take(file.writer.inner_mut());
        let columns = layout.partition_columns();
        let folders = columns.iter().zip(&values).map(|(column, value)| partition::folder(column, value.as_deref()));
        let folder: String = folders.collect();
        self.done.push(DataFile {
            path: format!("{folder}part-{}.snappy.parquet", uuid::Uuid::now_v7()),
            size: bytes.len(),
            bytes: bytes.into(),
            partition_values: columns.into_iter().zip(values).collect(),
            rows: file.rows,
            stats: stats::of(&metadata, &layout.file_schema, file.rows),
        });
        Ok(())
    }

    fn columns_error(&self, source: arrow_schema::ArrowError) -> Error {
        Error::Columns { table: self.layout.table.clone(), source }
    }
}

impl OpenFile {
    fn of(layout: &Layout, rows: Vec<RecordBatch>) -> Result<Self, Error> {
        let (schema, properties) = (Arc::clone(&layout.file_schema), layout.properties.clone());
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))
            .map_err(|source| encode_error(&layout.table, source))?;
        let mut file = Self { writer, rows: 0 };
        rows.iter().try_for_each(|batch| file.write(layout, batch))?;
        Ok(file)
    }

    fn write(&mut self, layout: &Layout, batch: &RecordBatch) -> Result<(), Error> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|source| encode_error(&layout.table, source))
    }
}

fn encode_error(table: &str, source: parquet::errors::ParquetError) -> Error {
    Error::Encode { table: table.to_owned(), source }
}
