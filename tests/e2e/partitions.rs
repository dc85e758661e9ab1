//! A topic that gains partitions between two runs.

use crate::audit;
use crate::case::Case;
use crate::exact;
use anyhow::{Result, ensure};
use lakeward_tests::produce::{Counts, Message, Producer};
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;

const EVENTS: usize = 8_000;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::kafka(
        "partitions::new_ones_are_read_from_their_beginning",
        &[Need::Python, Need::RetailData],
        new_partitions,
    )]
}

/// The events in turn over `count` partitions.
fn spread(events: &[Event], count: i32) -> Vec<Message> {
    let placed = events.iter().zip((0..count).cycle());
    placed.map(|(event, partition)| Message::placed(partition, event.json.as_bytes())).collect()
}

fn new_partitions(stage: &Stage) -> Result<()> {
    let events = retail::events(EVENTS)?;
    let (before, after) = events.split_at(EVENTS / 2);
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let config = stage.config(&["transforms/retail"])?;
    let mut produced: Counts = Producer::new(&broker.bootstrap())?.send(retail::TOPIC, spread(before, 2))?;
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == before.len() as i64, "{summary:?}");

    stage.kafka()?.add_partitions(retail::TOPIC, 4)?;
    // A producer of its own, which has not seen the topic with two partitions.
    let more = Producer::new(&broker.bootstrap())?.send(retail::TOPIC, spread(after, 4))?;
    produced.resize(more.len(), 0);
    produced.iter_mut().zip(&more).for_each(|(total, more)| *total += more);
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == after.len() as i64, "{summary:?}");
    exact::check(stage, &produced)?;
    audit::holds(stage, &config)
}
