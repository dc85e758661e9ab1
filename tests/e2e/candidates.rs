//! A candidate beside the module in use: whether its tables can follow, what it makes of the same events, and how the tables grow.

use crate::audit;
use crate::case::Case;
use anyhow::{Context, Result, ensure};
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::Producer;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail;
use lakeward_tests::stage::{Finished, Stage};
use serde_json::{Value, json};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const TOKEN: &str = "ann-has-a-long-token";
const SALES: (&str, &str) = ("sales", "silver/retail/sales");

pub(crate) fn cases() -> Vec<Case> {
    let data = &[Need::RetailData];
    let mut cases = vec![
        Case::new("candidates::compatibility_is_told_to_people_and_programs", &[], compatibility),
        Case::new("candidates::what_is_no_module_is_refused", &[], refused),
        Case::new("candidates::two_modules_are_compared_over_a_file", data, over_a_file),
        Case::new("candidates::tables_gain_and_keep_columns", &[Need::Python, Need::RetailData], evolved),
    ];
    cases.extend(Case::both("candidates::two_modules_are_compared_over_a_topic", data, over_a_topic));
    cases
}

/// The retail module with one more column that may be null.
fn noted(stage: &Stage) -> Result<PathBuf> {
    with_column(stage, "noted", "    country: &'a str,\n    sold_at", "note: Option<&'a str>", "note: line.description")
}

/// Where a column stands before the quantity of a sale.
const VOUCHER: &str = "    /// Pieces; negative for what comes back.\n    quantity: i64,\n    /// Price of one piece, in pounds.\n    #[product";

/// The same with another one in its place, and at another place.
fn with_vouchers(stage: &Stage) -> Result<PathBuf> {
    let value = "voucher: (line.quantity > 5).then_some(line.seq)";
    with_column(stage, "vouchers", VOUCHER, "voucher: Option<i64>", value)
}

/// The retail module with a column of the product before `place`.
fn with_column(stage: &Stage, name: &str, place: &str, column: &str, value: &str) -> Result<PathBuf> {
    let (declared, filled) = (format!("    {column},\n{place}"), format!("country: line.country,\n        {value},"));
    stage.product()?.retail_variant(name, &[(place, &declared), ("country: line.country,", &filled)])
}

/// Breaks the product: its table would be laid out in another way.
fn by_day(stage: &Stage) -> Result<PathBuf> {
    stage.product()?.retail_variant("by_day", &[("month(sold_at)", "day(sold_at)")])
}

/// Another rule, which is no breaking change: cancellations are rejected, and big orders are told apart.
fn strict(stage: &Stage) -> Result<PathBuf> {
    stage.product()?.retail_variant(
        "strict",
        &[
            ("{ \"cancellation\" }", "{ return Err(Reject::new(\"a cancellation\")) }"),
            ("{ \"sale\" }", "{ if line.quantity >= 1000 { \"bulk\" } else { \"sale\" } }"),
        ],
    )
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not text")
}

fn ended(finished: &Finished, code: i32) -> Result<()> {
    ensure!(
        finished.code == Some(code),
        "ended with {:?}, not {code}: {}{}",
        finished.code,
        finished.stdout,
        finished.stderr
    );
    ensure!(!finished.stderr.contains("panicked"), "a panic: {}", finished.stderr);
    Ok(())
}

fn json_of(finished: &Finished) -> Result<Value> {
    serde_json::from_str(finished.stdout.trim_end()).with_context(|| format!("not JSON: {}", finished.stdout))
}

fn compatibility(stage: &Stage) -> Result<()> {
    let retail = stage.product()?.module("transforms/retail")?;
    let (noted, vouchers, by_day) = (noted(stage)?, with_vouchers(stage)?, by_day(stage)?);
    let check = |old: &Path, new: &Path, more: &[&str]| {
        stage.call(&[&["check-compat", text(old)?, text(new)?], more].concat(), None)
    };
    let same = check(&retail, &retail, &[])?;
    ended(&same, 0)?;
    ensure!(same.stdout == "compatible: nothing differs that a table or its readers could see\n", "{}", same.stdout);

    let swapped = check(&noted, &vouchers, &["--json"])?;
    ended(&swapped, 0)?;
    let found = json_of(&swapped)?;
    ensure!(found["breaking"] == json!([]), "{found}");
    ensure!(found["additions"][0]["column"] == "voucher" && found["changes"][0]["column"] == "note", "{found}");

    let broken = check(&retail, &by_day, &[])?;
    ended(&broken, 1)?;
    for words in ["retail/sales: its table is partitioned by month of sold_at", "--as-version 2", "--rebuild"] {
        ensure!(broken.stdout.contains(words), "no word of {words}: {}", broken.stdout);
    }
    ensure!(broken.stderr.contains("1 breaking change"), "{}", broken.stderr);
    let logistics = stage.product()?.module("transforms/logistics")?;
    let other = check(&retail, &logistics, &["--json"])?;
    ended(&other, 1)?;
    // Another name, another owner, and three products that are new.
    ensure!(json_of(&other)?["breaking"].as_array().is_some_and(|breaking| breaking.len() == 5), "{}", other.stdout);
    Ok(())
}

fn refused(stage: &Stage) -> Result<()> {
    let retail = stage.product()?.module("transforms/retail")?;
    let logistics = stage.product()?.module("transforms/logistics")?;
    let script = stage.folder().join("script.wasm");
    fs::write(&script, "#!/bin/sh")?;
    let events = stage.folder().join("events.ndjson");
    fs::write(&events, "{}\n")?;
    let (retail, script, events) = (text(&retail)?, text(&script)?, text(&events)?);
    let table: [(&[&str], &str); 9] = [
        (&["check-compat", retail, script], "not WebAssembly"),
        (&["check-compat", "no-such.wasm", retail], "no-such.wasm"),
        (&["check-compat", retail], "NEW.wasm"),
        (&["diff", retail, text(&logistics)?, "--events", events, "--topic", "orders"], "no product in common"),
        (&["diff", retail, retail], "--events"),
        (&["diff", retail, retail, "--events", events, "--topic", "oders"], "oders"),
        (&["diff", retail, retail, "--events", "no-such/*.ndjson"], "no-such"),
        (&["diff", retail, retail, "--events", events, "--from", "2024-01-01T00:00:00Z"], "no times"),
        (&["diff", retail, retail, "--events", events, "--if", "chnged = 0"], "chnged"),
    ];
    for (arguments, words) in table {
        let finished = stage.call(arguments, None)?;
        let said = format!("{}{}", finished.stdout, finished.stderr);
        ensure!(said.contains(words), "{arguments:?}: no word of {words}: {said}");
        ended(&finished, 64).with_context(|| format!("{arguments:?}"))?;
    }
    Ok(())
}

/// Writes the first events into a file, one a line; gives how many of them are what the strict module sees otherwise.
fn write_events(path: &Path, from: usize, to: usize) -> Result<()> {
    let events = retail::events(to)?;
    let lines: String = events[from..].iter().map(|event| format!("{}\n", event.json)).collect();
    Ok(fs::write(path, lines)?)
}

/// What the strict module makes of the first `count` events, counted from the events themselves.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    cancelled: u64,
    bulk: u64,
    /// Of more than five pieces.
    big: u64,
    rows: u64,
    rejected: u64,
}

impl Expected {
    fn of(events: &[retail::Event]) -> Result<Self> {
        let mut expected = Self::default();
        for event in events {
            let event: Value = serde_json::from_str(&event.json)?;
            let price = &event["UnitPrice"];
            let price: f64 = price.as_str().map_or_else(|| price.to_string(), str::to_owned).parse()?;
            let name = event["Description"].as_str().map(str::trim).unwrap_or_default();
            if price <= 0.0 || name.is_empty() {
                expected.rejected += 1;
                continue;
            }
            expected.rows += 1;
            let is_cancellation = event["InvoiceNo"].as_str().is_some_and(|invoice| invoice.starts_with('C'));
            expected.cancelled += u64::from(is_cancellation);
            let is_bulk = !is_cancellation && event["Quantity"].as_i64().is_some_and(|quantity| quantity >= 1000);
            expected.bulk += u64::from(is_bulk);
            expected.big += u64::from(event["Quantity"].as_i64().is_some_and(|quantity| quantity > 5));
        }
        Ok(expected)
    }

    /// The report says just that.
    fn check(&self, report: &Value) -> Result<()> {
        let same = self.rows - self.cancelled - self.bulk;
        let rows = json!({ "same": same, "changed": self.bulk, "only_old": self.cancelled, "only_new": 0 });
        ensure!(report["rows"] == rows, "{} instead of {rows}", report["rows"]);
        let rejects = &report["rejects"];
        ensure!(
            (&rejects["both"], &rejects["gained"], &rejects["lost"])
                == (&json!(self.rejected), &json!(self.cancelled), &json!(0)),
            "{rejects} instead of {self:?}"
        );
        let columns = report["products"][0]["columns"].as_array().context("no columns")?;
        for column in columns {
            let differs = if column["column"] == "kind" { self.bulk } else { 0 };
            ensure!(column["differs"] == json!(differs), "{column}");
        }
        let cost = &report["cost"];
        for side in ["old", "new"] {
            ensure!(cost[side]["fuel_per_event"].as_f64().is_some_and(|fuel| fuel > 10.0), "{cost}");
        }
        Ok(())
    }
}

fn over_a_file(stage: &Stage) -> Result<()> {
    const EVENTS: usize = 40_000;
    let events = stage.folder().join("orders.ndjson");
    write_events(&events, 0, EVENTS)?;
    let (retail, strict) = (stage.product()?.module("transforms/retail")?, strict(stage)?);
    let diff = |more: &[&str]| {
        let arguments = ["diff", text(&retail)?, text(&strict)?, "--events", text(&events)?, "--topic", retail::TOPIC];
        stage.call(&[&arguments, more].concat(), None)
    };
    let finished = diff(&["--json", "--if", "records >= 40000", "--if", "only_new = 0"])?;
    ended(&finished, 0)?;
    let report = json_of(&finished)?;
    ensure!(report["records"] == json!(EVENTS), "{}", report["records"]);
    let expected = Expected::of(&retail::events(EVENTS)?)?;
    ensure!(expected.cancelled > 100 && expected.bulk > 0, "the events are too tame: {expected:?}");
    expected.check(&report)?;
    let example = &report["products"][0]["columns"][2]["examples"][0];
    ensure!(example["before"] == "sale" && example["after"] == "bulk", "{example}");
    ensure!(report["rejects"]["gained_reasons"][0]["reason"] == "a cancellation", "{report}");
    // Both gold products count cancellations, and neither counts the kind.
    ensure!(report["gold"][0]["groups"].as_u64().is_some_and(|groups| groups > 10), "{}", report["gold"]);

    let part = json_of(&diff(&["--json", "--from", "10000", "--to", "30000"])?)?;
    ensure!(part["records"] == json!(20_000), "{}", part["records"]);
    Expected::of(&retail::events(30_000)?[10_000..])?.check(&part)?;

    let unmet = diff(&["--if", "changed = 0", "--if", "new_rejects <= 0.01%", "--if", "lost_rejects = 0"])?;
    ended(&unmet, 1)?;
    ensure!(unmet.stdout.contains("40,000 records compared"), "{}", unmet.stdout);
    ensure!(
        unmet.stderr.contains("`changed = 0` does not hold") && unmet.stderr.contains("`new_rejects"),
        "{}",
        unmet.stderr
    );
    ensure!(!unmet.stderr.contains("lost_rejects"), "{}", unmet.stderr);
    Ok(())
}

fn over_a_topic(stage: &Stage) -> Result<()> {
    const EVENTS: usize = 20_000;
    let events = retail::events(EVENTS)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 3)?;
    let counts = Producer::new(&broker.bootstrap())?.send(retail::TOPIC, events.iter().map(retail::Event::message))?;
    let (retail, strict) = (stage.product()?.module("transforms/retail")?, strict(stage)?);
    let config = stage.config(&["transforms/retail"])?;
    let diff = |more: &[&str]| {
        let arguments = ["diff", text(&retail)?, text(&strict)?, "--json"];
        stage.call(&[&arguments, more].concat(), Some(&config.toml()))
    };
    let finished = diff(&[])?;
    ended(&finished, 0)?;
    let report = json_of(&finished)?;
    ensure!(report["records"] == json!(EVENTS), "{}", report["records"]);
    Expected::of(&events)?.check(&report)?;
    let part = json_of(&diff(&["--from", "1000", "--to", "2000"])?)?;
    let expected: i64 = counts.iter().map(|count| (*count - 1000).clamp(0, 1000)).sum();
    ensure!(part["records"] == json!(expected), "{} instead of {expected}", part["records"]);
    let lake = stage.folder().join("lake");
    ensure!(!fs::exists(&lake)? || fs::read_dir(&lake)?.next().is_none(), "something was written");
    Ok(())
}

/// One release adds a column and drops another, then the one before is active again, all without a restart. The tables follow, and hold
/// all rows.
fn evolved(stage: &Stage) -> Result<()> {
    const PART: usize = 6_000;
    let folder = stage.folder().join("events");
    fs::create_dir(&folder)?;
    let (noted, vouchers) = (noted(stage)?, with_vouchers(stage)?);
    stage.set_environment(vec![("LAKEWARD_TOKEN".to_owned(), TOKEN.to_owned())])?;
    let mut config = stage.config(&[])?;
    config.module("retail", &noted).text("operators.ann", "token", TOKEN);
    config.text("micro_batch", "every", "200ms").text("gold", "every", "300ms");
    config.text("topics.orders", "path", &folder.join("*.ndjson").display().to_string());
    publish(stage, &folder, 0..PART)?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    wait_stored(&mut instance, PART)?;
    release(stage, &mut instance, &["deploy", text(&vouchers)?])?;
    publish(stage, &folder, PART..2 * PART)?;
    wait_stored(&mut instance, 2 * PART)?;
    release(stage, &mut instance, &["rollback", "retail"])?;
    publish(stage, &folder, 2 * PART..3 * PART)?;
    wait_stored(&mut instance, 3 * PART)?;
    // To the active module a voucher is a new column, whatever its type; the table knows better.
    let texts = with_column(stage, "texts", VOUCHER, "voucher: Option<&'a str>", "voucher: line.description")?;
    let refused = stage.call(&["deploy", text(&texts)?, "--server", &instance.server()], None)?;
    ensure!(refused.code.is_some_and(|code| code != 0), "a column of another type was taken: {}", refused.stdout);
    ensure!(
        refused.stderr.contains("column voucher is string in the product and long in the table"),
        "{}",
        refused.stderr
    );
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");

    // Either module's manifest tells of the tables as they are.
    for module in [&noted, &vouchers] {
        config.module("retail", module);
        audit::holds(stage, &config)?;
    }
    let all = Expected::of(&retail::events(3 * PART)?)?.rows;
    let second = retail::events(2 * PART)?;
    let big = Expected::of(&second[PART..])?.big;
    for engine in Engine::ALL {
        let rows = stage.query(
            engine,
            &[SALES],
            "SELECT count(*) AS n, count(note) FILTER (seq < 6000) AS n_first, count(note) FILTER (seq BETWEEN 6000 AND 11999) AS n_second,
                    count(note) FILTER (seq >= 12000) AS n_third, count(voucher) FILTER (seq BETWEEN 6000 AND 11999) AS vouchers,
                    count(voucher) AS all_vouchers, count(*) FILTER (voucher = seq) AS right_ones,
                    count(*) FILTER (note IS NULL AND seq < 6000) AS lacking
             FROM sales",
        )?;
        let row = rows.first().context("no row")?;
        let number = |name: &str| row[name].as_i64().unwrap_or(-1);
        ensure!(number("n") == all as i64 && number("n_second") == 0 && number("lacking") == 0, "{engine:?} {row}");
        ensure!(number("n_first") > 5_000 && number("n_third") > 5_000, "{engine:?} {row}");
        ensure!(
            number("vouchers") == number("all_vouchers") && number("right_ones") == number("vouchers"),
            "{engine:?} {row}"
        );
        let vouchers = number("vouchers");
        ensure!(vouchers > 1_000 && vouchers == big as i64, "{engine:?} {row}, of {big} big orders");
        let found = stage.query(
            engine,
            &[SALES],
            "SELECT count(*) AS n FROM sales WHERE voucher IS NOT NULL AND note IS NULL",
        )?;
        ensure!(json!(found) == json!([{ "n": vouchers }]), "{engine:?} {found:?}");
    }
    let changes = metadata_actions(&stage.table(SALES.1).join("_delta_log"))?;
    ensure!(changes == 2, "the schema was written {changes} times: it is made once, and grew once");
    Ok(())
}

/// Puts some of the events where the pipeline reads them, all at once.
fn publish(stage: &Stage, folder: &Path, events: Range<usize>) -> Result<()> {
    let written = stage.folder().join("being-written");
    let name = format!("{:06}.ndjson", events.start);
    write_events(&written, events.start, events.end)?;
    Ok(fs::rename(written, folder.join(name))?)
}

/// Waits until the silver table has all of the first records.
fn wait_stored(instance: &mut Instance, records: usize) -> Result<()> {
    instance.wait_for(LIMIT, "all to be stored", |instance| {
        let status = instance.get("/v1/status")?.json()?;
        let products = status["products"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sales = products.iter().find(|product| product["path"] == "retail/sales");
        let next = sales.and_then(|sales| sales["next_offsets"].as_object()?.values().next()?.as_u64());
        Ok((next == Some(records as u64)).then_some(()))
    })
}

/// Gives an order, and waits until the pipeline runs what it made active.
fn release(stage: &Stage, instance: &mut Instance, order: &[&str]) -> Result<()> {
    let server = instance.server();
    let finished = stage.call(&[order, &["--server", &server, "--json"]].concat(), None)?;
    ended(&finished, 0)?;
    let digest = json_of(&finished)?["digest"].clone();
    instance.wait_for(LIMIT, "the module to run", |instance| {
        let module = instance.get("/v1/modules/retail")?.json()?;
        Ok((module["running"] == digest).then_some(()))
    })
}

fn metadata_actions(log: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "json") {
            count += fs::read_to_string(path)?.lines().filter(|line| line.starts_with("{\"metaData\"")).count();
        }
    }
    Ok(count)
}
