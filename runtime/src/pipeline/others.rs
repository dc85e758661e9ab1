//! The partitions of other instances, as far as those have committed them: what they add to this instance's answers, horizons and gold.
//!
//! Nobody tells anybody anything: committed partials travel through the state tables, whose logs are followed here. So an answer is
//! global everywhere, live for this instance's own partitions and as fresh as the last micro-batch for those of others.

use super::Error;
use super::horizon::Word;
use super::plan::{Gold, Plan};
use super::session::Slot;
use crate::aggregate::{Changes, PartitionState, View};
use crate::checkpoint::SourcePartition;
use crate::sink::Table;
use crate::sink::redrives::sequence_of;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{BooleanArray, RecordBatch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What is known of the partitions that are not this instance's.
#[derive(Debug)]
pub(super) struct Others {
    /// The partitions, with what their logs held at the start.
    pub(super) slots: Vec<Slot>,
    /// `(topic, Kafka partition)` of those that are this instance's. All else is of others, also what nobody here knows of yet.
    own: BTreeSet<(usize, i32)>,
    by_gold: Vec<OfGold>,
    idle_after_ms: i64,
}

/// What they add to one gold product.
#[derive(Debug, Default)]
struct OfGold {
    /// By Kafka partition; also of partitions that the topic no longer has: what was counted stays counted.
    states: BTreeMap<i32, PartitionState>,
    /// Files of the state table that are in the states, or are our own.
    seen: BTreeSet<String>,
    /// By partition: its offset when last looked at, and since when it has been that.
    moved: BTreeMap<i32, (i64, i64)>,
    /// By partition: its watermark when last looked at, and since when it has been that.
    watermarks: BTreeMap<i32, (i64, i64)>,
    /// By partition: the number of its next redrive when last looked at.
    redriven: BTreeMap<i32, i64>,
    /// Windows that start before this are kept no more; the start of a session sets it.
    forgotten_us: i64,
}

impl Others {
    pub(super) fn new(plan: &Plan, own: &[Slot], slots: Vec<Slot>, idle_after: Duration) -> Self {
        let idle_after_ms = i64::try_from(idle_after.as_millis()).unwrap_or(i64::MAX);
        let by_gold = plan.golds.iter().map(|_| OfGold::default()).collect();
        let own = own.iter().map(|slot| (slot.topic, slot.partition.partition)).collect();
        Self { slots, own, by_gold, idle_after_ms }
    }

    /// Lets go of the groups of windows that start before `start_us`.
    pub(super) fn forget(&mut self, gold: usize, start_us: i64) {
        let of_gold = &mut self.by_gold[gold];
        of_gold.forgotten_us = start_us;
        of_gold.states.values_mut().for_each(|state| state.forget(start_us));
    }

    /// Whether this instance has everything.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A partition of others.
    pub(super) fn partition(&self, topic: usize, partition: i32) -> Option<&SourcePartition> {
        let found = self.slots.iter().find(|slot| slot.topic == topic && slot.partition.partition == partition);
        found.map(|slot| &slot.partition)
    }

    /// Takes the state of a partition that is not this instance's, as it was restored from the table's files.
    pub(super) fn adopt(&mut self, gold: usize, partition: i32, state: PartitionState) {
        self.by_gold[gold].states.insert(partition, state);
    }

    /// These files of the state table need not be looked at.
    pub(super) fn note<'a>(&mut self, gold: usize, files: impl Iterator<Item = &'a String>) {
        self.by_gold[gold].seen.extend(files.cloned());
    }

    /// Reads what others committed since the last time, and shows it.
    pub(super) async fn follow(
        &mut self,
        plan: &Plan,
        tables: &mut [Table],
        views: &[Arc<View>],
        now_ms: i64,
    ) -> Result<(), Error> {
        for (index, gold) in plan.golds.iter().enumerate() {
            let (table, of_gold) = (&mut tables[gold.state_table], &mut self.by_gold[index]);
            if self.slots.is_empty() {
                // A commit may have met one of an instance that has a partition which came a moment ago.
                of_gold.read(table, gold, &self.own).await?;
                continue;
            }
            table.catch_up(None).await?;
            let foreign = self.slots.iter().filter(|slot| slot.topic == gold.topic);
            let offsets: BTreeMap<i32, i64> = foreign
                .map(|slot| (slot.partition.partition, table.offsets().get(&slot.partition).unwrap_or(0)))
                .collect();
            of_gold.read(table, gold, &self.own).await?;
            let topic = &plan.topics[gold.topic].name;
            let redriven = |partition: i32| table.offsets().get(&sequence_of(topic, partition)).unwrap_or(0);
            let changes = of_gold.changes(&offsets, redriven, now_ms);
            changes.iter().for_each(|changes| views[index].apply_live(changes));
            if !changes.is_empty() {
                views[index].apply_committed(table.micro_batch(), &changes);
            }
            let since = of_gold.moved.iter().map(|(partition, (_, since_ms))| (*partition, *since_ms));
            views[index].set_elsewhere(since.collect());
            views[index].set_horizon_ms(table.horizon_ms());
            let gold_table = &mut tables[gold.gold_table];
            gold_table.catch_up(None).await?;
            let version = i64::try_from(gold_table.version()).unwrap_or(i64::MAX);
            views[index].set_table(version, gold_table.micro_batch());
        }
        Ok(())
    }

    /// What the partitions say of the horizons: see `horizon.rs` for the rule.
    pub(super) fn words(&mut self, plan: &Plan, now_ms: i64) -> Vec<Word> {
        let mut words = Vec::new();
        for (gold, of_gold) in self.by_gold.iter_mut().enumerate() {
            for slot in self.slots.iter().filter(|slot| slot.topic == plan.golds[gold].topic) {
                let (partition, of) = (slot.partition.clone(), slot.partition.partition);
                let watermark_ms = of_gold.states.get(&of).map_or(i64::MIN, PartitionState::watermark_ms);
                let next = of_gold.moved.get(&of).map_or(0, |(next, _)| *next);
                let (stood_ms, since_ms) = of_gold.watermarks.entry(of).or_insert((watermark_ms, now_ms));
                if *stood_ms != watermark_ms {
                    (*stood_ms, *since_ms) = (watermark_ms, now_ms);
                }
                let is_quiet = now_ms.saturating_sub(*since_ms) >= self.idle_after_ms;
                words.push(Word { gold, partition, next, watermark_ms, is_quiet });
            }
        }
        words
    }

    /// All groups of all partitions of others, each with the micro-batch that it is of, for a snapshot of the state table.
    pub(super) fn all(&mut self, gold: usize) -> Vec<(i64, Changes)> {
        let all = self.by_gold[gold].states.values_mut();
        all.map(|state| (state.newest_micro_batch(), state.take_all(0))).filter(|(_, all)| !all.is_empty()).collect()
    }
}

impl OfGold {
    /// Reads the files of the state table that were not looked at yet, as far as they are not of `own` partitions.
    async fn read(&mut self, table: &Table, gold: &Gold, own: &BTreeSet<(usize, i32)>) -> Result<(), Error> {
        let error = |source| Error::State { product: gold.plan.path().to_owned(), source: Box::new(source) };
        let is_new = |file: &&String| !self.seen.contains(*file);
        let new: Vec<&String> = table.files().keys().filter(is_new).collect();
        if new.is_empty() && self.seen.len() == table.files().len() {
            return Ok(());
        }
        for file in new {
            for rows in table.read_rows(file).await? {
                for (partition, rows) in by_partition(&rows) {
                    if !own.contains(&(gold.topic, partition)) {
                        let new = || PartitionState::new(Arc::clone(&gold.plan), partition);
                        let state = self.states.entry(partition).or_insert_with(new);
                        state.restore(&rows).map_err(error)?;
                        state.forget(self.forgotten_us);
                    }
                }
            }
        }
        self.seen = table.files().keys().cloned().collect();
        Ok(())
    }

    /// What changed in the partitions that moved, as `offsets` says, since the last time.
    fn changes(&mut self, offsets: &BTreeMap<i32, i64>, redriven: impl Fn(i32) -> i64, now_ms: i64) -> Vec<Changes> {
        let mut all = Vec::new();
        for (partition, offset) in offsets {
            let moved = self.moved.entry(*partition).or_insert((-1, now_ms));
            let next = redriven(*partition);
            let is_redriven = self.redriven.insert(*partition, next).unwrap_or(0) != next;
            if moved.0 == *offset && !is_redriven {
                continue;
            }
            // A redrive is no sign of life from the topic.
            if moved.0 != *offset {
                *moved = (*offset, now_ms);
            }
            if let Some(state) = self.states.get_mut(partition) {
                all.push(state.take_live(*offset));
            }
        }
        all
    }
}

/// Splits rows of a state table by the Kafka partition that they belong to.
pub(super) fn by_partition(rows: &RecordBatch) -> Vec<(i32, RecordBatch)> {
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
