//! Rows of one product become Parquet files: one open file per table partition, encoded as the rows come.

use super::Error;
use super::partition::{self, Split};
use super::stats;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How many table partitions may be open at once; above it the one that has waited longest for rows is closed. More would cost memory
/// (each column of an open file holds a page), fewer would cut a product partitioned by day into more files while it catches up.
const MAX_OPEN: usize = 64;

/// Rows of a row group: the Parquet default; a micro-batch is no larger.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// A written file that no commit has named yet.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// The path below the table.
    pub path: String,
    /// The file.
    pub bytes: bytes::Bytes,
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
        let split = Split::new(schema, partition_by);
        let fields: Vec<_> = schema.fields().iter().filter(|field| !split.replaces(field.name())).cloned().collect();
        let file_schema = Arc::new(Schema::new(fields));
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by(super::log::ENGINE.to_owned());
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

/// Open files of one table in one worker.
#[derive(Debug)]
pub struct FileWriter {
    layout: Arc<Layout>,
    open: BTreeMap<Vec<Option<String>>, OpenFile>,
    done: Vec<DataFile>,
    /// Counts the writes.
    writes: u64,
}

#[derive(Debug)]
struct OpenFile {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    /// The last write that gave it rows.
    touched: u64,
}

impl FileWriter {
    /// A writer without rows.
    #[must_use]
    pub fn new(layout: Arc<Layout>) -> Self {
        Self { layout, open: BTreeMap::new(), done: Vec::new(), writes: 0 }
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
            self.write_part(values, &batch)?;
        }
        Ok(())
    }

    fn write_part(&mut self, values: Vec<Option<String>>, batch: &RecordBatch) -> Result<(), Error> {
        if !self.open.contains_key(&values) {
            if self.open.len() >= MAX_OPEN {
                self.close_stalest()?;
            }
            let layout = &self.layout;
            let (schema, properties) = (Arc::clone(&layout.file_schema), layout.properties.clone());
            let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))
                .map_err(|source| encode_error(&layout.table, source))?;
            self.open.insert(values.clone(), OpenFile { writer, rows: 0, touched: 0 });
        }
        let file = self.open.get_mut(&values).expect("it was inserted just above");
        file.rows += batch.num_rows() as u64;
        self.writes += 1;
        file.touched = self.writes;
        file.writer.write(batch).map_err(|source| encode_error(&self.layout.table, source))
    }

    /// Bytes that the open and closed files hold in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let open: usize =
            self.open.values().map(|file| file.writer.in_progress_size() + file.writer.bytes_written()).sum();
        open + self.done.iter().map(|file| file.bytes.len()).sum::<usize>()
    }

    /// Closes all files and gives them out; the writer is empty again.
    ///
    /// # Errors
    /// When a file cannot be encoded.
    pub fn finish(&mut self) -> Result<Vec<DataFile>, Error> {
        for (values, file) in std::mem::take(&mut self.open) {
            self.close(values, file)?;
        }
        Ok(std::mem::take(&mut self.done))
    }

    /// Rows mostly come in the order of time, so that a file that has waited long has got all of its rows.
    fn close_stalest(&mut self) -> Result<(), Error> {
        let stalest = self.open.iter().min_by_key(|(_, file)| file.touched);
        let Some(values) = stalest.map(|(values, _)| values.clone()) else { return Ok(()) };
        match self.open.remove(&values) {
            Some(file) => self.close(values, file),
            None => Ok(()),
        }
    }

    fn close(&mut self, values: Vec<Option<String>>, mut file: OpenFile) -> Result<(), Error> {
        let layout = &self.layout;
        let metadata = file.writer.finish().map_err(|source| encode_error(&layout.table, source))?;
        let bytes = std::mem::take(file.writer.inner_mut());
        let columns = layout.partition_columns();
        let folder: String = columns.iter().zip(&values).fold(String::new(), |folder, (column, value)| {
            let value = value.as_deref().map_or_else(|| "__HIVE_DEFAULT_PARTITION__".into(), partition::escape);
            folder + column + "=" + &value + "/"
        });
        self.done.push(DataFile {
            path: format!("{folder}part-{}.snappy.parquet", uuid::Uuid::now_v7()),
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

fn encode_error(table: &str, source: parquet::errors::ParquetError) -> Error {
    Error::Encode { table: table.to_owned(), source }
}
