//! Restores the aggregate state, and with it everything that is needed to start reading.

use super::Error;
use super::bronze;
use super::commit::Tables;
use super::committer::forgettable_us;
use super::lane::Lane;
use super::others::{Others, by_partition};
use super::plan::{Gold, Plan};
use super::redrives::Redrives;
use super::session::{Opened, Slot, Source, Stuck};
use crate::aggregate::{PartitionState, View};
use crate::config::Config;
use crate::sink::{Table, Warehouse};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is needed to start reading.
pub(super) struct Session {
    pub(super) tables: Tables,
    pub(super) slots: Vec<Slot>,
    pub(super) stuck: Vec<Stuck>,
    pub(super) lanes: Vec<Lane>,
    pub(super) others: Others,
    pub(super) redrives: Redrives,
    pub(super) sources: Vec<Source>,
    pub(super) views: Vec<Arc<View>>,
    pub(super) horizons_ms: Vec<i64>,
    /// By gold product: windows that start before this, in microseconds, were not restored.
    pub(super) forgotten_us: Vec<i64>,
    pub(super) micro_batch: i64,
}

impl Opened {
    /// Restores the state of the gold products, shows it, and makes the clients that read on.
    pub(super) async fn restore(self, config: &Config, lake: &Warehouse, plan: &Plan) -> Result<Session, Error> {
        let Self { tables, mut found, topics, stuck, mut lanes, mut others, redrives, .. } = self;
        let views: Vec<Arc<View>> = plan.golds.iter().map(|gold| Arc::new(View::new(Arc::clone(&gold.plan)))).collect();
        let (mut horizons_ms, mut forgotten_us) = (Vec::new(), Vec::new());
        for (index, gold) in plan.golds.iter().enumerate() {
            let forgotten = forgettable_us(config, gold, &tables);
            forgotten_us.push(forgotten);
            restore(index, gold, &tables[gold.state_table], &mut lanes, &mut others, &views[index], forgotten).await?;
            let horizon_ms = tables[gold.state_table].horizon_ms();
            views[index].set_horizon_ms(horizon_ms);
            horizons_ms.push(horizon_ms);
        }
        let pasts = bronze::pasts(lake, &config.pipeline, plan, &tables, &found.slots, &lanes)?;
        let sources = found.assign(config, plan, &lanes, pasts)?;
        let micro_batch = tables.iter().map(Table::micro_batch).max().unwrap_or(0);
        Ok(Session {
            tables: Tables::new(plan, tables, topics),
            slots: found.slots,
            stuck,
            lanes,
            others,
            redrives,
            sources,
            views,
            horizons_ms,
            forgotten_us,
            micro_batch,
        })
    }
}

/// Reads a state table into the lanes of its topic, and shows it. What is in no lane is of others, or of partitions that the topic no
/// longer has: what was counted stays counted.
pub(super) async fn restore(
    index: usize,
    gold: &Gold,
    table: &Table,
    lanes: &mut [Lane],
    others: &mut Others,
    view: &View,
    forgotten_us: i64,
) -> Result<(), Error> {
    let error = |source| Error::State { product: gold.plan.path().to_owned(), source: Box::new(source) };
    let new = |partition: i32| PartitionState::new(Arc::clone(&gold.plan), partition);
    let of_topic = |lane: &&Lane| lane.topic == gold.topic;
    let mut states: BTreeMap<i32, PartitionState> =
        lanes.iter().filter(of_topic).map(|lane| lane.partition.partition).map(|of| (of, new(of))).collect();
    let mut files = std::pin::pin!(table.all_rows());
    while let Some(file) = files.next().await {
        for rows in file? {
            for (partition, rows) in by_partition(&rows) {
                states.entry(partition).or_insert_with(|| new(partition)).restore(&rows).map_err(error)?;
            }
        }
    }
    others.note(index, table.files().keys());
    let mut all = Vec::with_capacity(states.len());
    others.forget(index, forgotten_us);
    view.forget(forgotten_us);
    for (partition, mut state) in states {
        state.forget(forgotten_us);
        let is_own = |lane: &Lane| lane.topic == gold.topic && lane.partition.partition == partition;
        let lane = lanes.iter_mut().find(|lane| is_own(lane));
        let source = lane.as_ref().map(|lane| &lane.partition).or_else(|| others.partition(gold.topic, partition));
        let stored = source.and_then(|source| table.offsets().get(source));
        let offset = stored.or(lane.as_ref().map(|lane| lane.next)).unwrap_or(0);
        all.push(state.take_all(offset));
        view.apply_live(&state.take_live(offset));
        match lane {
            Some(lane) => lane.states.push((index, state)),
            None => others.adopt(index, partition, state),
        }
    }
    view.apply_committed(table.micro_batch(), &all);
    Ok(())
}
