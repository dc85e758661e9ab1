//! What died in the middle of a commit is finished by the versions that began it: of records, two versions one after the other; of requests
//! about dead letters, one that runs no more.

use crate::case::Case;
use crate::instances::wait_for_share;
use crate::releases::{LIMIT, configured, led_back, loud, order, path, wait_products};
use crate::versions::breaking;
use crate::{audit, dead_letters, exact};
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;

/// Events that an instance takes with it.
const BEGUN: usize = 600;

/// An instance ends before its first commit of aggregate state: silver and dead letters are there, the rest is not.
const FAULT: [(&str, &str); 1] = [("LAKEWARD_FAULT", "state.before:1")];

pub(crate) fn cases() -> Vec<Case> {
    let needs = &[Need::Python, Need::RetailData];
    let requests = |name, order| Case::kafka(name, needs, move |stage| requests(stage, order));
    vec![
        Case::kafka("torn::two_versions_finish_one_after_the_other", needs, two_versions),
        requests("torn::a_version_before_finishes_the_redrives_that_it_began", "rollback"),
        requests("torn::a_paused_module_finishes_the_redrives_that_it_began", "pause"),
        Case::kafka("torn::a_rebuild_makes_void_what_was_begun", needs, rebuilt),
    ]
}

fn two_versions(stage: &Stage) -> Result<()> {
    let events = retail::events(4 * BEGUN)?;
    let (first, second) = events.split_at(2 * BEGUN);
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let producer = Producer::new(&broker.bootstrap())?;
    let send = |events: &[Event], partition: i32| {
        let placed = events.iter().map(|event| Message::placed(partition, event.json.as_bytes()));
        producer.send(retail::TOPIC, placed).map(drop)
    };
    let mut config = configured(stage)?;
    // The group takes the first one that dies for a living member until the case is over.
    config.text("kafka.properties", "session.timeout.ms", "120000");
    let mut instances = [stage.start_with(&mut config, &FAULT)?, stage.start_with(&mut config, &FAULT)?];
    for instance in &mut instances {
        wait_for_share(instance, 2, |count| count == 1)?;
    }

    send(&first[..BEGUN], 0)?;
    let [one, other] = &mut instances;
    let is_other = wait::until(LIMIT, "the end of the first version", || {
        Ok(one.ended()?.map(|_| false).or(other.ended()?.map(|_| true)))
    })?;
    let living = if is_other { one } else { other };
    let deployed = order(stage, living, &["deploy", path(&loud(stage)?)?])?;
    let deployed = deployed["digest"].as_str().context("a digest")?;
    send(&second[..BEGUN], 1)?;
    wait::until(LIMIT, "the end of the second version", || living.ended())?;

    send(&first[BEGUN..], 0)?;
    send(&second[BEGUN..], 1)?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    instance.wait_for(LIMIT, "all records to be committed", |instance| {
        let committed = instance.get("/v1/products/retail/sales_by_country/rows?view=committed&limit=1")?.json()?;
        let offsets = &committed["as_of"]["offsets"];
        let all = [("0", first.len()), ("1", second.len())];
        Ok(all.iter().all(|(partition, count)| offsets[*partition] == *count).then_some(()))
    })?;
    let log = instance.log()?;
    ensure!(log.contains("is finished by them first"), "nothing was begun: {log}");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    exact::check_several(stage, &vec![first.len() as i64, second.len() as i64])?;
    let [quiet, loud] = led_back(stage, deployed)?;
    ensure!(quiet > BEGUN / 2 && loud > BEGUN / 2, "{quiet} and {loud} sales of the two versions");
    audit::holds(stage, &config)
}

/// Dies in the middle of a redrive, with another instance beside it; how many letters that was about.
fn half_redriven(stage: &Stage, config: &mut Config, name: &str) -> Result<(Instance, u64)> {
    let mut instance = stage.start(config)?;
    instance.wait_ready()?;
    dead_letters::activate_mended(stage, &instance)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");

    // A broker may serve several cases, and misses dead members late.
    config.text("kafka", "group", &format!("mortals-{name}")).text("kafka.properties", "session.timeout.ms", "120000");
    let mut mortal = stage.start_with(config, &FAULT)?;
    let mut living = stage.start(config)?;
    wait_for_share(&mut mortal, 3, |count| (1..3).contains(&count))?;
    wait_for_share(&mut living, 3, |count| (1..3).contains(&count))?;
    let mut asked = 0;
    for partition in dead_letters::partitions(&mortal)? {
        let of = ["redrive", "--reason", dead_letters::WRONGLY, "--partition", &partition.to_string()];
        asked += dead_letters::request(stage, config, &of)?;
    }
    wait::until(LIMIT, "the end in the middle of a redrive", || mortal.ended())?;
    config.text("kafka", "group", &format!("heirs-{name}"));
    Ok((living, asked))
}

/// The products are made anew by a version whose columns are others than those of the version that had begun a redrive: that is void.
fn rebuilt(stage: &Stage) -> Result<()> {
    let mut config = dead_letters::world(stage)?;
    let records = records(stage)?;
    let (living, _) = half_redriven(stage, &mut config, "rebuild")?;
    let renamed = breaking(stage, "regrouped", &[])?;
    order(stage, &living, &["deploy", path(&renamed)?, "--rebuild"])?;
    living.kill()?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    wait_products(&mut instance, &[("retail/sales", i64::try_from(records)?)])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    dead_letters::every_record_once(stage, records)?;
    audit::holds(stage, &config)
}

fn records(stage: &Stage) -> Result<usize> {
    let found = stage.query(Engine::DuckDb, &[("c", audit::COMMITS)], "select sum(records)::bigint as n from c")?;
    Ok(usize::try_from(found[0]["n"].as_i64().context("records")?)?)
}

/// An instance dies in the middle of a redrive, and the order that comes then ends the version that made rows of the letters: it finishes
/// them all the same, and only then the order is followed.
fn requests(stage: &Stage, ordered: &str) -> Result<()> {
    let mut config = dead_letters::world(stage)?;
    let records = records(stage)?;
    let (living, asked) = half_redriven(stage, &mut config, ordered)?;
    order(stage, &living, &[ordered, "retail"])?;
    living.kill()?;

    let mut instance = stage.start(&mut config)?;
    instance.wait_for(LIMIT, "the redrive to be counted", |_| {
        let sql = "select coalesce(sum(redriven), 0)::bigint as n from c";
        let counted = stage.query(Engine::DuckDb, &[("c", audit::COMMITS)], sql)?;
        Ok((counted[0]["n"].as_u64() >= Some(asked)).then_some(()))
    })?;
    instance.wait_for(LIMIT, "the order to be followed", |instance| {
        let Ok(answer) = instance.get("/v1/modules/retail") else { return Ok(None) };
        let found = answer.json()?;
        let expected = if ordered == "pause" { &serde_json::Value::Null } else { &found["digest"] };
        Ok((found["running"] == *expected && found["sequence"] == 3).then_some(()))
    })?;
    let redriven = dead_letters::count(stage, &config, &["--status", "redriven"])?;
    ensure!(asked > 20 && redriven == asked, "{redriven} of {asked} letters are rows");
    let log = instance.log()?;
    ensure!(log.contains("is finished by them first"), "nothing was begun: {log}");
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    dead_letters::every_record_once(stage, records)?;
    exact::gold_adds_up(stage)?;
    audit::holds(stage, &config)
}
