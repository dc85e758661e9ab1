//! The two ways on from a breaking change: beside the old module as a version of its own, or in its place with the products made anew.

use crate::audit;
use crate::case::Case;
use crate::releases::{LIMIT, SALES, ask, configured_with, dirty, order, path, wait_products};
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

const SALES_V2: &str = "silver/retail/sales_v2";
const LETTERS: &str = "_lakeward/dead_letters";

/// A column under another name, another partitioning, another key of a gold product.
const BREAKING: [(&str, &str); 4] = [
    ("    invoice: &'a str,", "    invoice_number: &'a str,"),
    ("invoice: line.", "invoice_number: line."),
    ("\"month(sold_at)\"", "\"day(sold_at)\""),
    ("    #[key]\n    country: String,", "    #[key]\n    kind: String,"),
];

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    vec![
        Case::kafka("versions::a_version_is_filled_beside_the_old_module", python, beside),
        Case::kafka("versions::products_are_made_anew", python, |stage| rebuilt(stage, None)),
        Case::kafka("versions::a_rebuild_that_is_cut_off_goes_on", python, |stage| {
            rebuilt(stage, Some("rewind.after:2"))
        }),
        Case::kafka("versions::two_instances_make_them_anew_together", python, together),
        Case::kafka("versions::what_is_gone_is_made_anew_only_when_asked", python, lossy),
        Case::kafka("versions::what_bronze_has_is_not_gone", python, from_bronze),
    ]
}

/// The breaking module, with more of its source replaced.
fn breaking(stage: &Stage, name: &str, more: &[(&str, &str)]) -> Result<PathBuf> {
    stage.product()?.retail_variant(name, &[&BREAKING[..], more].concat())
}

fn send(producer: &Producer, part: &[Event]) -> Result<()> {
    producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop)
}

/// What must be refused with these words, and with this exit code.
fn refused(stage: &Stage, instance: &Instance, arguments: &[&str], code: i32, words: &[&str]) -> Result<()> {
    let finished = ask(stage, instance, arguments)?;
    ensure!(finished.code == Some(code), "{arguments:?}: {:?}, {}", finished.code, finished.stderr);
    for words in words {
        ensure!(finished.stderr.contains(words), "{arguments:?} says {}", finished.stderr);
    }
    Ok(())
}

fn modules(instance: &Instance) -> Result<Value> {
    instance.get("/v1/modules")?.json()
}

/// A version beside the old module: filled from the first record while processes die at every step of its first commits, released by
/// itself, and the old module knows nothing of it.
fn beside(stage: &Stage) -> Result<()> {
    let events = dirty(9_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured_with(stage, None)?;
    let producer = Producer::new(&broker.bootstrap())?;
    let renamed = breaking(stage, "renamed", &[])?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&producer, &events[..3_000])?;
    wait_products(&mut instance, &[("retail/sales", 3_000)])?;
    no_version(stage, &instance, &renamed)?;
    let answer = order(stage, &instance, &["deploy", path(&renamed)?, "--as-version", "2", "--dry-run"])?;
    ensure!(answer["module"] == "retail_v2" && answer["sequence"] == 0, "{answer}");
    ensure!(modules(&instance)?["modules"].as_array().map(Vec::len) == Some(1), "a question changed something");
    let deployed = order(stage, &instance, &["deploy", path(&renamed)?, "--as-version", "2", "--why", "by kind"])?;
    ensure!(deployed["module"] == "retail_v2" && deployed["sequence"] == 1, "{deployed}");
    instance.kill()?;
    for fault in
        ["silver.after:1", "dead_letters.before:1", "dead_letters.after:1", "state.after:1", "commits.before:1"]
    {
        let mut instance = stage.start_with(&mut config, &[("LAKEWARD_FAULT", fault)])?;
        wait::until_true(LIMIT, "the process to die", || Ok(instance.ended()?.is_some()))
            .with_context(|| format!("at {fault}"))?;
        audit::holds(stage, &config).with_context(|| format!("after {fault}"))?;
    }
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&producer, &events[3_000..4_500])?;
    wait_products(&mut instance, &[("retail/sales", 4_500), ("retail/sales_v2", 4_500)])?;
    same_but_for_names(stage, &events[..4_500])?;
    audit::holds(stage, &config)?;
    released_alone(stage, &mut instance, &producer, &events)?;
    let letters = ["dead-letters", "list", "--product", "retail/sales_v2", "--json"];
    let listed = stage.call(&letters, Some(&config.toml()))?;
    ensure!(listed.code == Some(0) && listed.stdout.contains("retail_v2"), "{}{}", listed.stdout, listed.stderr);
    let rows = instance.get("/v1/products/retail/sales_by_country_v2/rows?limit=1")?.json()?;
    ensure!(rows["rows"][0]["kind"].is_string(), "{rows}");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_but_for_names(stage, &events)?;
    let count = "select kind, count(*) as n from s group by 1 order by 1";
    let kinds = stage.query(Engine::DeltaLake, &[("s", SALES_V2)], count)?;
    ensure!(
        kinds.iter().any(|row| row["kind"] == "SALE") && kinds.iter().any(|row| row["kind"] == "sale"),
        "{kinds:?}"
    );
    audit::holds(stage, &config)
}

/// Versions that cannot be, each with its reason, and nothing changes.
fn no_version(stage: &Stage, instance: &Instance, renamed: &std::path::Path) -> Result<()> {
    let before = modules(instance)?;
    let renamed = path(renamed)?;
    let plain = stage.product()?.module("transforms/retail")?;
    let wholesale =
        stage.product()?.variant("wholesale", "wholesale", &[("owner = \"retail\"", "owner = \"wholesale\"")])?;
    let breaks =
        ["retail/sales invoice_number", "a rename", "it was grouped by country", "--as-version 2", "--rebuild"];
    refused(stage, instance, &["deploy", renamed], 1, &breaks)?;
    refused(stage, instance, &["deploy", renamed, "--as-version", "1"], 64, &["1 is not in 2.."])?;
    refused(stage, instance, &["deploy", path(&plain)?, "--as-version", "2"], 1, &["would be the same"])?;
    refused(
        stage,
        instance,
        &["deploy", path(&wholesale)?, "--as-version", "2"],
        1,
        &["nothing is deployed as module wholesale"],
    )?;
    refused(stage, instance, &["shadow", renamed, "--as-version", "2"], 1, &["there is no module retail_v2"])?;
    let bytes = std::fs::read(renamed)?;
    for (query, status, words) in [
        ("as_version=1", 422, "the first is 2"),
        ("as_version=two", 400, "`as_version` is a number"),
        ("rebuild=perhaps", 400, "`rebuild` is true or false"),
    ] {
        let url = format!("{}/v1/modules?{query}", instance.server());
        let request = minreq::post(url).with_body(bytes.clone()).with_timeout(60);
        let answer = request.with_header("Authorization", "Bearer ann-has-a-long-token").send()?;
        let body = answer.as_str()?;
        ensure!(answer.status_code == status && body.contains(words), "{query}: {} {body}", answer.status_code);
    }
    ensure!(modules(instance)? == before, "something changed: {before}");
    Ok(())
}

/// The version is deployed again, rolled back, shadowed and promoted; the plain module stays as it was.
fn released_alone(stage: &Stage, instance: &mut Instance, producer: &Producer, events: &[Event]) -> Result<()> {
    let loud = breaking(stage, "renamed-loud", &[("{ \"sale\" }", "{ \"SALE\" }")])?;
    let loud = path(&loud)?;
    let both = |instance: &mut Instance, offsets| {
        wait_products(instance, &[("retail/sales", offsets), ("retail/sales_v2", offsets)])
    };
    refused(stage, instance, &["deploy", loud], 1, &["a rename"])?;
    let deployed = order(stage, instance, &["deploy", loud, "--as-version", "2"])?;
    ensure!(deployed["module"] == "retail_v2" && deployed["sequence"] == 2, "{deployed}");
    send(producer, &events[4_500..6_000])?;
    both(instance, 6_000)?;
    let back = order(stage, instance, &["rollback", "retail_v2"])?;
    ensure!(back["sequence"] == 3 && back["digest"] != deployed["digest"], "{back}");
    let report = std::thread::scope(|scope| {
        let asking = scope.spawn(|| order(stage, instance, &["shadow", loud, "--as-version", "2", "--records", "500"]));
        wait::until_true(LIMIT, "the shadow to run", || {
            Ok(instance.get("/v1/modules/retail_v2")?.json()?["shadow"].is_string())
        })?;
        for part in events[6_000..7_500].chunks(500) {
            send(producer, part)?;
            wait::moment(Duration::from_millis(200));
        }
        asking.join().map_err(|_| anyhow::anyhow!("the asking thread panicked"))?
    })?;
    ensure!(report["rows"]["changed"].as_i64() > Some(0) && report["rows"]["only_new"] == 0, "{report:#}");
    both(instance, 7_500)?;
    let promoted = order(stage, instance, &["promote", "retail_v2", "--if", "new_rejects = 0"])?;
    ensure!(promoted["digest"] == deployed["digest"], "{promoted}");
    send(producer, &events[7_500..])?;
    both(instance, 9_000)?;
    let found = modules(instance)?;
    let history = |at: usize| found["modules"][at]["history"].as_array().map_or(0, Vec::len);
    ensure!(found["modules"][0]["module"] == "retail" && history(0) == 1 && history(1) == 5, "{found}");
    Ok(())
}

/// Both modules have made the same of every record, by the count of other code too; only names and groups differ.
fn same_but_for_names(stage: &Stage, events: &[Event]) -> Result<()> {
    let (rows, quantity) = expected(events);
    let sum = "select count(*) as n, count(distinct (_lakeward_partition, _lakeward_offset)) as records, \
               cast(sum(quantity) as bigint) as quantity from s";
    for (engine, table) in Engine::ALL.into_iter().flat_map(|engine| [(engine, SALES), (engine, SALES_V2)]) {
        let found = stage.query(engine, &[("s", table)], sum)?;
        ensure!(found == [json!({"n": rows, "records": rows, "quantity": quantity})], "{table}: {found:?}");
    }
    let own = |invoice: &str, from: &str| {
        format!(
            "select _lakeward_partition, _lakeward_offset, seq, {invoice}, lower(kind), line_total, sold_at from {from}"
        )
    };
    alike(stage, (SALES, &own("invoice", "l")), (SALES_V2, &own("invoice_number", "r")))?;
    let count = "select module, count(*) as n, count(distinct (partition, \"offset\", stage)) as records from d group by 1 order by 1";
    let found = stage.query(Engine::DuckDb, &[("d", LETTERS)], count)?;
    ensure!(found.len() == 2 && found.iter().all(|row| row["n"] == row["records"]), "{found:?}");
    ensure!(found[0]["n"] == found[1]["n"] && found[1]["module"] == "retail_v2", "{found:?}");
    Ok(())
}

/// Rows and the sum of their quantities, as the module's documentation has it and without its code.
fn expected(events: &[Event]) -> (i64, i64) {
    let sale = |event: &Event| -> Option<i64> {
        let line: Value = serde_json::from_str(&event.json).ok()?;
        let has_name = line["Description"].as_str().is_some_and(|name| !name.trim().is_empty());
        (line["UnitPrice"].as_f64()? > 0.0 && has_name).then(|| line["Quantity"].as_i64())?
    };
    let sales: Vec<i64> = events.iter().filter_map(sale).collect();
    (sales.len() as i64, sales.iter().sum())
}

/// Two tables hold the same, for both engines; each by its path and what is selected, from `l` and from `r`.
fn alike(stage: &Stage, left: (&str, &str), right: (&str, &str)) -> Result<()> {
    let (l, r) = (left.1, right.1);
    let sql = format!(
        "select (select count(*) from ({l})) as n, \
         (select count(*) from (({l} except all {r}) union all ({r} except all {l}))) as d"
    );
    for engine in Engine::ALL {
        let found = stage.query(engine, &[("l", left.0), ("r", right.0)], &sql)?;
        ensure!(found[0]["n"].as_i64() > Some(0) && found[0]["d"] == 0, "{} and {}: {found:?}", left.0, right.0);
    }
    Ok(())
}

/// The products of a module are made anew by one that breaks them, while another module over the same topic goes on: in the end they are
/// what a fresh pipeline makes of the topic.
fn rebuilt(stage: &Stage, fault: Option<&str>) -> Result<()> {
    let events = dirty(9_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured_with(stage, fault)?;
    if fault.is_none() {
        // Far enough behind to catch up beside the others.
        config.set("catch_up", "behind", "1500");
    }
    let wholesale =
        stage.product()?.variant("wholesale", "wholesale", &[("owner = \"retail\"", "owner = \"wholesale\"")])?;
    config.module("wholesale", &wholesale);
    let renamed = breaking(stage, "renamed", &[])?;
    let producer = Producer::new(&broker.bootstrap())?;
    let both = |instance: &mut Instance, offsets| {
        wait_products(instance, &[("retail/sales", offsets), ("wholesale/sales", offsets)])
    };
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    for part in events[..6_000].chunks(1_500) {
        send(&producer, part)?;
        wait::moment(Duration::from_millis(300));
    }
    both(&mut instance, 6_000)?;
    let before = modules(&instance)?;
    refused(stage, &instance, &["deploy", path(&wholesale)?, "--rebuild"], 1, &["already"])?;
    let said = order(stage, &instance, &["deploy", path(&renamed)?, "--rebuild", "--dry-run"])?.to_string();
    for words in ["a rename", "silver/retail/sales is emptied of its", "orders#0/3 is read again from offset 0"] {
        ensure!(said.contains(words), "{said}");
    }
    ensure!(modules(&instance)? == before, "a question changed something: {before}");
    let rebuilding = ask(stage, &instance, &["deploy", path(&renamed)?, "--rebuild", "--why", "by kind"])?;
    if fault.is_some() {
        // Each process comes two tables further.
        let mut starts = 0;
        instance = loop {
            starts += 1;
            ensure!(starts < 10, "the rebuild comes to no end");
            let mut instance = stage.start(&mut config)?;
            if instance.wait_ready().is_ok() {
                break instance;
            }
        };
        ensure!(starts > 1, "no process was killed");
    } else {
        ensure!(rebuilding.code == Some(0), "{}", rebuilding.stderr);
    }
    // A commit for each, so that the log of every table gets a checkpoint behind the change of its columns.
    for part in events[6_000..].chunks(100) {
        send(&producer, part)?;
        wait::moment(Duration::from_millis(300));
    }
    both(&mut instance, 9_000)?;
    nowhere_to_go(stage, &instance)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    as_if_fresh(stage, &config, &renamed)?;
    // The other module has neither stopped nor gone back, and the tables as they were are still to be read.
    let (rows, quantity) = expected(&events);
    let sum = "select count(*) as n, cast(sum(quantity) as bigint) as quantity from s";
    let found = stage.query(Engine::DuckDb, &[("s", "silver/wholesale/sales")], sum)?;
    ensure!(found == [json!({"n": rows, "quantity": quantity})], "{found:?}");
    past_stays(stage)?;
    audit::holds(stage, &config)
}

/// After a rebuild the tables take no older module, and go back to nothing before it.
fn nowhere_to_go(stage: &Stage, instance: &Instance) -> Result<()> {
    let before = instance.get("/v1/modules/retail")?.json()?;
    ensure!(before["history"][0]["action"] == "rebuild" && before["running"] == before["digest"], "{before}");
    refused(
        stage,
        instance,
        &["rollback", "retail"],
        1,
        &["the module does not fit the pipeline", "silver/retail/sales"],
    )?;
    refused(stage, instance, &["rewind", "retail", "--to", "1"], 1, &["there is nothing before that"])?;
    ensure!(instance.get("/v1/modules/retail")?.json()? == before, "something changed: {before}");
    Ok(())
}

/// A pipeline of its own, over the same topic and with the new module alone, comes to the same tables.
fn as_if_fresh(stage: &Stage, config: &Config, module: &std::path::Path) -> Result<()> {
    let mut fresh = config.clone();
    let location = stage.table("fresh").display().to_string();
    fresh.text("", "pipeline", "fresh").text("lake", "location", &location).remove("modules.wholesale");
    fresh.module("retail", module);
    stage.until_current(&fresh)?;
    for table in [SALES, "gold/retail/sales_by_country", "gold/retail/top_products"] {
        alike(stage, (table, "select * from l"), (&format!("fresh/{table}"), "select * from r"))?;
    }
    // By how much a row was late depends on how far the reading had come.
    let letters = |from: &str| {
        format!(
            "select topic, partition, \"offset\", stage, module_digest, status, tries, \
             case stage when 'aggregate' then '' else reason end as reason from {from} where module = 'retail'"
        )
    };
    alike(stage, (LETTERS, &letters("l")), (&format!("fresh/{LETTERS}"), &letters("r")))
}

/// The table as it was before it was emptied has its rows and its columns.
fn past_stays(stage: &Stage) -> Result<()> {
    let rebuilt =
        stage.query(Engine::DuckDb, &[("c", audit::COMMITS)], "select tables from c where kind = 'rebuilt'")?;
    ensure!(rebuilt.len() == 1, "{rebuilt:?}");
    let tables: Value = serde_json::from_str(rebuilt[0]["tables"].as_str().context("tables")?)?;
    let emptied = tables[SALES].as_u64().context("a version")?;
    let hint = std::fs::read_to_string(stage.table(SALES).join("_delta_log/_last_checkpoint"))?;
    let hint: Value = serde_json::from_str(&hint)?;
    ensure!(hint["version"].as_u64() > Some(emptied), "no checkpoint behind version {emptied}: {hint}");
    let sql =
        "select count(*) > 4000 and count(invoice) = count(*) and count(sold_at_month) = count(*) as stays from s";
    let found = stage.query_past(("s", SALES), emptied - 1, sql)?;
    ensure!(found == [json!({"stays": true})], "{found:?}");
    Ok(())
}

/// Of two instances one empties the tables while the other still writes: it finds other columns, starts over, and both go on.
fn together(stage: &Stage) -> Result<()> {
    let events = dirty(9_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured_with(stage, None)?;
    config.text("kafka.properties", "session.timeout.ms", "6000");
    let renamed = breaking(stage, "renamed", &[])?;
    let producer = Producer::new(&broker.bootstrap())?;
    let mut first = stage.start(&mut config)?;
    first.wait_ready()?;
    let mut second = stage.start(&mut config)?;
    second.wait_for(LIMIT, "the instances to share the topic", |instance| {
        let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
        let status = answer.json()?;
        let own = status["topics"][0]["partitions"].as_array().map_or(0, Vec::len);
        Ok((status["state"] == "running" && (1..4).contains(&own)).then_some(()))
    })?;
    let all = |instance: &mut Instance, offsets| wait_products(instance, &[("retail/sales", offsets)]);
    send(&producer, &events[..3_000])?;
    all(&mut first, 3_000)?;
    let rebuilt = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            events[3_000..6_000].chunks(100).try_for_each(|part| {
                wait::moment(Duration::from_millis(100));
                send(&producer, part)
            })
        });
        let rebuilt = order(stage, &second, &["deploy", path(&renamed)?, "--rebuild"]);
        writing.join().map_err(|_| anyhow::anyhow!("the writing thread panicked"))??;
        rebuilt
    })?;
    send(&producer, &events[6_000..])?;
    for instance in [&mut first, &mut second] {
        all(instance, 9_000)?;
        let found = instance.get("/v1/modules/retail")?.json()?;
        ensure!(found["running"] == rebuilt["digest"], "{found}");
    }
    ensure!(first.terminate()?.success() && second.terminate()?.success(), "an instance did not end well");
    as_if_fresh(stage, &config, &renamed)?;
    audit::holds(stage, &config)
}

/// Records that have left the log are read again from bronze: nothing is gone.
fn from_bronze(stage: &Stage) -> Result<()> {
    let events = dirty(3_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = configured_with(stage, None)?;
    config.set("topics.orders", "bronze", "true");
    let renamed = breaking(stage, "renamed", &[])?;
    let producer = Producer::new(&broker.bootstrap())?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&producer, &events[..2_000])?;
    wait_products(&mut instance, &[("retail/sales", 2_000)])?;
    for partition in [0, 1] {
        stage.kafka()?.delete_records(retail::TOPIC, partition, 300)?;
    }
    order(stage, &instance, &["deploy", path(&renamed)?, "--rebuild"])?;
    order(stage, &instance, &["deploy", path(&stage.product()?.module("transforms/retail")?)?, "--as-version", "2"])?;
    send(&producer, &events[2_000..])?;
    wait_products(&mut instance, &[("retail/sales", 3_000), ("retail/sales_v2", 3_000)])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let (rows, quantity) = expected(&events);
    let sum = "select count(*) as n, cast(sum(quantity) as bigint) as quantity from s";
    for table in [SALES, SALES_V2] {
        let found = stage.query(Engine::DuckDb, &[("s", table)], sum)?;
        ensure!(found == [json!({"n": rows, "quantity": quantity})], "{table}: {found:?}");
    }
    audit::holds(stage, &config)
}

/// Where records are gone, a rebuild is refused; what is left of them is enough only when somebody says so.
fn lossy(stage: &Stage) -> Result<()> {
    let events = dirty(3_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = configured_with(stage, None)?;
    let renamed = breaking(stage, "renamed", &[])?;
    let producer = Producer::new(&broker.bootstrap())?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    // In turn over the partitions: of the first one, the first 800 events will be gone by half.
    let send = |part: &[Event]| {
        let placed = part.iter().zip([0, 1].into_iter().cycle());
        let placed = placed.map(|(event, partition)| Message::placed(partition, event.json.as_bytes()));
        producer.send(retail::TOPIC, placed).map(drop)
    };
    send(&events[..2_000])?;
    wait_products(&mut instance, &[("retail/sales", 2_000)])?;
    stage.kafka()?.delete_records(retail::TOPIC, 0, 400)?;
    let before = modules(&instance)?;
    let words = ["orders#0/0 was read from offset 0 on, but its log starts at 400", "--yes"];
    refused(stage, &instance, &["deploy", path(&renamed)?, "--rebuild"], 1, &words)?;
    ensure!(modules(&instance)? == before, "something changed: {before}");
    order(stage, &instance, &["deploy", path(&renamed)?, "--rebuild", "--yes"])?;
    send(&events[2_000..])?;
    wait_products(&mut instance, &[("retail/sales", 3_000)])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let left = events.iter().enumerate().filter(|(at, _)| at % 2 == 1 || at / 2 >= 400);
    let (rows, quantity) = expected(&left.map(|(_, event)| event.clone()).collect::<Vec<_>>());
    let sum = "select count(*) as n, cast(sum(quantity) as bigint) as quantity from s";
    for engine in Engine::ALL {
        let found = stage.query(engine, &[("s", SALES)], sum)?;
        ensure!(found == [json!({"n": rows, "quantity": quantity})], "{found:?}");
    }
    audit::holds(stage, &config)
}
