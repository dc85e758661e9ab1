//! A hostile module, seen from outside: its bad record is a dead letter, the others go through, the process stays up.

use crate::audit;
use crate::case::Case;
use anyhow::{Context, Result, ensure};
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::stage::Stage;
use serde_json::{Value, json};
use std::fs;

const TOPIC: &str = "commands";
const ECHOES: (&str, &str) = ("echoes", "silver/evil/echoes");
const DEAD_LETTERS: (&str, &str) = ("dead_letters", "_lakeward/dead_letters");

/// The commands of the evil module, and a word of the reason that an operator should find.
const DEEDS: [(&str, &str); 15] = [
    ("loop", ""),
    ("memory", ""),
    ("huge", ""),
    ("offsets", ""),
    ("backwards", ""),
    ("utf8", "UTF-8"),
    ("nulls", "null"),
    ("origin", "origin"),
    ("order", "origin"),
    ("product", "product"),
    ("missing", "buffer"),
    ("panic", "the module panicked on purpose"),
    ("stack", "stack"),
    ("log", "log"),
    ("reject", "told to reject"),
];

pub(crate) fn cases() -> Vec<Case> {
    let each = DEEDS.into_iter().map(|(deed, reason)| {
        Case::embedded(&format!("evil::{deed}"), &[Need::Python], move |stage| attack(stage, &[(deed, reason)]))
    });
    let mut cases: Vec<_> = each.collect();
    cases.push(Case::kafka("evil::all_at_once", &[Need::Python], |stage| attack(stage, &DEEDS)));
    cases.push(Case::new("evil::a_module_with_a_clock_is_not_built", &[], no_clock));
    cases.push(Case::new("evil::a_component_with_a_clock_is_not_run", &[], foreign_component));
    cases
}

/// 20 good records, then each bad one followed by 20 good ones.
fn attack(stage: &Stage, deeds: &[(&'static str, &'static str)]) -> Result<()> {
    let broker = stage.broker()?;
    broker.create_topic(TOPIC, 1)?;
    let mut commands = vec!["ok"; 20];
    for (deed, _) in deeds {
        commands.push(*deed);
        commands.extend(["ok"; 20]);
    }
    let messages = commands
        .iter()
        .enumerate()
        .map(|(id, command)| Message::placed(0, json!({ "id": id, "command": command }).to_string()));
    Producer::new(&broker.bootstrap())?.send(TOPIC, messages)?;
    let mut config = stage.config(&["tests/evil"])?;
    // An endless loop costs all its fuel in every step of the search for the record.
    config.set("transform", "fuel", "200000000");

    let summary = stage.until_current(&config)?;
    ensure!(summary.records == commands.len() as i64, "{summary:?}");
    let good: Vec<_> =
        (0..commands.len()).filter(|id| commands[*id] == "ok").map(|id| json!({ "id": id, "o": id })).collect();
    let echoes = stage.query(Engine::DuckDb, &[ECHOES], "SELECT id, _lakeward_offset AS o FROM echoes ORDER BY id")?;
    ensure!(echoes == good, "of the good records {good:?} came {echoes:?}");
    let letters = stage.query(
        Engine::DuckDb,
        &[DEAD_LETTERS],
        r#"SELECT "offset", stage, reason, module, length(module_digest) AS digest FROM dead_letters ORDER BY "offset""#,
    )?;
    ensure!(letters.len() == deeds.len(), "expected {} dead letters: {letters:#?}", deeds.len());
    for (index, ((deed, word), letter)) in deeds.iter().zip(&letters).enumerate() {
        explained(letter, 20 + 21 * index, word).with_context(|| (*deed).to_owned())?;
    }
    audit::holds(stage, &config)
}

fn explained(letter: &Value, offset: usize, word: &str) -> Result<()> {
    ensure!(letter["offset"] == json!(offset), "expected offset {offset}: {letter}");
    ensure!(letter["stage"] == "transform" && letter["module"] == "evil", "{letter}");
    ensure!(letter["digest"] == json!(64), "the digest is not SHA-256 in hexadecimal: {letter}");
    let reason = letter["reason"].as_str().context("a dead letter without a reason")?;
    ensure!(
        !reason.is_empty() && reason.to_lowercase().contains(&word.to_lowercase()),
        "no word of `{word}`: {letter}"
    );
    ensure!(reason.len() < 4096, "a reason of {} bytes", reason.len());
    Ok(())
}

fn no_clock(stage: &Stage) -> Result<()> {
    let out = stage.folder().join("clock.wasm").display().to_string();
    let finished = stage.call(&["build", "tests/evil/clock", "--out", &out], None)?;
    ensure!(finished.code != Some(0), "a module with a clock was built: {}", finished.stdout);
    ensure!(finished.stderr.contains("wasi_snapshot_preview1"), "the message names no import: {}", finished.stderr);
    ensure!(!fs::exists(&out)?, "a refused module was written");
    Ok(())
}

/// Somebody may make a component by other tools than ours.
fn foreign_component(stage: &Stage) -> Result<()> {
    let module = stage.folder().join("foreign.wasm");
    fs::write(&module, lakeward_tests::foreign::component()?)?;
    let mut config = stage.config(&[])?;
    config.module("foreign", &module).text("kafka", "brokers", "127.0.0.1:1");
    let finished = stage.call(&["check"], Some(&config.toml()))?;
    ensure!(finished.code == Some(64), "ended with {:?}: {}", finished.code, finished.stderr);
    let said = [finished.stdout, finished.stderr].concat();
    ensure!(said.contains("wasi:clocks/wall-clock"), "the message names no import: {said}");
    Ok(())
}
