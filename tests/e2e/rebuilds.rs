//! A module that breaks what readers rely on takes the old one's place, and its products are made anew.

use crate::audit;
use crate::case::Case;
use crate::releases::{LIMIT, SALES, ask, configured_with, dirty, order, path, wait_products};
use crate::versions::{LETTERS, SALES_V2, alike, breaking, expected, modules, refused, send};
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

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    vec![
        Case::kafka("rebuilds::products_are_made_anew", python, |stage| rebuilt(stage, None)),
        Case::kafka("rebuilds::a_rebuild_that_is_cut_off_goes_on", python, |stage| {
            rebuilt(stage, Some("rewind.after:2"))
        }),
        Case::kafka("rebuilds::two_instances_make_them_anew_together", python, together),
        Case::kafka("rebuilds::what_is_gone_is_made_anew_only_when_asked", python, lossy),
        Case::kafka("rebuilds::what_goes_before_it_is_read_again", python, |stage| lost_meanwhile(stage, false)),
        Case::kafka("rebuilds::what_goes_before_it_is_read_again_stops_nobody_else", python, |stage| {
            lost_meanwhile(stage, true)
        }),
        Case::kafka("rebuilds::what_bronze_has_is_not_gone", python, from_bronze),
    ]
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
    let renamed = breaking(stage, "regrouped", &[])?;
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
        &["the module does not fit the pipeline", "silver/retail/sales", "deploy --rebuild"],
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
    let renamed = breaking(stage, "regrouped", &[])?;
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
    let renamed = breaking(stage, "regrouped", &[])?;
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

/// Events, sent in turn to two partitions: of the first one, what goes are every other of the first.
struct InTurn {
    events: Vec<Event>,
    producer: Producer,
    config: Config,
    instance: Instance,
}

impl InTurn {
    /// A pipeline that has read 2,000 of 3,000 events, with another module over the same topic or without.
    fn start(stage: &Stage, with_another: bool) -> Result<Self> {
        let events = dirty(3_000)?;
        let broker = stage.broker()?;
        broker.create_topic(retail::TOPIC, 2)?;
        let mut config = configured_with(stage, None)?;
        if with_another {
            let owner = [("owner = \"retail\"", "owner = \"wholesale\"")];
            config.module("wholesale", &stage.product()?.variant("wholesale", "wholesale", &owner)?);
        }
        let producer = Producer::new(&broker.bootstrap())?;
        let instance = stage.start(&mut config)?;
        let mut started = Self { events, producer, config, instance };
        started.instance.wait_ready()?;
        started.send(0..2_000)?;
        started.wait(2_000)?;
        Ok(started)
    }

    fn send(&self, part: std::ops::Range<usize>) -> Result<()> {
        let placed = self.events[part].iter().zip([0, 1].into_iter().cycle());
        let placed = placed.map(|(event, partition)| Message::placed(partition, event.json.as_bytes()));
        self.producer.send(retail::TOPIC, placed).map(drop)
    }

    fn wait(&mut self, end: i64) -> Result<()> {
        wait_products(&mut self.instance, &[("retail/sales", end)])
    }

    /// All is there but for these first records of the first partition.
    fn lacks(self, stage: &Stage, first: usize) -> Result<()> {
        ensure!(self.instance.terminate()?.success(), "a stopped pipeline did not end well");
        let left = self.events.iter().enumerate().filter(|(at, _)| at % 2 == 1 || at / 2 >= first);
        let (rows, quantity) = expected(&left.map(|(_, event)| event.clone()).collect::<Vec<_>>());
        let sum = "select count(*) as n, cast(sum(quantity) as bigint) as quantity from s";
        for engine in Engine::ALL {
            let found = stage.query(engine, &[("s", SALES)], sum)?;
            ensure!(found == [json!({"n": rows, "quantity": quantity})], "{found:?}");
        }
        audit::holds(stage, &self.config)
    }
}

/// Where records are gone, a rebuild is refused; what is left of them is enough only when somebody says so.
fn lossy(stage: &Stage) -> Result<()> {
    let mut started = InTurn::start(stage, false)?;
    let renamed = breaking(stage, "regrouped", &[])?;
    stage.kafka()?.delete_records(retail::TOPIC, 0, 400)?;
    let before = modules(&started.instance)?;
    let words = ["orders#0/0 was read from offset 0 on, but its log starts at 400", "--yes"];
    refused(stage, &started.instance, &["deploy", path(&renamed)?, "--rebuild"], 1, &words)?;
    ensure!(modules(&started.instance)? == before, "something changed: {before}");
    order(stage, &started.instance, &["deploy", path(&renamed)?, "--rebuild", "--yes"])?;
    started.send(2_000..3_000)?;
    started.wait(3_000)?;
    started.lacks(stage, 400)
}

/// What leaves the log between a rebuild and its reading stops the partition, and nobody who has said that what is left will do; another
/// module goes on in it.
fn lost_meanwhile(stage: &Stage, with_another: bool) -> Result<()> {
    let mut started = InTurn::start(stage, with_another)?;
    let renamed = breaking(stage, "regrouped", &[])?;
    let again = breaking(stage, "regrouped-again", &[("\"no description\"", "\"nothing describes it\"")])?;
    let while_paused =
        |started: &mut InTurn, rebuild: &[&str], sent: std::ops::Range<usize>, gone: i64| -> Result<()> {
            order(stage, &started.instance, &["pause", "retail"])?;
            order(stage, &started.instance, rebuild)?;
            let all = i64::try_from(sent.end)?;
            started.send(sent)?;
            if with_another {
                wait_products(&mut started.instance, &[("wholesale/sales", all)])?;
            }
            stage.kafka()?.delete_records(retail::TOPIC, 0, gone)?;
            ask(stage, &started.instance, &["resume", "retail"]).map(drop)
        };
    while_paused(&mut started, &["deploy", path(&renamed)?, "--rebuild"], 2_000..2_000, 400)?;
    started.instance.wait_for(LIMIT, "the partition to stop", |instance| {
        let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
        let status = answer.json()?;
        let alone = &status["catch_up"]["stopped"]["orders#0/0"];
        let stopped = if with_another { alone } else { &status["topics"][0]["stopped"]["0"] }.to_string();
        Ok(["offset 0", "400", "were deleted"].iter().all(|words| stopped.contains(words)).then_some(()))
    })?;
    let words = ["orders#0/0 was read from offset 0 on, but its log starts at 400", "--yes"];
    refused(stage, &started.instance, &["deploy", path(&again)?, "--rebuild"], 1, &words)?;
    // Past where what all modules share stands, too.
    while_paused(&mut started, &["deploy", path(&again)?, "--rebuild", "--yes"], 2_000..2_400, 1_100)?;
    started.send(2_400..3_000)?;
    started.wait(3_000)?;
    if with_another {
        wait_products(&mut started.instance, &[("wholesale/sales", 3_000)])?;
    }
    started.lacks(stage, 1_100)
}
