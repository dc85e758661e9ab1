//! A module that is behind the others catches up beside them, and joins them without a gap and without a doubled row.

use crate::audit;
use crate::case::Case;
use crate::releases::{LIMIT, configured_with, dirty, order, path, wait_products};
use crate::rewinds::{same_live, same_tables};
use anyhow::{Context, Result, bail, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::Producer;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    let kafka = |name, fault| Case::kafka(name, python, move |stage| resumed(stage, fault));
    vec![
        kafka("catch_up::a_resumed_module_joins_the_others", None),
        kafka("catch_up::one_that_is_killed_after_silver_joins_all_the_same", Some("silver.after:1")),
        kafka("catch_up::one_that_is_killed_before_its_row_joins_all_the_same", Some("commits.before:1")),
        Case::kafka("catch_up::a_rewound_module_joins_the_others", python, rewound),
        Case::kafka("catch_up::one_that_cannot_read_on_stops_nobody_else", python, stopped_alone),
        Case::kafka("catch_up::one_that_is_alone_and_cannot_read_on_is_moved", python, moved_on),
        Case::kafka("catch_up::two_instances_catch_up_each_with_its_own", python, shared),
    ]
}

const BEFORE: usize = 4_000;
const MISSED: usize = 60_000;
const ALL: usize = 70_000;

/// Two modules over one topic, of which `retail` was paused while `MISSED` events came.
fn world(stage: &Stage) -> Result<(Config, Producer, Vec<Event>)> {
    let events = dirty(ALL)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured_with(stage, None)?;
    config.set("catch_up", "behind", "1500").set("micro_batch", "rows", "2000");
    // For the version that takes its time.
    config.set("transform", "fuel", "100000000000");
    let wholesale =
        stage.product()?.variant("wholesale", "wholesale", &[("owner = \"retail\"", "owner = \"wholesale\"")])?;
    config.module("wholesale", &wholesale);
    Ok((config, Producer::new(&broker.bootstrap())?, events))
}

fn send(producer: &Producer, part: &[Event]) -> Result<()> {
    producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop)
}

fn offsets(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn both(instance: &mut Instance, count: usize) -> Result<()> {
    wait_products(instance, &[("retail/sales", offsets(count)), ("wholesale/sales", offsets(count))])
}

/// While one module catches up the other goes on with what comes; in the end both have made the same of every record.
fn resumed(stage: &Stage, fault: Option<&str>) -> Result<()> {
    let (mut config, producer, events) = world(stage)?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&producer, &events[..BEFORE])?;
    both(&mut instance, BEFORE)?;
    order(stage, &instance, &["pause", "retail"])?;
    send(&producer, &events[BEFORE..BEFORE + MISSED])?;
    wait_products(&mut instance, &[("wholesale/sales", offsets(BEFORE + MISSED))])?;
    audit::holds(stage, &config).context("while it is paused")?;
    // Where it is killed it gets to its end by itself.
    let slow = if fault.is_some() { slow(stage, "slow", 100_000)? } else { slower(stage)? };
    order(stage, &instance, &["deploy", path(&slow)?])?;
    order(stage, &instance, &["resume", "retail"])?;
    let rest = &events[BEFORE + MISSED..];
    if let Some(fault) = fault {
        instance.kill()?;
        killed(stage, &mut config, fault)?;
        instance = stage.start(&mut config)?;
        instance.wait_ready()?;
        send(&producer, rest)?;
    } else {
        beside(stage, &mut instance, &producer, rest)?;
    }
    both(&mut instance, ALL)?;
    ends_well(stage, instance, &config)
}

/// A version that makes the same rows and takes its time, by so many steps for each record.
fn slow(stage: &Stage, name: &str, steps: u32) -> Result<PathBuf> {
    let works = format!(
        "let mut work = 1_u64; \
        for step in 0..{steps}_u64 {{ work = std::hint::black_box(work.wrapping_mul(step | 1) ^ step); }} \
        if !line.unit_price.is_positive() {{"
    );
    stage.product()?.retail_variant(name, &[("if !line.unit_price.is_positive() {", works.as_str())])
}

/// One that is still catching up whenever it is looked at.
fn slower(stage: &Stage) -> Result<PathBuf> {
    slow(stage, "slower", 400_000)
}

/// Starts the pipeline again and again, each time with a fault that ends it while the module catches up.
fn killed(stage: &Stage, config: &mut Config, fault: &str) -> Result<()> {
    for _ in 0..3 {
        let mut instance = stage.start_with(config, &[("LAKEWARD_FAULT", fault)])?;
        wait::until(LIMIT, "the process to be killed", || instance.ended())?;
        let log = instance.log()?;
        ensure!(log.contains("catch up beside the others"), "it was killed before it began to catch up: {log}");
    }
    Ok(())
}

/// Waits until the slow version catches up, sends more bit by bit meanwhile until the other module is seen not to wait for it, and then
/// goes back to the quick one.
fn beside(stage: &Stage, instance: &mut Instance, producer: &Producer, rest: &[Event]) -> Result<()> {
    let status_of = |instance: &Instance| instance.get("/v1/status")?.json();
    instance.wait_for(LIMIT, "the module to catch up", |instance| {
        Ok((status_of(instance)?["catch_up"]["modules"] == serde_json::json!(["retail"])).then_some(()))
    })?;
    let mut parts = rest.chunks(rest.len() / 60 + 1);
    let mut stood = Vec::new();
    while stood.len() < 3 {
        let part = parts.next().with_context(|| format!("the other module stood still meanwhile: {stood:?}"))?;
        send(producer, part)?;
        wait::moment(Duration::from_millis(100));
        let status = status_of(instance)?;
        ensure!(status["catch_up"]["records_left"].is_i64(), "it no longer catches up: {}", status["catch_up"]);
        // Just after the start of a session nothing is said of tables yet.
        stood.extend(stands(&status, "wholesale/sales"));
        stood.dedup();
    }
    order(stage, instance, &["rollback", "retail"])?;
    parts.try_for_each(|part| send(producer, part))
}

/// The sum of the next offsets of a product's table.
fn stands(status: &Value, path: &str) -> Option<i64> {
    let mut products = status["products"].as_array()?.iter();
    let product = products.find(|product| product["path"] == path)?;
    Some(product["next_offsets"].as_object()?.values().filter_map(Value::as_i64).sum())
}

fn together(instance: &mut Instance) -> Result<()> {
    instance.wait_for(LIMIT, "all modules to be together again", |instance| {
        let status = instance.get("/v1/status")?.json()?;
        Ok((status["catch_up"].is_null() && status["modules"].as_array().is_some_and(|all| all.len() == 2))
            .then_some(()))
    })
}

fn ends_well(stage: &Stage, mut instance: Instance, config: &Config) -> Result<()> {
    together(&mut instance)?;
    same_live(&mut instance)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_tables(stage)?;
    audit::holds(stage, config)
}

/// The same for a module that is taken back to its first micro-batch.
fn rewound(stage: &Stage) -> Result<()> {
    let (mut config, producer, events) = world(stage)?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    for part in events[..BEFORE + MISSED].chunks(6_000) {
        send(&producer, part)?;
        wait::moment(Duration::from_millis(300));
    }
    both(&mut instance, BEFORE + MISSED)?;
    let first = first_micro_batch(stage)?;
    order(stage, &instance, &["deploy", path(&slower(stage)?)?])?;
    order(stage, &instance, &["rewind", "retail", "--to", &first])?;
    beside(stage, &mut instance, &producer, &events[BEFORE + MISSED..])?;
    both(&mut instance, ALL)?;
    ends_well(stage, instance, &config)
}

fn first_micro_batch(stage: &Stage) -> Result<String> {
    let sql = "select min(micro_batch) as n from c";
    let rows = stage.query(Engine::DuckDb, &[("c", "_lakeward/commits")], sql)?;
    let Some(first) = rows[0]["n"].as_i64() else { bail!("no micro-batch: {rows:?}") };
    Ok(first.to_string())
}

/// Each instance catches up with its own partitions; the answers are of all.
fn shared(stage: &Stage) -> Result<()> {
    let (mut config, producer, events) = world(stage)?;
    let mut first = stage.start(&mut config)?;
    first.wait_ready()?;
    let mut second = stage.start(&mut config)?;
    second.wait_ready()?;
    send(&producer, &events[..BEFORE])?;
    answered(&mut first, "retail", BEFORE)?;
    order(stage, &first, &["pause", "retail"])?;
    send(&producer, &events[BEFORE..BEFORE + MISSED])?;
    answered(&mut second, "wholesale", BEFORE + MISSED)?;
    order(stage, &second, &["resume", "retail"])?;
    send(&producer, &events[BEFORE + MISSED..])?;
    for instance in [&mut first, &mut second] {
        answered(instance, "retail", ALL)?;
        answered(instance, "wholesale", ALL)?;
    }
    ensure!(second.terminate()?.success(), "a stopped instance did not end well");
    answered(&mut first, "retail", ALL)?;
    ends_well(stage, first, &config)
}

/// Waits until an instance's committed answer is about so many records, wherever they were read.
fn answered(instance: &mut Instance, domain: &str, count: usize) -> Result<()> {
    instance.wait_for(LIMIT, "an answer about all records", |instance| {
        let path = format!("/v1/products/{domain}/sales_by_country/rows?view=committed&limit=1");
        // While modules change hands there is a moment without an answer.
        let Ok(answer) = instance.get(&path).and_then(|answer| answer.json()) else { return Ok(None) };
        let offsets = answer["as_of"]["offsets"].as_object().cloned().unwrap_or_default();
        Ok((offsets.values().filter_map(Value::as_i64).sum::<i64>() == self::offsets(count)).then_some(()))
    })
}

/// A module that was paused for longer than a partition's log reaches back stops there alone: the other one goes on in it, and it goes on in
/// the other partitions, until somebody says where it is to go on.
fn stopped_alone(stage: &Stage) -> Result<()> {
    let (mut config, producer, events) = world(stage)?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&producer, &events[..2_000])?;
    both(&mut instance, 2_000)?;
    order(stage, &instance, &["pause", "retail"])?;
    // More commits than are looked at for whoever is named in them.
    for part in events[2_000..4_000].chunks(80) {
        send(&producer, part)?;
        wait::moment(Duration::from_millis(300));
    }
    wait_products(&mut instance, &[("wholesale/sales", 4_000)])?;
    let status = instance.get("/v1/status")?.json()?;
    let first = |status: &Value, path: &str| {
        let product = status["products"].as_array()?.iter().find(|product| product["path"] == path)?.clone();
        product["next_offsets"]["orders#0/0"].as_i64().map(|next| (next, product["next_offsets"].clone()))
    };
    let (end, _) = first(&status, "wholesale/sales").context("where the other stands")?;
    stage.kafka()?.delete_records(retail::TOPIC, 0, end)?;
    order(stage, &instance, &["resume", "retail"])?;
    send(&producer, &events[4_000..5_000])?;
    let stood = instance.wait_for(LIMIT, "it to stop in one partition alone", |instance| {
        let status = instance.get("/v1/status")?.json()?;
        let why = status["catch_up"]["stopped"]["orders#0/0"].to_string();
        let (Some((own, mut all)), Some((_, mut others))) =
            (first(&status, "retail/sales"), first(&status, "wholesale/sales"))
        else {
            return Ok(None);
        };
        let is_named = why.contains(&format!("offset {own} of orders/0")) && why.contains("--module");
        let is_there = others.as_object().is_some_and(|of| of.values().filter_map(Value::as_i64).sum::<i64>() == 5_000);
        (all["orders#0/0"], others["orders#0/0"]) = (Value::Null, Value::Null);
        Ok((is_named && is_there && own < end && all == others).then_some(own))
    })?;
    let modules = instance.get("/v1/modules")?.json()?;
    let stopped = |name: &str| {
        let mut modules = modules["modules"].as_array().into_iter().flatten();
        modules.find(|module| module["module"] == name).map(|module| module["stopped"].clone()).unwrap_or_default()
    };
    ensure!(stopped("retail")["orders#0/0"].to_string().contains(&format!("offset {stood} ")), "{modules}");
    ensure!(stopped("wholesale") == json!({}), "{modules}");
    let verdict = audit::verify(stage, &config)?.report.to_string();
    let words = format!("orders#0/0@retail: the module is at {stood}, the log starts at {end}");
    ensure!(verdict.contains(&words), "no `{words}` in {verdict}");
    let (code, said) =
        audit::move_offsets(stage, &config, &["--module", "retail", "--partition", "0", "--to", "earliest"])?;
    ensure!(code == Some(0) && said.contains(&format!("orders#0/0@retail  {stood} -> {end}")), "{code:?} {said}");
    both(&mut instance, 5_000)?;
    together(&mut instance)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let lacks = format!(
        "select (select count(*) from w) - (select count(*) from r) as lacks, \
         (select count(*) from w where _lakeward_partition = 0 and _lakeward_offset >= {stood} and _lakeward_offset < {end}) as gone"
    );
    let tables = [("w", "silver/wholesale/sales"), ("r", "silver/retail/sales")];
    let found = stage.query(Engine::DuckDb, &tables, &lacks)?;
    ensure!(found[0]["lacks"] == found[0]["gone"] && found[0]["gone"].as_i64() > Some(0), "{found:?}");
    audit::holds(stage, &config)
}

/// The same of the only module: nobody else has moved what all share.
fn moved_on(stage: &Stage) -> Result<()> {
    let (mut config, producer, events) = world(stage)?;
    config.remove("modules.wholesale");
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&producer, &events[..2_000])?;
    wait_products(&mut instance, &[("retail/sales", 2_000)])?;
    order(stage, &instance, &["pause", "retail"])?;
    let status = instance.get("/v1/status")?.json()?;
    let product = status["products"].as_array().and_then(|all| all.iter().find(|of| of["path"] == "retail/sales"));
    let stood = product.and_then(|of| of["next_offsets"]["orders#0/0"].as_i64()).context("where it stands")?;
    send(&producer, &events[2_000..4_000])?;
    stage.kafka()?.delete_records(retail::TOPIC, 0, stood + 100)?;
    order(stage, &instance, &["resume", "retail"])?;
    instance.wait_for(LIMIT, "it to stop", |instance| {
        let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
        let why = answer.json()?["topics"][0]["stopped"]["0"].to_string();
        Ok(why.contains(&format!("offset {stood} of orders/0")).then_some(()))
    })?;
    let (code, said) =
        audit::move_offsets(stage, &config, &["--module", "retail", "--to", "latest", "--partition", "0"])?;
    ensure!(code == Some(64) && said.contains("would never be read by this module"), "{code:?} {said}");
    let (code, said) =
        audit::move_offsets(stage, &config, &["--module", "retail", "--to", "earliest", "--partition", "0"])?;
    ensure!(code == Some(0), "{code:?} {said}");
    wait_products(&mut instance, &[("retail/sales", 4_000)])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    audit::holds(stage, &config)
}
