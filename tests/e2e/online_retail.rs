//! The whole Online Retail data set, compared with answers that were computed from its CSV in SQL.

use crate::case::Case;
use crate::exact::{self, BY_COUNTRY, DEAD_LETTERS, SALES};
use anyhow::{Context, Result, ensure};
use lakeward_tests::produce::{Counts, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Answers};
use lakeward_tests::stage::Stage;
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    Case::both(
        "online_retail::tables_and_live_answers_equal_the_published_ones",
        &[Need::Python, Need::RetailData],
        whole,
    )
    .into()
}

fn whole(stage: &Stage) -> Result<()> {
    let answers = retail::answers()?;
    let produced = produce(stage)?;
    let mut config = stage.config(&["transforms/retail"])?;

    let summary = stage.until_current(&config)?;
    ensure!(summary.records == answers.events, "{summary:?}");
    ensure!(summary.rows.get("retail/sales") == Some(&answers.silver_rows), "{summary:?}");
    ensure!((summary.dead_letters, summary.skips, summary.late) == (answers.dead_letters, 0, 0), "{summary:?}");

    for engine in Engine::ALL {
        silver(stage, engine, &answers).with_context(|| format!("silver, read by {engine:?}"))?;
        gold(stage, engine, &answers).with_context(|| format!("gold, read by {engine:?}"))?;
    }
    exact::check(stage, &produced)?;

    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let live =
        instance.get("/v1/products/retail/sales_by_country/rows?order=country,window_start&limit=100000")?.json()?;
    let rows = live["rows"].as_array().context("an answer without rows")?;
    let rows: Vec<_> = rows.iter().map(group).collect::<Result<_>>()?;
    ensure!(live["total"] == json!(rows.len()), "total is {}", live["total"]);
    compare(&rows, &answers.sales_by_country_hour).context("the live answer")?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    Ok(())
}

/// Fills the topic. A partition of the embedded broker keeps 5 MiB, so there it takes 40 of them.
fn produce(stage: &Stage) -> Result<Counts> {
    let events = retail::events(usize::MAX)?;
    let broker = stage.broker()?;
    let bytes: u64 = events.iter().map(|event| event.json.len() as u64 + 40).sum();
    let partitions = if bytes / 4 < broker.partition_bytes() { 4 } else { 40 };
    broker.create_topic(retail::TOPIC, partitions)?;
    Producer::new(&broker.bootstrap())?.send(retail::TOPIC, events.iter().map(retail::Event::message))
}

fn silver(stage: &Stage, engine: Engine, answers: &Answers) -> Result<()> {
    let rows = stage.query(
        engine,
        &[SALES, DEAD_LETTERS],
        "SELECT count(*) AS silver_rows, count(DISTINCT seq) AS distinct_seq,
                count(*) FILTER (kind = 'cancellation') AS cancellations,
                count(*) FILTER (customer_id IS NULL) AS without_customer, count(DISTINCT invoice) AS invoices,
                sum(quantity)::BIGINT AS quantity, sum(line_total)::DECIMAL(38, 3) AS total,
                min(sold_at) AS first, max(sold_at) AS last,
                (SELECT count(*) FROM dead_letters) AS dead_letters,
                (SELECT count(*) FROM dead_letters WHERE length(reason) > 0 AND octet_length(value) > 0) AS explained
         FROM sales",
    )?;
    let expected = json!([{
        "silver_rows": answers.silver_rows, "distinct_seq": answers.silver_rows, "cancellations": answers.cancellations,
        "without_customer": answers.silver_rows_without_customer, "invoices": answers.invoices,
        "quantity": answers.sum_quantity, "total": answers.sum_line_total,
        "first": answers.first_sold_at, "last": answers.last_sold_at,
        "dead_letters": answers.dead_letters, "explained": answers.dead_letters,
    }]);
    ensure!(json!(rows) == expected, "found {rows:?}, expected {expected}");
    Ok(())
}

fn gold(stage: &Stage, engine: Engine, answers: &Answers) -> Result<()> {
    let rows = stage.query(
        engine,
        &[BY_COUNTRY],
        "SELECT country, window_start, lines, revenue::DECIMAL(38, 3) AS revenue, customers
         FROM gold ORDER BY country, window_start",
    )?;
    let rows: Vec<_> = rows.iter().map(group).collect::<Result<_>>()?;
    compare(&rows, &answers.sales_by_country_hour)
}

type Group = (String, String, i64, String, i64);

/// A row of the gold product; the revenue keeps its digits.
fn group(row: &Value) -> Result<Group> {
    let text = |name: &str| row[name].as_str().map(str::to_owned).with_context(|| format!("{name} in {row}"));
    let number = |name: &str| row[name].as_i64().with_context(|| format!("{name} in {row}"));
    let revenue = match &row["revenue"] {
        Value::String(digits) => digits.clone(),
        other => other.to_string(),
    };
    Ok((text("country")?, text("window_start")?, number("lines")?, revenue, number("customers")?))
}

fn compare(found: &[Group], expected: &[Group]) -> Result<()> {
    let mut expected = expected.to_vec();
    expected.sort();
    let mut found = found.to_vec();
    found.sort();
    ensure!(found.len() == expected.len(), "{} groups, expected {}", found.len(), expected.len());
    let differing: Vec<_> = found.iter().zip(&expected).filter(|(found, expected)| found != expected).take(5).collect();
    ensure!(differing.is_empty(), "groups that differ (found, expected): {differing:#?}");
    Ok(())
}
