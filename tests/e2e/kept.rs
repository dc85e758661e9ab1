//! How long closed windows are kept, and what becomes of those that are not.

use crate::audit::{GOLD, holds, messages, verify};
use crate::case::Case;
use crate::dead_letters::{count, request, wait_executed};
use crate::releases::{configured, order, path};
use anyhow::{Context, Result, ensure};
use lakeward_tests::produce::Producer;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("kept::windows_beyond_it_stay_in_the_table", &[Need::RetailData], kept),
        Case::kafka(
            "kept::what_was_let_go_of_stays_so_when_more_is_kept",
            &[Need::Python, Need::RetailData],
            for_longer,
        ),
    ]
}

/// Three months of events, of which the last day is kept: whatever is let go of stays in the gold tables, over restarts too.
fn kept(stage: &Stage) -> Result<()> {
    let events: Vec<Event> = retail::events(usize::MAX)?.into_iter().take(130_000).step_by(13).collect();
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("gold", "keep", "1d").text("gold", "every", "200ms").text("micro_batch", "every", "200ms");
    let producer = Producer::new(&broker.bootstrap())?;
    for part in events.chunks(events.len() / 4 + 1) {
        producer.send(retail::TOPIC, messages(part, 2))?;
        stage.until_current(&config)?;
    }
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let as_of = instance.get("/v1/products/retail/sales_by_country/rows?limit=1")?.json()?["as_of"].clone();
    ensure!(as_of["kept_from"].as_str().is_some_and(|from| from > "2011-01-15"), "{as_of}");
    let verdict = verify(stage, &config)?;
    verdict.ensure_holds()?;
    ensure!(verdict.of("live", "retail/sales_by_country")?["outcome"] == json!("ok"), "{:#}", verdict.report);
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    Ok(())
}

/// Of months of events a day was kept, and then all is: what gold has of the rest stays, also where events come for it once more.
fn for_longer(stage: &Stage) -> Result<()> {
    let year = retail::events(130_000)?;
    let events: Vec<Event> = year.iter().step_by(13).cloned().collect();
    // Lines that nobody has sent yet, of the time of which a day was kept.
    let old: Vec<Event> = year.iter().skip(6).step_by(130).take(300).cloned().collect();
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = configured(stage)?;
    config.text("gold", "keep", "1d");
    let producer = Producer::new(&broker.bootstrap())?;
    let (before, after) = events.split_at(7_600);
    for part in before.chunks(before.len() / 3) {
        producer.send(retail::TOPIC, messages(part, 2))?;
        stage.until_current(&config)?;
    }
    config.text("gold", "keep", "400d");
    let later = [("lateness = \"1h\"", "lateness = \"60d\"")];
    let later = stage.product()?.retail_variant("later", &later)?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    order(stage, &instance, &["deploy", path(&later)?])?;
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    let mut late = 0;
    for part in [&old[..150], after, &old[150..]] {
        producer.send(retail::TOPIC, messages(part, 2))?;
        late += stage.until_current(&config)?.late;
        holds(stage, &config)?;
    }
    // Of each part, a few are broken, or nothing that was sold; each other one is late for both gold products.
    ensure!((500..=600).contains(&late), "of 300 events that are too late, {late} are said to be");
    // Nor do they count when somebody asks: their windows would be made of them alone.
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    ensure!(request(stage, &config, &["redrive", "--reason", "late"])? >= late as u64, "not all were redriven");
    wait_executed(stage, &config, &mut instance)?;
    let let_go = count(stage, &config, &["--reason", "its window is kept no more"])?;
    ensure!(let_go > 200, "{let_go} letters are of windows that were let go of");
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    holds(stage, &config)?;
    let months = "select count(distinct date_trunc('month', window_start)) as n, sum(lines)::bigint as lines from g";
    let found = stage.query(Engine::DuckDb, &[("g", GOLD)], months)?;
    let lines = found[0]["lines"].as_u64().context("a sum")?;
    ensure!(found[0]["n"].as_u64() >= Some(3) && (9_000..=10_000).contains(&lines), "{found:?}");
    Ok(())
}
