//! A module that fails on most of its records is parked, and hurts only itself; what it missed is made up for to the record.

use crate::audit;
use crate::case::Case;
use crate::dead_letters::{count, request, wait_executed};
use crate::releases::{LIMIT, SALES, ask, configured_with, dirty, order, path, wait_products, with_twin};
use crate::rewinds::same_tables;
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const COMMANDS: &str = "commands";
const DEPLOYMENTS: (&str, &str) = ("d", "_lakeward/deployments");

/// What the broken version says of a record that it fails on.
const BROKEN: &str = "broke me";

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    let killed = ["parking.before:1", "parking.after:1", "commits.before:1"].map(|point| {
        let name = format!("parking::killed_at_{}", point.split(':').next().unwrap_or(point).replace('.', "_"));
        Case::kafka(&name, python, move |stage| alone(stage, Some(point)))
    });
    Vec::from(killed)
        .into_iter()
        .chain([
            Case::kafka("parking::a_failing_module_is_parked_alone", python, |stage| alone(stage, None)),
            Case::kafka("parking::several_instances_park_once", python, several),
            Case::embedded("parking::rejects_and_a_few_traps_park_nobody", &[Need::Python], spared),
            Case::kafka("parking::a_rule_that_stops_a_product_stops_nobody_else", python, stopped),
            Case::kafka("parking::a_rule_that_stops_on_the_way_stops_nobody_else", python, on_the_way),
            Case::kafka("parking::one_that_never_ends_is_given_up_on", python, endless),
        ])
        .collect()
}

/// The retail module and its twin over the same topic, and what is to be sent to them.
struct World<'a> {
    stage: &'a Stage,
    config: Config,
    producer: Producer,
    events: Vec<Event>,
}

impl<'a> World<'a> {
    fn new(stage: &'a Stage) -> Result<Self> {
        let config = with_twin(stage, None)?;
        let producer = Producer::new(&stage.broker()?.bootstrap())?;
        Ok(Self { stage, config, producer, events: dirty(9_000)? })
    }

    /// A version that panics on two of three lines.
    fn broken(&self) -> Result<PathBuf> {
        let rule = format!("if line.seq % 3 != 0 {{ panic!(\"line {{}} {BROKEN}\", line.seq); }}\n    ");
        let first = "if !line.unit_price.is_positive() {";
        self.stage.product()?.retail_variant("broken", &[(first, &(rule + first))])
    }

    fn send(&self, part: std::ops::Range<usize>) -> Result<()> {
        for events in self.events[part].chunks(500) {
            self.producer.send(retail::TOPIC, events.iter().map(Event::message))?;
            wait::moment(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The mended version is deployed, which ends the parking, and gets what the broken one had failed on.
    fn mend(&self, instance: &mut Instance) -> Result<()> {
        let mended = self.stage.product()?.module("transforms/retail")?;
        order(self.stage, instance, &["deploy", path(&mended)?, "--why", "mended"])?;
        both(instance, 9_000)?;
        let failed = count(self.stage, &self.config, &["--reason", BROKEN])?;
        ensure!(failed >= 20, "{failed} records are too few to park a module");
        ensure!(
            request(self.stage, &self.config, &["redrive", "--reason", BROKEN])? == failed,
            "not all were redriven"
        );
        wait_executed(self.stage, &self.config, instance)?;
        ensure!(count(self.stage, &self.config, &["--reason", BROKEN])? == 0, "some failed again");
        Ok(())
    }
}

/// While one module is parked its twin goes on; mended, it becomes what its twin is. With a fault the process is killed there.
fn alone(stage: &Stage, fault: Option<&str>) -> Result<()> {
    let mut world = World::new(stage)?;
    let mut instance = stage.start(&mut world.config)?;
    instance.wait_ready()?;
    world.send(0..3_000)?;
    both(&mut instance, 3_000)?;
    let broken = world.broken()?;
    if let Some(fault) = fault {
        instance.kill()?;
        instance = stage.start_with(&mut world.config, &[("LAKEWARD_FAULT", fault)])?;
        instance.wait_ready()?;
    }
    order(stage, &instance, &["deploy", path(&broken)?])?;
    world.send(3_000..4_500)?;
    if let Some(fault) = fault {
        wait::until(LIMIT, &format!("the end at {fault}"), || instance.ended())?;
        audit::verify(stage, &world.config)?.ensure_holds().with_context(|| format!("killed at {fault}"))?;
        instance = stage.start(&mut world.config)?;
        instance.wait_ready()?;
    }
    world.send(4_500..6_000)?;
    let why = wait_parked(&mut instance)?;
    ensure!(why.contains("it failed on") && why.contains(BROKEN), "{why}");
    told(stage, &instance)?;
    let before = stood(stage)?;
    world.send(6_000..9_000)?;
    wait_products(&mut instance, &[("wholesale/sales", 9_000)])?;
    let after = stood(stage)?;
    ensure!(before == after, "a parked module's product went on from {before:?} to {after:?}");
    audit::verify(stage, &world.config)?.ensure_holds().context("while it is parked")?;
    world.mend(&mut instance)?;
    let metrics = instance.get("/metrics")?.body;
    ensure!(metrics.contains("lakeward_module_parked{module=\"retail\"} 0"), "{metrics}");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_tables(stage)?;
    audit::holds(stage, &world.config)
}

/// Each judges its own records, one of them decides, all follow.
fn several(stage: &Stage) -> Result<()> {
    let mut world = World::new(stage)?;
    world.config.text("kafka.properties", "session.timeout.ms", "6000");
    let mut first = stage.start(&mut world.config)?;
    first.wait_ready()?;
    let mut second = stage.start(&mut world.config)?;
    for instance in [&mut first, &mut second] {
        instance.wait_for(LIMIT, "a share of the partitions", |instance| {
            let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
            let own = answer.json()?["topics"][0]["partitions"].as_array().map_or(0, Vec::len);
            Ok((1..4).contains(&own).then_some(()))
        })?;
    }
    order(stage, &first, &["deploy", path(&world.broken()?)?])?;
    world.send(0..6_000)?;
    for instance in [&mut first, &mut second] {
        wait_parked(instance)?;
    }
    let parked = "select module, who, count(*) as n from d where action = 'park' group by all";
    let parked = stage.query(Engine::DuckDb, &[DEPLOYMENTS], parked)?;
    ensure!(parked == [json!({"module": "retail", "who": "lakeward", "n": 1})], "{parked:?}");
    ensure!(first.terminate()?.success(), "an instance did not leave well");
    world.send(6_000..9_000)?;
    wait_products(&mut second, &[("wholesale/sales", 9_000)])?;
    world.mend(&mut second)?;
    ensure!(second.terminate()?.success(), "an instance did not end well");
    same_tables(stage)?;
    audit::holds(stage, &world.config)
}

/// The hostile module over commands; it is the only one.
fn spared(stage: &Stage) -> Result<()> {
    let broker = stage.broker()?;
    broker.create_topic(COMMANDS, 1)?;
    let mut config = configured_with(stage, None)?;
    config.remove("modules.retail");
    config.module("evil", &stage.product()?.module("tests/evil")?);
    let producer = Producer::new(&broker.bootstrap())?;
    let mut sent = 0;
    let mut send = |instance: &mut Instance, parts: &[(usize, &str)]| -> Result<()> {
        let commands = parts.iter().flat_map(|(times, command)| std::iter::repeat_n(*command, *times));
        let message = |command: &str| Message::placed(0, json!({ "id": 1, "command": command }).to_string());
        sent += producer.send(COMMANDS, commands.map(message))?.iter().sum::<i64>();
        wait_products(instance, &[("evil/echoes", sent)])
    };
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    // All of a quiet topic, but only 15 of them; then mostly rejects; then many failures, but among more that are not.
    send(&mut instance, &[(15, "panic")])?;
    send(&mut instance, &[(300, "reject"), (20, "ok")])?;
    send(&mut instance, &[(100, "ok"), (100, "utf8")])?;
    let status = instance.wait_for(LIMIT, "the module to be metered", |instance| {
        let status = instance.get("/v1/status")?.json()?["modules"][0].clone();
        Ok((status["records"] == 535).then_some(status))
    })?;
    ensure!(status["parked"].is_null() && status["rejects"] == 415 && status["failures"] == 115, "{status}");
    ensure!(status["call"]["memory_bytes"]["most"].as_u64() > Some(0), "{status}");
    let rows = status["rows"].as_u64();
    ensure!(rows == Some(120) && status["calls"].as_u64() > status["traps"].as_u64(), "{status}");
    // Now it fails on most: it is parked, and the pipeline has nothing to read.
    let before = stage.query(Engine::DuckDb, &[DEPLOYMENTS], "select count(*) as n from d")?;
    ensure!(before == [json!({"n": 1})], "{before:?}");
    producer
        .send(COMMANDS, (0..600).map(|id| Message::placed(0, json!({"id": id, "command": "panic"}).to_string())))?;
    let why = wait_parked(&mut instance)?;
    ensure!(why.contains("`the module panicked on purpose`"), "{why}");
    audit::verify(stage, &config)?.ensure_holds().context("while the only module is parked")?;
    order(stage, &instance, &["resume", "evil"])?;
    producer.send(COMMANDS, (0..700).map(|id| Message::placed(0, json!({"id": id, "command": "ok"}).to_string())))?;
    wait_products(&mut instance, &[("evil/echoes", 535 + 600 + 700)])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let echoes = stage.query(Engine::DuckDb, &[("e", "silver/evil/echoes")], "select count(*) as n from e")?;
    ensure!(echoes == [json!({"n": 120 + 700})], "{echoes:?}");
    audit::holds(stage, &config)
}

/// A broken rule of the kind `stop` parks its module at that record, in whatever partition; a batch job ends there.
fn stopped(stage: &Stage) -> Result<()> {
    let mut world = World::new(stage)?;
    let stopping = stopping(stage)?;
    let mut instance = stage.start(&mut world.config)?;
    instance.wait_ready()?;
    world.send(0..3_000)?;
    both(&mut instance, 3_000)?;
    order(stage, &instance, &["deploy", path(&stopping)?])?;
    world.send(3_000..6_000)?;
    let why = wait_parked(&mut instance)?;
    ensure!(why.contains("product retail/sales stopped at orders/") && why.contains("value < 4000"), "{why}");
    wait_products(&mut instance, &[("wholesale/sales", 6_000)])?;
    let rows = stage.query(Engine::DuckDb, &[("s", SALES)], "select max(seq) as seq from s")?;
    ensure!(rows[0]["seq"].as_i64() < Some(4_000), "{rows:?}");
    audit::verify(stage, &world.config)?.ensure_holds().context("while it is parked")?;
    order(stage, &instance, &["rollback", "retail"])?;
    world.send(6_000..9_000)?;
    both(&mut instance, 9_000)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_tables(stage)?;
    audit::holds(stage, &world.config)
}

/// A version that stops from the 4,000th line on.
fn stopping(stage: &Stage) -> Result<PathBuf> {
    let column = "    seq: i64,\n    invoice: &'a str,";
    let rule = format!("    #[product(expect = \"value < 4000\", on_violation = \"stop\")]\n{column}");
    stage.product()?.retail_variant("stopping", &[(column, &rule)])
}

/// A version that died amid a commit is to finish it before another goes on, and its own rule stops it before it has: its module is parked
/// until it is taken back, and its twin goes on.
fn on_the_way(stage: &Stage) -> Result<()> {
    let mut world = World::new(stage)?;
    let plain = stage.product()?.module("transforms/retail")?;
    world.config.module("retail", &stopping(stage)?);
    let mut instance = stage.start(&mut world.config)?;
    instance.wait_ready()?;
    world.send(0..3_000)?;
    both(&mut instance, 3_000)?;
    let newest = instance.get("/v1/status")?.json()?["commits"]["micro_batch"].to_string();
    instance.kill()?;
    let mut dying = stage.start_with(&mut world.config, &[("LAKEWARD_FAULT", "dead_letters.before:1")])?;
    dying.wait_ready()?;
    world.send(3_000..3_500)?;
    wait::until(LIMIT, "the end amid a commit", || dying.ended())?;
    world.send(3_500..6_000)?;
    // Time enough to come to that line before anything is committed.
    world.config.text("micro_batch", "every", "3s");
    instance = stage.start(&mut world.config)?;
    wait_parked(&mut instance)?;
    wait_products(&mut instance, &[("wholesale/sales", 6_000)])?;
    order(stage, &instance, &["deploy", path(&plain)?])?;
    world.send(6_000..7_500)?;
    instance.wait_for(LIMIT, "the module to be parked again", |instance| {
        let why = instance.get("/v1/modules/retail")?.json()?["paused"].to_string();
        Ok((why.contains("has to finish what it had begun") && why.contains("value < 4000")).then_some(()))
    })?;
    wait_products(&mut instance, &[("wholesale/sales", 7_500)])?;
    order(stage, &instance, &["rewind", "retail", "--to", &newest])?;
    order(stage, &instance, &["resume", "retail"])?;
    world.send(7_500..9_000)?;
    both(&mut instance, 9_000)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_tables(stage)?;
    audit::holds(stage, &world.config)
}

/// Every record would hold the only worker up until its fuel is used up. Nothing of it is committed, as the active module or beside it; its
/// twin over the same topic gets its turn.
fn endless(stage: &Stage) -> Result<()> {
    let mut world = World::new(stage)?;
    world.config.set("workers", "count", "1").set("transform", "fuel", "200000000");
    let first = "if !line.unit_price.is_positive() {";
    let rule = format!("if line.seq >= 0 {{ loop {{ std::hint::black_box(line.seq); }} }}\n    {first}");
    let endless = stage.product()?.retail_variant("endless", &[(first, &rule)])?;
    let mut instance = stage.start(&mut world.config)?;
    instance.wait_ready()?;
    world.send(0..1_500)?;
    both(&mut instance, 1_500)?;
    std::thread::scope(|scope| {
        // The command waits for a report, which there is none of.
        let asking = scope.spawn(|| ask(stage, &instance, &["shadow", path(&endless)?, "--for", "1s"]));
        wait::until_true(LIMIT, "the shadow to run", || {
            Ok(instance.get("/v1/modules/retail")?.json()?["shadow"].is_string())
        })?;
        asking.join().map_err(|_| anyhow::anyhow!("the asking thread panicked"))?.map(drop)
    })?;
    world.send(1_500..3_000)?;
    let decided = |what: &str| {
        let history = instance.get("/v1/modules/retail")?.json()?["history"].clone();
        let is_it = history[0]["action"] == what && history[0]["who"] == "lakeward";
        Ok(is_it.then(|| history[0]["why"].to_string()))
    };
    let why = wait::until(LIMIT, "the shadow to be ended", || decided("end_shadow"))?;
    ensure!(why.contains("took too long over the rest: `the module used up its fuel`"), "{why}");
    order(stage, &instance, &["deploy", path(&endless)?])?;
    world.send(3_000..6_000)?;
    let why = wait::until(LIMIT, "the module to be parked", || decided("park"))?;
    ensure!(why.contains("took too long over the rest: `the module used up its fuel`"), "{why}");
    wait_products(&mut instance, &[("wholesale/sales", 6_000)])?;
    ensure!(count(stage, &world.config, &["--reason", "used up its fuel"])? == 0, "something of it was committed");
    let mended = stage.product()?.module("transforms/retail")?;
    order(stage, &instance, &["rollback", "retail"])?;
    ensure!(ask(stage, &instance, &["deploy", path(&mended)?])?.stderr.contains("already"), "not the version before");
    world.send(6_000..9_000)?;
    both(&mut instance, 9_000)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_tables(stage)?;
    audit::holds(stage, &world.config)
}

fn both(instance: &mut Instance, offsets: i64) -> Result<()> {
    wait_products(instance, &[("retail/sales", offsets), ("wholesale/sales", offsets)])
}

/// Waits until the first module that is parked gets no records any more; gives the reason.
fn wait_parked(instance: &mut Instance) -> Result<String> {
    instance.wait_for(LIMIT, "the module to be parked", |instance| {
        let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
        let status = answer.json()?;
        let mut modules = status["modules"].as_array().into_iter().flatten();
        Ok(modules.find_map(|module| module["parked"].as_str()).map(str::to_owned))
    })
}

/// Up to where the records of the parked module have become rows.
fn stood(stage: &Stage) -> Result<Vec<Value>> {
    let sql = "select _lakeward_partition as p, count(*) as n, max(_lakeward_offset) as o from s group by 1 order by 1";
    stage.query(Engine::DuckDb, &[("s", SALES)], sql)
}

/// Everybody who looks is told.
fn told(stage: &Stage, instance: &Instance) -> Result<()> {
    let modules = instance.get("/v1/modules/retail")?.json()?;
    ensure!(modules["parked"] == true && modules["running"].is_null(), "{modules}");
    let last = &modules["history"][0];
    ensure!(last["action"] == "park" && last["who"] == "lakeward" && last["why"] == modules["paused"], "{modules}");
    let metrics = instance.get("/metrics")?.body;
    for line in ["lakeward_module_parked{module=\"retail\"} 1", "lakeward_module_parked{module=\"wholesale\"} 0"] {
        ensure!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let log = instance.log()?;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("a module is parked")).collect();
    ensure!(lines.len() == 1 && lines[0].contains(BROKEN), "{lines:?}");
    let server = instance.server();
    for arguments in [&["modules", "--server", &server][..], &["modules", "retail", "--server", &server]] {
        let said = stage.call(arguments, None)?.stdout;
        ensure!(said.contains("parked: it failed on"), "{arguments:?}: {said}");
    }
    let refused = ask(stage, instance, &["pause", "retail"])?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("gets no records already"), "{}", refused.stderr);
    Ok(())
}
