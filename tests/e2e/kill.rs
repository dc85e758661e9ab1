//! SIGKILL at any moment, start again: nothing lost, nothing twice.

use crate::audit;
use crate::case::Case;
use crate::exact;
use anyhow::{Context, Result, ensure};
use lakeward_tests::produce::{Counts, Producer};
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVENTS: usize = 60_000;
const ROUNDS: u64 = 6;
const PARTITIONS: i32 = 4;

pub(crate) fn cases() -> Vec<Case> {
    Case::both("kill::restarts_are_exact", &[Need::Python, Need::RetailData], restarts).into()
}

fn restarts(stage: &Stage) -> Result<()> {
    let mut events = retail::events(EVENTS)?;
    for event in events.iter_mut().step_by(997) {
        event.json.truncate(40);
    }
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, PARTITIONS)?;
    let producer = Producer::new(&broker.bootstrap())?;
    let mut config = stage.config(&["transforms/retail"])?;
    // Small and frequent, so that a kill lands in every part of a commit.
    config.set("micro_batch", "rows", "2000").text("micro_batch", "every", "200ms").text("gold", "every", "300ms");

    let done = AtomicBool::new(false);
    let produced = std::thread::scope(|scope| {
        let producing = scope.spawn(|| {
            let produced = slowly(&producer, &events);
            done.store(true, Ordering::Release);
            produced
        });
        for round in 0..ROUNDS {
            let instance = stage.start(&mut config)?;
            wait::moment(alive(round));
            instance.kill()?;
        }
        wait::until_true(Duration::from_secs(120), "all events to be written", || Ok(done.load(Ordering::Acquire)))?;
        producing.join().map_err(|_| anyhow::anyhow!("the producing thread panicked"))?
    })?;
    ensure!(produced.iter().sum::<i64>() == EVENTS as i64, "wrote {produced:?}");

    let summary = stage.until_current(&config)?;
    ensure!(summary.late == 0, "{summary:?}");
    exact::check(stage, &produced)?;
    let again = stage.until_current(&config)?;
    ensure!((again.records, again.dead_letters) == (0, 0), "a run with nothing to do did something: {again:?}");
    exact::check(stage, &produced)?;
    audit::holds(stage, &config)?;
    live_equals_gold(stage, &mut config)
}

/// Writes the events over some seconds, so that the kills fall among them.
fn slowly(producer: &Producer, events: &[Event]) -> Result<Counts> {
    let mut total = Counts::new();
    for part in events.chunks(EVENTS / 40) {
        let sent = producer.send(retail::TOPIC, part.iter().map(Event::message))?;
        total.resize(total.len().max(sent.len()), 0);
        total.iter_mut().zip(&sent).for_each(|(total, sent)| *total += sent);
        wait::moment(Duration::from_millis(100));
    }
    Ok(total)
}

/// How long a round's process lives: 0.3 to 2.5 s, spread by a multiplicative hash so that every run of the tests is alike.
fn alive(round: u64) -> Duration {
    Duration::from_millis(300 + (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 2200)
}

/// After a restart, what HTTP answers is what the gold table holds.
fn live_equals_gold(stage: &Stage, config: &mut lakeward_tests::config::Config) -> Result<()> {
    let mut instance = stage.start(config)?;
    instance.wait_ready()?;
    let answer =
        instance.get("/v1/products/retail/sales_by_country/rows?order=country,window_start&limit=100000")?.json()?;
    let live: Vec<_> = answer["rows"]
        .as_array()
        .context("an answer without rows")?
        .iter()
        .map(|row| json!([row["country"], row["window_start"], row["lines"], row["revenue"], row["customers"]]))
        .collect();
    let gold: Vec<_> = stage
        .query(
            lakeward_tests::readers::Engine::DeltaLake,
            &[exact::BY_COUNTRY],
            "SELECT country, window_start, lines, revenue, customers FROM gold ORDER BY country, window_start",
        )?
        .iter()
        .map(|row| json!([row["country"], row["window_start"], row["lines"], row["revenue"], row["customers"]]))
        .collect();
    let differing: Vec<_> = live.iter().zip(&gold).filter(|(live, gold)| live != gold).take(5).collect();
    ensure!(
        live.len() == gold.len() && differing.is_empty(),
        "{} live, {} gold: {differing:?}",
        live.len(),
        gold.len()
    );
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    Ok(())
}
