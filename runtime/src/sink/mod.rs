//! Writes the lake: Parquet files, and commits that move rows, dead letters, state and offsets together.

pub mod bronze;
mod closed;
mod error;
mod kept;
mod lasting;
mod log;
mod metadata;
mod partition;
mod past;
mod ranges;
mod recent;
pub mod redrives;
mod renew;
mod schema;
mod snapshot;
mod stats;
pub mod system;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod warehouse;
mod writer;

pub use closed::Closed;
pub use error::Error;
pub use kept::{Kept, Records, Stretch};
pub use log::{Commit, OffsetMove};
pub use partition::{date_text, first_of};
pub use past::{Past, find_commit};
pub use snapshot::{Part, Rows, Snapshot};
pub use table::{FileEntry, Table, TableSpec};
pub use warehouse::Warehouse;
pub use writer::{DataFile, FileWriter, Layout};
