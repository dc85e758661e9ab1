//! Logistics: one delivery becomes many stops, and a person's name becomes a hash.
//!
//! Shows what `retail` does not need: nested events (a list of structs that hold structs), one event that becomes rows of two
//! products, a masked column, and measures over times.

use lakeward_sdk::prelude::*;

/// A tour of one vehicle, as dispatch publishes it when something about it changes.
#[derive(Event)]
#[event(topic = "deliveries", rename_all = "camelCase")]
pub struct Delivery<'a> {
    delivery_id: &'a str,
    /// Where the tour starts and ends.
    depot: &'a str,
    vehicle: &'a str,
    driver: Driver<'a>,
    #[event(time)]
    started_at: Timestamp,
    /// Absent while the tour is on the road.
    finished_at: Option<Timestamp>,
    /// In the order of the tour.
    stops: Vec<PlannedStop<'a>>,
}

/// Who drives.
#[derive(Event)]
pub struct Driver<'a> {
    name: &'a str,
}

/// A stop of the tour.
#[derive(Event)]
#[event(rename_all = "camelCase")]
pub struct PlannedStop<'a> {
    sequence: u32,
    address: Address<'a>,
    planned_at: Timestamp,
    /// Absent until the vehicle is there.
    arrived_at: Option<Timestamp>,
    parcels: u32,
}

/// Where a stop is.
#[derive(Event)]
pub struct Address<'a> {
    street: &'a str,
    city: &'a str,
    postcode: &'a str,
}

/// A stop, on time or late. A row is one stop of one tour.
#[derive(Debug, PartialEq, Product)]
#[product(name = "stops", partition_by = "day(planned_at)")]
#[product(name = "on the road or there", expect = "late is null or late in (0, 1)", on_violation = "stop")]
pub struct Stop<'a> {
    delivery_id: &'a str,
    /// Place in the tour, from 1.
    #[product(expect = "value > 0", on_violation = "dead_letter")]
    sequence: u32,
    /// Street and house, for whoever has to find it.
    #[product(mask = "redact")]
    street: &'a str,
    city: &'a str,
    /// The postcode's area, which is no address.
    #[product(mask = "truncate(2)")]
    postcode: &'a str,
    planned_at: Timestamp,
    arrived_at: Option<Timestamp>,
    /// Arrival after plan; negative when early, absent until the vehicle is there.
    #[product(expect = "value < 86400")]
    delay_seconds: Option<i64>,
    /// 1 when more than a quarter of an hour late, 0 when not, absent until the vehicle is there.
    late: Option<i64>,
    parcels: u32,
    /// Equal hashes are one driver; nobody can tell which.
    #[product(mask = "hash")]
    driver: &'a str,
}

/// A tour as a whole.
#[derive(Debug, PartialEq, Product)]
#[product(name = "deliveries", partition_by = "day(started_at)")]
pub struct Tour<'a> {
    delivery_id: &'a str,
    depot: &'a str,
    vehicle: &'a str,
    stops: u32,
    parcels: u32,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
}

const LATE_AFTER_SECONDS: i64 = 15 * 60;

/// Takes a tour apart. A tour that ends before it starts is a clock gone wrong, and its delays would be too.
#[transform]
pub fn unpack(delivery: Delivery<'_>) -> Result<(Vec<Stop<'_>>, Tour<'_>), Reject> {
    if let Some(finished_at) = delivery.finished_at.filter(|finished_at| *finished_at < delivery.started_at) {
        return Err(Reject::new(format!("finished at {finished_at}, before it started at {}", delivery.started_at)));
    }
    let tour = Tour {
        delivery_id: delivery.delivery_id,
        depot: delivery.depot,
        vehicle: delivery.vehicle,
        stops: delivery.stops.iter().map(|_| 1).sum(),
        parcels: delivery.stops.iter().map(|stop| stop.parcels).sum(),
        started_at: delivery.started_at,
        finished_at: delivery.finished_at,
    };
    let stops = delivery.stops.into_iter().map(|stop| {
        let delay_seconds = stop.arrived_at.map(|arrived_at| arrived_at.seconds_since(stop.planned_at));
        Stop {
            delivery_id: delivery.delivery_id,
            sequence: stop.sequence,
            street: stop.address.street,
            city: stop.address.city,
            postcode: stop.address.postcode,
            planned_at: stop.planned_at,
            arrived_at: stop.arrived_at,
            delay_seconds,
            late: delay_seconds.map(|delay| i64::from(delay > LATE_AFTER_SECONDS)),
            parcels: stop.parcels,
            driver: delivery.driver.name,
        }
    });
    Ok((stops.collect(), tour))
}

/// How punctual we are, city by city.
#[derive(Gold)]
#[gold(from = Stop, time = planned_at, window = "tumbling 1h", lateness = "2h")]
pub struct PunctualityByCity {
    #[key]
    city: String,
    /// Stops that were planned.
    #[count]
    stops: u64,
    /// Stops that were more than a quarter of an hour late.
    #[sum(late)]
    late_stops: i64,
    /// Mean delay, in seconds.
    #[average(delay_seconds)]
    average_delay_seconds: f64,
    /// Longest delay, in seconds.
    #[max(delay_seconds)]
    longest_delay_seconds: i64,
    /// Drivers, to about 2 %.
    #[distinct(driver, sketch)]
    drivers: u64,
}

lakeward_sdk::module!(owner = "logistics", transforms = [unpack], gold = [PunctualityByCity]);

#[cfg(test)]
mod tests {
    use super::*;
    use lakeward_sdk::testing::{self, json};

    const TOUR: &str = r#"{"deliveryId":"d-7","depot":"Leeds","vehicle":"van 3","driver":{"name":"Ada Cole"},
        "startedAt":"2024-05-02T06:00:00Z","finishedAt":null,"stops":[
        {"sequence":1,"address":{"street":"1 Mill Rd","city":"York","postcode":"YO1 7HH"},"plannedAt":"2024-05-02T07:00:00Z","arrivedAt":"2024-05-02T07:20:00Z","parcels":3},
        {"sequence":2,"address":{"street":"9 Quay","city":"Hull","postcode":"HU1 1AA"},"plannedAt":"2024-05-02T09:00:00Z","parcels":1}]}"#;

    fn one_line(text: &str) -> String {
        text.replace('\n', " ")
    }

    #[test]
    fn a_tour_becomes_its_stops_and_itself() {
        let report = testing::run(&MODULE, "deliveries", &one_line(TOUR));
        assert_eq!(report.rejects(), []);
        assert_eq!(
            report.rows("deliveries"),
            [json!({
                "delivery_id": "d-7", "depot": "Leeds", "vehicle": "van 3", "stops": 2, "parcels": 4,
                "started_at": "2024-05-02T06:00:00Z", "finished_at": null,
            })]
        );
        let [york, hull] = report.rows("stops") else { panic!("two stops") };
        assert_eq!((&york["delay_seconds"], &york["late"], &york["city"]), (&json!(1200), &json!(1), &json!("York")));
        assert_eq!(
            (&hull["delay_seconds"], &hull["late"], &hull["driver"]),
            (&json!(null), &json!(null), &json!("Ada Cole"))
        );
    }

    #[test]
    fn a_tour_that_ends_before_it_starts_is_rejected() {
        let text = TOUR.replace(r#""finishedAt":null"#, r#""finishedAt":"2024-05-02T05:00:00Z""#);
        let report = testing::run(&MODULE, "deliveries", &one_line(&text));
        assert_eq!(
            report.rejects(),
            [(1, "finished at 2024-05-02T05:00:00Z, before it started at 2024-05-02T06:00:00Z")]
        );
        assert!(report.rows("stops").is_empty() && report.rows("deliveries").is_empty());
    }

    #[test]
    fn the_driver_s_name_is_declared_to_be_hashed() {
        let manifest = MODULE.manifest();
        let stops = manifest.products.iter().find(|product| product.name == "stops").unwrap();
        let driver = stops.columns.iter().find(|column| column.name == "driver").unwrap();
        assert_eq!(json!(driver.mask), json!("hash"));
    }
}
