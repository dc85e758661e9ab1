//! The live edge: events become answers within seconds, and answers say what they are.

use crate::case::Case;
use crate::exact;
use anyhow::{Context, Result, ensure};
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::requirements::Need;
use lakeward_tests::retail;
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;
use serde_json::{Value, json};
use std::time::Duration;

const ROWS: &str = "/v1/products/retail/sales_by_country/rows";
/// Answers are fresh to the chunk (50 ms); a busy machine gets time for its own affairs.
const FRESH: Duration = Duration::from_secs(10);
const COMMITTED: Duration = Duration::from_secs(30);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = Case::both("live::events_are_answers_within_seconds", &[], fresh).into();
    cases.push(Case::embedded("live::idle_pollers_are_told_so", &[], conditional));
    cases.push(Case::embedded("live::every_page_answers", &[], pages));
    cases.push(Case::embedded("live::a_stopped_pipeline_has_committed_all", &[Need::Python], drained));
    cases
}

/// A sale of one country; `seq` tells it apart.
fn sale(seq: u32, country: &str) -> Message {
    let event = json!({
        "seq": seq, "InvoiceNo": format!("{}", 500_000 + seq), "StockCode": "71053", "Description": "WHITE METAL LANTERN",
        "Quantity": 6, "InvoiceDate": "2010-12-01 08:26:00", "UnitPrice": 3.39, "CustomerID": "17850.0", "Country": country,
    });
    Message::placed(0, event.to_string())
}

fn running(stage: &Stage) -> Result<(Instance, Producer)> {
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 1)?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("micro_batch", "every", "1s").text("gold", "every", "1s");
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    Ok((instance, Producer::new(&broker.bootstrap())?))
}

/// Waits until the product's only row counts `lines`; gives the answer.
fn counted(instance: &mut Instance, path: &str, lines: i64, limit: Duration) -> Result<Value> {
    instance.wait_for(limit, &format!("{lines} lines at {path}"), |instance| {
        let answer = instance.get(path)?.json()?;
        Ok((answer["rows"][0]["lines"] == json!(lines)).then_some(answer))
    })
}

fn fresh(stage: &Stage) -> Result<()> {
    let (mut instance, producer) = running(stage)?;
    producer.send(retail::TOPIC, (0..100).map(|seq| sale(seq, "France")))?;
    let start = wait::now();
    let live = counted(&mut instance, ROWS, 100, FRESH)?;
    let row = &live["rows"][0];
    ensure!(row["country"] == "France" && row["window_start"] == "2010-12-01T08:00:00Z", "{row}");
    ensure!(row["customers"] == json!(1), "{row}");
    ensure!(live["as_of"]["view"] == "live" && live["as_of"]["offsets"]["0"] == json!(100), "{}", live["as_of"]);

    let committed = counted(&mut instance, &format!("{ROWS}?view=committed"), 100, COMMITTED)?;
    ensure!(committed["as_of"]["view"] == "committed", "{}", committed["as_of"]);
    ensure!(committed["as_of"]["micro_batch"].as_i64().is_some_and(|number| number > 0), "{}", committed["as_of"]);
    ensure!(committed["rows"][0]["revenue"] == live["rows"][0]["revenue"], "live and committed differ: {committed}");
    ensure!(start.elapsed() < FRESH + COMMITTED, "the answers came late");

    let filtered = instance.get(&format!("{ROWS}?country=Spain"))?.json()?;
    ensure!(filtered["total"] == json!(0), "a filter that lets others through: {filtered}");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    Ok(())
}

fn conditional(stage: &Stage) -> Result<()> {
    let (mut instance, producer) = running(stage)?;
    producer.send(retail::TOPIC, [sale(0, "France")])?;
    counted(&mut instance, &format!("{ROWS}?view=committed"), 1, COMMITTED)?;
    // The gold table's version is part of the answer, so wait until it has caught up and nothing moves any more.
    let first = instance.wait_for(COMMITTED, "an answer that stays", |instance| {
        let first = instance.get(ROWS)?;
        let etag = first.etag.clone().context("an answer without an ETag")?;
        let settled = first.json()?["as_of"]["table_version"].is_i64();
        Ok((settled && instance.get_changed(ROWS, &etag)?.status == 304).then_some(first))
    })?;
    let etag = first.etag.context("an answer without an ETag")?;

    let csv = instance.get(&format!("{ROWS}?format=csv"))?;
    ensure!(csv.content_type.as_deref().is_some_and(|kind| kind.starts_with("text/csv")), "{:?}", csv.content_type);
    let lines: Vec<_> = csv.body.lines().collect();
    ensure!(lines.len() == 2 && lines[0].starts_with("country,") && lines[1].starts_with("France,"), "{}", csv.body);
    ensure!(csv.etag.as_deref() != Some(etag.as_str()), "JSON and CSV share an ETag");

    producer.send(retail::TOPIC, [sale(1, "France")])?;
    instance.wait_for(FRESH, "the ETag to change", |instance| {
        let answer = instance.get_changed(ROWS, &etag)?;
        Ok((answer.status == 200).then_some(()))
    })?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    Ok(())
}

fn pages(stage: &Stage) -> Result<()> {
    let (mut instance, producer) = running(stage)?;
    producer.send(retail::TOPIC, [sale(0, "France"), Message::placed(0, "no JSON")])?;
    counted(&mut instance, &format!("{ROWS}?view=committed"), 1, COMMITTED)?;

    let catalog = instance.get("/v1/products")?;
    ensure!(catalog.status == 200 && catalog.body.contains("sales_by_country"), "{}", catalog.body);
    // The commit ends a moment after its numbers are shown.
    let status = instance.wait_for(COMMITTED, "a status about both records", |instance| {
        let status = instance.get("/v1/status")?.json()?;
        let is_shown = status["topics"][0]["partitions"][0]["next_offset"] == json!(2);
        Ok((is_shown && status["commits"]["total"]["records"] == json!(2)).then_some(status))
    })?;
    ensure!(status["pipeline"] == stage.pipeline(), "{status}");
    let metrics = instance.get("/metrics")?;
    ensure!(metrics.status == 200 && metrics.body.contains("lakeward_"), "{}", metrics.body);
    let page = instance.get("/")?;
    ensure!(page.status == 200 && page.body.contains("<html"), "{}", page.status);
    for (path, code) in [
        ("/v1/products/retail/nothing/rows", 404),
        ("/v1/products/retail/sales_by_country/rows?colour=red", 400),
        ("/v1/products/retail/sales_by_country/rows?limit=many", 400),
        ("/nowhere", 404),
    ] {
        let answer = instance.get(path)?;
        ensure!(answer.status == code, "{path} answered {}", answer.status);
        ensure!(
            answer.content_type.as_deref() == Some("application/problem+json"),
            "{path}: {:?}",
            answer.content_type
        );
        ensure!(answer.json()?["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{path}: {}", answer.body);
    }
    ensure!(instance.get("/livez")?.status == 200, "/livez");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    Ok(())
}

fn drained(stage: &Stage) -> Result<()> {
    let (mut instance, producer) = running(stage)?;
    let produced = producer.send(retail::TOPIC, (0..5_000).map(|seq| sale(seq, "France")))?;
    counted(&mut instance, ROWS, 5_000, FRESH)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    exact::check(stage, &produced)
}
