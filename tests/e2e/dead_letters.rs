//! Dead letters: listed, sent through a mended module, discarded; each of their rows is there once, whatever is killed in between.

use crate::audit::{self, messages, verify};
use crate::case::Case;
use crate::exact;
use crate::releases::{order, wait_products};
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail;
use lakeward_tests::stage::{Finished, Stage};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const PARTITIONS: i32 = 3;
const RECORDS: usize = 6_000;
const LIMIT: Duration = Duration::from_secs(90);
pub(crate) const TOKEN: &str = "ann-has-a-long-token";

/// The reason of the first version of the module, which is wrong to reject them.
pub(crate) const WRONGLY: &str = "no hearts here";

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    Vec::from_iter(Case::both("dead_letters::a_mended_module_makes_rows_of_them", python, mended))
        .into_iter()
        .chain([
            Case::embedded("dead_letters::a_kill_between_two_tables_doubles_nothing", python, killed),
            Case::embedded("dead_letters::late_rows_restate_their_window", python, late),
            Case::embedded("dead_letters::a_time_far_ahead_makes_nothing_late", python, far_ahead),
            Case::embedded("dead_letters::what_is_refused_changes_nothing", &[Need::RetailData], refused),
            Case::kafka("dead_letters::the_owner_of_a_partition_redrives_it", python, shared),
            Case::kafka("dead_letters::a_rewind_takes_back_what_another_instance_redrove", python, taken_back),
        ])
        .collect()
}

/// The retail module, but that it rejects hearts.
fn wrong(stage: &Stage) -> Result<PathBuf> {
    let rule =
        format!("filter(|text| !text.is_empty()).filter(|text| !text.contains(\"HEART\")).ok_or(\"{WRONGLY}\")?");
    stage
        .product()?
        .retail_variant("heartless", &[("filter(|text| !text.is_empty()).ok_or(\"no description\")?", &rule)])
}

fn configured(stage: &Stage) -> Result<Config> {
    stage.set_environment(vec![("LAKEWARD_TOKEN".to_owned(), TOKEN.to_owned())])?;
    let mut config = stage.config(&[])?;
    config.module("retail", &wrong(stage)?);
    config.text("micro_batch", "every", "200ms").text("gold", "every", "300ms").text("operators.ann", "token", TOKEN);
    Ok(config)
}

/// A lake whose dead letters are mostly the module's fault: 6,000 records of three partitions, all read.
pub(crate) fn world(stage: &Stage) -> Result<Config> {
    stage.broker()?.create_topic(retail::TOPIC, PARTITIONS)?;
    let config = configured(stage)?;
    let events = retail::events(RECORDS)?;
    Producer::new(&stage.broker()?.bootstrap())?.send(retail::TOPIC, messages(&events, PARTITIONS))?;
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == RECORDS as i64 && summary.dead_letters > 200, "{summary:?}");
    Ok(config)
}

/// Makes the module as it should be the active one.
pub(crate) fn activate_mended(stage: &Stage, instance: &Instance) -> Result<()> {
    let module = stage.product()?.module("transforms/retail")?;
    let (module, server) = (module.to_str().context("a path that is not text")?, instance.server());
    let finished = stage.call(&["deploy", module, "--server", &server], None)?;
    ensure!(finished.code == Some(0), "deploying: {}", finished.stderr);
    Ok(())
}

fn call(stage: &Stage, config: &Config, arguments: &[&str]) -> Result<Finished> {
    stage.call(&[&["dead-letters"], arguments].concat(), Some(&config.toml()))
}

/// What a command answers in JSON.
fn ask(stage: &Stage, config: &Config, arguments: &[&str]) -> Result<Value> {
    let finished = call(stage, config, &[arguments, &["--json"]].concat())?;
    ensure!(finished.code == Some(0), "{arguments:?}: {:?} {}", finished.code, finished.stderr);
    serde_json::from_str(&finished.stdout).with_context(|| finished.stdout.clone())
}

/// How many letters meet conditions.
pub(crate) fn count(stage: &Stage, config: &Config, conditions: &[&str]) -> Result<u64> {
    let listed = ask(stage, config, &[&["list", "--limit", "0"], conditions].concat())?;
    listed["total"].as_u64().with_context(|| listed.to_string())
}

/// Requests something; how many letters it is about.
pub(crate) fn request(stage: &Stage, config: &Config, arguments: &[&str]) -> Result<u64> {
    let receipt = ask(stage, config, &[arguments, &["--who", "ann"]].concat())?;
    receipt["letters"].as_u64().with_context(|| receipt.to_string())
}

/// Waits until every request is executed.
pub(crate) fn wait_executed(stage: &Stage, config: &Config, instance: &mut Instance) -> Result<()> {
    instance.wait_for(LIMIT, "the requests to be executed", |_| {
        let listed = ask(stage, config, &["list", "--limit", "100000"])?;
        let letters = listed["letters"].as_array().context("a list without letters")?;
        Ok(letters.iter().all(|letter| letter["requested"].is_null()).then_some(()))
    })
}

/// Every record is a row, an open or discarded letter, or neither by intent; none is two of these. Retail makes one row of a record.
pub(crate) fn every_record_once(stage: &Stage, records: usize) -> Result<()> {
    let found = stage.query(
        Engine::DuckDb,
        &[exact::SALES, exact::DEAD_LETTERS],
        r#"WITH state AS (
             SELECT "partition" AS p, "offset" AS o, arg_max(status, coalesce(request, -1)) AS status
             FROM dead_letters WHERE stage <> 'aggregate' GROUP BY ALL),
           fates AS (
             SELECT _lakeward_partition AS p, _lakeward_offset AS o FROM sales
             UNION ALL SELECT p, o FROM state WHERE status <> 'redriven')
           SELECT count(*) AS fates, count(DISTINCT (p, o)) AS records FROM fates"#,
    )?;
    ensure!(found == [json!({"fates": records, "records": records})], "{found:?}");
    Ok(())
}

fn mended(stage: &Stage) -> Result<()> {
    let mut config = world(stage)?;
    let wrongly = count(stage, &config, &["--reason", WRONGLY])?;
    let (all, broken) = (count(stage, &config, &[])?, count(stage, &config, &["--stage", "decode"])?);
    ensure!(wrongly > 100 && broken > 50 && all > wrongly + broken, "{wrongly} {broken} of {all}");
    let groups = ask(stage, &config, &["list", "--by", "reason"])?;
    ensure!(groups["groups"][0] == json!({"reason": WRONGLY, "letters": wrongly}), "{groups}");

    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    // First with the module as it is: nothing is mended, and said so.
    let one = ask(stage, &config, &["list", "--reason", WRONGLY, "--limit", "1"])?["letters"][0]["record"].clone();
    let one = one.as_str().context("a record")?;
    ensure!(request(stage, &config, &["redrive", one])? == 1, "one letter");
    wait_executed(stage, &config, &mut instance)?;
    let shown = ask(stage, &config, &["show", one])?;
    let rows = shown["rows"].as_array().context("rows")?;
    ensure!(rows.len() == 2 && rows[1]["tries"] == 2 && rows[1]["status"] == "open", "{shown}");
    ensure!(rows[0]["value"]["text"].as_str().is_some_and(|text| text.contains("HEART")), "{shown}");
    ensure!(rows[1]["value"] == rows[0]["value"] && rows[1]["reason"] == WRONGLY, "{shown}");
    verify(stage, &config)?.ensure_holds().context("after a redrive in vain")?;

    activate_mended(stage, &instance)?;
    ensure!(request(stage, &config, &["redrive", "--reason", WRONGLY])? == wrongly, "all of them");
    wait_executed(stage, &config, &mut instance)?;
    ensure!(count(stage, &config, &["--reason", WRONGLY])? == 0, "some are open");
    let redriven = count(stage, &config, &["--status", "redriven"])?;
    ensure!(redriven == wrongly, "{redriven} of {wrongly}");
    every_record_once(stage, RECORDS)?;
    verify(stage, &config)?.ensure_holds().context("after a redrive, beside the running pipeline")?;

    let again = call(stage, &config, &["redrive", one])?;
    ensure!(again.code == Some(64) && again.stderr.contains("redriven already"), "{again:?}");
    // What nobody can decode stays what it is.
    ensure!(request(stage, &config, &["redrive", "--stage", "decode"])? == broken, "all of them");
    wait_executed(stage, &config, &mut instance)?;
    let failed = ask(stage, &config, &["list", "--stage", "decode", "--limit", "100000"])?;
    let tried = |letter: &&Value| letter["tries"] == 2;
    let failed = failed["letters"].as_array().context("letters")?;
    ensure!(failed.iter().filter(tried).count() as u64 == broken, "{failed:?}");
    ensure!(request(stage, &config, &["discard", "--stage", "decode"])? == broken, "all of them");
    wait_executed(stage, &config, &mut instance)?;
    ensure!(count(stage, &config, &["--status", "discarded"])? == broken, "discarded");
    ensure!(count(stage, &config, &[])? == all - wrongly - broken, "the others are open");
    every_record_once(stage, RECORDS)?;
    let running = verify(stage, &config)?;
    running.ensure_holds().context("after discarding")?;
    let said = running.of("counts", "redriven dead letters")?["detail"].to_string();
    let expected = format!("{wrongly} with rows + 0 skips + {} failed again, {broken} discarded", broken + 1);
    ensure!(said.contains(&expected), "{said} does not say {expected}");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    exact::gold_adds_up(stage)?;
    let stopped = verify(stage, &config)?;
    stopped.ensure_holds().context("after the end")
}

fn killed(stage: &Stage) -> Result<()> {
    let mut config = world(stage)?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    activate_mended(stage, &instance)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let listed = ask(stage, &config, &["list", "--limit", "100000"])?;
    let records = listed["letters"].as_array().context("letters")?.iter();
    let records: Vec<&str> = records.filter_map(|letter| letter["record"].as_str()).collect();
    let points = [
        "file.written:1",
        "upload.after:1",
        "silver.before:1",
        "entry.put:1",
        "silver.after:1",
        "dead_letters.before:1",
        "dead_letters.after:1",
        "state.before:1",
        "state.after:1",
        "state.after:2",
        "commits.file:1",
        "commits.before:1",
        "commits.after:1",
        "gold.before:1",
        "gold.after:1",
    ];
    let part = records.len() / points.len();
    for (point, records) in points.iter().zip(records.chunks(part)) {
        // Three are redriven for every one that is discarded.
        let (discarded, redriven) = records.split_at(records.len() / 4);
        request(stage, &config, &[&["redrive"], redriven].concat())?;
        request(stage, &config, &[&["discard"], discarded].concat())?;
        let mut instance = stage.start_with(&mut config, &[("LAKEWARD_FAULT", point)])?;
        lakeward_tests::wait::until(LIMIT, &format!("the end at {point}"), || instance.ended())?;
        verify(stage, &config)?.ensure_holds().with_context(|| format!("killed at {point}"))?;
        stage.until_current(&config)?;
        let after = verify(stage, &config)?;
        after.ensure_holds().with_context(|| format!("started again after {point}"))?;
        every_record_once(stage, RECORDS).with_context(|| format!("started again after {point}"))?;
        exact::gold_adds_up(stage).with_context(|| format!("started again after {point}"))?;
    }
    let left = ask(stage, &config, &["list", "--limit", "100000", "--reason", WRONGLY])?;
    let untouched = (records.len() % part) as u64;
    ensure!(left["total"].as_u64().is_some_and(|total| total <= untouched), "{left}");
    ensure!(count(stage, &config, &["--status", "redriven"])? > 50, "too few to mean anything");
    Ok(())
}

/// An event at this time.
fn sale(seq: i64, at: &str) -> Message {
    let event = format!(
        r#"{{"seq":{seq},"InvoiceNo":"536365","StockCode":"71053","Description":"WHITE METAL LAMP","Quantity":6,"InvoiceDate":"{at}","UnitPrice":3.39,"CustomerID":"{seq}.0","Country":"France"}}"#
    );
    Message::placed(0, event)
}

fn late(stage: &Stage) -> Result<()> {
    stage.broker()?.create_topic(retail::TOPIC, 1)?;
    let mut config = configured(stage)?;
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    producer.send(retail::TOPIC, [sale(1, "2011-01-01 08:00:00"), sale(2, "2011-01-05 08:00:00")])?;
    producer.send(retail::TOPIC, [sale(3, "2011-01-01 08:30:00"), sale(4, "2011-01-02 09:00:00")])?;
    let summary = stage.until_current(&config)?;
    ensure!(summary.late == 4, "two records are late for two products: {summary:?}");
    let hourly = ["--product", "retail/sales_by_country"];
    ensure!(count(stage, &config, &hourly)? == 2 && count(stage, &config, &[])? == 4, "letters");
    ensure!(exact::gold_adds_up(stage).is_err(), "late rows are in gold already");

    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    ensure!(request(stage, &config, &[&["redrive"], &hourly[..]].concat())? == 2, "both");
    wait_executed(stage, &config, &mut instance)?;
    instance.wait_for(LIMIT, "the restated windows", |instance| {
        let path = "/v1/products/retail/sales_by_country/rows?view=committed&order=window_start";
        let rows = instance.get(path)?.json()?["rows"].clone();
        let lines = |row: &Value| row["lines"].as_i64();
        let lines: Vec<_> = rows.as_array().context("rows")?.iter().map(lines).collect();
        Ok((lines == [Some(2), Some(1), Some(1)]).then_some(()))
    })?;
    verify(stage, &config)?.ensure_holds().context("one product restated")?;
    ensure!(count(stage, &config, &[])? == 2, "the other product's letters are open");
    // Another version may make another row than the one that silver has: such a letter stays, however often it is tried.
    activate_mended(stage, &instance)?;
    for time in ["first", "second"] {
        ensure!(request(stage, &config, &["redrive", "--all"])? == 2, "both, the {time} time");
        wait_executed(stage, &config, &mut instance)?;
        let stayed = count(stage, &config, &["--reason", "only the same module"])?;
        ensure!(stayed == 2, "they should have stayed the {time} time");
    }
    ensure!(request(stage, &config, &["discard", "--all"])? == 2, "both");
    wait_executed(stage, &config, &mut instance)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    exact::gold_adds_up(stage)?;
    verify(stage, &config)?.ensure_holds().context("after the end")
}

/// A clock that is wrong by decades: the row is not counted, and what follows is not late; redriven it has a window, and still nothing is late.
fn far_ahead(stage: &Stage) -> Result<()> {
    stage.broker()?.create_topic(retail::TOPIC, 1)?;
    let mut config = configured(stage)?;
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    producer.send(retail::TOPIC, [sale(1, "2011-01-01 08:00:00"), sale(2, "2099-01-01 08:00:00")])?;
    producer.send(retail::TOPIC, [sale(3, "2011-01-01 08:30:00")])?;
    let summary = stage.until_current(&config)?;
    ensure!(summary.late == 2 && summary.rows["retail/sales"] == 3, "one record, for two products: {summary:?}");
    verify(stage, &config)?.ensure_holds().context("while it is a dead letter")?;
    let ahead = ["--reason", "ahead: its time is more than 1day after its record's timestamp"];
    ensure!(count(stage, &config, &ahead)? == 2, "letters");

    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    ensure!(request(stage, &config, &["redrive", "--all"])? == 2, "both");
    wait_executed(stage, &config, &mut instance)?;
    producer.send(retail::TOPIC, [sale(4, "2011-01-01 08:40:00")])?;
    instance.wait_for(LIMIT, "both windows", |instance| {
        let path = "/v1/products/retail/sales_by_country/rows?view=committed&order=window_start";
        let rows = instance.get(path)?.json()?["rows"].clone();
        let window = |row: &Value| (row["window_start"].as_str().map(|at| at[..4].to_owned()), row["lines"].as_i64());
        let windows: Vec<_> = rows.as_array().context("rows")?.iter().map(window).collect();
        let expected = [("2011", 3), ("2099", 1)].map(|(year, lines)| (Some(year.to_owned()), Some(lines)));
        Ok((windows == expected).then_some(()))
    })?;
    ensure!(count(stage, &config, &[])? == 0, "a letter is open");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    exact::gold_adds_up(stage)?;
    verify(stage, &config)?.ensure_holds().context("after the end")
}

fn refused(stage: &Stage) -> Result<()> {
    let config = world(stage)?;
    let one = ask(stage, &config, &["list", "--limit", "1"])?["letters"][0]["record"].clone();
    let one = one.as_str().context("a record")?;
    let requests = || std::fs::exists(stage.table("_lakeward/redrives"));
    let files = || -> Result<usize> {
        let log = std::fs::read_dir(stage.table("_lakeward/redrives/_delta_log"))?;
        Ok(log.count())
    };
    ensure!(requests()?, "the pipeline has opened the table");
    let before = files()?;
    let check = |arguments: &[&str], words: &str| -> Result<()> {
        let finished = call(stage, &config, arguments)?;
        ensure!(finished.code == Some(64), "{arguments:?}: {:?} {}", finished.code, finished.stderr);
        ensure!(finished.stderr.contains(words), "{arguments:?} says {}", finished.stderr);
        Ok(())
    };
    check(&["redrive"], "say which letters")?;
    check(&["redrive", "orders#0/0:999999"], "there is no dead letter of orders#0/0:999999")?;
    check(&["redrive", one, "orders#7/0:1"], "there is no dead letter of orders#7/0:1")?;
    check(&["redrive", one, "--module", "wholesale"], "meets the conditions")?;
    check(&["discard", "--reason", "a reason that nobody gave"], "no open dead letter meets the conditions")?;
    check(&["redrive", "nonsense"], "names no record")?;
    check(&["show", "orders#0/0:999999"], "there is no dead letter")?;
    check(&["list", "--from", "yesterday"], "is no RFC 3339 time")?;
    check(&["list", "--product", "retail/nothing"], "there is no product retail/nothing")?;
    ensure!(request(stage, &config, &["redrive", one, "--dry-run"])? == 1, "a dry run says what it would do");
    ensure!(files()? == before, "something was written");
    ensure!(request(stage, &config, &["redrive", one])? == 1, "now it is");
    check(&["redrive", one], "is requested already")?;
    check(&["discard", one], "is requested already")?;
    ensure!(files()? == before + 1, "one request is one commit");
    // Nothing runs: the request waits, and nothing else has changed.
    audit::holds(stage, &config)
}

/// Two instances, each with a share of the partitions.
fn two(stage: &Stage, config: &mut Config) -> Result<(Instance, Instance)> {
    config.text("kafka.properties", "session.timeout.ms", "6000");
    let mut first = stage.start(config)?;
    first.wait_ready()?;
    activate_mended(stage, &first)?;
    let mut second = stage.start(config)?;
    for instance in [&mut first, &mut second] {
        instance.wait_for(LIMIT, "a share of the partitions", |instance| {
            let own = partitions(instance)?.len();
            Ok((own > 0 && own < PARTITIONS as usize).then_some(()))
        })?;
    }
    Ok((first, second))
}

/// The partitions of an instance, none while it does not answer.
pub(crate) fn partitions(instance: &Instance) -> Result<Vec<i32>> {
    let Ok(answer) = instance.get("/v1/status") else { return Ok(Vec::new()) };
    let status = answer.json()?;
    let all = status["topics"][0]["partitions"].as_array().cloned().unwrap_or_default();
    Ok(all.iter().filter_map(|of| i32::try_from(of["partition"].as_i64()?).ok()).collect())
}

/// While one instance commits again and again, the other redrives what it has; the module goes back to before that, and both the rows and
/// what became of their letters are gone.
fn taken_back(stage: &Stage) -> Result<()> {
    let mut config = world(stage)?;
    let (mut busy, mut idle) = two(stage, &mut config)?;
    let of_busy = *partitions(&busy)?.first().context("no partition")?;
    let others: Vec<String> = partitions(&idle)?.iter().map(i32::to_string).collect();
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    let more = retail::events(RECORDS + 400)?.split_off(RECORDS);
    for part in more.chunks(20) {
        producer.send(retail::TOPIC, part.iter().map(|event| Message::placed(of_busy, event.json.as_bytes())))?;
        lakeward_tests::wait::moment(Duration::from_millis(250));
    }
    let all = (RECORDS + more.len()) as i64;
    wait_products(&mut busy, &[("retail/sales", all)])?;
    let newest = stage.query(Engine::DuckDb, &[("c", "_lakeward/commits")], "select max(micro_batch) as n from c")?;
    let newest = newest[0]["n"].as_i64().context("no micro-batch")?.to_string();
    let wrongly = count(stage, &config, &["--reason", WRONGLY])?;
    for partition in &others {
        ensure!(request(stage, &config, &["redrive", "--reason", WRONGLY, "--partition", partition])? > 20, "a share");
    }
    wait_executed(stage, &config, &mut idle)?;
    let redriven = count(stage, &config, &["--status", "redriven"])?;
    ensure!(redriven > 20 && count(stage, &config, &["--reason", WRONGLY])? == wrongly - redriven, "some");
    every_record_once(stage, RECORDS + more.len())?;
    order(stage, &idle, &["rewind", "retail", "--to", &newest])?;
    busy.wait_for(LIMIT, "the letters to be open again", |_| {
        Ok((count(stage, &config, &["--reason", WRONGLY])? == wrongly).then_some(()))
    })?;
    wait_products(&mut busy, &[("retail/sales", all)])?;
    ensure!(count(stage, &config, &["--status", "redriven"])? == 0, "rows are gone and their letters are not open");
    every_record_once(stage, RECORDS + more.len())?;
    verify(stage, &config)?.ensure_holds().context("after the rewind")?;
    ensure!(request(stage, &config, &["redrive", "--reason", WRONGLY])? == wrongly, "all of them");
    wait_executed(stage, &config, &mut idle)?;
    every_record_once(stage, RECORDS + more.len())?;
    ensure!(busy.terminate()?.success() && idle.terminate()?.success(), "an instance did not end well");
    exact::gold_adds_up(stage)?;
    verify(stage, &config)?.ensure_holds().context("after the end")
}

fn shared(stage: &Stage) -> Result<()> {
    let mut config = world(stage)?;
    let (first, mut second) = two(stage, &mut config)?;
    let wrongly = count(stage, &config, &["--reason", WRONGLY])?;
    let of_partition = |partition: &str| count(stage, &config, &["--reason", WRONGLY, "--partition", partition]);
    let first_third = of_partition("0")?;
    ensure!(request(stage, &config, &["redrive", "--partition", "0", "--reason", WRONGLY])? == first_third, "a third");
    wait_executed(stage, &config, &mut second)?;
    verify(stage, &config)?.ensure_holds().context("beside two instances")?;
    // The rest while one of them leaves.
    ensure!(request(stage, &config, &["redrive", "--reason", WRONGLY])? == wrongly - first_third, "the others");
    ensure!(first.terminate()?.success(), "an instance did not leave well");
    wait_executed(stage, &config, &mut second)?;
    ensure!(count(stage, &config, &["--status", "redriven"])? == wrongly, "each once");
    every_record_once(stage, RECORDS)?;
    ensure!(second.terminate()?.success(), "an instance did not end well");
    exact::gold_adds_up(stage)?;
    verify(stage, &config)?.ensure_holds().context("after the end")
}
