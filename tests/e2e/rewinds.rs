//! A bad release is undone with its data, while everything else goes on.

use crate::audit;
use crate::case::Case;
use crate::releases::{LIMIT, SALES, ask, configured_with, dirty, order, path, wait_products, with_twin};
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::Producer;
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail::{self, Event};
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    let python = &[Need::Python, Need::RetailData];
    vec![
        Case::kafka("rewinds::a_bad_release_is_undone_with_its_data", python, |stage| undone(stage, None)),
        Case::kafka("rewinds::one_that_is_cut_off_goes_on", python, |stage| undone(stage, Some("rewind.after:2"))),
        Case::kafka("rewinds::one_that_waits_gives_way_to_the_next", python, given_way),
        Case::kafka("rewinds::one_whose_files_are_gone_parks_its_module_alone", python, vacuumed),
        Case::kafka("rewinds::gold_that_was_not_published_yet_is_made_again", python, unpublished),
    ]
}

/// A release that doubles quantities and rejects half of what it should not is undone, while another module over the same topic goes on: in
/// the end both have made the same of every record, in silver, gold, dead letters and live.
fn undone(stage: &Stage, fault: Option<&str>) -> Result<()> {
    let events = dirty(9_000)?;
    let mut config = with_twin(stage, fault)?;
    let refuses = "if !line.unit_price.is_positive() || line.seq % 2 == 0 {";
    let bad = [
        ("quantity: line.quantity,", "quantity: line.quantity * 2,"),
        ("if !line.unit_price.is_positive() {", refuses),
    ];
    let bad = stage.product()?.retail_variant("bad", &bad)?;
    let producer = Producer::new(&stage.broker()?.bootstrap())?;
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

/// The retail module and its twin over the same topic, a thousand records after the other.
struct Steps<'a> {
    stage: &'a Stage,
    config: Config,
    producer: Producer,
    events: Vec<Event>,
    instance: Instance,
    /// The last micro-batch of each thousand, as `rewind` takes it.
    numbers: Vec<String>,
}

impl<'a> Steps<'a> {
    fn new(stage: &'a Stage) -> Result<Self> {
        let mut config = with_twin(stage, None)?;
        let producer = Producer::new(&stage.broker()?.bootstrap())?;
        let mut instance = stage.start(&mut config)?;
        instance.wait_ready()?;
        Ok(Self { stage, config, producer, events: dirty(5_000)?, instance, numbers: Vec::new() })
    }

    /// Sends the next thousand.
    fn send(&mut self) -> Result<()> {
        let from = self.numbers.len() * 1_000;
        self.numbers.push(String::new());
        self.producer.send(retail::TOPIC, self.events[from..from + 1_000].iter().map(Event::message)).map(drop)
    }

    /// Waits until these domains have all that was sent.
    fn wait(&mut self, domains: &[&str]) -> Result<()> {
        let paths: Vec<String> = domains.iter().map(|domain| format!("{domain}/sales")).collect();
        let offsets = self.numbers.len() as i64 * 1_000;
        let all: Vec<(&str, i64)> = paths.iter().map(|path| (path.as_str(), offsets)).collect();
        wait_products(&mut self.instance, &all)?;
        let micro_batch = &self.instance.get("/v1/status")?.json()?["commits"]["micro_batch"];
        let number = self.numbers.last_mut().context("nothing was sent")?;
        *number = micro_batch.as_i64().context("no micro-batch")?.to_string();
        Ok(())
    }

    fn order(&self, arguments: &[&str]) -> Result<Value> {
        order(self.stage, &self.instance, arguments)
    }

    fn end(mut self) -> Result<()> {
        same_live(&mut self.instance)?;
        ensure!(self.instance.terminate()?.success(), "a stopped pipeline did not end well");
        same_tables(self.stage)?;
        audit::holds(self.stage, &self.config)
    }
}

const BOTH: [&str; 2] = ["retail", "wholesale"];

/// A rewind of a paused module waits, and nothing of it is done where another is ordered meanwhile.
fn given_way(stage: &Stage) -> Result<()> {
    let mut steps = Steps::new(stage)?;
    for _ in 0..3 {
        steps.send()?;
        steps.wait(&BOTH)?;
    }
    steps.order(&["pause", "retail"])?;
    let first = steps.order(&["rewind", "retail", "--to", &steps.numbers[0]])?;
    let next = steps.order(&["rewind", "retail", "--to", &steps.numbers[1]])?;
    ensure!(next["sequence"].as_i64() > first["sequence"].as_i64(), "{first} {next}");
    steps.order(&["resume", "retail"])?;
    steps.send()?;
    steps.wait(&BOTH)?;
    let rewound = steps.instance.get("/v1/modules/retail")?.json()?["rewound"].clone();
    ensure!(rewound == next["sequence"], "{rewound}");
    steps.end()
}

/// What a waiting rewind goes back to is vacuumed: the module stays where it is and says why, its twin goes on, and a rebuild is a way out.
fn vacuumed(stage: &Stage) -> Result<()> {
    let mut steps = Steps::new(stage)?;
    steps.send()?;
    steps.wait(&BOTH)?;
    // What is published by then is what the micro-batch goes back to.
    steps.instance.wait_for(LIMIT, "gold to be published", |_| {
        let sql = "select coalesce(sum(lines), 0)::bigint as n from g";
        let found = stage.query(Engine::DuckDb, &[("g", "gold/retail/sales_by_country")], sql)?;
        Ok((found[0]["n"].as_i64() > Some(0)).then_some(()))
    })?;
    for _ in 0..2 {
        steps.send()?;
        steps.wait(&BOTH)?;
    }
    let to = steps.numbers[1].clone();
    steps.order(&["pause", "retail"])?;
    steps.order(&["rewind", "retail", "--to", &to])?;
    let gold = ["gold/retail/sales_by_country", "gold/retail/top_products"];
    gold.iter().try_for_each(|table| stage.readers()?.tamper(&stage.table(table), &json!({ "vacuum": true })))?;
    let before = stage.query(Engine::DuckDb, &[("s", SALES)], "select count(*) as n from s")?;
    steps.order(&["resume", "retail"])?;
    let modules = steps.instance.wait_for(LIMIT, "the module to be parked", |instance| {
        let modules = instance.get("/v1/modules/retail")?.json()?;
        Ok((modules["parked"] == true).then_some(modules))
    })?;
    let why = modules["paused"].to_string();
    ensure!(why.contains("module retail cannot go back") && why.contains("is no longer there"), "{why}");
    steps.send()?;
    steps.wait(&["wholesale"])?;
    let after = stage.query(Engine::DuckDb, &[("s", SALES)], "select count(*) as n from s")?;
    ensure!(before == after, "a module that cannot go back has {after:?} rows, it had {before:?}");
    audit::holds(stage, &steps.config).context("while it is parked")?;
    // Asked again, it is refused at once.
    let again = ask(stage, &steps.instance, &["rewind", "retail", "--to", &to])?;
    ensure!(again.code == Some(1) && again.stderr.contains("is no longer there"), "{again:?}");
    let mended = stage.product()?.retail_variant("mended", &[("\"no description\"", "\"no  description\"")])?;
    steps.order(&["deploy", path(&mended)?, "--rebuild"])?;
    steps.send()?;
    steps.wait(&BOTH)?;
    let modules = steps.instance.get("/v1/modules/retail")?.json()?;
    ensure!(modules["parked"] == false && modules["running"] == modules["digest"], "{modules}");
    steps.end()
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
