//! Nested events: one delivery becomes several stops and one tour, of two products.

use crate::audit;
use crate::case::Case;
use anyhow::{Result, ensure};
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::stage::Stage;
use serde_json::{Value, json};

const TOPIC: &str = "deliveries";
const DELIVERIES: i64 = 300;
const STOPS: (&str, &str) = ("stops", "silver/logistics/stops");
const TOURS: (&str, &str) = ("tours", "silver/logistics/deliveries");
const DEAD_LETTERS: (&str, &str) = ("dead_letters", "_lakeward/dead_letters");

pub(crate) fn cases() -> Vec<Case> {
    Case::both("logistics::nested_events_become_rows_of_two_products", &[Need::Python], nested).into()
}

/// A tour of `number % 5` stops, of two parcels each; every third stop has not been reached.
fn delivery(number: i64) -> Value {
    let stops: Vec<_> = (0..number % 5)
        .map(|stop| {
            json!({
                "sequence": stop + 1,
                "address": { "street": format!("{number} Mill Rd"), "city": "York", "postcode": "YO1 7HH" },
                "plannedAt": format!("2024-05-02T{:02}:00:00Z", 7 + stop),
                "arrivedAt": (stop % 3 != 2).then(|| format!("2024-05-02T{:02}:20:00Z", 7 + stop)),
                "parcels": 2,
            })
        })
        .collect();
    json!({
        "deliveryId": format!("d-{number}"), "depot": "Leeds", "vehicle": "van 3",
        "driver": { "name": format!("driver {}", number % 7) },
        "startedAt": "2024-05-02T06:00:00Z", "finishedAt": null, "stops": stops,
    })
}

fn nested(stage: &Stage) -> Result<()> {
    let broker = stage.broker()?;
    broker.create_topic(TOPIC, 2)?;
    let mut backwards = delivery(1);
    backwards["finishedAt"] = json!("2024-05-02T05:00:00Z");
    let messages = (0..DELIVERIES).map(|number| Message::keyed(&format!("d-{number}"), delivery(number).to_string()));
    Producer::new(&broker.bootstrap())?
        .send(TOPIC, messages.chain([Message::keyed("backwards", backwards.to_string())]))?;
    let mut config = stage.config(&["transforms/logistics"])?;
    config.text("masks", "secret", "only for tests, and long enough");

    let summary = stage.until_current(&config)?;
    ensure!((summary.records, summary.dead_letters) == (DELIVERIES + 1, 1), "{summary:?}");
    let expected_stops = (0..DELIVERIES).map(|number| number % 5).sum::<i64>();
    for engine in Engine::ALL {
        let found = stage.query(
            engine,
            &[STOPS, TOURS, DEAD_LETTERS],
            "SELECT (SELECT count(*) FROM stops) AS stops, (SELECT count(*) FROM tours) AS tours,
                    (SELECT sum(parcels)::BIGINT FROM tours) AS parcels, (SELECT count(DISTINCT driver) FROM stops) AS drivers,
                    (SELECT count(*) FROM stops WHERE driver LIKE '%driver%' OR street LIKE '%Mill%') AS unmasked,
                    (SELECT max(length(postcode)) FROM stops) AS postcode,
                    (SELECT count(*) FROM stops WHERE arrived_at IS NULL) AS on_the_road,
                    (SELECT min(reason) FROM dead_letters) AS reason",
        )?;
        let on_the_road = (0..DELIVERIES).filter(|number| number % 5 > 2).count();
        let expected = json!([{
            "stops": expected_stops, "tours": DELIVERIES, "parcels": 2 * expected_stops, "drivers": 7, "unmasked": 0,
            "postcode": 2, "on_the_road": on_the_road,
            "reason": "finished at 2024-05-02T05:00:00Z, before it started at 2024-05-02T06:00:00Z",
        }]);
        ensure!(json!(found) == expected, "{engine:?} found {found:?}, expected {expected}");
    }
    audit::holds(stage, &config)
}
