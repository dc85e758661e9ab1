//! The harness itself: a case that passes on a broker that loses records, or a reader that reads nothing, proves nothing.

use crate::case::Case;
use anyhow::{Result, bail, ensure};
use lakeward_tests::broker;
use lakeward_tests::kafka::Kafka;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::stage::Stage;
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = Case::both("harness::what_is_written_arrives_where_it_should", &[], delivered).into();
    cases.push(Case::new("harness::two_engines_read_one_table_alike", &[Need::Python], read));
    cases.push(Case::new("harness::a_stopped_kafka_comes_back_with_its_topics", &[Need::Kafka], stopped));
    cases
}

fn delivered(stage: &Stage) -> Result<()> {
    let broker = stage.broker()?;
    broker.create_topic("letters", 3)?;
    let producer = Producer::new(&broker.bootstrap())?;
    let placed = (0..9_000).map(|number| Message::placed(number % 3, format!("letter {number}")));
    ensure!(producer.send("letters", placed)? == [3_000; 3], "records are missing");
    let keyed = (0..5_000).map(|number| Message::keyed(&format!("key {number}"), "a letter"));
    let counts = producer.send("letters", keyed)?;
    ensure!(counts.iter().all(|count| *count > 1_000), "keys do not spread: {counts:?}");
    Ok(())
}

fn read(stage: &Stage) -> Result<()> {
    stage.readers()?.write(
        &stage.table("numbers"),
        "SELECT range AS id, (range * 1.5)::DECIMAL(18, 3) AS price, TIMESTAMPTZ '2010-12-01 08:26:00+00' AS at FROM range(3)",
    )?;
    for engine in Engine::ALL {
        let rows = stage.query(engine, &[("numbers", "numbers")], "SELECT * FROM numbers WHERE id > 0 ORDER BY id")?;
        let expected = json!([
            { "id": 1, "price": "1.500", "at": "2010-12-01T08:26:00Z" },
            { "id": 2, "price": "3.000", "at": "2010-12-01T08:26:00Z" },
        ]);
        ensure!(json!(rows) == expected, "{engine:?} read {rows:?}");
        let wrong = stage.query(engine, &[("numbers", "numbers")], "SELECT no_such_column FROM numbers");
        ensure!(wrong.is_err(), "{engine:?} read a column that is not there");
    }
    let versions = stage.readers()?.transactions(&stage.lake().table("numbers"), &["nobody".to_owned()])?;
    ensure!(versions.get("nobody") == Some(&None), "{versions:?}");
    Ok(())
}

fn stopped(_: &Stage) -> Result<()> {
    let kafka = Kafka::prepare()?;
    kafka.start()?;
    kafka.create("letters", 1)?;
    Producer::new(&kafka.bootstrap())?.send("letters", [Message::placed(0, "one")])?;
    kafka.stop();
    if broker::answers(&kafka.bootstrap()) {
        bail!("a stopped broker answers");
    }
    kafka.start()?;
    // A topic that is gone could not gain a partition.
    kafka.add_partitions("letters", 2)
}
