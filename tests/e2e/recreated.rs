//! A topic that is deleted and made anew under its name is another topic: its id says so, wherever its offsets have got to.

use crate::audit::{self, COMMITS, SALES};
use crate::case::Case;
use crate::releases::{configured_with, path};
use crate::versions::{breaking, refused};
use anyhow::{Context, Result, ensure};
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::Producer;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail;
use lakeward_tests::stage::Stage;
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const EARLIEST: [&str; 4] = ["--all", "--to", "earliest", "--new-incarnation"];

pub(crate) fn cases() -> Vec<Case> {
    let needs = &[Need::RetailData];
    vec![
        Case::kafka("recreated::what_has_grown_past_the_tables_is_not_read_on", needs, grown),
        Case::kafka("recreated::it_is_noticed_while_running", needs, running),
        Case::kafka("recreated::offsets_within_the_log_of_the_same_topic_are_moved_only_on_purpose", needs, the_same),
    ]
}

/// Deletes the topic, makes it anew, and writes the events to it, in turn over two partitions.
fn recreate(stage: &Stage, events: &[retail::Event]) -> Result<()> {
    stage.kafka()?.delete(retail::TOPIC)?;
    stage.kafka()?.create(retail::TOPIC, 2)?;
    Producer::new(&stage.broker()?.bootstrap())?.send(retail::TOPIC, audit::messages(events, 2))?;
    Ok(())
}

fn grown(stage: &Stage) -> Result<()> {
    let config = audit::half_read(stage)?;
    stage.until_current(&config)?;
    // The tables stand at 1,000 of both partitions, which then hold 1,500.
    recreate(stage, &retail::events(5_000)?[2_000..])?;
    let finished = stage.call(&["run", "--until-current"], Some(&config.toml()))?;
    ensure!(finished.code == Some(1), "ended with {:?}: {}", finished.code, finished.stderr);
    for words in ["topic orders was deleted and made anew", "the broker has one with id", "--new-incarnation"] {
        ensure!(finished.stderr.contains(words), "no `{words}` in {}", finished.stderr);
    }
    let rows = audit::shown(stage, &config, SALES)?;
    ensure!(rows.iter().all(|row| row["next"] == json!(1_000) && row["recreated"] == json!(true)), "{rows:?}");
    let said = stage.call(&["offsets"], Some(&config.toml()))?.stderr;
    ensure!(said.contains("topic orders was made anew"), "{said}");
    audit::verify(stage, &config)?.ensure_fails("offsets", retail::TOPIC, "it was made anew")?;

    let (code, said) = audit::move_offsets(stage, &config, &["--all", "--to", "1200", "--yes"])?;
    ensure!(code == Some(64) && said.contains("--new-incarnation"), "{code:?} {said}");
    let (code, said) = audit::move_offsets(stage, &config, &EARLIEST)?;
    ensure!(code == Some(0) && said.contains("orders#1/0  none -> 0"), "{code:?} {said}");
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == 3_000, "{summary:?}");
    all_is_there(stage, &config, 5_000)
}

/// Nothing is lost or doubled, says the audit, and there are as many records as were ever written.
fn all_is_there(stage: &Stage, config: &lakeward_tests::config::Config, records: usize) -> Result<()> {
    let verdict = audit::verify(stage, config)?;
    verdict.ensure_holds()?;
    let detail = verdict.of("offsets", COMMITS)?["detail"].to_string();
    ensure!(detail.contains(&format!("4 partitions, {records} offsets")), "{detail}");
    let counted = verdict.of("counts", COMMITS)?["detail"].to_string();
    ensure!(counted.contains(&format!("{records} records = ")), "{counted}");
    Ok(())
}

fn topic(instance: &Instance) -> Result<Value> {
    Ok(instance.get("/v1/status")?.json()?["topics"][0].clone())
}

/// Waits until both partitions are read up to `next`.
fn wait_for_next(instance: &mut Instance, next: i64) -> Result<()> {
    instance.wait_for(LIMIT, &format!("both partitions to be at {next}"), |instance| {
        let committed = instance.get("/v1/products/retail/sales_by_country/rows?view=committed&limit=1")?.json()?;
        let offsets = &committed["as_of"]["offsets"];
        Ok((offsets["0"] == json!(next) && offsets["1"] == json!(next)).then_some(()))
    })
}

fn running(stage: &Stage) -> Result<()> {
    let events = retail::events(4_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = configured_with(stage, None)?;
    let producer = Producer::new(&broker.bootstrap())?;
    producer.send(retail::TOPIC, audit::messages(&events[..400], 2))?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    wait_for_next(&mut instance, 200)?;
    let early = instance.get("/v1/products/retail/sales_by_country/rows?view=committed&limit=1")?.json()?;
    let early = early["as_of"]["micro_batch"].to_string();
    producer.send(retail::TOPIC, audit::messages(&events[400..1_000], 2))?;
    wait_for_next(&mut instance, 500)?;

    recreate(stage, &events[1_000..])?;
    instance.wait_for(LIMIT, "both partitions to be stopped", |instance| {
        let stopped = topic(instance)?["stopped"].clone();
        let says = |partition: &str| stopped[partition].as_str().is_some_and(|why| why.contains("made anew"));
        Ok((says("0") && says("1")).then_some(()))
    })?;
    let ready = instance.get("/readyz")?;
    ensure!(ready.status == 503 && ready.body.contains("every partition is stopped"), "{}", ready.body);
    let state = instance.get("/v1/status")?.json()?["state"].clone();
    ensure!(state.as_str().is_some_and(|state| state.starts_with("waiting: every partition is stopped")), "{state}");
    let rows = audit::shown(stage, &config, SALES)?;
    ensure!(
        rows.iter().all(|row| row["next"] == json!(500)),
        "records of the new topic were taken for the old: {rows:?}"
    );

    // What was read of the old topic nobody reads again: not while the new one stands still, and not when it has been read.
    let renamed = breaking(stage, "regrouped", &[])?;
    let back = ["rewind", "retail", "--to", &early];
    let anew = ["deploy", path(&renamed)?, "--rebuild"];
    refused(stage, &instance, &back, 1, &["was made anew since"])?;
    refused(stage, &instance, &anew, 1, &["was made anew since", "--yes"])?;

    let (code, said) = audit::move_offsets(stage, &config, &EARLIEST)?;
    ensure!(code == Some(0), "{code:?} {said}");
    instance.wait_ready().context("after the move")?;
    wait_for_next(&mut instance, 1_500)?;
    refused(stage, &instance, &back, 1, &["was made anew since"])?;
    refused(stage, &instance, &anew, 1, &["was made anew since", "--yes"])?;
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    all_is_there(stage, &config, 4_000)
}

/// With the topic that the tables know there is nothing to make anew; whoever insists gets the records twice.
fn the_same(stage: &Stage) -> Result<()> {
    let config = audit::half_read(stage)?;
    let (code, said) = audit::move_offsets(stage, &config, &EARLIEST)?;
    ensure!(code == Some(64) && said.contains("say --yes"), "{code:?} {said}");
    let rows = audit::shown(stage, &config, SALES)?;
    ensure!(rows.iter().all(|row| row["incarnation"] == json!(0) && row["next"] == json!(500)), "{rows:?}");
    let (code, said) = audit::move_offsets(stage, &config, &[&EARLIEST[..], &["--yes"]].concat())?;
    ensure!(code == Some(0) && said.contains("orders#1/1  none -> 0"), "{code:?} {said}");
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == 2_000, "{summary:?}");
    audit::verify(stage, &config)?.ensure_holds()
}
