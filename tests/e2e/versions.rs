//! A module that breaks what readers rely on is deployed beside the old one, as a version of its own.

use crate::audit;
use crate::case::Case;
use crate::releases::{LIMIT, SALES, ask, configured_with, dirty, order, path, wait_products};
use anyhow::{Context, Result, ensure};
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

pub(crate) const SALES_V2: &str = "silver/retail/sales_v2";
pub(crate) const LETTERS: &str = "_lakeward/dead_letters";

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
        Case::embedded("versions::a_product_that_is_new_in_a_module_is_made_with_all_others", python, one_more),
    ]
}

/// The breaking module, with more of its source replaced.
pub(crate) fn breaking(stage: &Stage, name: &str, more: &[(&str, &str)]) -> Result<PathBuf> {
    stage.product()?.retail_variant(name, &[&BREAKING[..], more].concat())
}

pub(crate) fn send(producer: &Producer, part: &[Event]) -> Result<()> {
    producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop)
}

/// What must be refused with these words, and with this exit code.
pub(crate) fn refused(stage: &Stage, instance: &Instance, arguments: &[&str], code: i32, words: &[&str]) -> Result<()> {
    let finished = ask(stage, instance, arguments)?;
    ensure!(finished.code == Some(code), "{arguments:?}: {:?}, {}", finished.code, finished.stderr);
    for words in words {
        ensure!(finished.stderr.contains(words), "{arguments:?} says {}", finished.stderr);
    }
    Ok(())
}

pub(crate) fn modules(instance: &Instance) -> Result<Value> {
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
    let renamed = breaking(stage, "regrouped", &[])?;
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

/// What a running module did not make it cannot begin to make beside its rows and dead letters: not in a later version, not in an earlier one,
/// and not under another name.
fn one_more(stage: &Stage) -> Result<()> {
    let events = dirty(3_000)?;
    stage.broker()?.create_topic(retail::TOPIC, 2)?;
    let mut config = configured_with(stage, None)?;
    let all = "gold = [SalesByCountry, TopProducts]";
    let fewer = stage.product()?.retail_variant("fewer", &[(all, "gold = [SalesByCountry]")])?;
    let more = stage.product()?.module("transforms/retail")?;
    let other = stage.product()?.variant("market", "market", &[(all, "gold = [TopProducts]")])?;
    config.module("retail", &fewer);
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&producer, &events[..1_500])?;
    wait_products(&mut instance, &[("retail/sales", 1_500)])?;
    let before = modules(&instance)?;
    let words = ["retail/top_products", "it is new", "deploy --as-version 2", "deploy --rebuild"];
    refused(stage, &instance, &["deploy", path(&more)?], 1, &words)?;
    refused(stage, &instance, &["deploy", path(&other)?], 1, &["silver/retail/sales already", "another name"])?;
    ensure!(modules(&instance)? == before, "something changed: {before}");
    order(stage, &instance, &["deploy", path(&more)?, "--rebuild"])?;
    send(&producer, &events[1_500..2_000])?;
    wait_products(&mut instance, &[("retail/sales", 2_000), ("retail/top_products", 2_000)])?;
    let newest = |instance: &Instance| -> Result<String> {
        Ok(instance.get("/v1/status")?.json()?["commits"]["micro_batch"].to_string())
    };
    let standing = newest(&instance)?;
    // A version that leaves a product out, and the way back with what the product had.
    order(stage, &instance, &["deploy", path(&fewer)?])?;
    refused(stage, &instance, &["rollback", "retail"], 1, &["gold/retail/top_products", "rewind --rollback"])?;
    send(&producer, &events[2_000..2_500])?;
    wait_products(&mut instance, &[("retail/sales", 2_500)])?;
    let (before, late) = (modules(&instance)?, newest(&instance)?);
    let left =
        [&format!("/retail/top_products was left out: the last that wrote it is {standing}"), "deploy --rebuild"];
    refused(stage, &instance, &["rewind", "retail", "--to", &late, "--rollback"], 1, &left)?;
    ensure!(modules(&instance)? == before, "something changed: {before}");
    order(stage, &instance, &["rewind", "retail", "--to", &standing, "--rollback"])?;
    send(&producer, &events[2_500..])?;
    wait_products(&mut instance, &[("retail/sales", 3_000)])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let sum = |name: &str| format!("select cast(sum(lines) as bigint) as n from {name}");
    let by_country = stage.query(Engine::DuckDb, &[("c", "gold/retail/sales_by_country")], &sum("c"))?;
    let products = stage.query(Engine::DuckDb, &[("p", "gold/retail/top_products")], &sum("p"))?;
    ensure!(by_country == products && by_country[0]["n"].as_i64() > Some(2_800), "{by_country:?} {products:?}");
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
    let loud = breaking(stage, "regrouped-loud", &[("{ \"sale\" }", "{ \"SALE\" }")])?;
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
pub(crate) fn expected(events: &[Event]) -> (i64, i64) {
    let sale = |event: &Event| -> Option<i64> {
        let line: Value = serde_json::from_str(&event.json).ok()?;
        let has_name = line["Description"].as_str().is_some_and(|name| !name.trim().is_empty());
        (line["UnitPrice"].as_f64()? > 0.0 && has_name).then(|| line["Quantity"].as_i64())?
    };
    let sales: Vec<i64> = events.iter().filter_map(sale).collect();
    (sales.len() as i64, sales.iter().sum())
}

/// Two tables hold the same, for both engines; each by its path and what is selected, from `l` and from `r`.
pub(crate) fn alike(stage: &Stage, left: (&str, &str), right: (&str, &str)) -> Result<()> {
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
