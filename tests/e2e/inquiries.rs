//! Dead letters through a running pipeline: whoever has no way to the lake asks there, and only with the right to.

use crate::case::Case;
use crate::dead_letters::{TOKEN, WRONGLY, activate_mended, count, wait_executed, world};
use anyhow::{Context, Result, ensure};
use lakeward_tests::instance::Instance;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::stage::{Finished, Stage};
use serde_json::{Value, json};

const STRANGER: &str = "bob-has-a-long-token";

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    vec![Case::embedded("inquiries::a_running_pipeline_is_asked_about_dead_letters", python, asked)]
}

fn call(stage: &Stage, instance: &Instance, arguments: &[&str]) -> Result<Finished> {
    stage.call(&[&["dead-letters"], arguments, &["--server", &instance.server(), "--json"]].concat(), None)
}

/// What is answered, in JSON.
fn ask(stage: &Stage, instance: &Instance, arguments: &[&str]) -> Result<Value> {
    let finished = call(stage, instance, arguments)?;
    ensure!(finished.code == Some(0), "{arguments:?}: {:?} {}", finished.code, finished.stderr);
    serde_json::from_str(&finished.stdout).with_context(|| finished.stdout.clone())
}

/// An HTTP status, and what is said.
fn send(instance: &Instance, post: bool, path: &str, token: Option<&str>) -> Result<(i32, String)> {
    let url = format!("{}/v1/modules/{path}", instance.server());
    let mut request = if post { minreq::post(url) } else { minreq::get(url) }.with_timeout(60);
    if let Some(token) = token {
        request = request.with_header("Authorization", format!("Bearer {token}"));
    }
    let answer = request.send()?;
    Ok((answer.status_code, answer.as_str()?.to_owned()))
}

fn asked(stage: &Stage) -> Result<()> {
    let mut config = world(stage)?;
    config.text("operators.bob", "token", STRANGER).set("operators.bob", "domains", "[\"logistics\"]");
    let wrongly = count(stage, &config, &["--reason", WRONGLY])?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    activate_mended(stage, &instance)?;

    let groups = ask(stage, &instance, &["list", "--by", "reason"])?;
    ensure!(groups["groups"][0] == json!({"reason": WRONGLY, "letters": wrongly}), "{groups}");
    let listed = ask(stage, &instance, &["list", "--reason", WRONGLY, "--product", "retail/sales", "--limit", "3"])?;
    ensure!(listed["total"] == wrongly && listed["letters"].as_array().map(Vec::len) == Some(3), "{listed}");
    let record = listed["letters"][0]["record"].as_str().context("a record")?;
    let shown = ask(stage, &instance, &["show", record])?;
    ensure!(shown["rows"][0]["value"]["text"].as_str().is_some_and(|text| text.contains("HEART")), "{shown}");
    // In words, as a person reads it.
    let words = stage.call(&["dead-letters", "show", record, "--server", &instance.server()], None)?;
    ensure!(words.stdout.contains("module retail: open") && words.stdout.contains("HEART"), "{words:?}");
    refused(stage, &instance, record)?;

    let told = ask(stage, &instance, &["redrive", "--reason", WRONGLY, "--dry-run"])?;
    ensure!(told["letters"] == wrongly && told["request"].is_null(), "{told}");
    let told = ask(stage, &instance, &["redrive", "--reason", WRONGLY])?;
    ensure!(told["letters"] == wrongly && told["request"].is_string(), "{told}");
    wait_executed(stage, &config, &mut instance)?;
    ensure!(count(stage, &config, &["--status", "redriven"])? == wrongly, "all of them");
    let again = call(stage, &instance, &["redrive", record])?;
    ensure!(again.code == Some(1) && again.stderr.contains("redriven already"), "{again:?}");
    let (status, body) = send(&instance, true, "retail/dead-letters/discard?all=true", Some(TOKEN))?;
    ensure!(status == 202 && body.contains("\"letters\":"), "{status} {body}");
    wait_executed(stage, &config, &mut instance)?;
    ensure!(count(stage, &config, &[])? == 0, "some are open");
    let who = "select count(*) as n, min(who) as first, max(who) as last from r where who <> 'ann'";
    let who = stage.query(Engine::DuckDb, &[("r", "_lakeward/redrives")], who)?;
    ensure!(who[0]["n"] == 0, "who asked is not who showed the token: {who:?}");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    crate::audit::holds(stage, &config)
}

/// Whoever has no right to it, or asks for what is not there, is told so, and nothing changes.
fn refused(stage: &Stage, instance: &Instance, record: &str) -> Result<()> {
    let record = record.replace('#', "%23");
    let redrive = format!("retail/dead-letters/redrive?record={record}");
    for (post, path, token, status, words) in [
        (false, "retail/dead-letters", None, 401, "show an operator's token"),
        (true, redrive.as_str(), None, 401, "show an operator's token"),
        (true, &redrive, Some("guessed-and-wrong-token"), 401, "no operator's"),
        (true, &redrive, Some(STRANGER), 403, "domain retail"),
        (false, "retail/dead-letters", Some(STRANGER), 403, "domain retail"),
        (false, "nothing/dead-letters", Some(TOKEN), 404, "there is no module nothing"),
        (false, "retail/dead-letters?product=retail/nothing", Some(TOKEN), 404, "makes no product"),
        (false, "retail/dead-letters/show?record=orders%230/0:999999", Some(TOKEN), 404, "there is no dead letter"),
        (false, "retail/dead-letters/show", Some(TOKEN), 404, "say which record"),
        (false, "retail/dead-letters?from=yesterday", Some(TOKEN), 422, "is no RFC 3339 time"),
        (false, "retail/dead-letters?color=red", Some(TOKEN), 422, "nothing called"),
        (true, "retail/dead-letters/redrive", Some(TOKEN), 422, "say which letters"),
        (true, "retail/dead-letters/redrive?module=wholesale", Some(TOKEN), 422, "not of another"),
        (true, "retail/dead-letters/redrive?record=orders/0:999999", Some(TOKEN), 409, "there is no dead letter"),
        (false, "retail/dead-letters/redrive?all=true", Some(TOKEN), 405, ""),
    ] {
        let (found, body) = send(instance, post, path, token)?;
        ensure!(found == status && body.contains(words), "{path}: {found} {body}");
    }
    let finished = call(stage, instance, &["redrive"])?;
    ensure!(finished.code == Some(64) && finished.stderr.contains("say which letters"), "{finished:?}");
    let finished = call(stage, instance, &["list", "--module", "nothing"])?;
    ensure!(finished.code == Some(1) && finished.stderr.contains("no module nothing"), "{finished:?}");
    let nowhere = stage.call(&["dead-letters", "list"], None)?;
    ensure!(nowhere.code == Some(64) && nowhere.stderr.contains("--server URL"), "{nowhere:?}");
    let requests = stage.query(Engine::DuckDb, &[("r", "_lakeward/redrives")], "select count(*) as n from r")?;
    ensure!(requests[0]["n"] == 0, "something was requested");
    Ok(())
}
