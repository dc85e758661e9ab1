//! Event-time aggregates: partial state per Kafka partition on its worker, and the merged answers over all of them.
//!
//! ```text
//! rows ─► PartitionState ─take_live──► Changes ─apply_live───────► View ─query(live)──────► Answer
//!                └────────take_commit► Changes ─state_rows► state table ─restore─► PartitionState
//!                                         └────apply_committed───► View ─query(committed)─► Answer
//!                                                                   └───gold_rows─────────► gold table
//! ```
//!
//! Everything here is a function of its arguments: no clock, no I/O, no logging. The same rows in the same order give the
//! same numbers however they were chunked, and whether or not the process restarted in between.

mod accumulate;
mod changes;
mod column;
mod distinct;
mod error;
mod groups;
mod measure;
mod partial;
mod plan;
mod query;
mod state;
mod stored;
mod text;
mod total;
mod view;
mod window;

#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use error::{Error, QueryError};
pub use plan::Plan;
pub use query::{Answer, AsOf, Query};
pub use state::PartitionState;
pub use view::View;
