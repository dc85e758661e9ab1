//! The lake on a real S3: credentials from the configuration or the environment, large files in parts, a store that cannot be relied on.

use crate::case::Case;
use crate::exact::{self, SALES};
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::minio::lake_at;
use lakeward_tests::produce::{Counts, Message, Producer};
use lakeward_tests::random::Random;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use lakeward_tests::store_proxy::{Mischief, StoreProxy};
use lakeward_tests::wait;
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 3;
/// Records that one worker may have in hand and before it, above what the open micro-batch holds.
const ON_THE_WAY: i64 = 9 * 8_192;

pub(crate) fn cases() -> Vec<Case> {
    let needs = [Need::Python, Need::RetailData, Need::Minio];
    vec![
        Case::kafka("s3::a_lake_is_read_back_by_others", &needs, from_options),
        Case::kafka("s3::credentials_come_from_the_environment_and_a_kill_is_survived", &needs, from_environment),
        Case::kafka("s3::large_files_go_up_in_parts", &[Need::Python, Need::Minio], in_parts),
        Case::kafka("s3::a_failing_store_costs_time_and_nothing_else", &needs, unreliable),
        Case::kafka("s3::a_slow_store_holds_the_reading_back", &needs, slow),
        Case::kafka("s3::a_long_backlog_before_a_slow_store_needs_no_more_memory", &[Need::Minio], backlog),
    ]
}

fn from_options(stage: &Stage) -> Result<()> {
    stage.set_lake(stage.minio()?.lake(stage.pipeline()))?;
    let produced = produce(stage, &retail::events(6_000)?)?;
    let summary = stage.until_current(&stage.config(&["transforms/retail"])?)?;
    ensure!(summary.records == 6_000, "{summary:?}");
    exact::check(stage, &produced)?;
    let count = "SELECT count(*) AS sales, count(DISTINCT seq) AS lines FROM sales";
    let [duckdb, deltalake] = Engine::ALL.map(|engine| stage.query(engine, &[SALES], count));
    ensure!(duckdb? == deltalake?, "two engines read two tables");
    let again = stage.until_current(&stage.config(&["transforms/retail"])?)?;
    ensure!(again.records == 0, "a run with nothing to do did something: {again:?}");
    Ok(())
}

fn from_environment(stage: &Stage) -> Result<()> {
    let lake = stage.minio()?.lake(stage.pipeline());
    let variable = |(name, value): (&String, &String)| {
        // `allow_http` is `AWS_ALLOW_HTTP` in the environment.
        let name = if name.starts_with("aws_") { name.to_uppercase() } else { format!("AWS_{}", name.to_uppercase()) };
        (name, value.clone())
    };
    stage.set_environment(lake.options.iter().map(variable).collect())?;
    stage.set_lake(lake)?;
    let events = retail::events(20_000)?;
    let mut produced = produce(stage, &events[..1_000])?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.remove("lake.options");
    often(&mut config);
    let mut instance = stage.start(&mut config)?;
    committed(&mut instance, 1)?;
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    add(&mut produced, &producer.send(retail::TOPIC, events[1_000..].iter().map(Event::message))?);
    instance.kill()?;
    stage.until_current(&config)?;
    exact::check(stage, &produced)
}

fn in_parts(stage: &Stage) -> Result<()> {
    const RECORDS: u32 = 4_000;
    let lake = stage.minio()?.lake(stage.pipeline());
    stage.set_lake(lake)?;
    let (proxy, mut config) = behind_proxy(stage, 1)?;
    // One worker writes one file.
    config.set("workers", "count", "1").text("lake.options", "timeout", "30s");
    stage.broker()?.create_topic(retail::TOPIC, 1)?;
    let mut random = Random::new(3);
    let records = (0..RECORDS).map(|seq| {
        let noise: String = (0..500).map(|_| format!("{:016x}", random.number())).collect();
        let event = json!({"seq": seq, "InvoiceNo": "536365", "StockCode": "71053", "Description": noise, "Quantity": 1,
            "InvoiceDate": "2010-12-01 08:26:00", "UnitPrice": 3.39, "CustomerID": null, "Country": "France"});
        Message::placed(0, event.to_string())
    });
    Producer::new(&stage.broker()?.bootstrap())?.send(retail::TOPIC, records)?;
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == i64::from(RECORDS), "{summary:?}");
    let seen = proxy.seen();
    ensure!(seen.multipart >= 1, "nothing went up in parts: {seen:?}");
    ensure!(seen.longest <= 16 << 20, "a request was long: {seen:?}");
    let found = stage.query(
        Engine::DeltaLake,
        &[SALES],
        "SELECT count(*) AS rows, count(DISTINCT description) AS texts, min(length(description)) AS length FROM sales",
    )?;
    ensure!(json!(found) == json!([{"rows": RECORDS, "texts": RECORDS, "length": 8_000}]), "{found:?}");
    Ok(())
}

fn unreliable(stage: &Stage) -> Result<()> {
    let events = retail::events(12_000)?;
    stage.set_lake(stage.minio()?.lake(stage.pipeline()))?;
    let (proxy, mut config) = behind_proxy(stage, 7)?;
    often(&mut config);
    let mut produced = produce(stage, &events[..2_000])?;
    let instance = stage.start(&mut config)?;
    proxy.set(Mischief {
        refuse: 60,
        deny: 60,
        cut: 60,
        repeat: 150,
        hang: 10,
        slow: 100,
        hold: Duration::from_secs(3),
        delay: Duration::from_millis(100),
    });
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    for part in events[2_000..].chunks(500) {
        add(&mut produced, &producer.send(retail::TOPIC, part.iter().map(Event::message))?);
        wait::moment(Duration::from_millis(200));
    }
    proxy.set(Mischief::default());
    ensure!(proxy.seen().mischief > 20, "the store was reliable: {:?}", proxy.seen());
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    stage.until_current(&config)?;
    exact::check(stage, &produced)
}

/// What is read and not committed stays below twice a micro-batch and what is on its way, however long the store takes.
fn slow(stage: &Stage) -> Result<()> {
    const ROWS: i64 = 1_000;
    let events = retail::events(150_000)?;
    stage.set_lake(stage.minio()?.lake(stage.pipeline()))?;
    let (proxy, mut config) = behind_proxy(stage, 9)?;
    config.set("micro_batch", "rows", ROWS.to_string()).text("micro_batch", "every", "200ms");
    config.set("workers", "count", "1").text("lake.options", "timeout", "30s");
    let produced = produce(stage, &events[..200])?;
    let mut instance = stage.start(&mut config)?;
    committed(&mut instance, 1)?;
    proxy.set(Mischief { slow: 1000, delay: Duration::from_secs(2), ..Mischief::default() });
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    let mut produced = produced;
    add(&mut produced, &producer.send(retail::TOPIC, events[200..].iter().map(Event::message))?);
    wait::moment(Duration::from_secs(6));
    let status = instance.get("/v1/status")?.json()?;
    let (read, done) = read_and_committed(&status)?;
    ensure!(read - done <= 2 * ROWS + ON_THE_WAY, "{read} records were read and {done} committed");
    ensure!(read < 150_000, "the reading was not held back: {read} records");
    proxy.set(Mischief::default());
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    stage.until_current(&config)?;
    exact::check(stage, &produced)
}

/// How many records were read, and how many of them are committed.
fn read_and_committed(status: &Value) -> Result<(i64, i64)> {
    let partitions = status["topics"][0]["partitions"].as_array().context("a status without partitions")?;
    let read = partitions.iter().filter_map(|partition| partition["next_offset"].as_i64()).sum();
    Ok((read, status["commits"]["total"]["records"].as_i64().context("a status without records")?))
}

/// The memory that the first part of a backlog takes is enough for all of it: what waits, waits in Kafka.
fn backlog(stage: &Stage) -> Result<()> {
    const RECORDS: u32 = 500_000;
    const ROWS: i64 = 20_000;
    stage.set_lake(stage.minio()?.lake(stage.pipeline()))?;
    let (proxy, mut config) = behind_proxy(stage, 11)?;
    proxy.set(Mischief { slow: 1000, delay: Duration::from_millis(300), ..Mischief::default() });
    config.set("micro_batch", "rows", ROWS.to_string()).text("lake.options", "timeout", "30s");
    config.set("workers", "count", "1");
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, PARTITIONS)?;
    // All of one hour and one country, so that the answers, whose memory is their own, stay small; and nothing that could be compressed.
    let mut random = Random::new(5);
    let records = (0..RECORDS).zip((0..PARTITIONS).cycle()).map(|(seq, partition)| {
        let noise: String = (0..12).map(|_| format!("{:016x}", random.number())).collect();
        let event =
            format!(r#"{{"seq":{seq},"InvoiceNo":"536365","StockCode":"71053","Description":"{noise}","Quantity":1,"#)
                + r#""InvoiceDate":"2010-12-01 08:26:00","UnitPrice":3.39,"CustomerID":null,"Country":"France"}"#;
        Message::placed(partition, event)
    });
    Producer::new(&broker.bootstrap())?.send(retail::TOPIC, records)?;
    let mut instance = stage.start(&mut config)?;
    let mut peaks = Vec::new();
    for part in [RECORDS / 5, RECORDS] {
        let what = format!("{part} records to be committed");
        let (read, done) = instance.wait_for(4 * LIMIT, &what, |instance| {
            let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
            // Before the first session the status has no partitions.
            let found = read_and_committed(&answer.json()?).ok();
            Ok(found.filter(|(_, done)| *done >= i64::from(part)))
        })?;
        ensure!(read - done <= 2 * ROWS + ON_THE_WAY, "{read} records were read and {done} committed");
        peaks.push(instance.peak_memory_kib());
    }
    if let [Some(first), Some(all)] = peaks[..] {
        ensure!(all <= first + first / 4, "{first} KiB for a fifth of the backlog, {all} KiB for all of it");
    }
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    Ok(())
}

/// A proxy before the S3 server, and a configuration whose lake is reached through it.
fn behind_proxy(stage: &Stage, seed: u64) -> Result<(StoreProxy, Config)> {
    let proxy = StoreProxy::start(stage.minio()?.address(), seed)?;
    let mut config = stage.config(&["transforms/retail"])?;
    lake_at(proxy.address(), stage.pipeline()).configure(&mut config);
    config.text("lake.options", "timeout", "1s");
    Ok((proxy, config))
}

fn produce(stage: &Stage, events: &[Event]) -> Result<Counts> {
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, PARTITIONS)?;
    Producer::new(&broker.bootstrap())?.send(retail::TOPIC, events.iter().map(Event::message))
}

fn add(total: &mut Counts, more: &Counts) {
    total.resize(total.len().max(more.len()), 0);
    total.iter_mut().zip(more).for_each(|(total, more)| *total += more);
}

/// Small and frequent micro-batches.
fn often(config: &mut Config) {
    config.set("micro_batch", "rows", "1000").text("micro_batch", "every", "200ms").text("gold", "every", "300ms");
}

fn committed(instance: &mut Instance, micro_batches: i64) -> Result<()> {
    instance.wait_for(LIMIT, &format!("{micro_batches} micro-batches"), |instance| {
        let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
        Ok(answer.json()?["commits"]["micro_batch"].as_i64().filter(|number| *number >= micro_batches).map(drop))
    })
}
