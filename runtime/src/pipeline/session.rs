//! Opens the tables, finds where each partition stands, and restores the aggregate state: everything before the first record.

use super::Error;
use super::commit::Tables;
use super::lane::Lane;
use super::plan::{Gold, Plan, TableKind};
use crate::aggregate::{PartitionState, View};
use crate::checkpoint::SourcePartition;
use crate::config::{Config, Start};
use crate::sink::{Table, Warehouse};
use crate::source::{Assigned, Files, Kafka, LogRange, Reader, Settings};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{BooleanArray, RecordBatch};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A source with the partitions that it reads.
pub(super) struct Source {
    pub(super) reader: Box<dyn Reader>,
    pub(super) assigned: Vec<Assigned>,
    /// The pipeline's slot of each assigned partition.
    pub(super) slots: Vec<usize>,
}

/// A partition with what its log holds.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) topic: usize,
    pub(super) partition: SourcePartition,
    pub(super) log: LogRange,
}

/// Everything that is needed to start reading.
pub(super) struct Session {
    pub(super) tables: Tables,
    pub(super) slots: Vec<Slot>,
    pub(super) lanes: Vec<Lane>,
    pub(super) sources: Vec<Source>,
    pub(super) views: Vec<Arc<View>>,
    pub(super) horizons_ms: Vec<i64>,
    pub(super) micro_batch: i64,
}

/// Opens everything; an error's remedy says whether trying again may help.
pub(super) async fn open(config: &Config, plan: &Plan, lake: &Warehouse) -> Result<Session, Error> {
    let opening = plan.tables.iter().map(|table| Table::open(lake, &config.pipeline, table.spec.clone()));
    // All are waited for, also when one fails: what is still reading a log must not be cut off by the end of the process.
    let opened = futures::future::join_all(opening).await;
    let mut tables = opened.into_iter().collect::<Result<Vec<Table>, _>>()?;
    let mut found = tokio::task::block_in_place(|| discover(config, plan, &tables))?;
    let partitions: Vec<SourcePartition> = found.slots.iter().map(|slot| slot.partition.clone()).collect();
    for table in &mut tables {
        table.find_offsets(lake, &partitions).await?;
    }
    let mut lanes = Vec::with_capacity(found.slots.len());
    for (index, slot) in found.slots.iter().enumerate() {
        let floors = floors(config, plan, &tables, slot)?;
        lanes.push(Lane::new(plan, index, slot.topic, slot.partition.clone(), floors, Vec::new()));
    }
    let views: Vec<Arc<View>> = plan.golds.iter().map(|gold| Arc::new(View::new(Arc::clone(&gold.plan)))).collect();
    let mut horizons_ms = Vec::new();
    for (index, gold) in plan.golds.iter().enumerate() {
        restore(index, gold, &tables[gold.state_table], &mut lanes, &views[index]).await?;
        let horizon_ms = tables[gold.state_table].horizon_ms();
        views[index].set_horizon_ms(horizon_ms);
        horizons_ms.push(horizon_ms);
    }
    let sources = found.assign(&lanes)?;
    let micro_batch = tables.iter().map(Table::micro_batch).max().unwrap_or(0);
    Ok(Session { tables: Tables { tables }, slots: found.slots, lanes, sources, views, horizons_ms, micro_batch })
}

/// The topics' partitions, and the clients that will read them.
struct Found {
    slots: Vec<Slot>,
    kafka: Option<Kafka>,
    files: Vec<(usize, Files)>,
}

fn discover(config: &Config, plan: &Plan, tables: &[Table]) -> Result<Found, Error> {
    let mut found = Found { slots: Vec::new(), kafka: None, files: Vec::new() };
    for (index, topic) in plan.topics.iter().enumerate() {
        let settings = config.topics.get(&*topic.name);
        let incarnation = incarnation(config, tables, &topic.name);
        let slot = |partition: i32, log: LogRange| Slot {
            topic: index,
            partition: SourcePartition { topic: Arc::clone(&topic.name), incarnation, partition },
            log,
        };
        if let Some(path) = settings.and_then(|topic| topic.path.as_ref()) {
            let files = Files::new(path)?;
            found.slots.push(slot(0, files.log_range()?));
            found.files.push((found.slots.len() - 1, files));
            continue;
        }
        let kafka = match &found.kafka {
            Some(kafka) => kafka,
            None => found.kafka.insert(connect(config, &topic.name)?),
        };
        for partition in kafka.partitions(&topic.name)? {
            let log = kafka.log_range(&topic.name, partition)?;
            found.slots.push(slot(partition, log));
        }
    }
    Ok(found)
}

/// The newest incarnation of a topic that the configuration or a table names: `lakeward offsets move --new-incarnation` raises it in the
/// tables.
fn incarnation(config: &Config, tables: &[Table], topic: &str) -> u32 {
    let configured = config.topics.get(topic).map_or(0, |topic| topic.incarnation);
    let stored = tables.iter().flat_map(|table| table.offsets().iter()).map(|(partition, _)| partition);
    stored
        .filter(|partition| *partition.topic == *topic)
        .map(|partition| partition.incarnation)
        .fold(configured, u32::max)
}

/// A client for the configured brokers.
pub(super) fn connect(config: &Config, topic: &str) -> Result<Kafka, Error> {
    let kafka = &config.kafka;
    let brokers = kafka.brokers.clone().ok_or_else(|| Error::NoBrokers { topic: topic.to_owned() })?;
    let properties = kafka.properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Ok(Kafka::new(&Settings { brokers, group: kafka.group.clone(), properties })?)
}

impl Found {
    /// Gives each client its partitions at the lanes' offsets.
    fn assign(&mut self, lanes: &[Lane]) -> Result<Vec<Source>, Error> {
        let assigned = |lane: &Lane| Assigned {
            topic: Arc::clone(&lane.partition.topic),
            partition: lane.partition.partition,
            start: lane.next,
        };
        let mut sources = Vec::new();
        let mut of_files = Vec::new();
        for (slot, mut files) in self.files.drain(..) {
            let assigned = assigned(&lanes[slot]);
            files.assign(&assigned);
            of_files.push(slot);
            sources.push(Source { reader: Box::new(files), assigned: vec![assigned], slots: vec![slot] });
        }
        if let Some(mut kafka) = self.kafka.take() {
            let slots: Vec<usize> = (0..self.slots.len()).filter(|slot| !of_files.contains(slot)).collect();
            let assigned: Vec<Assigned> = slots.iter().map(|slot| assigned(&lanes[*slot])).collect();
            kafka.assign(&assigned)?;
            sources.push(Source { reader: Box::new(kafka), assigned, slots });
        }
        Ok(sources)
    }
}

/// Where each table stands in a partition. A table without an offset starts where the configuration says, or at the log's
/// start if others have one already.
///
/// | stored offset          | log         | what happens |
/// |------------------------|-------------|--------------|
/// | none in any table      | any         | `start` decides |
/// | none in this table     | any         | this table starts at the log's start |
/// | within the log         |             | goes on there |
/// | below the log's start  | records are gone | error |
/// | above the log's end    | recreated   | error |
fn floors(config: &Config, plan: &Plan, tables: &[Table], slot: &Slot) -> Result<Vec<i64>, Error> {
    let follows = |table: usize| plan.tables[table].topic.is_none_or(|topic| topic == slot.topic);
    let stored = |table: usize| tables[table].offsets().get(&slot.partition);
    // Gold tables are written from state; they hold nothing back.
    let relevant: Vec<usize> =
        (0..tables.len()).filter(|table| follows(*table) && plan.tables[*table].kind != TableKind::Gold).collect();
    for offset in relevant.iter().filter_map(|table| stored(*table)) {
        let explanation = match offset {
            _ if offset < slot.log.start => "records were deleted before they were read",
            _ if offset > slot.log.end => "the topic was recreated, or its log was cut",
            _ => continue,
        };
        return Err(Error::OutOfLog {
            topic: slot.partition.topic.to_string(),
            partition: slot.partition.partition,
            stored: offset,
            start: slot.log.start,
            end: slot.log.end,
            explanation,
        });
    }
    let start = config.topics.get(&*slot.partition.topic).map(|topic| topic.start).unwrap_or_default();
    let is_new = relevant.iter().all(|table| stored(*table).is_none());
    let default = if is_new && start == Start::Latest { slot.log.end } else { slot.log.start };
    let smallest = relevant.iter().map(|table| stored(*table).unwrap_or(default)).min().unwrap_or(default);
    let floor = |table: usize| if relevant.contains(&table) { stored(table).unwrap_or(default) } else { smallest };
    Ok((0..tables.len()).map(floor).collect())
}

/// Reads a state table into the lanes of its topic, and shows it. Partitions that the topic no longer has keep their share in the
/// lane of the topic's first partition's worker: what was counted stays counted.
async fn restore(index: usize, gold: &Gold, table: &Table, lanes: &mut [Lane], view: &View) -> Result<(), Error> {
    let error = |source| Error::State { product: gold.plan.path().to_owned(), source: Box::new(source) };
    let mut states: BTreeMap<i32, PartitionState> = lanes
        .iter()
        .filter(|lane| lane.topic == gold.topic)
        .map(|lane| lane.partition.partition)
        .map(|partition| (partition, PartitionState::new(Arc::clone(&gold.plan), partition)))
        .collect();
    for file in table.files().keys() {
        for rows in table.read_rows(file).await? {
            for (partition, rows) in by_partition(&rows) {
                let state =
                    states.entry(partition).or_insert_with(|| PartitionState::new(Arc::clone(&gold.plan), partition));
                state.restore(&rows).map_err(error)?;
            }
        }
    }
    let mut all = Vec::with_capacity(states.len());
    for (partition, mut state) in states {
        let own = |lane: &&mut Lane| lane.topic == gold.topic && lane.partition.partition == partition;
        let next = |lane: &Lane| table.offsets().get(&lane.partition).unwrap_or(lane.next);
        let position = lanes.iter_mut().position(|lane| own(&lane));
        let offset = position.map_or(0, |lane| next(&lanes[lane]));
        let changes = state.take_all(offset);
        view.apply_live(&state.take_live(offset));
        all.push(changes);
        let home = position.or_else(|| lanes.iter().position(|lane| lane.topic == gold.topic));
        if let Some(home) = home {
            lanes[home].states.push((index, state));
        }
    }
    view.apply_committed(table.micro_batch(), &all);
    Ok(())
}

/// Splits rows of a state table by the Kafka partition that they belong to.
fn by_partition(rows: &RecordBatch) -> Vec<(i32, RecordBatch)> {
    let Some(column) = rows.column_by_name("partition") else { return Vec::new() };
    let Some(partitions) = column.as_primitive_opt::<Int32Type>() else { return Vec::new() };
    let mut ids: Vec<i32> = partitions.values().to_vec();
    ids.sort_unstable();
    ids.dedup();
    let of = |id: i32| {
        let mask: BooleanArray = partitions.values().iter().map(|partition| Some(*partition == id)).collect();
        let rows = arrow_select::filter::filter_record_batch(rows, &mask).expect("the mask is as long as the rows");
        (id, rows)
    };
    ids.into_iter().map(of).collect()
}
