//! What an operator gets wrong: a clear message and exit code 64, or a process that says what it waits for.

use crate::case::Case;
use anyhow::{Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::kafka::Kafka;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::requirements::Need;
use lakeward_tests::retail;
use lakeward_tests::stage::{Finished, Stage};
use serde_json::json;
use std::fs;
use std::time::Duration;

/// An address at which nobody listens.
const NOBODY: &str = "127.0.0.1:1";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("bad_config::a_good_one_is_checked_without_contacting_anybody", &[], good),
        Case::new("bad_config::a_wrong_key", &[], |stage| {
            refused(stage, |config| config.set("micro_batch", "rowz", "5"), &["rowz", "rows", "line"])
        }),
        Case::new("bad_config::a_wrong_type", &[], |stage| {
            refused(stage, |config| config.text("micro_batch", "rows", "many"), &["many", "line"])
        }),
        Case::new("bad_config::a_size_without_a_unit", &[], |stage| {
            refused(stage, |config| config.text("micro_batch", "size", "128 apples"), &["128 apples", "line"])
        }),
        Case::new("bad_config::an_unset_variable", &[], |stage| {
            refused(
                stage,
                |config| config.text("kafka", "brokers", "${LAKEWARD_NOT_SET}"),
                &["LAKEWARD_NOT_SET", "line"],
            )
        }),
        Case::new("bad_config::a_location_that_is_none", &[], |stage| {
            refused(stage, |config| config.text("lake", "location", "ftp://lake"), &["ftp://lake"])
        }),
        Case::new("bad_config::a_topic_that_no_module_reads", &[], |stage| {
            refused(stage, |config| config.text("topics.oders", "start", "latest"), &["oders", "orders"])
        }),
        Case::kafka("bad_config::another_name_over_the_same_lake", &[], other_name),
        Case::new("bad_config::a_missing_file", &[], missing_file),
        Case::new("bad_config::no_module_at_all", &[], no_module),
        Case::new("bad_config::a_module_that_is_not_there", &[], |stage| module(stage, None, &["no.wasm"])),
        Case::new("bad_config::a_module_that_is_not_wasm", &[], |stage| {
            module(stage, Some(b"#!/bin/sh"), &["not WebAssembly"])
        }),
        Case::new("bad_config::a_core_module", &[], |stage| {
            module(stage, Some(b"\0asm\x01\0\0\0"), &["core", "lakeward build"])
        }),
        Case::new("bad_config::a_module_of_another_abi_version", &[], |stage| {
            altered(stage, b"lakeward:transform/module@1.", b"lakeward:transform/module@9.", &["9.", "1."])
        }),
        Case::new("bad_config::an_expectation_about_a_column_that_is_not_there", &[], |stage| {
            altered(stage, b"value > 0", b"valux > 0", &["valux", "unit_price"])
        }),
        Case::new("bad_config::two_modules_write_one_product", &[], two_owners),
        Case::embedded("bad_config::a_module_that_does_not_fit_those_deployed", &[Need::RetailData], unfit),
        Case::new("bad_config::a_lake_that_cannot_be_written", &[], unwritable_lake),
        Case::new("bad_config::a_schema_that_no_longer_fits_its_table", &[Need::Python], changed_schema),
        Case::new("bad_config::a_topic_that_does_not_exist", &[Need::Kafka], missing_topic),
        Case::new("bad_config::a_broker_that_comes_later", &[Need::Kafka], late_broker),
    ]
}

/// A retail pipeline with a broker that is not there.
fn retail_config(stage: &Stage) -> Result<Config> {
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("kafka", "brokers", NOBODY);
    Ok(config)
}

/// The message holds all `words`, and neither a panic nor a debug form.
fn clear(finished: &Finished, words: &[&str]) -> Result<()> {
    let said = format!("{}{}", finished.stdout, finished.stderr);
    for word in words {
        ensure!(said.contains(word), "no word of `{word}`: {said}");
    }
    ensure!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "a panic: {said}");
    Ok(())
}

/// The configuration is refused by `check` and by `run`, with the same words.
fn refuses(stage: &Stage, config: &Config, words: &[&str]) -> Result<()> {
    for command in ["check", "run"] {
        let finished = stage.call(&[command], Some(&config.toml()))?;
        ensure!(finished.code == Some(64), "{command} ended with {:?}: {}", finished.code, finished.stderr);
        clear(&finished, words)?;
    }
    Ok(())
}

fn refused(stage: &Stage, spoil: impl FnOnce(&mut Config) -> &mut Config, words: &[&str]) -> Result<()> {
    let mut config = retail_config(stage)?;
    spoil(&mut config);
    refuses(stage, &config, words)
}

fn good(stage: &Stage) -> Result<()> {
    let finished = stage.call(&["check"], Some(&retail_config(stage)?.toml()))?;
    ensure!(finished.code == Some(0), "ended with {:?}: {}", finished.code, finished.stderr);
    ensure!(!stage.table("").exists(), "a check made the lake's folder");
    Ok(())
}

/// Under another name a pipeline would read everything once more into the same tables.
fn other_name(stage: &Stage) -> Result<()> {
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 1)?;
    let record = json!({"InvoiceNo": "1"}).to_string();
    Producer::new(&broker.bootstrap())?.send(retail::TOPIC, [Message::placed(0, record.as_bytes())])?;
    let mut config = stage.config(&["transforms/retail"])?;
    stage.until_current(&config)?;
    config.text("", "pipeline", "renamed");
    let finished = stage.call(&["run", "--until-current"], Some(&config.toml()))?;
    ensure!(finished.code == Some(1), "ended with {:?}: {}", finished.code, finished.stderr);
    clear(&finished, &["is written by pipeline", stage.pipeline(), "renamed", "location"])
}

fn missing_file(stage: &Stage) -> Result<()> {
    let finished = stage.call(&["run", "--config", "no-such.toml"], None)?;
    ensure!(finished.code == Some(64), "ended with {:?}: {}", finished.code, finished.stderr);
    clear(&finished, &["no-such.toml"])
}

fn no_module(stage: &Stage) -> Result<()> {
    refuses(stage, &stage.config(&[])?, &["[modules."])
}

/// A module of these bytes, or of no file.
fn module(stage: &Stage, bytes: Option<&[u8]>, words: &[&str]) -> Result<()> {
    let path = stage.folder().join("no.wasm");
    if let Some(bytes) = bytes {
        fs::write(&path, bytes)?;
    }
    let mut config = stage.config(&[])?;
    config.module("retail", &path).text("kafka", "brokers", NOBODY);
    refuses(stage, &config, words)
}

/// The retail module with some bytes exchanged for as many others.
fn altered(stage: &Stage, from: &[u8], to: &[u8], words: &[&str]) -> Result<()> {
    let original = fs::read(stage.product()?.module("transforms/retail")?)?;
    let bytes = replaced(&original, from, to);
    ensure!(bytes != original, "the module does not have what was to be exchanged");
    module(stage, Some(&bytes), words)
}

/// A module of another name that owns the same product: the manifest is text in the file, and the names are of one length.
fn two_owners(stage: &Stage) -> Result<()> {
    let original = fs::read(stage.product()?.module("tests/evil")?)?;
    let renamed = stage.folder().join("vile.wasm");
    let (from, to) = (br#""name": "evil""#.as_slice(), br#""name": "vile""#.as_slice());
    fs::write(&renamed, replaced(&original, from, to))?;
    let mut config = stage.config(&["tests/evil"])?;
    config.module("vile", &renamed).text("kafka", "brokers", NOBODY);
    refuses(stage, &config, &["evil/echoes", "vile"])
}

/// What is deployed already makes the product: the start is refused, and as often as it is; the configuration before goes on.
fn unfit(stage: &Stage) -> Result<()> {
    stage.broker()?.create_topic(retail::TOPIC, 1)?;
    let before = stage.config(&["transforms/retail"])?;
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
    producer.send(retail::TOPIC, retail::events(500)?.iter().map(retail::Event::message))?;
    stage.until_current(&before)?;
    let mut renamed = before.clone();
    renamed.remove("modules.retail");
    renamed.module("shop", &stage.product()?.variant("shop", "shop", &[])?);
    for time in ["first", "second"] {
        let finished = stage.call(&["run", "--until-current"], Some(&renamed.toml()))?;
        ensure!(finished.code.is_some_and(|code| code != 0), "the {time} time it ended with {:?}", finished.code);
        clear(&finished, &["retail/sales", "shop"])?;
    }
    producer.send(retail::TOPIC, retail::events(800)?[500..].iter().map(retail::Event::message))?;
    let summary = stage.until_current(&before)?;
    ensure!(summary.records == 300, "{summary:?}");
    Ok(())
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for start in 0..bytes.len().saturating_sub(from.len()) {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// A folder under a file cannot be made, not even by root.
fn unwritable_lake(stage: &Stage) -> Result<()> {
    let file = stage.folder().join("file");
    fs::write(&file, "in the way")?;
    let mut config = retail_config(stage)?;
    config.text("lake", "location", &file.join("lake").display().to_string());
    refuses(stage, &config, &["lake", &file.display().to_string()])
}

fn changed_schema(stage: &Stage) -> Result<()> {
    stage.readers()?.write(&stage.table("silver/retail/sales"), "SELECT 'one' AS seq, 1 AS other")?;
    let finished = stage.call(&["run", "--until-current"], Some(&retail_config(stage)?.toml()))?;
    ensure!(finished.code.is_some_and(|code| code != 0), "ended with {:?}: {}", finished.code, finished.stderr);
    clear(&finished, &["retail/sales", "seq"])
}

fn missing_topic(stage: &Stage) -> Result<()> {
    // A broker of its own: on the one that the cases share the topic may just be there.
    let kafka = Kafka::prepare()?;
    kafka.start()?;
    let mut config = stage.config(&["tests/evil"])?;
    config.text("kafka", "brokers", &kafka.bootstrap());
    let finished = stage.call(&["run", "--until-current"], Some(&config.toml()))?;
    ensure!(finished.code.is_some_and(|code| code != 0), "ended with {:?}: {}", finished.code, finished.stderr);
    clear(&finished, &["commands"])
}

/// The process says that it waits, keeps trying, and goes to work when the broker is there; also when it was away.
fn late_broker(stage: &Stage) -> Result<()> {
    let kafka = Kafka::prepare()?;
    kafka.start()?;
    kafka.create(retail::TOPIC, 1)?;
    kafka.stop();
    let mut config = retail_config(stage)?;
    config.text("kafka", "brokers", &kafka.bootstrap());
    let mut instance = stage.start(&mut config)?;
    instance.wait_status("/livez", 200)?;
    instance.wait_for(Duration::from_secs(60), "/readyz to say no", |instance| {
        let answer = instance.get("/readyz")?;
        Ok((answer.status == 503 && answer.body.contains("broker")).then_some(()))
    })?;

    // The products are there, but nobody knows yet what they are like.
    for path in ["/v1/products/retail/sales_by_country", "/v1/products/retail/sales_by_country/rows"] {
        let answer = instance.get(path)?;
        ensure!(answer.status == 503, "{path} answered {}: {}", answer.status, answer.body);
    }

    kafka.start()?;
    instance.wait_ready()?;
    let event = json!({
        "seq": 1, "InvoiceNo": "536365", "StockCode": "71053", "Description": "WHITE METAL LANTERN", "Quantity": 6,
        "InvoiceDate": "2010-12-01 08:26:00", "UnitPrice": 3.39, "CustomerID": null, "Country": "France",
    });
    for lines in 1..=2 {
        Producer::new(&kafka.bootstrap())?.send(retail::TOPIC, [Message::placed(0, event.to_string())])?;
        instance.wait_for(Duration::from_secs(60), "the event over HTTP", |instance| {
            let answer = instance.get("/v1/products/retail/sales_by_country/rows")?.json()?;
            Ok((answer["rows"][0]["lines"] == json!(lines)).then_some(()))
        })?;
        kafka.stop();
        ensure!(instance.get("/livez")?.status == 200, "the process is gone with the broker");
        kafka.start()?;
    }
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    Ok(())
}
