//! What our newest commit says beside its offsets, as `txn` actions too: the entries of a log are cleaned after some time, by whichever
//! engine, and what a checkpoint holds stays. It is asked for only where no entry of ours is left.

use super::closed::Closed;
use deltalake::DeltaTableError;
use deltalake::logstore::LogStore;
use deltalake::table::state::DeltaTableState;
use serde_json::{Value, json};

/// What outlasts the entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lasting {
    /// The largest micro-batch.
    pub(super) micro_batch: Option<i64>,
    pub(super) closed: Closed,
    /// How many rows our commits have added, ever.
    pub(super) rows_added: Option<u64>,
}

const MICRO_BATCH: &str = "micro-batch";
const HORIZON: &str = "horizon-ms";
const KEPT_FROM: &str = "kept-from-us";
const ROWS_ADDED: &str = "rows-added";

/// No id of a partition: these have a number behind a slash.
fn app_id(pipeline: &str, fact: &str) -> String {
    format!("lakeward/{pipeline}/{fact}")
}

impl Lasting {
    /// As a commit of `pipeline` writes it.
    pub(super) fn actions(&self, pipeline: &str) -> impl Iterator<Item = Value> {
        let facts = [
            (MICRO_BATCH, self.micro_batch),
            (HORIZON, self.closed.horizon_ms),
            (KEPT_FROM, self.closed.kept_from_us),
            (ROWS_ADDED, self.rows_added.map(u64::cast_signed)),
        ];
        let action = |(fact, value): (&str, Option<i64>)| {
            value.map(|value| json!({"txn": {"appId": app_id(pipeline, fact), "version": value}}))
        };
        facts.into_iter().filter_map(action)
    }

    /// As a loaded table has it.
    pub(super) async fn read(
        state: &DeltaTableState,
        log: &dyn LogStore,
        pipeline: &str,
    ) -> Result<Self, DeltaTableError> {
        let read = async |fact: &str| state.transaction_version(log, app_id(pipeline, fact)).await;
        Ok(Self {
            micro_batch: read(MICRO_BATCH).await?,
            closed: Closed { horizon_ms: read(HORIZON).await?, kept_from_us: read(KEPT_FROM).await? }.without_nothing(),
            rows_added: read(ROWS_ADDED).await?.map(i64::cast_unsigned),
        })
    }
}
