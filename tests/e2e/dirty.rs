//! Payloads as nobody wants them: each becomes a row or a dead letter with its origin and reason, and the rest goes on.

use crate::case::Case;
use crate::exact::{DEAD_LETTERS, SALES};
use anyhow::{Context, Result, ensure};
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail;
use lakeward_tests::stage::Stage;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn cases() -> Vec<Case> {
    Case::both("dirty::a_bad_payload_is_a_dead_letter_and_the_rest_goes_on", &[Need::Python], payloads).into()
}

/// What becomes of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Row,
    /// A dead letter of this stage.
    Dead(&'static str),
    /// Either, but not lost: the format leaves it open.
    Either,
}

const GOOD: &str = r#"{"seq":1,"InvoiceNo":"536365","StockCode":"71053","Description":"WHITE METAL LANTERN","Quantity":6,"InvoiceDate":"2010-12-01 08:26:00","UnitPrice":3.39,"CustomerID":"17850.0","Country":"United Kingdom"}"#;

/// The good event with a piece of its text replaced.
fn with(old: &str, new: &str) -> Option<Vec<u8>> {
    assert!(GOOD.contains(old), "{old} is not in the good event");
    Some(GOOD.replace(old, new).into_bytes())
}

/// The good event with a byte of its description replaced.
fn with_byte(byte: u8) -> Option<Vec<u8>> {
    let mut event = GOOD.as_bytes().to_vec();
    let at = GOOD.find("METAL").expect("the good event has a metal lantern");
    event[at] = byte;
    Some(event)
}

/// The event with its number at the end.
fn seq_last(mut event: Vec<u8>) -> Vec<u8> {
    event.pop();
    event.extend_from_slice(br#","seq":1}"#);
    event
}

/// Records of partition 0, in order, between good ones.
fn bad() -> Vec<(&'static str, Option<Vec<u8>>, Fate)> {
    use Fate::{Dead, Either, Row};
    let deep = |levels: usize| format!(r#""seq":1,"extra":{}1{}"#, "[".repeat(levels), "]".repeat(levels));
    let text = |text: &str| Some(text.as_bytes().to_vec());
    vec![
        ("a tombstone", None, Either),
        ("empty", text(""), Dead("decode")),
        ("white space", text("  \n "), Dead("decode")),
        ("truncated", Some(GOOD.as_bytes()[..60].to_vec()), Dead("decode")),
        ("two objects", Some([GOOD, GOOD].concat().into_bytes()), Dead("decode")),
        ("an object and garbage", Some([GOOD, "}"].concat().into_bytes()), Dead("decode")),
        ("an array", Some(format!("[{GOOD}]").into_bytes()), Dead("decode")),
        ("null", text("null"), Dead("decode")),
        ("plain text", text("hello"), Dead("decode")),
        ("zeros", Some(vec![0; 100]), Dead("decode")),
        ("a text for a number", with("\"Quantity\":6", "\"Quantity\":\"abc\""), Dead("decode")),
        ("an object for a number", with("\"Quantity\":6", "\"Quantity\":{}"), Dead("decode")),
        ("a fraction for a whole number", with("\"Quantity\":6", "\"Quantity\":6.5"), Dead("decode")),
        ("null for what must be", with("\"Quantity\":6", "\"Quantity\":null"), Dead("decode")),
        ("a missing field", with("\"Quantity\":6,", ""), Dead("decode")),
        ("a number past 64 bits", with("\"Quantity\":6", "\"Quantity\":99999999999999999999"), Dead("decode")),
        ("a number past any float", with("\"Quantity\":6", "\"Quantity\":1e400"), Dead("decode")),
        ("a price past its precision", with("3.39", "1234567890123456789.5"), Dead("decode")),
        ("a price with too many decimals", with("3.39", "3.39001"), Dead("decode")),
        ("a date that is none", with("2010-12-01 08:26:00", "2010-13-41 08:26:00"), Dead("decode")),
        ("a product that overflows", with("\"Quantity\":6", "\"Quantity\":9223372036854775807"), Dead("transform")),
        ("a price that is not positive", with("3.39", "-1"), Dead("transform")),
        ("a blank description", with("WHITE METAL LANTERN", "   "), Dead("transform")),
        ("invalid UTF-8", with_byte(0xff), Dead("decode")),
        ("a control character in a text", with_byte(0x01), Either),
        ("half a surrogate pair", with("METAL", "\\ud800"), Either),
        ("a duplicate key", with("\"Quantity\":6", "\"Quantity\":6,\"Quantity\":7"), Either),
        ("10,000 levels in a field that nobody reads", with("\"seq\":1", &deep(10_000)), Either),
        ("10,000 levels and no end", Some(vec![b'['; 10_000]), Dead("decode")),
        ("10,000 levels for a text", with("\"United Kingdom\"", &"{\"a\":".repeat(10_000)), Dead("decode")),
        ("an unknown field", with("\"seq\":1", "\"seq\":1,\"extra\":{\"a\":[1,2,{}]}"), Row),
        ("an escaped text", with("METAL", "M\\u0045TAL \\\"X\\\""), Row),
        ("fields in another order", with("{\"seq\":1,", "{\"Extra\":1,").map(seq_last), Row),
    ]
}

fn payloads(stage: &Stage) -> Result<()> {
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 3)?;
    let mut fates = Vec::new();
    let mut messages = Vec::new();
    let mut add = |name: &'static str, value: Option<Vec<u8>>, fate: Fate| {
        fates.push((name, value.clone(), fate));
        messages.push(Message { partition: Some(0), key: Some(b"key".to_vec()), value, ..Message::default() });
    };
    for (name, value, fate) in bad() {
        add("a good event", Some(GOOD.as_bytes().to_vec()), Fate::Row);
        add(name, value, fate);
    }
    add("a good event", Some(GOOD.as_bytes().to_vec()), Fate::Row);
    let count = i64::try_from(messages.len())?;
    // 5 MB fills a partition of the embedded broker, so it has one to itself.
    let large = GOOD.replace("METAL", &"M".repeat(5_000_000));
    messages.push(Message::placed(1, large));
    messages.push(Message::placed(2, GOOD));
    Producer::new(&broker.bootstrap())?.send(retail::TOPIC, messages)?;

    let summary = stage.until_current(&stage.config(&["transforms/retail"])?)?;
    ensure!(summary.records == count + 2, "{summary:?}");
    let rows = summary.rows.get("retail/sales").copied().unwrap_or_default();
    ensure!(rows + summary.skips + summary.dead_letters == summary.records, "records are lost: {summary:?}");

    let found = outcomes(stage)?;
    for (offset, (name, value, fate)) in fates.iter().enumerate() {
        let outcome = found.get(&(0, i64::try_from(offset)?)).map(Vec::as_slice).unwrap_or_default();
        judge(outcome, value.as_deref(), *fate).with_context(|| format!("{name} (offset {offset})"))?;
    }
    let large = found.get(&(1, 0)).context("5 MB: neither a row nor a dead letter")?;
    ensure!(large.len() == 1, "5 MB: {} outcomes", large.len());
    ensure!(found.get(&(2, 0)).is_some_and(|outcome| outcome[0]["stage"] == "row"), "the good event beside 5 MB");
    Ok(())
}

/// Rows and dead letters by partition and offset.
fn outcomes(stage: &Stage) -> Result<BTreeMap<(i64, i64), Vec<Value>>> {
    let rows = stage.query(
        Engine::DuckDb,
        &[SALES, DEAD_LETTERS],
        r#"SELECT _lakeward_partition AS p, _lakeward_offset AS o, 'row' AS stage, NULL AS letter FROM sales
           UNION ALL
           SELECT "partition", "offset", stage,
                  {'topic': topic, 'key': key, 'value': CASE WHEN octet_length(value) < 200000 THEN value END, 'reason': reason, 'status': status}
           FROM dead_letters"#,
    )?;
    let mut outcomes = BTreeMap::<_, Vec<Value>>::new();
    for row in rows {
        let number = |name: &str| row[name].as_i64().with_context(|| format!("{name} in {row}"));
        outcomes.entry((number("p")?, number("o")?)).or_default().push(row);
    }
    Ok(outcomes)
}

fn judge(outcome: &[Value], value: Option<&[u8]>, fate: Fate) -> Result<()> {
    if outcome.is_empty() {
        ensure!(value.is_none() && fate == Fate::Either, "neither a row nor a dead letter");
        return Ok(());
    }
    let [outcome] = outcome else { anyhow::bail!("more than one outcome: {outcome:?}") };
    match fate {
        Fate::Row => ensure!(outcome["stage"] == "row", "no row: {outcome}"),
        Fate::Dead(stage) => ensure!(outcome["stage"] == stage, "expected a dead letter of {stage}: {outcome}"),
        Fate::Either => {}
    }
    if outcome["stage"] == "row" {
        return Ok(());
    }
    let letter = &outcome["letter"];
    ensure!(
        letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
        "a dead letter without a reason: {letter}"
    );
    ensure!(letter["topic"] == retail::TOPIC && letter["status"] == "open", "{letter}");
    ensure!(letter["key"] == json!("6b6579"), "the key is not what was written: {letter}");
    let written = value.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    ensure!(letter["value"].as_str() == written.as_deref(), "the value is not what was written: {letter}");
    Ok(())
}
