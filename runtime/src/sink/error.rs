//! What can go wrong between the pipeline and its tables.

use crate::checkpoint::SourcePartition;

/// Why the lake could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The location is of no known kind.
    #[error("the lake location {location:?} is not a path, file://, s3://, gs:// or az:// URL")]
    Location {
        /// The location as configured.
        location: String,
    },
    /// The store's options do not fit it.
    #[error(
        "the lake location {location:?} cannot be opened with the options under [lake.options] and in the environment"
    )]
    Options {
        /// The location as configured.
        location: String,
        /// The cause.
        source: object_store::Error,
    },
    /// A local folder cannot be made or written.
    #[error("the lake folder {folder} cannot be created or written")]
    Folder {
        /// The folder.
        folder: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The object store failed.
    #[error("the object store failed")]
    Store(#[source] object_store::Error),
    /// The table's log cannot be read.
    #[error("the log of table {table} cannot be read")]
    Log {
        /// The table.
        table: String,
        /// The cause.
        source: Box<deltalake::DeltaTableError>,
    },
    /// A commit of another writer is not what the Delta protocol says.
    #[error("version {version} of table {table} is not a Delta commit")]
    Commit {
        /// The table.
        table: String,
        /// The version.
        version: u64,
        /// The cause.
        source: serde_json::Error,
    },
    /// Another writer changed the schema or protocol while the table was open.
    #[error("the schema or protocol of table {table} was changed by another writer in version {version}")]
    SchemaChanged {
        /// The table.
        table: String,
        /// The version that changed it.
        version: u64,
    },
    /// The product's schema and the table's differ.
    #[error("table {table} does not fit its product: {differences}")]
    Schema {
        /// The table.
        table: String,
        /// What differs, column by column.
        differences: String,
    },
    /// The table needs a feature that this writer does not have.
    #[error("table {table} needs writer version {version}, which this version does not write")]
    Unsupported {
        /// The table.
        table: String,
        /// The writer version asked for.
        version: i32,
    },
    /// Somebody else moved a partition: what was to be committed may be there already.
    #[error("table {table} is at {} of {partition}, not at {}: another writer moved it", offset(*found), offset(*expected))]
    Moved {
        /// The table.
        table: String,
        /// The partition.
        partition: SourcePartition,
        /// The offset that the commit started from, if there was one.
        expected: Option<i64>,
        /// The offset in the table, if there is one.
        found: Option<i64>,
    },
    /// The offsets in the tables are those of another pipeline, or of this one under another name.
    #[error(
        "table {table} is written by pipeline {other}: as {pipeline}, all topics would be read from the start, into the same tables once more; \
         set `pipeline = \"{other}\"`, or another `location` under [lake]"
    )]
    OtherPipeline {
        /// The table.
        table: String,
        /// The name by which its offsets are known.
        other: String,
        /// The name in the configuration.
        pipeline: String,
    },
    /// Somebody else reads a later incarnation of the topic by now.
    #[error("table {table} has records of incarnation {newest} of the topic, and takes no more of {partition}")]
    Incarnation {
        /// The table.
        table: String,
        /// The partition.
        partition: SourcePartition,
        /// The later incarnation.
        newest: u32,
    },
    /// Files that the commit replaces are gone.
    #[error("files of table {table} were replaced by another writer in version {version}")]
    Replaced {
        /// The table.
        table: String,
        /// The version that replaced them.
        version: u64,
    },
    /// A table that is to be read back is not there.
    #[error("there is no table {table} any more")]
    NoTable {
        /// The table.
        table: String,
    },
    /// A file of an earlier version is gone.
    #[error(
        "file {file} of version {version} of table {table} is no longer there: somebody has vacuumed the table since"
    )]
    Vacuumed {
        /// The table.
        table: String,
        /// The version.
        version: u64,
        /// The file.
        file: String,
    },
    /// The log was cleaned while nobody looked: what would be put in the place of the entries that are gone nobody would read.
    #[error(
        "the log of table {table} begins at version {oldest} by now, and version {version} was the last that was seen of it"
    )]
    Cleaned {
        /// The table.
        table: String,
        /// The last version that was seen.
        version: u64,
        /// The oldest that is there.
        oldest: u64,
    },
    /// An earlier version can no longer be read.
    #[error("version {version} of table {table} is no longer in its log: somebody has cleaned that since")]
    Forgotten {
        /// The table.
        table: String,
        /// The version.
        version: u64,
    },
    /// Rows could not be encoded.
    #[error("rows of table {table} cannot be written as Parquet")]
    Encode {
        /// The table.
        table: String,
        /// The cause.
        source: parquet::errors::ParquetError,
    },
    /// A file of a table cannot be read.
    #[error("file {file} of table {table} cannot be read")]
    Decode {
        /// The table.
        table: String,
        /// The file.
        file: String,
        /// The cause.
        source: parquet::errors::ParquetError,
    },
    /// Columns could not be put together.
    #[error("rows of table {table} do not fit together")]
    Columns {
        /// The table.
        table: String,
        /// The cause.
        source: arrow_schema::ArrowError,
    },
}

fn offset(offset: Option<i64>) -> String {
    offset.map_or_else(|| "no offset".to_owned(), |offset| format!("offset {offset}"))
}

impl Error {
    /// Whether the store answered, and says that the place does not exist or is not for us: no such bucket, no right to it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        use object_store::Error as Store;
        matches!(
            self,
            Self::Store(Store::NotFound { .. } | Store::PermissionDenied { .. } | Store::Unauthenticated { .. })
        )
    }

    /// Whether the same call may succeed later without anybody's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(_) | Self::Log { .. } => true,
            Self::Location { .. }
            | Self::Options { .. }
            | Self::Folder { .. }
            | Self::Commit { .. }
            | Self::SchemaChanged { .. }
            | Self::Schema { .. }
            | Self::Unsupported { .. }
            | Self::Moved { .. }
            | Self::OtherPipeline { .. }
            | Self::Incarnation { .. }
            | Self::Replaced { .. }
            | Self::NoTable { .. }
            | Self::Vacuumed { .. }
            | Self::Cleaned { .. }
            | Self::Forgotten { .. }
            | Self::Encode { .. }
            | Self::Decode { .. }
            | Self::Columns { .. } => false,
        }
    }
}
