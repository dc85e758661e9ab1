//! What commands say and how they end: for scripts that look at the exit code, and for people who read the first line.

use crate::audit::{self, COMMITS};
use crate::case::Case;
use anyhow::{Result, ensure};
use lakeward_tests::lake::Lake;
use lakeward_tests::minio::{BUCKET, lake_at};
use lakeward_tests::requirements::Need;
use lakeward_tests::retail;
use lakeward_tests::stage::Stage;
use serde_json::json;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

/// An address at which nobody listens.
const NOBODY: &str = "127.0.0.1:1";

pub(crate) fn cases() -> Vec<Case> {
    let data = &[Need::RetailData];
    vec![
        Case::new("commands::a_reader_who_has_gone_is_no_failure", &[], closed_pipe),
        Case::new("commands::a_wrong_argument_is_not_a_failure_at_work", &[], exit_codes),
        Case::new("commands::a_kafka_property_is_refused_once_and_with_its_line", &[], kafka_property),
        Case::new("commands::an_address_in_use_is_told_with_the_way_out", &[], address_in_use),
        Case::new("commands::offsets_say_that_no_broker_answers", &[], no_broker),
        Case::new("commands::a_batch_over_a_store_that_refuses_ends", &[Need::Minio], no_bucket),
        Case::new("commands::files_are_made_anew_only_on_purpose", data, files),
        Case::kafka("commands::an_idle_pipeline_notices_that_it_was_moved", data, idle),
    ]
}

/// Standard output is a pipe of which nobody holds the other end, as `head` leaves it.
fn closed_pipe(stage: &Stage) -> Result<()> {
    let config = stage.folder().join("lakeward.toml");
    let mut toml = stage.config(&["transforms/retail"])?;
    toml.text("kafka", "brokers", NOBODY);
    std::fs::write(&config, toml.toml())?;
    let config = config.display().to_string();
    let module = stage.product()?.module("transforms/retail")?.display().to_string();
    let calls: [&[&str]; 5] = [
        &["--help"],
        &["inspect", &module],
        &["inspect", &module, "--json"],
        &["check", "--config", &config],
        &["offsets", "--config", &config, "--json"],
    ];
    for arguments in calls {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = stage.product()?.command();
        let done = command.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.code() == Some(0) && !said.contains("panicked"), "{arguments:?}: {:?} {said}", done.status);
    }
    Ok(())
}

fn exit_codes(stage: &Stage) -> Result<()> {
    let missing = stage.folder().join("missing").display().to_string();
    let calls: [(&[&str], i32); 6] = [
        (&["inspect", &missing], 64),
        (&["build", &missing], 64),
        (&["new", "No-Name"], 64),
        (&["verify", "--config", &missing], 64),
        (&["offsets"], 64),
        (&["run", "--no-such-flag"], 64),
    ];
    for (arguments, code) in calls {
        let done = stage.call(arguments, None)?;
        ensure!(done.code == Some(code), "{arguments:?} ended with {:?}: {}", done.code, done.stderr);
    }
    // Nothing is wrong with what was asked, but there is no lake to audit.
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("kafka", "brokers", NOBODY);
    let done = stage.call(&["verify"], Some(&config.toml()))?;
    ensure!(done.code == Some(1) && done.stderr.contains("has not run there"), "{:?}: {}", done.code, done.stderr);
    Ok(())
}

fn kafka_property(stage: &Stage) -> Result<()> {
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("kafka", "brokers", NOBODY);
    for (name, value) in [("sasl.passwrod", "hunter2"), ("session.timeout.ms", "soon")] {
        let mut config = config.clone();
        config.text("kafka.properties", name, value);
        let toml = config.toml();
        let line = 1 + toml.lines().position(|line| line.starts_with(name)).unwrap_or_default();
        for command in ["check", "run"] {
            let done = stage.call(&[command], Some(&toml))?;
            ensure!(done.code == Some(64), "{command} ended with {:?}: {}", done.code, done.stderr);
            ensure!(done.stderr.contains(&format!("line {line} ")), "no line {line}: {}", done.stderr);
            ensure!(done.stderr.matches(&format!("property {name} is refused")).count() == 1, "{}", done.stderr);
            ensure!(!done.stderr.contains("hunter2"), "a password is shown: {}", done.stderr);
        }
    }
    Ok(())
}

fn address_in_use(stage: &Stage) -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let mut config = stage.config(&["transforms/retail"])?;
    let address = taken.local_addr()?.to_string();
    config.text("kafka", "brokers", NOBODY).text("serve", "listen", &address);
    let done = stage.call(&["run"], Some(&config.toml()))?;
    ensure!(done.code == Some(1), "ended with {:?}: {}", done.code, done.stderr);
    for words in [&address, "`listen` under [serve]", "another address"] {
        ensure!(done.stderr.contains(words), "no `{words}`: {}", done.stderr);
    }
    Ok(())
}

fn no_broker(stage: &Stage) -> Result<()> {
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("kafka", "brokers", NOBODY);
    let done = stage.call(&["offsets"], Some(&config.toml()))?;
    ensure!(done.code == Some(0), "ended with {:?}: {}", done.code, done.stderr);
    ensure!(
        done.stderr.contains(&format!("topic orders: its log is not known: no broker answers at {NOBODY}")),
        "{}",
        done.stderr
    );
    Ok(())
}

/// A bucket that does not exist, and one to which the key gives no right.
fn no_bucket(stage: &Stage) -> Result<()> {
    let address = stage.minio()?.address();
    let there = lake_at(address, stage.pipeline());
    let nowhere = Lake { location: there.location.replace(BUCKET, "no-such-bucket"), ..there.clone() };
    let mut not_ours = there;
    not_ours.options.insert("aws_secret_access_key".to_owned(), "not the secret".to_owned());
    for (lake, words) in [(nowhere, "NoSuchBucket"), (not_ours, "SignatureDoesNotMatch")] {
        let mut config = stage.config(&["transforms/retail"])?;
        lake.configure(&mut config);
        config.text("kafka", "brokers", NOBODY);
        let done = stage.call(&["run", "--until-current"], Some(&config.toml()))?;
        ensure!(done.code == Some(1), "ended with {:?}: {}", done.code, done.stderr);
        ensure!(done.stderr.contains(words), "no `{words}`: {}", done.stderr);
    }
    Ok(())
}

/// Files have no id by which they could be told from others of their name.
fn files(stage: &Stage) -> Result<()> {
    let events: Vec<String> = retail::events(100)?.into_iter().map(|event| event.json).collect();
    let path = stage.folder().join("orders.ndjson");
    std::fs::write(&path, events.join("\n") + "\n")?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("topics.orders", "path", &path.display().to_string());
    ensure!(stage.until_current(&config)?.records == 100, "not all was read");
    let anew = ["--all", "--to", "earliest", "--new-incarnation"];
    let (code, said) = audit::move_offsets(stage, &config, &anew)?;
    ensure!(code == Some(64) && said.contains("as if the topic had not been made anew"), "{code:?} {said}");
    ensure!(stage.until_current(&config)?.records == 0, "a refused move moved something");
    let (code, said) = audit::move_offsets(stage, &config, &[&anew[..], &["--yes"]].concat())?;
    ensure!(code == Some(0), "{code:?} {said}");
    ensure!(stage.until_current(&config)?.records == 100, "the new incarnation was not read");
    audit::holds(stage, &config)
}

/// Nothing comes in, so no commit finds out that the offsets are others by now.
fn idle(stage: &Stage) -> Result<()> {
    let mut config = audit::half_read(stage)?;
    let (code, said) = audit::move_offsets(stage, &config, &["--all", "--to", "latest", "--yes"])?;
    ensure!(code == Some(0), "{code:?} {said}");
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let (code, said) = audit::move_offsets(stage, &config, &["--all", "--to", "600"])?;
    ensure!(code == Some(0), "{code:?} {said}");
    instance.wait_for(Duration::from_secs(60), "what was moved over to be read", |instance| {
        let status = instance.get("/v1/status")?.json()?;
        Ok((status["commits"]["total"]["records"] == json!(800)).then_some(()))
    })?;
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    let verdict = audit::verify(stage, &config)?;
    verdict.ensure_holds()?;
    let detail = verdict.of("offsets", COMMITS)?["detail"].to_string();
    ensure!(detail.contains("200 of them moved over"), "{detail}");
    Ok(())
}
