//! The bronze tables of a session: from where on they hold everything, and reading back what a log has lost.

use super::Error;
use super::commit::commit_one;
use super::lane::Lane;
use super::plan::{Plan, TableKind};
use super::session::Slot;
use super::threads::{Pace, spawn};
use super::topics::Topics;
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use crate::record::Chunk;
use crate::sink::bronze::{Held, path, start_of};
use crate::sink::{self, Commit, Kept, OffsetMove, Records, Stretch, Table, Warehouse};
use crate::source::{self, Past};
use futures::StreamExt;
use std::sync::Arc;
use tokio::sync::mpsc::{self, Sender};

/// Partitions that are read back at the same time: more would hide more of a store's latency, and hold a row group of records each.
const AT_ONCE: usize = 4;

/// Chunks of a partition that wait to be taken.
const WAITING: usize = 2;

/// What a bronze table names of these slots.
pub(super) fn named(slots: &[Slot]) -> Vec<SourcePartition> {
    slots.iter().flat_map(|slot| [slot.partition.clone(), start_of(&slot.partition)]).collect()
}

/// What bronze holds of a partition, where its topic has a bronze table.
pub(super) fn held(plan: &Plan, tables: &[Table], topic: usize, partition: &SourcePartition) -> Option<Held> {
    plan.topics[topic].bronze.and_then(|table| Held::of(tables[table].offsets(), partition))
}

/// By topic: whether its bronze table has all that it says to hold. It is looked only where something may be read from it.
pub(super) async fn whole(
    config: &Config,
    lake: &Warehouse,
    plan: &Plan,
    tables: &[Table],
    slots: &[Slot],
) -> Result<Vec<bool>, Error> {
    let mut whole = Vec::with_capacity(plan.topics.len());
    for (index, topic) in plan.topics.iter().enumerate() {
        let follow = plan.tables.iter().zip(tables).filter(|(of, _)| {
            of.topic.is_none_or(|fed_by| fed_by == index) && !matches!(of.kind, TableKind::Bronze | TableKind::Gold)
        });
        let follow: Vec<&Table> = follow.map(|(_, table)| table).collect();
        let is_behind = |slot: &Slot| {
            let stored = |table: &&Table| table.offsets().get(&slot.partition);
            follow.iter().any(|table| stored(table).is_none_or(|stored| stored < slot.log.start))
        };
        let mut is_wanted = slots.iter().filter(|slot| slot.topic == index && topic.bronze.is_some());
        whole.push(if is_wanted.any(is_behind) {
            let kept = Kept::open(lake, &config.pipeline, &topic.name, &[]).await?;
            let is_whole = kept.as_ref().is_some_and(Kept::is_whole);
            if !is_whole {
                tracing::warn!(
                    topic = &*topic.name,
                    "records were taken out of bronze: nothing can be read back from it"
                );
            }
            is_whole
        } else {
            true
        });
    }
    Ok(whole)
}

/// Writes down from where on the bronze tables hold everything, where they do not go on from where they were: a table that is new, or was
/// off for a while.
pub(super) async fn note_starts(
    plan: &Plan,
    tables: &mut [Table],
    lanes: &[Lane],
    topics: &Topics,
) -> Result<(), Error> {
    for (index, (of, table)) in plan.tables.iter().zip(tables).enumerate() {
        if of.kind != TableKind::Bronze || !plan.writes(index) {
            continue;
        }
        let mut moves = Vec::new();
        for lane in lanes.iter().filter(|lane| Some(lane.topic) == of.topic) {
            let (stood, next) = (table.offsets().get(&lane.partition), lane.floors[index]);
            if stood == Some(next) {
                continue;
            }
            if let Some(stood) = stood {
                let partition = &lane.partition;
                tracing::warn!(%partition, from = stood, to = next, "bronze lacks these records: it was off when they were read");
            }
            let start = start_of(&lane.partition);
            let before = table.offsets().get(&start);
            moves.push(OffsetMove { partition: lane.partition.clone(), from: stood, next });
            moves.push(OffsetMove { partition: start, from: before, next });
        }
        if !moves.is_empty() {
            let micro_batch = table.micro_batch();
            let commit = Commit { topic_ids: topics.of(&moves), offsets: moves, micro_batch, ..Commit::default() };
            commit_one(table, commit).await?;
        }
    }
    Ok(())
}

/// By slot: the past of a lane that stands before its log's start. It reaches to where bronze ends, which is as far from where the log is
/// deleted as can be.
pub(super) fn pasts(
    lake: &Warehouse,
    pipeline: &str,
    plan: &Plan,
    tables: &[Table],
    slots: &[Slot],
    lanes: &[Lane],
) -> Result<Vec<Option<Past>>, Error> {
    let mut pasts: Vec<Option<Past>> = slots.iter().map(|_| None).collect();
    for (index, topic) in plan.topics.iter().enumerate() {
        let (mut of, mut stretches) = (Vec::new(), Vec::new());
        for (slot, lane) in lanes.iter().enumerate().filter(|(_, lane)| lane.topic == index) {
            let is_gone = lane.next < slots[slot].log.start;
            if let Some(held) = held(plan, tables, index, &lane.partition).filter(|_| is_gone) {
                tracing::info!(partition = %lane.partition, from = lane.next, to = held.next, "read back from bronze");
                of.push(slot);
                stretches.push(Stretch { partition: lane.partition.clone(), range: lane.next..held.next });
            }
        }
        if !stretches.is_empty() {
            let pace = if plan.catches_up { Pace::Background } else { Pace::Live };
            let found = read_back_at(pace, lake, pipeline, &topic.name, stretches)?;
            of.into_iter().zip(found).for_each(|(slot, past)| pasts[slot] = Some(past));
        }
    }
    Ok(pasts)
}

/// Reads stretches of a topic back from its bronze table, on a thread of its own that ends when nobody takes the chunks any more.
///
/// # Errors
/// When no thread can be started.
pub fn read_back(
    lake: &Warehouse,
    pipeline: &str,
    topic: &Arc<str>,
    stretches: Vec<Stretch>,
) -> Result<Vec<Past>, Error> {
    read_back_at(Pace::Live, lake, pipeline, topic, stretches)
}

fn read_back_at(
    pace: Pace,
    lake: &Warehouse,
    pipeline: &str,
    topic: &Arc<str>,
    stretches: Vec<Stretch>,
) -> Result<Vec<Past>, Error> {
    let (chunks, receivers): (Vec<Sender<Result<Chunk, source::Error>>>, Vec<_>) =
        stretches.iter().map(|_| mpsc::channel(WAITING)).unzip();
    let past = |(chunks, stretch): (_, &Stretch)| Past { chunks, until: stretch.range.end };
    let pasts = receivers.into_iter().zip(&stretches).map(past).collect();
    let (lake, pipeline, topic) = (lake.clone(), pipeline.to_owned(), Arc::clone(topic));
    let reading = Reading { lake, pipeline, topic, stretches, chunks };
    let runtime = tokio::runtime::Handle::current();
    spawn("bronze", pace, move || runtime.block_on(reading.run()))?;
    Ok(pasts)
}

/// What the thread that reads back has in hand.
struct Reading {
    lake: Warehouse,
    pipeline: String,
    topic: Arc<str>,
    stretches: Vec<Stretch>,
    /// By stretch.
    chunks: Vec<Sender<Result<Chunk, source::Error>>>,
}

impl Reading {
    async fn run(self) {
        if let Err(error) = self.read().await {
            self.fail(0, error).await;
        }
    }

    async fn read(&self) -> Result<(), sink::Error> {
        let kept = Kept::open(&self.lake, &self.pipeline, &self.topic, &[]).await?;
        let kept = kept.ok_or_else(|| sink::Error::NoTable { table: path(&self.topic) })?;
        let found = kept.find(&self.stretches).await?;
        let send = |(index, records)| async move {
            if let Err(error) = send(records, &self.chunks[index]).await {
                self.fail(index, error).await;
            }
        };
        futures::stream::iter(found.into_iter().enumerate()).for_each_concurrent(AT_ONCE, send).await;
        Ok(())
    }

    /// Tells whoever takes the chunks of a stretch that no more come. Where nobody does any more, nobody needs to know.
    async fn fail(&self, index: usize, error: sink::Error) {
        let partition = &self.stretches[index].partition;
        let error = source::Error::Past {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            is_transient: error.is_transient(),
            source: error.into(),
        };
        let _ = self.chunks[index].send(Err(error)).await;
    }
}

/// Sends all chunks of a stretch, as long as somebody takes them.
async fn send(mut records: Records<'_>, chunks: &Sender<Result<Chunk, source::Error>>) -> Result<(), sink::Error> {
    while let Some(chunk) = records.chunk().await? {
        if chunks.send(Ok(chunk)).await.is_err() {
            break;
        }
    }
    Ok(())
}
