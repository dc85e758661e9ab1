//! A topic that gains partitions, between two runs and in the middle of one.

use crate::audit;
use crate::case::Case;
use crate::exact;
use anyhow::{Result, ensure};
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::{Counts, Message, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use serde_json::json;
use std::time::Duration;

const EVENTS: usize = 8_000;
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn cases() -> Vec<Case> {
    let needs = &[Need::Python, Need::RetailData];
    vec![
        Case::kafka("partitions::new_ones_are_read_from_their_beginning", needs, new_partitions),
        Case::kafka("partitions::one_gained_while_running_is_read_from_its_start", needs, gained_while_running),
        Case::kafka("partitions::windows_close_over_one_that_is_silent", needs, silent),
    ]
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

/// Whoever begins at the end of a topic wants all that comes from then on, also what is in a partition before it is noticed.
fn gained_while_running(stage: &Stage) -> Result<()> {
    let events = retail::events(1_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("topics.orders", "start", "latest").text("micro_batch", "every", "200ms");
    Producer::new(&broker.bootstrap())?.send(retail::TOPIC, spread(&events[..400], 2))?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    stage.kafka()?.add_partitions(retail::TOPIC, 3)?;
    Producer::new(&broker.bootstrap())?.send(retail::TOPIC, spread(&events[400..], 3))?;
    instance.wait_for(LIMIT, "the new partition to be read", |instance| {
        let committed = instance.get("/v1/products/retail/sales_by_country/rows?view=committed&limit=1")?.json()?;
        Ok((committed["as_of"]["offsets"] == json!({"0": 400, "1": 400, "2": 200})).then_some(()))
    })?;
    let status = instance.terminate()?;
    ensure!(status.success(), "{status}");
    let found = stage.query(
        Engine::DuckDb,
        &[exact::SALES, exact::DEAD_LETTERS],
        r#"SELECT p, count(DISTINCT o) AS records, min(o) AS first FROM (
             SELECT _lakeward_partition AS p, _lakeward_offset AS o FROM sales
             UNION ALL SELECT "partition", "offset" FROM dead_letters) GROUP BY p ORDER BY p"#,
    )?;
    let expected = [(0, 200, 200), (1, 200, 200), (2, 200, 0)];
    let expected = expected.map(|(p, records, first)| json!({"p": p, "records": records, "first": first}));
    ensure!(found == expected, "{found:?}");
    audit::holds(stage, &config)
}

/// What is closed is what the slowest partition has passed, until that one is silent and its broker says so.
fn silent(stage: &Stage) -> Result<()> {
    let events = retail::events(EVENTS)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("gold", "idle_after", "3s").text("micro_batch", "every", "200ms");
    let producer = Producer::new(&broker.bootstrap())?;
    let placed = |partition: i32, event: &Event| Message::placed(partition, event.json.as_bytes());
    producer.send(retail::TOPIC, events[..100].iter().map(|event| placed(1, event)))?;
    let mut instance = stage.start(&mut config)?;
    let mut more = events[100..].iter();
    let mut next_watermark = |instance: &Instance, count: usize| -> Result<Option<String>> {
        producer.send(retail::TOPIC, more.by_ref().take(count).map(|event| placed(0, event)))?;
        let answer = instance.get("/v1/products/retail/sales_by_country/rows?limit=1")?.json()?;
        Ok(answer["as_of"]["watermark"].as_str().map(str::to_owned))
    };
    instance.wait_ready()?;
    let held =
        instance.wait_for(LIMIT, "the slower partition to be passed", |instance| next_watermark(instance, 100))?;
    instance.wait_for(LIMIT, "windows to close over the silent partition", |instance| {
        Ok(next_watermark(instance, 10)?.is_some_and(|watermark| watermark > held).then_some(()))
    })?;
    let status = instance.terminate()?;
    ensure!(status.success(), "{status}");
    audit::holds(stage, &config)
}
