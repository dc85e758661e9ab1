//! A table whose columns become others: all of its files go in the same commit, so none is left that does not fit them.
//!
//! Follows the section "Change Metadata" of the Delta transaction log protocol, by which partition columns may change too. Earlier versions
//! keep the columns that they had.

use super::Error;
use super::table::{Table, TableSpec};
use super::warehouse::Warehouse;
use deltalake::DeltaTable;

impl Table {
    /// Opens a table that is to have the columns of `spec`, whatever it has now, for a commit that [renews](super::Commit::renews) it;
    /// makes it if there is none.
    ///
    /// # Errors
    /// When the store fails, or the table is not one that we write.
    pub async fn open_to_renew(lake: &Warehouse, pipeline: &str, spec: TableSpec) -> Result<Self, Error> {
        let log_error = |source| Error::Log { table: spec.path.clone(), source: Box::new(source) };
        let mut delta = DeltaTable::new(lake.log_store(&spec.path));
        let mut table = Self::new(lake, pipeline, TableSpec { track_files: true, ..spec.clone() });
        if !table.exists().await? {
            table.create().await?;
        }
        delta.load().await.map_err(log_error)?;
        table.take(&delta)?;
        table.recent_offsets().await?;
        Ok(table)
    }
}
