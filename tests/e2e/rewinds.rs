//! A bad release is undone with its data, while everything else goes on.

use crate::audit;
use crate::case::Case;
use crate::releases::{LIMIT, SALES, ask, configured_with, dirty, order, path, wait_products};
use anyhow::{Context, Result, ensure};
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::Producer;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;
use serde_json::Value;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    vec![
        Case::kafka("rewinds::a_bad_release_is_undone_with_its_data", python, |stage| undone(stage, None)),
        Case::kafka("rewinds::one_that_is_cut_off_goes_on", python, |stage| undone(stage, Some("rewind.after:2"))),
        Case::kafka("rewinds::one_that_waits_gives_way_to_the_next", python, given_way),
        Case::kafka("rewinds::gold_that_was_not_published_yet_is_made_again", python, unpublished),
    ]
}

/// A release that doubles quantities and rejects half of what it should not is undone, while another module over the same topic goes on: in
/// the end both have made the same of every record, in silver, gold, dead letters and live.
fn undone(stage: &Stage, fault: Option<&str>) -> Result<()> {
    let events = dirty(9_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured_with(stage, fault)?;
    let product = stage.product()?;
    let wholesale = product.variant("wholesale", "wholesale", &[("owner = \"retail\"", "owner = \"wholesale\"")])?;
    let refuses = "if !line.unit_price.is_positive() || line.seq % 2 == 0 {";
    let bad = [
        ("quantity: line.quantity,", "quantity: line.quantity * 2,"),
        ("if !line.unit_price.is_positive() {", refuses),
    ];
    let bad = product.retail_variant("bad", &bad)?;
    config.module("wholesale", &wholesale);
    let producer = Producer::new(&broker.bootstrap())?;
    let send = |part: &[Event]| producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop);
    let both = |instance: &mut Instance, offsets| {
        wait_products(instance, &[("retail/sales", offsets), ("wholesale/sales", offsets)])
    };
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    send(&events[..3_000])?;
    both(&mut instance, 3_000)?;
    let deployed = order(stage, &instance, &["deploy", path(&bad)?])?;
    let digest = deployed["digest"].as_str().context("a digest")?.to_owned();
    for part in events[3_000..6_000].chunks(500) {
        send(part)?;
        wait::moment(Duration::from_millis(150));
    }
    both(&mut instance, 6_000)?;
    nowhere(stage, &instance)?;
    let said = order(stage, &instance, &["rewind", "retail", "--to", &digest, "--dry-run"])?.to_string();
    ensure!(said.contains("is read again from offset") && said.contains("rows become"), "{said}");
    ensure!(
        instance.get("/v1/modules/retail")?.json()?["digest"] == deployed["digest"],
        "a question changed something"
    );
    // Done by then or not: what is taken back is no longer to be mended.
    let redrive = ["dead-letters", "redrive", "--module", "retail", "--all"];
    let asked = stage.call(&redrive, Some(&config.toml()))?;
    ensure!(asked.code == Some(0), "{}", asked.stderr);
    let rewinding = ask(stage, &instance, &["rewind", "retail", "--to", &digest, "--rollback", "--why", "it doubles"])?;
    if fault.is_some() {
        // Each process comes two tables further.
        let mut starts = 0;
        instance = loop {
            starts += 1;
            ensure!(starts < 10, "the rewind comes to no end");
            let mut instance = stage.start(&mut config)?;
            if instance.wait_ready().is_ok() {
                break instance;
            }
        };
        ensure!(starts > 1, "no process was killed");
    } else {
        ensure!(rewinding.code == Some(0), "{}", rewinding.stderr);
    }
    send(&events[6_000..])?;
    both(&mut instance, 9_000)?;
    let modules = instance.get("/v1/modules/retail")?.json()?;
    ensure!(modules["history"][0]["action"] == "rewind" && modules["digest"] != deployed["digest"], "{modules}");
    same_live(&mut instance)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_tables(stage)?;
    audit::holds(stage, &config)
}

/// A rewind of a paused module waits, and nothing of it is done where another is ordered meanwhile.
fn given_way(stage: &Stage) -> Result<()> {
    let events = dirty(4_000)?;
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 4)?;
    let mut config = configured_with(stage, None)?;
    let product = stage.product()?;
    config.module(
        "wholesale",
        &product.variant("wholesale", "wholesale", &[("owner = \"retail\"", "owner = \"wholesale\"")])?,
    );
    let producer = Producer::new(&broker.bootstrap())?;
    let send = |part: &[Event]| producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop);
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let mut numbers = Vec::new();
    for (index, part) in events[..3_000].chunks(1_000).enumerate() {
        send(part)?;
        let offsets = (index as i64 + 1) * 1_000;
        wait_products(&mut instance, &[("retail/sales", offsets), ("wholesale/sales", offsets)])?;
        let micro_batch = &instance.get("/v1/status")?.json()?["commits"]["micro_batch"];
        numbers.push(micro_batch.as_i64().context("no micro-batch")?.to_string());
    }
    order(stage, &instance, &["pause", "retail"])?;
    let first = order(stage, &instance, &["rewind", "retail", "--to", &numbers[0]])?;
    let next = order(stage, &instance, &["rewind", "retail", "--to", &numbers[1]])?;
    ensure!(next["sequence"].as_i64() > first["sequence"].as_i64(), "{first} {next}");
    order(stage, &instance, &["resume", "retail"])?;
    send(&events[3_000..])?;
    wait_products(&mut instance, &[("retail/sales", 4_000), ("wholesale/sales", 4_000)])?;
    let rewound = instance.get("/v1/modules/retail")?.json()?["rewound"].clone();
    ensure!(rewound == next["sequence"], "{rewound}");
    same_live(&mut instance)?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    same_tables(stage)?;
    audit::holds(stage, &config)
}

/// Places to which nothing can go back.
fn nowhere(stage: &Stage, instance: &Instance) -> Result<()> {
    for (to, words) in [
        ("999999", "is in the future"),
        ("0", "there is nothing before that"),
        ("2999-01-01T00:00:00Z", "is in the future"),
        ("yesterday", "is not a micro-batch's number"),
        ("abcdef01", "no micro-batch was made by"),
    ] {
        let finished = ask(stage, instance, &["rewind", "retail", "--to", to])?;
        ensure!(finished.code == Some(1) && finished.stderr.contains(words), "{to}: {}", finished.stderr);
    }
    Ok(())
}

/// The answers about both modules' products become the same.
pub(crate) fn same_live(instance: &mut Instance) -> Result<()> {
    // Of partitions that a killed process still holds in the group's eyes, the answers follow the tables.
    instance.wait_for(LIMIT, "the live answers to be those of the other module", |instance| {
        let rows = |domain: &str| -> Result<Value> {
            let path = format!("/v1/products/{domain}/sales_by_country/rows?order=country,window_start&limit=100000");
            let mut rows = instance.get(&path)?.json()?["rows"].clone();
            // What is closed is known one micro-batch later, and one of the two has had fewer of them.
            rows.as_array_mut().into_iter().flatten().for_each(|row| row["final"] = Value::Null);
            Ok(rows)
        };
        let rewound = rows("retail")?;
        Ok((rewound.is_array() && rewound == rows("wholesale")?).then_some(()))
    })
}

/// Both modules' tables are the same, and so are the letters that are open.
pub(crate) fn same_tables(stage: &Stage) -> Result<()> {
    let differ = |left: &str, right: &str, columns: &str| -> Result<()> {
        let sql = format!(
            "select (select count(*) from l) as n, (select count(*) from ((select {columns} from l except all select {columns} from r) \
             union all (select {columns} from r except all select {columns} from l))) as d"
        );
        let found = stage.query(Engine::DuckDb, &[("l", left), ("r", right)], &sql)?;
        ensure!(found[0]["n"].as_i64() > Some(0) && found[0]["d"] == 0, "{left} and {right}: {found:?}");
        Ok(())
    };
    differ(SALES, "silver/wholesale/sales", "_lakeward_partition, _lakeward_offset, seq, quantity, line_total, kind")?;
    differ("gold/retail/sales_by_country", "gold/wholesale/sales_by_country", "*")?;
    differ("gold/retail/top_products", "gold/wholesale/top_products", "*")?;
    let letters = r#"with state as (
            select module, "partition" as p, "offset" as o, count(distinct coalesce(request, -1)) as rows, count(*) as n,
                   arg_max(status, coalesce(request, -1)) as status
            from d group by all)
        select module, count(*) as n, count(*) filter (rows <> n) as twice from state where status = 'open' group by 1 order by 1"#;
    let letters = stage.query(Engine::DuckDb, &[("d", "_lakeward/dead_letters")], letters)?;
    ensure!(letters.len() == 2 && letters[0]["n"] == letters[1]["n"] && letters[0]["twice"] == 0, "{letters:?}");
    Ok(())
}

/// Back to before a gold table was first published, where what is read again is in few of its calendar parts: all are published.
fn unpublished(stage: &Stage) -> Result<()> {
    let events: Vec<Event> = retail::events(usize::MAX)?.into_iter().step_by(97).take(4_000).collect();
    let broker = stage.broker()?;
    broker.create_topic(retail::TOPIC, 1)?;
    let mut config = configured_with(stage, None)?;
    // Long after the first micro-batch, and not before the rewind is ordered.
    config.text("gold", "every", "8s");
    let producer = Producer::new(&broker.bootstrap())?;
    let send = |part: &[Event]| producer.send(retail::TOPIC, part.iter().map(Event::message)).map(drop);
    send(&events[..3_900])?;
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    wait_products(&mut instance, &[("retail/sales", 3_900)])?;
    let kept = stage.query(Engine::DuckDb, &[("c", audit::COMMITS)], "select min(micro_batch) as n from c")?;
    let kept = kept[0]["n"].as_i64().context("a micro-batch")?.to_string();
    send(&events[3_900..])?;
    wait_products(&mut instance, &[("retail/sales", 4_000)])?;
    order(stage, &instance, &["rewind", "retail", "--to", &kept])?;
    wait_products(&mut instance, &[("retail/sales", 4_000)])?;
    ensure!(instance.terminate()?.success(), "a stopped pipeline did not end well");
    let parts = "select count(distinct date_trunc('month', window_start)) > 6 as many from g";
    let found = stage.query(Engine::DuckDb, &[("g", "gold/retail/sales_by_country")], parts)?;
    ensure!(found[0]["many"] == true, "few parts are in gold: {found:?}");
    audit::holds(stage, &config)
}
