//! Records as they were read, kept in the lake: whoever goes back further than Kafka does reads them from there.

use crate::audit::{self, SALES};
use crate::case::Case;
use crate::releases::{LIMIT, ask, configured_with, dirty, order, path, wait_products};
use crate::rewinds::{same_live, same_tables};
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
use std::time::Duration;

const BRONZE: (&str, &str) = ("bronze", "bronze/orders");
const PARTITIONS: i32 = 4;

/// 2024-05-01T00:00:00Z.
const FIRST_MS: i64 = 1_714_521_600_000;
const DAY_MS: i64 = 86_400_000;

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    vec![
        Case::kafka("bronze::a_record_is_kept_as_it_was_sent", &[Need::Python], as_sent),
        Case::kafka("bronze::kills_lose_and_double_nothing", python, killed),
        Case::kafka("bronze::a_release_is_undone_whose_records_kafka_has_deleted", python, |stage| {
            undone(stage, None, None)
        }),
        // Killed when some of what was read back is committed.
        Case::kafka("bronze::reading_back_may_be_cut_off", python, |stage| undone(stage, Some("silver.after:1"), None)),
        Case::kafka("bronze::who_catches_up_beside_the_others_reads_it", python, |stage| {
            undone(stage, None, Some("1500"))
        }),
        Case::kafka("bronze::without_it_what_is_gone_is_gone", &[Need::RetailData], refused),
        Case::kafka("bronze::what_was_deleted_from_it_is_missed", python, deleted),
        Case::kafka("bronze::a_paused_module_goes_on_in_it", python, paused),
        Case::kafka("bronze::switched_on_later_it_begins_there", python, switched_on),
        Case::kafka("bronze::a_new_module_and_a_comparison_begin_in_it", python, compared),
    ]
}

fn keep(config: &mut Config) {
    config.set("topics.orders", "bronze", "true");
}

/// The events by their invoices' partitions, on three days in turn: files of several days overlap in every partition.
fn messages(events: &[Event]) -> impl Iterator<Item = Message> {
    let day = (0..3).cycle();
    events.iter().zip(day).map(|(event, day)| event.message().at(FIRST_MS + day * DAY_MS))
}

/// Deletes all that Kafka has but for the last few records.
fn forget(stage: &Stage, config: &Config) -> Result<()> {
    for row in audit::shown(stage, config, SALES)? {
        let partition = i32::try_from(row["partition"].as_i64().context("a partition")?)?;
        let end = row["log_end"].as_i64().context("an end")?;
        stage.kafka()?.delete_records(retail::TOPIC, partition, (end - 3).max(0))?;
    }
    Ok(())
}

fn as_sent(stage: &Stage) -> Result<()> {
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = stage.config(&["transforms/retail"])?;
    keep(&mut config);
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let headers = vec![header("trace", Some(&[0, 255])), header("none", None), header("empty", Some(&[]))];
    let sent = [
        Message { key: Some(vec![0xff, 0x00]), value: Some(b"{}".to_vec()), headers, ..Message::default() },
        Message { value: None, key: Some(b"gone".to_vec()), ..Message::default() },
        Message { value: Some(Vec::new()), key: Some(Vec::new()), ..Message::default() },
        Message { value: Some(vec![0xc3, 0x28]), ..Message::default() },
        Message { value: Some(b"old".to_vec()), ..Message::default() }.at(1),
    ];
    let stamped = |(index, message): (i64, Message)| Message {
        timestamp_ms: message.timestamp_ms.or(Some(FIRST_MS + index * DAY_MS + 7)),
        partition: Some(1),
        ..message
    };
    Producer::new(&broker.bootstrap())?.send(retail::TOPIC, (0..).zip(sent).map(stamped))?;
    stage.until_current(&config)?;
    let sql = "SELECT _lakeward_incarnation AS i, _lakeward_partition AS p, _lakeward_offset AS o, hex(key) AS key, hex(value) AS value, \
               epoch_ms(timestamp) AS at, timestamp_day::VARCHAR AS day, len(headers) AS headers FROM bronze ORDER BY o";
    let row = |offset: i64,
               key: Option<&str>,
               value: Option<&str>,
               at: Option<i64>,
               day: Option<&str>,
               headers: i64| {
        json!({"i": 0, "p": 1, "o": offset, "key": key, "value": value, "at": at, "day": day, "headers": headers})
    };
    let at = |index: i64| Some(FIRST_MS + index * DAY_MS + 7);
    let expected = json!([
        row(0, Some("FF00"), Some("7B7D"), at(0), Some("2024-05-01"), 3),
        row(1, Some("676F6E65"), None, at(1), Some("2024-05-02"), 0),
        row(2, Some(""), Some(""), at(2), Some("2024-05-03"), 0),
        row(3, None, Some("C328"), at(3), Some("2024-05-04"), 0),
        row(4, None, Some("6F6C64"), Some(1), Some("1970-01-01"), 0),
    ]);
    for engine in Engine::ALL {
        let found = stage.query(engine, &[BRONZE], sql)?;
        ensure!(json!(found) == expected, "{engine:?} read {found:#?}");
        let sql = "SELECT h.key AS name, hex(h.value) AS value FROM (SELECT unnest(headers) AS h FROM bronze)";
        let found = stage.query(engine, &[BRONZE], sql)?;
        let expected = json!([
            {"name": "trace", "value": "00FF"}, {"name": "none", "value": null}, {"name": "empty", "value": ""},
        ]);
        ensure!(json!(found) == expected, "{engine:?} read {found:#?}");
    }
    audit::holds(stage, &config)
}

/// Every offset of every partition is in the table once, and leads to the record that was sent.
fn holds_all(stage: &Stage, events: i64) -> Result<()> {
    let sql = "SELECT _lakeward_partition AS p, count(*) AS records, count(DISTINCT _lakeward_offset) AS origins,
                      max(_lakeward_offset) + 1 AS next FROM bronze GROUP BY p ORDER BY p";
    let found = stage.query(Engine::DeltaLake, &[BRONZE], sql)?;
    let is_whole = |row: &Value| row["records"] == row["origins"] && row["records"] == row["next"];
    let records: i64 = found.iter().filter_map(|row| row["records"].as_i64()).sum();
    ensure!(records == events && found.iter().all(is_whole), "{found:?}");
    let sql = "SELECT count(DISTINCT (decode(value)::JSON ->> 'seq')::BIGINT) AS events FROM bronze";
    let found = stage.query(Engine::DeltaLake, &[BRONZE], sql)?;
    ensure!(json!(found) == json!([{ "events": events }]), "{found:?}");
    Ok(())
}

fn killed(stage: &Stage) -> Result<()> {
    const EVENTS: usize = 8_000;
    let events = retail::events(EVENTS)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, PARTITIONS)?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.set("micro_batch", "rows", "500").text("micro_batch", "every", "200ms");
    keep(&mut config);
    let producer = Producer::new(&broker.bootstrap())?;
    let faults =
        ["bronze.before:1", "bronze.after:1", "silver.after:1", "entry.put:3", "commits.before:1", "upload.after:1"];
    for (fault, part) in faults.iter().zip(events.chunks(EVENTS / faults.len() + 1)) {
        producer.send(retail::TOPIC, messages(part))?;
        let mut instance = stage.start_with(&mut config, &[("LAKEWARD_FAULT", fault)])?;
        wait::until_true(Duration::from_secs(60), &format!("the end at {fault}"), || Ok(instance.ended()?.is_some()))?;
        audit::holds(stage, &config).with_context(|| format!("after {fault}"))?;
    }
    stage.until_current(&config)?;
    holds_all(stage, EVENTS as i64)?;
    audit::holds(stage, &config)
}

/// Two modules over one topic that make the same of its records, and what they read.
struct Twins {
    events: Vec<Event>,
    producer: Producer,
    config: Config,
}

impl Twins {
    fn set_up(stage: &Stage) -> Result<Self> {
        let events = dirty(9_000)?;
        let broker = stage.broker()?;
        broker.create_topic(retail::TOPIC, PARTITIONS)?;
        let mut config = configured_with(stage, None)?;
        config.set("micro_batch", "rows", "1000");
        keep(&mut config);
        let product = stage.product()?;
        let wholesale =
            product.variant("wholesale", "wholesale", &[("owner = \"retail\"", "owner = \"wholesale\"")])?;
        config.module("wholesale", &wholesale);
        Ok(Self { events, producer: Producer::new(&broker.bootstrap())?, config })
    }

    fn send(&self, from: usize, until: usize) -> Result<()> {
        self.producer.send(retail::TOPIC, messages(&self.events[from..until])).map(drop)
    }

    fn both(&self, instance: &mut Instance, offsets: i64) -> Result<()> {
        wait_products(instance, &[("retail/sales", offsets), ("wholesale/sales", offsets)])
    }

    /// Reads half of the events in several micro-batches, of which Kafka then forgets nearly all.
    fn read_and_forgotten(&self, stage: &Stage, instance: &mut Instance) -> Result<()> {
        for part in 0..6 {
            self.send(part * 1_000, part * 1_000 + 1_000)?;
            self.both(instance, (part * 1_000 + 1_000) as i64)?;
        }
        forget(stage, &self.config)
    }

    /// Reads the rest; then both have made the same of everything.
    fn end(&self, stage: &Stage, mut instance: Instance) -> Result<()> {
        self.send(6_000, 9_000)?;
        self.both(&mut instance, 9_000)?;
        same_live(&mut instance)?;
        ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
        same_tables(stage)?;
        let sql =
            "SELECT count(*) AS n, count(DISTINCT (_lakeward_partition, _lakeward_offset)) AS origins FROM bronze";
        let found = stage.query(Engine::DeltaLake, &[BRONZE], sql)?;
        ensure!(json!(found) == json!([{"n": 9_000, "origins": 9_000}]), "{found:?}");
        audit::holds(stage, &self.config)
    }
}

/// An order is answered when it is written down, a moment before it is carried out.
fn wait_said(instance: &mut Instance, words: &str) -> Result<()> {
    instance.wait_for(LIMIT, words, |instance| Ok(instance.log()?.contains(words).then_some(())))
}

/// A module goes back further than Kafka does, and with records before it from which on it catches up apart from the others.
fn undone(stage: &Stage, fault: Option<&str>, behind: Option<&str>) -> Result<()> {
    let mut twins = Twins::set_up(stage)?;
    if let Some(behind) = behind {
        twins.config.set("catch_up", "behind", behind);
    }
    let mut instance = stage.start(&mut twins.config)?;
    instance.wait_ready()?;
    twins.read_and_forgotten(stage, &mut instance)?;
    // Whoever lays the files out anew takes nothing away.
    stage.readers()?.tamper(&stage.table(BRONZE.1), &json!({ "compact": true }))?;
    let said = order(stage, &instance, &["rewind", "retail", "--to", "1", "--dry-run"])?.to_string();
    ensure!(said.contains("is read again from offset"), "{said}");
    if let Some(fault) = fault {
        instance.kill()?;
        instance = stage.start_with(&mut twins.config, &[("LAKEWARD_FAULT", fault)])?;
        instance.wait_ready()?;
    }
    let rewinding = ask(stage, &instance, &["rewind", "retail", "--to", "1", "--why", "it doubles"])?;
    if fault.is_some() {
        wait::until_true(Duration::from_secs(60), "the end", || Ok(instance.ended()?.is_some()))?;
        instance = stage.start(&mut twins.config)?;
        instance.wait_ready()?;
    } else {
        ensure!(rewinding.code == Some(0), "{}", rewinding.stderr);
    }
    wait_said(&mut instance, "read back from bronze")?;
    twins.both(&mut instance, 6_000)?;
    let apart = instance.log()?.contains("catch up beside the others");
    ensure!(apart == behind.is_some(), "{}", instance.log()?);
    twins.end(stage, instance)
}

fn refused(stage: &Stage) -> Result<()> {
    let mut twins = Twins::set_up(stage)?;
    twins.config.remove("topics.orders");
    let mut instance = stage.start(&mut twins.config)?;
    instance.wait_ready()?;
    twins.read_and_forgotten(stage, &mut instance)?;
    let refused = ask(stage, &instance, &["rewind", "retail", "--to", "1"])?;
    ensure!(refused.code == Some(1), "{}", refused.stdout);
    for words in ["the records between are gone", "the earliest to go back to is micro-batch"] {
        ensure!(refused.stderr.contains(words), "no {words:?} in {}", refused.stderr);
    }
    let earliest = refused.stderr.rsplit("micro-batch ").next().and_then(|rest| rest.trim().parse::<i64>().ok());
    let earliest = earliest.with_context(|| refused.stderr.clone())?.to_string();
    order(stage, &instance, &["rewind", "retail", "--to", &earliest])?;
    wait_said(&mut instance, "the module's products go back")?;
    twins.both(&mut instance, 6_000)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    audit::holds(stage, &twins.config)
}

/// Nobody reads over a hole that somebody else has made.
fn deleted(stage: &Stage) -> Result<()> {
    let mut twins = Twins::set_up(stage)?;
    let mut instance = stage.start(&mut twins.config)?;
    instance.wait_ready()?;
    twins.read_and_forgotten(stage, &mut instance)?;
    stage.readers()?.tamper(&stage.table(BRONZE.1), &json!({ "delete": "timestamp_day = '2024-05-02'" }))?;
    let verdict = audit::verify(stage, &twins.config)?;
    verdict.ensure_fails("origins", BRONZE.1, "became a row or a dead letter, and is not there")?;
    verdict.ensure_fails("counts", "bronze", "records were read, bronze holds")?;
    let refused = ask(stage, &instance, &["rewind", "retail", "--to", "1"])?;
    let words = "the records between are gone";
    ensure!(refused.code == Some(1) && refused.stderr.contains(words), "{}", refused.stderr);
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    Ok(())
}

fn paused(stage: &Stage) -> Result<()> {
    let mut twins = Twins::set_up(stage)?;
    let mut instance = stage.start(&mut twins.config)?;
    instance.wait_ready()?;
    twins.send(0, 3_000)?;
    twins.both(&mut instance, 3_000)?;
    order(stage, &instance, &["pause", "retail"])?;
    twins.send(3_000, 6_000)?;
    wait_products(&mut instance, &[("wholesale/sales", 6_000)])?;
    forget(stage, &twins.config)?;
    audit::holds(stage, &twins.config).context("while it is paused")?;
    let next_in = |table: &str| -> Result<Vec<Value>> {
        let rows = audit::shown(stage, &twins.config, table)?;
        Ok(rows.iter().map(|row| row["next_in"].clone()).collect())
    };
    let all = |place: Option<&str>| vec![json!(place); PARTITIONS as usize];
    ensure!(next_in(SALES)? == all(Some("bronze")), "{:?}", next_in(SALES)?);
    ensure!(next_in("silver/wholesale/sales")? == all(Some("log")), "{:?}", next_in("silver/wholesale/sales")?);
    ensure!(next_in(BRONZE.1)? == all(None), "{:?}", next_in(BRONZE.1)?);
    order(stage, &instance, &["resume", "retail"])?;
    twins.both(&mut instance, 6_000)?;
    twins.end(stage, instance)
}

/// On, off, and on again: what is read meanwhile is not kept, and whoever goes back is told.
fn switched_on(stage: &Stage) -> Result<()> {
    let mut twins = Twins::set_up(stage)?;
    let mut micro_batches = Vec::new();
    for (part, is_on) in [false, true, false, true].into_iter().enumerate() {
        if is_on {
            keep(&mut twins.config);
        } else {
            twins.config.remove("topics.orders");
        }
        twins.send(part * 1_000, part * 1_000 + 1_000)?;
        let mut instance = stage.start(&mut twins.config)?;
        instance.wait_ready()?;
        twins.both(&mut instance, (part * 1_000 + 1_000) as i64)?;
        ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
        audit::holds(stage, &twins.config).with_context(|| format!("after part {part}"))?;
        let sql = "SELECT max(micro_batch) AS n FROM commits";
        micro_batches.push(stage.query(Engine::DuckDb, &[("commits", audit::COMMITS)], sql)?[0]["n"].to_string());
    }
    let count = "SELECT count(*) AS n, count(DISTINCT (_lakeward_partition, _lakeward_offset)) AS origins FROM bronze";
    let found = stage.query(Engine::DeltaLake, &[BRONZE], count)?;
    ensure!(json!(found) == json!([{"n": 2_000, "origins": 2_000}]), "{found:?}");
    twins.send(4_000, 6_000)?;
    let mut instance = stage.start(&mut twins.config)?;
    instance.wait_ready()?;
    twins.both(&mut instance, 6_000)?;
    forget(stage, &twins.config)?;
    // Bronze has records of before the gap too, but not all from there on.
    let refused = ask(stage, &instance, &["rewind", "retail", "--to", &micro_batches[1]])?;
    let words = format!("the earliest to go back to is micro-batch {}", micro_batches[2]);
    ensure!(refused.code == Some(1) && refused.stderr.contains(&words), "no {words:?} in {}", refused.stderr);
    ensure!(refused.stderr.contains("and bronze before it at"), "{}", refused.stderr);
    order(stage, &instance, &["rewind", "retail", "--to", &micro_batches[2]])?;
    wait_said(&mut instance, "read back from bronze")?;
    twins.both(&mut instance, 6_000)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_tables(stage)?;
    audit::holds(stage, &twins.config)
}

/// A module that comes later makes what the one from the beginning made, and so says the comparison of both.
fn compared(stage: &Stage) -> Result<()> {
    let mut twins = Twins::set_up(stage)?;
    let mut config = configured_alone(&twins.config);
    // By the second, so that a time is a number of records.
    let stamped = |(index, event): (i64, &Event)| event.message().at(FIRST_MS + index * 1_000);
    twins.producer.send(retail::TOPIC, (0..).zip(&twins.events[..6_000]).map(stamped))?;
    stage.until_current(&config)?;
    forget(stage, &config)?;
    let retail = stage.product()?.module("transforms/retail")?;
    let loud = stage.product()?.retail_variant("loud", &[("{ \"sale\" }", "{ \"SALE\" }")])?;
    let records = |arguments: &[&str]| -> Result<i64> {
        let modules = ["diff", path(&retail)?, path(&loud)?, "--json"];
        let finished = stage.call(&[&modules, arguments].concat(), Some(&config.toml()))?;
        ensure!(finished.code == Some(0), "{}", finished.stderr);
        let report: Value = serde_json::from_str(&finished.stdout).with_context(|| finished.stdout.clone())?;
        report["records"].as_i64().with_context(|| finished.stdout.clone())
    };
    ensure!(records(&[])? == 6_000, "{}", records(&[])?);
    let from = "2024-05-01T00:10:00Z";
    ensure!(records(&["--from", from])? == 6_000 - 600, "{}", records(&["--from", from])?);
    let part = ["--from", from, "--to", "2024-05-01T00:30:00Z"];
    ensure!(records(&part)? == 1_200, "{}", records(&part)?);
    config = twins.config.clone();
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    twins.both(&mut instance, 6_000)?;
    twins.config = config;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let same = "SELECT count(*) AS n FROM ((SELECT seq, line_total, kind FROM l EXCEPT ALL SELECT seq, line_total, kind FROM r) \
                UNION ALL (SELECT seq, line_total, kind FROM r EXCEPT ALL SELECT seq, line_total, kind FROM l))";
    let found = stage.query(Engine::DuckDb, &[("l", SALES), ("r", "silver/wholesale/sales")], same)?;
    ensure!(found[0]["n"] == 0, "{found:?}");
    Ok(())
}

/// The same without the second module.
fn configured_alone(config: &Config) -> Config {
    let mut alone = config.clone();
    alone.remove("modules.wholesale");
    alone
}
