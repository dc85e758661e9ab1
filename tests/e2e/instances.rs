//! Several instances with one configuration: they share the partitions, hand them over, and each answers for all of them.

use crate::case::Case;
use crate::exact;
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::{Counts, Producer};
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use std::time::Duration;

const PARTITIONS: i32 = 6;
const PART: usize = 6_000;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("instances::share_and_answer_for_all", &[Need::Python, Need::RetailData], |stage| {
            share(stage, "session.timeout.ms", "6000")
        }),
        Case::kafka("instances::share_by_the_newer_group_protocol", &[Need::Python, Need::RetailData], |stage| {
            share(stage, "group.protocol", "consumer")
        }),
        Case::kafka("instances::a_restart_does_not_wait_for_the_dead", &[Need::Python, Need::RetailData], restart),
        Case::kafka("instances::take_over_from_a_killed_one", &[Need::Python, Need::RetailData], take_over),
    ]
}

/// With this property of the consumer group.
fn share(stage: &Stage, property: &str, value: &str) -> Result<()> {
    let mut world = World::new(stage)?;
    world.config.text("kafka.properties", property, value);
    let mut first = stage.start(&mut world.config)?;
    first.wait_ready()?;
    world.produce()?;
    world.wait_for_all(&mut first)?;

    let mut second = stage.start(&mut world.config)?;
    wait_for_partitions(&mut second, |count| (1..PARTITIONS as usize).contains(&count))?;
    wait_for_partitions(&mut first, |count| (1..PARTITIONS as usize).contains(&count))?;
    wait_running(&mut first)?;
    world.produce()?;
    // Each answers for the partitions of both, and both say the same.
    world.wait_for_all(&mut first)?;
    world.wait_for_all(&mut second)?;

    // Who leaves hands over.
    ensure!(first.terminate()?.success(), "an instance did not leave well");
    wait_for_partitions(&mut second, |count| count == PARTITIONS as usize)?;
    wait_running(&mut second)?;
    world.produce()?;
    world.wait_for_all(&mut second)?;
    ensure!(second.terminate()?.success(), "an instance did not end well");
    exact::check_several(stage, &world.produced)
}

fn take_over(stage: &Stage) -> Result<()> {
    let mut world = World::new(stage)?;
    world.config.text("kafka.properties", "session.timeout.ms", "6000");
    let mut first = stage.start(&mut world.config)?;
    first.wait_ready()?;
    let mut second = stage.start(&mut world.config)?;
    wait_for_partitions(&mut second, |count| (1..PARTITIONS as usize).contains(&count))?;
    world.produce()?;
    first.kill()?;
    world.produce()?;
    wait_for_partitions(&mut second, |count| count == PARTITIONS as usize)?;
    world.wait_for_all(&mut second)?;
    second.kill()?;

    // Nobody is left alive: the next one need not wait until the group has noticed.
    let mut third = stage.start(&mut world.config)?;
    third.wait_ready()?;
    world.produce()?;
    world.wait_for_all(&mut third)?;
    ensure!(third.terminate()?.success(), "an instance did not end well");
    exact::check_several(stage, &world.produced)
}

/// The one that was killed is a member of the group until its session ends, and that is long after its successor is ready.
fn restart(stage: &Stage) -> Result<()> {
    let mut world = World::new(stage)?;
    world.config.text("kafka.properties", "session.timeout.ms", "300000");
    let mut first = stage.start(&mut world.config)?;
    first.wait_ready()?;
    world.produce()?;
    world.wait_for_all(&mut first)?;
    let group = format!("lakeward.{}", stage.pipeline());
    let members = stage.kafka()?.members(&group)?;
    ensure!(members.len() == 1, "{members:?}");
    let listen = first.listen().to_owned();
    first.kill()?;

    let mut second = stage.start_at(&listen, &world.config)?;
    second.wait_ready()?;
    world.produce()?;
    world.wait_for_all(&mut second)?;
    let now = stage.kafka()?.members(&group)?;
    ensure!(now.contains(&members[0]), "the group has missed {members:?} already: {now:?}");
    ensure!(second.terminate()?.success(), "an instance did not end well");
    exact::check_several(stage, &world.produced)
}

/// What the instances work on, and what was written so far.
struct World {
    config: Config,
    producer: Producer,
    events: Vec<Event>,
    sent: usize,
    produced: Counts,
}

impl World {
    fn new(stage: &Stage) -> Result<Self> {
        let broker = stage.broker()?;
        broker.create_topic(retail::TOPIC, PARTITIONS)?;
        let mut config = stage.config(&["transforms/retail"])?;
        config.text("micro_batch", "every", "300ms").text("gold", "every", "500ms");
        let producer = Producer::new(&broker.bootstrap())?;
        Ok(Self { config, producer, events: retail::events(4 * PART)?, sent: 0, produced: Counts::new() })
    }

    /// Writes the next events.
    fn produce(&mut self) -> Result<()> {
        let part = self.events[self.sent..].iter().take(PART).map(Event::message);
        let sent = self.producer.send(retail::TOPIC, part)?;
        self.sent += PART;
        self.produced.resize(self.produced.len().max(sent.len()), 0);
        self.produced.iter_mut().zip(&sent).for_each(|(total, sent)| *total += sent);
        Ok(())
    }

    /// Waits until the instance's committed answer is about every record, wherever it was read.
    fn wait_for_all(&self, instance: &mut Instance) -> Result<()> {
        let all = self.produced.iter().sum::<i64>();
        instance.wait_for(LIMIT, "an answer about all records", |instance| {
            let path = "/v1/products/retail/sales_by_country/rows?view=committed&limit=1";
            let answer = instance.get(path)?.json()?;
            let offsets = answer["as_of"]["offsets"].as_object().cloned().unwrap_or_default();
            let read: i64 = offsets.values().filter_map(serde_json::Value::as_i64).sum();
            Ok((read == all).then_some(()))
        })
    }
}

/// Waits until the status says that all is well again.
fn wait_running(instance: &mut Instance) -> Result<()> {
    instance.wait_for(LIMIT, "the state to be running", |instance| {
        let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
        Ok((answer.json()?["state"] == "running").then_some(()))
    })
}

fn wait_for_partitions(instance: &mut Instance, is_right: impl Fn(usize) -> bool) -> Result<()> {
    wait_for_share(instance, PARTITIONS as usize, is_right)
}

/// Waits until the number of partitions that the instance reads is as it should be, and all others of `total` are known to be elsewhere.
pub(crate) fn wait_for_share(instance: &mut Instance, total: usize, is_right: impl Fn(usize) -> bool) -> Result<()> {
    instance.wait_for(LIMIT, "its share of the partitions", |instance| {
        let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
        let status = answer.json()?;
        let Some(topic) = status["topics"].get(0) else { return Ok(None) };
        let count = |list: &str| topic[list].as_array().map(Vec::len).context("a topic without a list");
        let (own, elsewhere) = (count("partitions")?, count("elsewhere")?);
        Ok((own + elsewhere == total && is_right(own)).then_some(()))
    })
}
