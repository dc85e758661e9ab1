//! `lakeward verify` and `lakeward offsets`: what holds is said to hold, what was tampered with is named, moves are known.

use crate::case::Case;
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const SALES: &str = "silver/retail/sales";
pub(crate) const GOLD: &str = "gold/retail/sales_by_country";
const DEAD_LETTERS: &str = "_lakeward/dead_letters";
pub(crate) const COMMITS: &str = "_lakeward/commits";
const BOTH: &str = "silver and dead letters";

pub(crate) fn cases() -> Vec<Case> {
    let needs = &[Need::RetailData];
    let python = &[Need::Python, Need::RetailData];
    Vec::from_iter(Case::both("audit::holds_while_running_and_after_kills", needs, kills))
        .into_iter()
        .chain([
            Case::embedded("audit::what_was_tampered_with_is_named", python, tampered),
            Case::kafka("audit::offsets_are_shown_and_moved", needs, moved),
            Case::kafka("audit::one_product_is_moved_alone", needs, moved_alone),
            Case::kafka("audit::a_partition_that_left_its_log_stops_alone", needs, left_the_log),
            Case::kafka("audit::a_recreated_topic_goes_on_as_a_new_incarnation", needs, recreated),
        ])
        .collect()
}

/// The events in turn over the partitions, some of them broken.
pub(crate) fn messages(events: &[Event], partitions: i32) -> Vec<Message> {
    let placed = events.iter().zip((0..partitions).cycle()).enumerate();
    let message = |(index, (event, partition)): (usize, (&Event, i32))| {
        let json = if index % 97 == 13 { &event.json[..40] } else { &event.json };
        Message::placed(partition, json.as_bytes())
    };
    placed.map(message).collect()
}

/// A verdict.
pub(crate) struct Verdict {
    code: Option<i32>,
    pub(crate) report: Value,
}

impl Verdict {
    /// The check of a thing.
    pub(crate) fn of(&self, check: &str, subject: &str) -> Result<&Value> {
        let checks = self.report["checks"].as_array().context("a report without checks")?;
        let found = checks.iter().find(|found| found["check"] == check && found["subject"] == subject);
        found.with_context(|| format!("no check of {check} of {subject} in {}", self.report))
    }

    pub(crate) fn ensure_holds(&self) -> Result<()> {
        ensure!(self.code == Some(0) && self.report["holds"] == json!(true), "{:#}", self.report);
        Ok(())
    }

    /// It fails, this check does, and says so in these words.
    pub(crate) fn ensure_fails(&self, check: &str, subject: &str, words: &str) -> Result<()> {
        let found = self.of(check, subject)?;
        let said = found["offenders"].to_string();
        ensure!(self.code == Some(1) && found["outcome"] == "failed", "it holds: {:#}", self.report);
        ensure!(said.contains(words), "{said} does not say {words:?}");
        Ok(())
    }
}

pub(crate) fn verify(stage: &Stage, config: &Config) -> Result<Verdict> {
    let finished = stage.call(&["verify", "--json"], Some(&config.toml()))?;
    let report = serde_json::from_str(&finished.stdout).with_context(|| format!("no report: {}", finished.stderr))?;
    Ok(Verdict { code: finished.code, report })
}

/// What a case has written is what it should be, says the audit.
pub(crate) fn holds(stage: &Stage, config: &Config) -> Result<()> {
    verify(stage, config)?.ensure_holds()
}

fn kills(stage: &Stage) -> Result<()> {
    let events = retail::events(24_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.set("micro_batch", "rows", "1000").text("micro_batch", "every", "200ms").text("gold", "every", "300ms");
    let producer = Producer::new(&broker.bootstrap())?;
    for (round, part) in (0_u64..).zip(events.chunks(6_000)) {
        producer.send(retail::TOPIC, messages(part, 4))?;
        let instance = stage.start(&mut config)?;
        stage.wait_versions(COMMITS, 2, || Ok(()))?;
        wait::moment(Duration::from_millis(round * 370));
        instance.kill()?;
        verify(stage, &config)?.ensure_holds().context("after a kill")?;
    }
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let running = verify(stage, &config)?;
    running.ensure_holds().context("beside the running pipeline")?;
    instance.wait_for(Duration::from_secs(60), "all to be read", |instance| {
        let status = instance.get("/v1/status")?.json()?;
        Ok((status["lag"] == json!(0) || lag(&status) == Some(0)).then_some(()))
    })?;
    let current = verify(stage, &config)?;
    current.ensure_holds().context("at the live edge")?;
    ensure!(current.of("live", "retail/sales_by_country")?["outcome"] == "ok", "{:#}", current.report);
    ensure!(current.of("offsets", retail::TOPIC)?["outcome"] == "ok", "{:#}", current.report);
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");

    let stopped = verify(stage, &config)?;
    stopped.ensure_holds().context("after the end")?;
    let counted = stopped.of("counts", COMMITS)?["detail"].to_string();
    ensure!(counted.contains("24000 records = "), "{counted}");
    Ok(())
}

/// The records that a status says are not read yet.
fn lag(status: &Value) -> Option<i64> {
    let partitions = status["topics"][0]["partitions"].as_array()?;
    partitions.iter().map(|partition| partition["lag"].as_i64()).sum()
}

/// What is done to a table, and which check finds it in which words.
struct Tampering {
    table: &'static str,
    how: Value,
    found_by: (&'static str, &'static str),
    words: &'static str,
}

fn tamperings() -> Vec<Tampering> {
    let with = |table, how, found_by, words| Tampering { table, how, found_by, words };
    vec![
        with(
            SALES,
            json!({"append": "SELECT * FROM tampered WHERE _lakeward_partition = 1 AND _lakeward_offset = 42"}),
            ("origins", SALES),
            "orders#0/1 offset 42 stands twice",
        ),
        with(
            SALES,
            json!({"append": "SELECT * REPLACE (sold_at + INTERVAL 400 DAY AS sold_at, DATE '2012-01-01' AS sold_at_month)
                              FROM tampered WHERE _lakeward_partition = 2 AND _lakeward_offset = 7"}),
            ("origins", SALES),
            "orders#0/2 offset 7 stands twice",
        ),
        with(
            SALES,
            json!({"append": "SELECT * REPLACE (99000000 AS _lakeward_offset) FROM tampered LIMIT 1"}),
            ("origins", SALES),
            "offset 99000000 is beyond the table's offset",
        ),
        with(
            SALES,
            json!({"delete": "_lakeward_partition = 2 AND _lakeward_offset = 17"}),
            ("counts", BOTH),
            "neither a row nor a dead letter: orders#0/2 offset 17",
        ),
        with(
            SALES,
            json!({"update": {"line_total": "line_total + 1"}, "where": "_lakeward_partition = 0 AND _lakeward_offset = 3"}),
            ("gold", GOLD),
            "from silver",
        ),
        with(
            GOLD,
            json!({"update": {"revenue": "revenue + 1"}, "where": "country = 'France'"}),
            ("gold", GOLD),
            "country=France",
        ),
        with(GOLD, json!({"delete": "country = 'France'"}), ("gold", GOLD), "is missing in gold"),
        with(
            DEAD_LETTERS,
            // The thirteenth message: the broken ones of the first send are every 97th from there.
            json!({"delete": "partition = 1 AND \"offset\" = 4"}),
            ("counts", BOTH),
            "neither a row nor a dead letter: orders#0/1 offset 4",
        ),
        with(COMMITS, json!({"delete": "micro_batch = 1"}), ("origins", SALES), "is of no micro-batch"),
        with(
            COMMITS,
            json!({"delete": "micro_batch = 2"}),
            ("offsets", COMMITS),
            "its rows end at 500, its offset is 1000",
        ),
    ]
}

fn tampered(stage: &Stage) -> Result<()> {
    let events = retail::events(3_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2 + 1)?;
    let config = stage.config(&["transforms/retail"])?;
    let producer = Producer::new(&broker.bootstrap())?;
    for part in events.chunks(1_500) {
        producer.send(retail::TOPIC, messages(part, 3))?;
        stage.until_current(&config)?;
    }
    verify(stage, &config)?.ensure_holds()?;
    let lake = stage.table("");
    for (index, tampering) in tamperings().iter().enumerate() {
        let copy = stage.folder().join(format!("tampered-{index}"));
        copy_folder(&lake, &copy)?;
        stage.readers()?.tamper(&copy.join(tampering.table), &tampering.how)?;
        let mut config = config.clone();
        config.text("lake", "location", &copy.display().to_string());
        let (check, subject) = tampering.found_by;
        let verdict = verify(stage, &config)?;
        verdict.ensure_fails(check, subject, tampering.words).with_context(|| tampering.how.to_string())?;
    }
    // What another engine compacts is the same rows in other files.
    stage.readers()?.tamper(&stage.table(SALES), &json!({"compact": true}))?;
    verify(stage, &config)?.ensure_holds().context("after a compaction")
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The rows that `lakeward offsets --json` shows of a table.
pub(crate) fn shown(stage: &Stage, config: &Config, table: &str) -> Result<Vec<Value>> {
    let finished = stage.call(&["offsets", "--json"], Some(&config.toml()))?;
    let rows: Vec<Value> =
        serde_json::from_str(&finished.stdout).with_context(|| format!("no offsets: {}", finished.stderr))?;
    Ok(rows.into_iter().filter(|row| row["table"] == table).collect())
}

/// Moves offsets; gives the exit code and what was said.
pub(crate) fn move_offsets(stage: &Stage, config: &Config, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let finished = stage.call(&[&["offsets", "move"], arguments].concat(), Some(&config.toml()))?;
    Ok((finished.code, finished.stdout + &finished.stderr))
}

/// A topic of two partitions with 1,000 records that were read and 1,000 that were not.
pub(crate) fn half_read(stage: &Stage) -> Result<Config> {
    let events = retail::events(2_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let config = stage.config(&["transforms/retail"])?;
    let producer = Producer::new(&broker.bootstrap())?;
    producer.send(retail::TOPIC, messages(&events[..1_000], 2))?;
    stage.until_current(&config)?;
    producer.send(retail::TOPIC, messages(&events[1_000..], 2))?;
    Ok(config)
}

fn moved(stage: &Stage) -> Result<()> {
    let config = half_read(stage)?;
    let rows = shown(stage, &config, SALES)?;
    let expected = json!({
        "table": SALES, "topic": "orders", "incarnation": 0, "partition": 1,
        "next": 500, "log_start": 0, "log_end": 1000, "lag": 500, "next_in": "log", "recreated": false,
    });
    ensure!(rows.len() == 2 && rows[1] == expected, "{rows:?}");

    let refused = [
        (&["--all", "--to", "earliest"][..], "would have it twice"),
        (&["--all", "--to", "400", "--partition", "0"], "would have it twice"),
        (&["--all", "--to", "latest"], "1000 records would never be read"),
        (&["--all", "--to", "2000"], "cannot be read from 2000"),
        (&["--product", "retail/sales_by_country", "--to", "latest"], "is a gold product"),
        (&["--product", "retail/nothing", "--to", "latest"], "there is no product"),
        (&["--all", "--to", "yesterday"], "none of earliest"),
    ];
    for (arguments, words) in refused {
        let (code, said) = move_offsets(stage, &config, arguments)?;
        ensure!(code == Some(64) && said.contains(words), "{arguments:?}: {code:?} {said}");
    }
    ensure!(shown(stage, &config, SALES)? == rows, "a refused move moved something");

    let (code, said) = move_offsets(stage, &config, &["--all", "--to", "800", "--yes"])?;
    ensure!(code == Some(0) && said.contains("silver/retail/sales  orders#0/0  500 -> 800"), "{code:?} {said}");
    verify(stage, &config)?.ensure_holds().context("after a move")?;
    // What was moved over may be read after all.
    let (code, said) = move_offsets(stage, &config, &["--all", "--to", "700", "--partition", "1"])?;
    ensure!(code == Some(0), "{code:?} {said}");
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == 200 + 300, "{summary:?}");
    let verdict = verify(stage, &config)?;
    verdict.ensure_holds().context("after reading on")?;
    let detail = verdict.of("offsets", COMMITS)?["detail"].to_string();
    ensure!(detail.contains("500 of them moved over"), "{detail}");

    let (code, said) = move_offsets(stage, &config, &["--all", "--to", "2100-01-01T00:00:00Z"])?;
    ensure!(code == Some(0) && said.contains("there already"), "{code:?} {said}");
    Ok(())
}

fn moved_alone(stage: &Stage) -> Result<()> {
    let config = half_read(stage)?;
    let (code, said) = move_offsets(stage, &config, &["--product", "retail/sales", "--to", "900", "--yes"])?;
    ensure!(code == Some(0) && !said.contains(DEAD_LETTERS), "{code:?} {said}");
    verify(stage, &config)?.ensure_holds().context("after a move")?;
    let (code, said) = move_offsets(stage, &config, &["--product", "retail/sales", "--to", "850"])?;
    ensure!(code == Some(0), "nothing is there yet: {code:?} {said}");
    verify(stage, &config)?.ensure_holds().context("after a move back")?;
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == 1_000, "the other tables go on where they were: {summary:?}");
    ensure!(summary.rows.get("retail/sales").is_some_and(|rows| *rows <= 300), "{summary:?}");
    verify(stage, &config)?.ensure_holds().context("after reading on")?;
    let (code, said) = move_offsets(stage, &config, &["--product", "retail/sales", "--to", "800"])?;
    ensure!(code == Some(64) && said.contains("would have it twice"), "{code:?} {said}");
    Ok(())
}

fn recreated(stage: &Stage) -> Result<()> {
    let config = half_read(stage)?;
    stage.until_current(&config)?;
    stage.kafka()?.delete(retail::TOPIC)?;
    stage.kafka()?.create(retail::TOPIC, 2)?;
    let events = retail::events(3_000)?;
    Producer::new(&stage.broker()?.bootstrap())?.send(retail::TOPIC, messages(&events[2_000..], 2))?;
    let finished = stage.call(&["run", "--until-current"], Some(&config.toml()))?;
    ensure!(finished.code == Some(1) && finished.stderr.contains("--new-incarnation"), "{}", finished.stderr);
    verify(stage, &config)?.ensure_fails("offsets", retail::TOPIC, "the log ends at 500")?;

    let (code, said) = move_offsets(stage, &config, &["--all", "--to", "earliest", "--new-incarnation"])?;
    ensure!(code == Some(0) && said.contains("orders#1/0  none -> 0"), "{code:?} {said}");
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == 1_000, "{summary:?}");
    let verdict = verify(stage, &config)?;
    verdict.ensure_holds()?;
    let detail = verdict.of("offsets", COMMITS)?["detail"].to_string();
    ensure!(detail.contains("4 partitions, 3000 offsets"), "{detail}");
    Ok(())
}

fn left_the_log(stage: &Stage) -> Result<()> {
    let mut config = half_read(stage)?;
    stage.kafka()?.delete_records(retail::TOPIC, 0, 800)?;
    let finished = stage.call(&["run", "--until-current"], Some(&config.toml()))?;
    ensure!(finished.code == Some(1), "ended with {:?}: {}", finished.code, finished.stderr);
    for word in ["offset 500 of orders/0", "800 to 1000", "lakeward offsets move"] {
        ensure!(finished.stderr.contains(word), "no `{word}` in {}", finished.stderr);
    }
    let next = |rows: &[Value]| rows.iter().map(|row| row["next"].as_i64()).collect::<Vec<_>>();
    let rows = shown(stage, &config, SALES)?;
    ensure!(next(&rows) == [Some(500), Some(1000)], "the other partition did not go on: {rows:?}");

    let mut instance = stage.start(&mut config)?;
    instance.wait_for(Duration::from_secs(60), "a status that names the partition", |instance| {
        let Ok(answer) = instance.get("/v1/status") else { return Ok(None) };
        let topic = &answer.json()?["topics"][0];
        Ok((topic["stopped"]["0"].is_string() && topic["partitions"][0]["partition"] == json!(1)).then_some(()))
    })?;
    ensure!(instance.terminate()?.success(), "a pipeline with a stopped partition did not end well");

    let (code, said) = move_offsets(stage, &config, &["--all", "--partition", "0", "--to", "earliest", "--yes"])?;
    ensure!(code == Some(0), "{code:?} {said}");
    let summary = stage.until_current(&config)?;
    ensure!(summary.records == 200, "{summary:?}");
    verify(stage, &config)?.ensure_holds()
}
