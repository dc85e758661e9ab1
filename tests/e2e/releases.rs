//! A module goes live without a restart, a bad one is undone, and every row can be led back to the code that made it.

use crate::audit;
use crate::case::Case;
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::Producer;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::{Finished, Stage};
use lakeward_tests::wait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const SALES: &str = "silver/retail/sales";
const COMMITS: &str = "_lakeward/commits";
const DEPLOYMENTS: &str = "_lakeward/deployments";
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// The operators of every case: one for all domains, one for another's.
pub(crate) const ANN: &str = "ann-has-a-long-token";
const BOB: &str = "bob-has-a-long-token";

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    let data = &[Need::RetailData];
    Vec::from_iter(Case::both("releases::every_row_is_of_one_version", python, every_row))
        .into_iter()
        .chain([
            Case::embedded("releases::what_is_refused_changes_nothing", data, refused),
            Case::kafka("releases::a_shadow_is_compared_before_it_counts", python, shadowed),
            Case::kafka("releases::a_paused_module_misses_nothing", python, paused),
        ])
        .collect()
}

/// A later version: it writes `SALE` for `sale`.
pub(crate) fn loud(stage: &Stage) -> Result<PathBuf> {
    stage.product()?.retail_variant("loud", &[("{ \"sale\" }", "{ \"SALE\" }")])
}

pub(crate) fn configured(stage: &Stage) -> Result<Config> {
    configured_with(stage, None)
}

/// The same, with a fault in every process.
pub(crate) fn configured_with(stage: &Stage, fault: Option<&str>) -> Result<Config> {
    let mut environment = vec![("LAKEWARD_TOKEN".to_owned(), ANN.to_owned())];
    environment.extend(fault.map(|fault| ("LAKEWARD_FAULT".to_owned(), fault.to_owned())));
    stage.set_environment(environment)?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("micro_batch", "every", "200ms").text("gold", "every", "300ms");
    config.text("operators.ann", "token", ANN);
    config.text("operators.bob", "token", BOB).set("operators.bob", "domains", "[\"logistics\"]");
    Ok(config)
}

/// The retail module beside its twin, which makes the same of the same topic under another owner; the topic is there.
pub(crate) fn with_twin(stage: &Stage, fault: Option<&str>) -> Result<Config> {
    stage.broker()?.create_topic(retail::TOPIC, 4)?;
    let mut config = configured_with(stage, fault)?;
    let twin = [("owner = \"retail\"", "owner = \"wholesale\"")];
    config.module("wholesale", &stage.product()?.variant("wholesale", "wholesale", &twin)?);
    Ok(config)
}

/// Calls a command that asks a running instance.
pub(crate) fn ask(stage: &Stage, instance: &Instance, arguments: &[&str]) -> Result<Finished> {
    let server = instance.server();
    stage.call(&[arguments, &["--server", &server, "--json"]].concat(), None)
}

/// The same, which is to work; what it prints.
pub(crate) fn order(stage: &Stage, instance: &Instance, arguments: &[&str]) -> Result<Value> {
    let finished = ask(stage, instance, arguments)?;
    ensure!(finished.code == Some(0), "{arguments:?} ended with {:?}: {}", finished.code, finished.stderr);
    serde_json::from_str(&finished.stdout).with_context(|| finished.stdout.clone())
}

pub(crate) fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not text")
}

/// Under a steady load: deployed, rolled back, killed, started again. Each row is of the version that the commits table names for it.
fn every_row(stage: &Stage) -> Result<()> {
    const EVENTS: usize = 30_000;
    let events = retail::events(EVENTS)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured(stage)?;
    let loud = loud(stage)?;
    let written = AtomicUsize::new(0);
    let producer = Producer::new(&broker.bootstrap())?;
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| slowly(&producer, &events, &written));
        let mut instance = stage.start(&mut config)?;
        instance.wait_ready()?;
        wait_written(&written, EVENTS / 5)?;
        let deployed = order(stage, &instance, &["deploy", path(&loud)?, "--why", "louder"])?;
        ensure!(deployed["sequence"] == 2 && deployed["module"] == "retail", "{deployed}");
        ensure!(!instance.log()?.contains("starting over"), "a deployment is no reason to start over");
        wait_written(&written, EVENTS * 2 / 5)?;
        let back = order(stage, &instance, &["rollback", "retail"])?;
        ensure!(back["sequence"] == 3 && back["digest"] != deployed["digest"], "{back}");
        wait_written(&written, EVENTS * 3 / 5)?;
        order(stage, &instance, &["deploy", path(&loud)?])?;
        wait_written(&written, EVENTS * 4 / 5)?;
        instance.kill()?;
        // The configuration still names the first version: the log of deployments decides.
        let mut instance = stage.start(&mut config)?;
        instance.wait_ready()?;
        producing.join().map_err(|_| anyhow::anyhow!("the producing thread panicked"))??;
        wait_products(&mut instance, &[("retail/sales", EVENTS as i64)])?;
        let modules = instance.get("/v1/modules/retail")?.json()?;
        ensure!(modules["digest"] == deployed["digest"] && modules["running"] == deployed["digest"], "{modules}");
        ensure!(modules["history"].as_array().map(Vec::len) == Some(4), "{modules}");
        ensure!(
            modules["history"][2]["why"] == "louder" && modules["history"][3]["who"] == "configuration",
            "{modules}"
        );
        ensure!(
            instance.log()?.contains("another module is deployed than the configuration's file"),
            "nothing was said"
        );
        ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
        let seen = led_back(stage, deployed["digest"].as_str().context("a digest")?)?;
        ensure!(seen[0] > 1_000 && seen[1] > 1_000, "both versions should have made rows: {seen:?}");
        Ok(())
    })?;
    audit::holds(stage, &config)
}

fn slowly(producer: &Producer, events: &[Event], written: &AtomicUsize) -> Result<()> {
    for part in events.chunks(events.len() / 100) {
        producer.send(retail::TOPIC, part.iter().map(Event::message))?;
        written.fetch_add(part.len(), Ordering::Release);
        wait::moment(Duration::from_millis(50));
    }
    Ok(())
}

fn wait_written(written: &AtomicUsize, count: usize) -> Result<()> {
    wait::until_true(LIMIT, "more events to be written", || Ok(written.load(Ordering::Acquire) >= count))
}

/// By every row of the commits table: the rows of its ranges are of the digest that it names. How many sales are of the first version, and
/// of the loud one.
pub(crate) fn led_back(stage: &Stage, loud: &str) -> Result<[usize; 2]> {
    let commits =
        stage.query(Engine::DuckDb, &[("c", COMMITS)], "select modules, offsets from c order by micro_batch")?;
    let sql = "select _lakeward_partition as p, _lakeward_offset as o, kind from s";
    let rows = stage.query(Engine::DuckDb, &[("s", SALES)], sql)?;
    let mut kinds: BTreeMap<(i64, i64), String> = BTreeMap::new();
    for row in &rows {
        let at = (row["p"].as_i64().context("a partition")?, row["o"].as_i64().context("an offset")?);
        let kind = row["kind"].as_str().context("a kind")?.to_owned();
        ensure!(kinds.insert(at, kind).is_none(), "{at:?} is there twice");
    }
    let mut seen = [0, 0];
    for commit in &commits {
        let modules: Value = serde_json::from_str(commit["modules"].as_str().context("modules")?)?;
        let offsets: BTreeMap<String, [i64; 2]> = serde_json::from_str(commit["offsets"].as_str().context("offsets")?)?;
        let is_loud = modules["retail"] == loud;
        for (partition, [from, next]) in offsets {
            let partition: i64 = partition.rsplit('/').next().context("a partition")?.parse()?;
            for (at, kind) in kinds.range((partition, from)..(partition, next)) {
                let wrong = if is_loud { "sale" } else { "SALE" };
                ensure!(kind != wrong, "the row of {at:?} is a {kind}, its micro-batch names {modules}");
                seen[usize::from(is_loud)] += usize::from(kind.eq_ignore_ascii_case("sale"));
            }
        }
    }
    Ok(seen)
}

fn refused(stage: &Stage) -> Result<()> {
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = configured(stage)?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let loud = loud(stage)?;
    let before = instance.get("/v1/modules")?.body;
    let text = stage.folder().join("no.wasm");
    std::fs::write(&text, "no component")?;
    let check = |arguments: &[&str], code: i32, words: &str| -> Result<()> {
        let finished = ask(stage, &instance, arguments)?;
        ensure!(finished.code == Some(code), "{arguments:?}: {:?}, {}", finished.code, finished.stderr);
        ensure!(finished.stderr.contains(words), "{arguments:?} says {}", finished.stderr);
        Ok(())
    };
    check(&["deploy", path(&text)?], 64, "is not WebAssembly")?;
    check(&["deploy", "nowhere.wasm"], 64, "cannot read the module")?;
    check(&["rollback", "retail"], 1, "no earlier version")?;
    check(&["rollback", "wholesale"], 1, "there is no module wholesale")?;
    check(&["resume", "retail"], 1, "is not paused")?;
    check(&["modules", "wholesale"], 1, "there is no module")?;
    let same = stage.product()?.module("transforms/retail")?;
    check(&["deploy", path(&same)?], 1, "already")?;
    // Of two who saw the same, one is first.
    let wrong = format!("{}/v1/modules?replaces={}", instance.server(), "0".repeat(64));
    let post = |url: &str, token: Option<&str>, body: Vec<u8>| -> Result<(i32, String)> {
        let mut request = minreq::post(url).with_body(body).with_timeout(60);
        if let Some(token) = token {
            request = request.with_header("Authorization", format!("Bearer {token}"));
        }
        let answer = request.send()?;
        Ok((answer.status_code, answer.as_str()?.to_owned()))
    };
    let bytes = std::fs::read(&loud)?;
    let (status, body) = post(&wrong, Some(ANN), bytes.clone())?;
    ensure!(status == 409 && body.contains("configuration was first"), "{status} {body}");
    let modules = format!("{}/v1/modules", instance.server());
    ensure!(post(&modules, None, bytes.clone())?.0 == 401, "an order without a token");
    ensure!(post(&modules, Some("guessed-and-wrong-token"), bytes.clone())?.0 == 401, "an order with a wrong token");
    let (status, body) = post(&modules, Some(BOB), bytes.clone())?;
    ensure!(status == 403 && body.contains("domain retail"), "{status} {body}");
    let (status, body) = post(&modules, Some(ANN), b"\0asm\x0d\0\x01\0".to_vec())?;
    ensure!(status == 422 && body.contains("not a transform"), "{status} {body}");
    ensure!(instance.get("/v1/modules")?.body == before, "something changed: {before}");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let rows = stage.query(Engine::DuckDb, &[("d", DEPLOYMENTS)], "select count(*) as n from d")?;
    ensure!(rows == [json!({"n": 1})], "{rows:?}");
    Ok(())
}

/// The candidate sees the same events, its rows go nowhere, and it is promoted where the conditions hold.
fn shadowed(stage: &Stage) -> Result<()> {
    const EVENTS: usize = 12_000;
    let events = retail::events(EVENTS)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured(stage)?;
    let loud = loud(stage)?;
    let renamed =
        [("    invoice: &'a str,", "    invoice_number: &'a str,"), ("invoice: line.", "invoice_number: line.")];
    let renamed = stage.product()?.retail_variant("renamed", &renamed)?;
    let producer = Producer::new(&broker.bootstrap())?;
    let send = |part: &[Event]| producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop);
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let refused = |arguments: &[&str], words: &[&str]| -> Result<()> {
        let finished = ask(stage, &instance, arguments)?;
        ensure!(finished.code == Some(1), "{arguments:?}: {:?}, {}", finished.code, finished.stderr);
        for words in words {
            ensure!(finished.stderr.contains(words), "{arguments:?} says {}", finished.stderr);
        }
        Ok(())
    };
    refused(&["promote", "retail"], &["has no shadow"])?;
    refused(&["deploy", path(&renamed)?], &["retail/sales invoice_number", "a rename"])?;
    let report = std::thread::scope(|scope| {
        let asking = scope.spawn(|| order(stage, &instance, &["shadow", path(&loud)?, "--records", "4000"]));
        wait::until_true(LIMIT, "the shadow to run", || {
            Ok(instance.get("/v1/modules/retail")?.json()?["shadow"].is_string())
        })?;
        // What is read before the shadow has begun is not compared.
        for part in events[..9_000].chunks(500) {
            send(part)?;
            wait::moment(Duration::from_millis(100));
        }
        asking.join().map_err(|_| anyhow::anyhow!("the asking thread panicked"))?
    })?;
    let (rows, records) = (&report["rows"], report["records"].as_i64().context("records")?);
    ensure!(records >= 4_000 && rows["only_old"] == 0 && rows["only_new"] == 0, "{report:#}");
    ensure!(rows["changed"].as_i64() > Some(3_000), "{report:#}");
    let columns = report["products"][0]["columns"].as_array().context("columns")?;
    let differing: Vec<&Value> = columns.iter().filter(|column| column["differs"].as_u64() > Some(0)).collect();
    ensure!(differing.len() == 1 && differing[0]["column"] == "kind", "{report:#}");
    refused(&["promote", "retail", "--if", "new_rejects = 0", "--if", "changed <= 0.1%"], &["changed <= 0.1%"])?;
    refused(&["promote", "retail", "--if", "speed = 0"], &["this is no condition"])?;
    refused(&["promote", path(&renamed)?], &["does not run as the shadow"])?;
    wait_products(&mut instance, &[("retail/sales", 9_000)])?;
    let silent = stage.query(Engine::DuckDb, &[("s", SALES)], "select count(*) as n from s where kind = 'SALE'")?;
    ensure!(silent == [json!({"n": 0})], "rows of a shadow are in the table: {silent:?}");
    let promoted =
        order(stage, &instance, &["promote", path(&loud)?, "--if", "new_rejects = 0", "--if", "records > 1000"])?;
    ensure!(promoted["digest"] == instance.get("/v1/modules/retail")?.json()?["running"], "{promoted}");
    send(&events[9_000..])?;
    wait_products(&mut instance, &[("retail/sales", EVENTS as i64)])?;
    order(stage, &instance, &["shadow", path(&stage.product()?.module("transforms/retail")?)?, "--for", "1s"])
        .err()
        .context("a shadow that saw nothing should say so")?;
    order(stage, &instance, &["shadow", "--end", "retail"])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    led_back(stage, promoted["digest"].as_str().context("a digest")?)?;
    audit::holds(stage, &config)
}

/// While it is paused its products stand still and nothing else does; then it catches up, without a gap and without a doubled row.
fn paused(stage: &Stage) -> Result<()> {
    let events = dirty(9_000)?;
    let mut config = with_twin(stage, None)?;
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    let send = |part: &[Event]| producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop);
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&events[..3_000])?;
    wait_products(&mut instance, &[("retail/sales", 3_000), ("wholesale/sales", 3_000)])?;
    let (stood, before) = (live(&instance)?, committed(&instance)?);
    order(stage, &instance, &["pause", "retail", "--why", "look at it first"])?;
    let modules = instance.get("/v1/modules/retail")?.json()?;
    ensure!(modules["paused"] == "look at it first" && modules["running"].is_null(), "{modules}");
    send(&events[3_000..6_000])?;
    wait_products(&mut instance, &[("wholesale/sales", 6_000), ("retail/sales", 3_000)])?;
    ensure!(live(&instance)? == stood, "what a paused module came to is no longer answered");
    let since = committed(&instance)? - before;
    ensure!(since == 3_000, "3,000 records came after the pause, {since} are said to be committed");
    audit::holds(stage, &config).context("while it is paused")?;
    // A restart does not end a pause.
    instance.kill()?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    ensure!(live(&instance)? == stood, "what a paused module came to is not answered after a restart");
    let rows = stage.query(
        Engine::DuckDb,
        &[("s", SALES)],
        "select count(distinct (_lakeward_partition, _lakeward_offset)) as n from s",
    )?;
    let count = rows[0]["n"].as_i64().context("a count")?;
    ensure!((2_700..=3_000).contains(&count), "{count} rows of 3,000 records");
    order(stage, &instance, &["resume", "retail"])?;
    send(&events[6_000..])?;
    wait_products(&mut instance, &[("retail/sales", 9_000), ("wholesale/sales", 9_000)])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let letters = stage.query(
        Engine::DuckDb,
        &[("d", "_lakeward/dead_letters")],
        "select module, count(*) as n, count(distinct (partition, \"offset\")) as records from d group by 1 order by 1",
    )?;
    ensure!(
        letters.len() == 2 && letters[0]["n"] == letters[1]["n"] && letters[0]["n"] == letters[0]["records"],
        "{letters:?}"
    );
    audit::holds(stage, &config)
}

/// How many records were committed since the process started.
fn committed(instance: &Instance) -> Result<i64> {
    let status = instance.get("/v1/status")?.json()?;
    status["commits"]["total"]["records"].as_i64().context("a status without records")
}

/// What is answered about retail's sales, but for which windows are closed: that is known a micro-batch later.
fn live(instance: &Instance) -> Result<Value> {
    let answer = instance.get("/v1/products/retail/sales_by_country/rows?order=country,window_start&limit=100000")?;
    let mut rows = answer.json()?["rows"].clone();
    ensure!(rows.as_array().is_some_and(|rows| !rows.is_empty()), "{rows}");
    rows.as_array_mut().into_iter().flatten().for_each(|row| row["final"] = Value::Null);
    Ok(rows)
}

/// Events of which every 37th breaks off.
pub(crate) fn dirty(count: usize) -> Result<Vec<Event>> {
    let mut events = retail::events(count)?;
    events.iter_mut().step_by(37).for_each(|event| event.json.truncate(40));
    Ok(events)
}

/// Waits until tables of products have taken so many offsets.
pub(crate) fn wait_products(instance: &mut Instance, expected: &[(&str, i64)]) -> Result<()> {
    instance.wait_for(LIMIT, "products to be committed", |instance| {
        let status = instance.get("/v1/status")?.json()?;
        let products = status["products"].as_array().context("products")?.clone();
        let stands = |path: &str| {
            let product = products.iter().find(|product| product["path"] == path)?;
            Some(product["next_offsets"].as_object()?.values().filter_map(Value::as_i64).sum::<i64>())
        };
        Ok(expected.iter().all(|(path, offsets)| stands(path) == Some(*offsets)).then_some(()))
    })
}
