//! Several operators at once, at several instances; and what is for operators only.

use crate::audit;
use crate::case::Case;
use crate::instances::wait_for_share;
use crate::releases::{ANN, LIMIT, SALES, ask, configured, loud, order, path, wait_products};
use anyhow::{Context, Result, ensure};
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::Producer;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::{Finished, Stage};
use lakeward_tests::wait;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEPLOYMENTS: (&str, &str) = ("d", "_lakeward/deployments");
const COMMITS_TABLE: (&str, &str) = ("c", audit::COMMITS);

/// What the reasons and messages of the modules quote of a masked column.
const SECRET: &str = "invoice 536";

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    vec![
        Case::kafka("operators::two_decide_about_two_modules_at_once", python, at_once),
        Case::kafka("operators::of_two_newcomers_one_makes_the_product", python, newcomers),
        Case::kafka("operators::who_waits_for_partitions_learns_of_a_rewind", python, waited),
        Case::embedded("operators::what_may_quote_masked_values_is_theirs", &[Need::RetailData], masked),
    ]
}

/// Two instances that share the partitions.
fn two(stage: &Stage, config: &mut lakeward_tests::config::Config) -> Result<[Instance; 2]> {
    let mut instances = [stage.start(config)?, stage.start(config)?];
    for instance in &mut instances {
        instance.wait_ready()?;
        wait_for_share(instance, 4, |own| own == 2)?;
    }
    Ok(instances)
}

/// Gives each instance an order at the same moment.
fn both(stage: &Stage, instances: &[Instance; 2], orders: [&[&str]; 2]) -> Result<[Finished; 2]> {
    std::thread::scope(|scope| {
        let [one, other] = [0, 1].map(|of| scope.spawn(move || ask(stage, &instances[of], orders[of])));
        let joined = |asking: std::thread::ScopedJoinHandle<'_, Result<Finished>>| {
            asking.join().map_err(|_| anyhow::anyhow!("an asking thread panicked"))?
        };
        Ok([joined(one)?, joined(other)?])
    })
}

/// Neither is told to come again because of the other, and both are followed everywhere.
fn at_once(stage: &Stage) -> Result<()> {
    const ROUNDS: usize = 6;
    let events = retail::events(ROUNDS * 500)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured(stage)?;
    let variants = |module: &str, owner: &str| -> Result<[PathBuf; 2]> {
        let variant = |name: &str, kind: &str| {
            let owner = format!("owner = \"{owner}\"");
            let replaced = [("owner = \"retail\"", owner.as_str()), ("{ \"sale\" }", kind)];
            stage.product()?.variant(module, &format!("{owner}-{name}").replace([' ', '"', '='], ""), &replaced)
        };
        Ok([variant("quiet", "{ \"sale\" }")?, variant("loud", "{ \"SALE\" }")?])
    };
    let (retail, wholesale) = (variants("retail", "retail")?, variants("wholesale", "wholesale")?);
    config.module("retail", &retail[0]);
    config.module("wholesale", &wholesale[0]);
    let producer = Producer::new(&broker.bootstrap())?;
    let mut instances = two(stage, &mut config)?;
    for (round, part) in events.chunks(500).enumerate() {
        let next = (round + 1) % 2;
        let orders: [&[&str]; 2] = [&["deploy", path(&retail[next])?], &["deploy", path(&wholesale[next])?]];
        for finished in both(stage, &instances, orders)? {
            ensure!(finished.code == Some(0), "round {round}: {}", finished.stderr);
        }
        producer.send(retail::TOPIC, part.iter().map(Event::message))?;
        for instance in &mut instances {
            runs(instance, "retail", &active(stage, "retail")?)?;
            runs(instance, "wholesale", &active(stage, "wholesale")?)?;
        }
    }
    let all = events.len() as i64;
    one_after_the_other(instances, &[("retail/sales", all), ("wholesale/sales", all)])?;
    let sql = "select module, count(*) as n, count(distinct sequence) as numbers from d where action = 'deploy' group by 1 order by 1";
    let found = stage.query(Engine::DuckDb, &[DEPLOYMENTS], sql)?;
    let of = |module: &str| json!({ "module": module, "n": ROUNDS + 1, "numbers": ROUNDS + 1 });
    ensure!(found == [of("retail"), of("wholesale")], "{found:?}");
    audit::holds(stage, &config)
}

/// Ends both; the second has all that is expected of the products by then.
fn one_after_the_other(instances: [Instance; 2], expected: &[(&str, i64)]) -> Result<()> {
    let [first, mut second] = instances;
    ensure!(first.terminate()?.success(), "an instance did not leave well");
    wait_products(&mut second, expected)?;
    ensure!(second.terminate()?.success(), "an instance did not end well");
    Ok(())
}

/// The digest that the log of deployments has last for a module.
fn active(stage: &Stage, module: &str) -> Result<String> {
    let sql =
        format!("select arg_max(digest, sequence) as digest from d where module = '{module}' and digest is not null");
    let found = stage.query(Engine::DuckDb, &[DEPLOYMENTS], &sql)?;
    found[0]["digest"].as_str().map(str::to_owned).context("no digest")
}

fn runs(instance: &mut Instance, module: &str, digest: &str) -> Result<()> {
    instance.wait_for(LIMIT, "the module to run", |instance| {
        let answer = instance.get(&format!("/v1/modules/{module}"))?;
        Ok((answer.status == 200 && answer.json()?["running"] == digest).then_some(()))
    })
}

/// Two modules of different names would make one product: one is taken, the other refused, and every session can start.
fn newcomers(stage: &Stage) -> Result<()> {
    let events = retail::events(3_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured(stage)?;
    let newcomer =
        |name: &str| stage.product()?.variant(name, name, &[("owner = \"retail\"", "owner = \"newcomers\"")]);
    let newcomers = [newcomer("early")?, newcomer("earlier")?];
    let producer = Producer::new(&broker.bootstrap())?;
    let mut instances = two(stage, &mut config)?;
    producer.send(retail::TOPIC, events[..1_500].iter().map(Event::message))?;
    let orders: [&[&str]; 2] = [&["deploy", path(&newcomers[0])?], &["deploy", path(&newcomers[1])?]];
    let [one, other] = both(stage, &instances, orders)?;
    let (taken, refused) = if one.code == Some(0) { (&one, &other) } else { (&other, &one) };
    ensure!(taken.code == Some(0) && refused.code == Some(1), "{one:?} {other:?}");
    ensure!(refused.stderr.contains("newcomers/sales"), "{}", refused.stderr);
    let taken: Value = serde_json::from_str(&taken.stdout)?;
    let (module, digest) =
        (taken["module"].as_str().context("a module")?, taken["digest"].as_str().context("a digest")?);
    producer.send(retail::TOPIC, events[1_500..].iter().map(Event::message))?;
    for instance in &mut instances {
        runs(instance, module, digest)?;
    }
    one_after_the_other(instances, &[("retail/sales", 3_000), ("newcomers/sales", 3_000)])?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    ensure!(instance.terminate()?.success(), "a pipeline that was started again did not end well");
    let sql = "select count(*) as n, count(distinct (_lakeward_partition, _lakeward_offset)) as records from s";
    let found = stage.query(Engine::DuckDb, &[("s", "silver/newcomers/sales")], sql)?;
    ensure!(found[0]["n"] == found[0]["records"] && found[0]["n"].as_i64() > Some(2_800), "{found:?}");
    audit::holds(stage, &config)
}

/// One instance hangs and another waits for its partitions, while a third takes a release back: what comes then is of no bad version.
fn waited(stage: &Stage) -> Result<()> {
    const PARTS: usize = 3_000;
    let events = retail::events(3 * PARTS)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured(stage)?;
    // The time in which all of it has to happen.
    config.text("kafka.properties", "session.timeout.ms", "45000");
    let producer = Producer::new(&broker.bootstrap())?;
    let send = |part: usize| {
        let part = &events[part * PARTS..(part + 1) * PARTS];
        producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop)
    };
    let [first, hanging] = two(stage, &mut config)?;
    send(0)?;
    committed(stage, "is not null", PARTS)?;
    let bad = order(stage, &first, &["deploy", path(&loud(stage)?)?])?["digest"].clone();
    let bad = bad.as_str().context("a digest")?;
    send(1)?;
    committed(stage, "is not null", 2 * PARTS)?;
    hanging.freeze()?;
    send(2)?;
    let mut waiting = stage.start(&mut config)?;
    waiting.wait_for(LIMIT, "the deployments to be read", |instance| {
        let Ok(answer) = instance.get("/v1/modules/retail") else { return Ok(None) };
        Ok((answer.status == 200 && answer.json()?["digest"] == bad).then_some(()))
    })?;
    let log = waiting.log()?;
    ensure!(!log.contains("the group gives partitions"), "it did not wait: {log}");
    order(stage, &first, &["rewind", "retail", "--to", bad, "--rollback"])?;
    wait::until(LIMIT, "the rewind", || {
        let sql = "select count(*) as n from c where kind = 'rewound'";
        Ok((stage.query(Engine::DuckDb, &[COMMITS_TABLE], sql)?[0]["n"] == 1).then_some(()))
    })?;
    let log = waiting.log()?;
    ensure!(!log.contains("the group gives partitions"), "the rewind came too late: {log}");
    // The good version makes the second and the third part of all partitions.
    committed(stage, &format!("not like '%{bad}%'"), 3 * PARTS)?;
    hanging.kill()?;
    one_after_the_other([first, waiting], &[("retail/sales", 3 * PARTS as i64)])?;
    let after = format!(
        "select count(*) as n from c where modules like '%{bad}%' and micro_batch > (select max(micro_batch) from c where kind = 'rewound')"
    );
    let bad = stage.query(Engine::DuckDb, &[COMMITS_TABLE], &after)?;
    let rows = stage.query(Engine::DuckDb, &[("s", SALES)], "select count(*) as n from s where kind = 'SALE'")?;
    ensure!(
        bad[0]["n"] == 0 && rows[0]["n"] == 0,
        "after the rewind, of the version that was taken back: {bad:?} {rows:?}"
    );
    audit::holds(stage, &config)
}

/// Waits until so many records are committed by modules of which the digests are so, whatever was taken back since.
fn committed(stage: &Stage, digests: &str, records: usize) -> Result<()> {
    let sql = format!("select coalesce(sum(records), 0)::bigint as n from c where modules {digests}");
    wait::until(LIMIT, "records to be committed", || {
        let Ok(found) = stage.query(Engine::DuckDb, &[COMMITS_TABLE], &sql) else { return Ok(None) };
        Ok((found[0]["n"].as_i64() >= Some(records as i64)).then_some(()))
    })
}

/// A module that masks the invoice, and versions that quote it where they reject, and where they panic.
fn masked(stage: &Stage) -> Result<()> {
    let events = retail::events(6_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 2)?;
    let mut config = configured(stage)?;
    let column = "    invoice: &'a str,";
    let mask = format!("    #[product(mask = \"redact\")]\n{column}");
    let first = "if !line.unit_price.is_positive() {";
    let variant = |name: &str, does: &str| {
        let rule = format!("if line.seq % 3 != 0 {{ {does} }}\n    {first}");
        stage.product()?.retail_variant(name, &[(column, &mask), (first, &rule)])
    };
    let plain = stage.product()?.retail_variant("masked", &[(column, &mask)])?;
    let rejecting =
        variant("masked-rejecting", "return Err(Reject::new(format!(\"invoice {} is odd\", line.invoice_no)));")?;
    let panicking = variant("masked-panicking", "panic!(\"invoice {} is odd\", line.invoice_no);")?;
    config.module("retail", &plain);
    let producer = Producer::new(&broker.bootstrap())?;
    let send = |part: &[Event]| producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop);
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let (early, late) = events.split_at(4_500);
    shadowed(stage, &instance, &rejecting, early.chunks(100), send)?;
    let report = "/v1/modules/retail/shadow";
    let (everybody, operators) = instance.wait_for(LIMIT, "both reports to be about the same", |instance| {
        let everybody = instance.get(report)?.json()?;
        let operators: Value = serde_json::from_str(&shown(instance, report)?)?;
        Ok((everybody["records"] == operators["records"]).then_some((everybody, operators)))
    })?;
    // Two records of three.
    ensure!(everybody["rejects"]["gained"].as_i64() > Some(600), "{everybody:#}");
    ensure!(everybody["rejects"]["gained"] == operators["rejects"]["gained"], "{everybody:#} {operators:#}");
    ensure!(operators.to_string().contains(SECRET), "operators are not told: {operators:#}");
    ensure!(!everybody.to_string().contains(SECRET), "everybody is told: {everybody:#}");
    order(stage, &instance, &["deploy", path(&panicking)?])?;
    send(late)?;
    let parked = instance.wait_for(LIMIT, "the module to be parked", |instance| {
        let modules = instance.get("/v1/modules/retail")?.json()?;
        Ok((modules["parked"] == true).then_some(modules["paused"].to_string()))
    })?;
    ensure!(parked.contains("it failed on") && parked.contains("its dead letters have what it said"), "{parked}");
    for place in ["/v1/modules", "/v1/modules/retail", "/v1/status", "/metrics", "/v1/products", report] {
        let said = instance.get(place)?.body;
        ensure!(!said.contains(SECRET), "{place} tells everybody: {said}");
    }
    // Those who may read them have them.
    let letters = stage.call(&["dead-letters", "list", "--json", "--module", "retail"], Some(&config.toml()))?;
    ensure!(letters.stdout.contains(SECRET), "{} {}", letters.stdout, letters.stderr);
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    audit::holds(stage, &config)
}

/// Runs a candidate beside the active module while events come in parts, until it is compared over a thousand.
fn shadowed<'a>(
    stage: &Stage,
    instance: &Instance,
    candidate: &Path,
    mut parts: impl Iterator<Item = &'a [Event]>,
    send: impl Fn(&[Event]) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| order(stage, instance, &["shadow", path(candidate)?, "--records", "1000"]));
        wait::until_true(LIMIT, "the shadow to run", || {
            Ok(instance.get("/v1/modules/retail")?.json()?["shadow"].is_string())
        })?;
        while !asking.is_finished() {
            parts.next().map_or(Ok(()), &send)?;
            wait::moment(Duration::from_millis(300));
        }
        asking.join().map_err(|_| anyhow::anyhow!("the asking thread panicked"))?.map(drop)
    })
}

/// What an operator is answered.
fn shown(instance: &Instance, place: &str) -> Result<String> {
    let url = format!("{}{place}", instance.server());
    let answer = minreq::get(url).with_header("Authorization", format!("Bearer {ANN}")).with_timeout(20).send()?;
    ensure!(answer.status_code == 200, "{}", answer.status_code);
    Ok(answer.as_str()?.to_owned())
}
