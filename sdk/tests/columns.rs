//! Every type that a column can have survives the way through a transform, nulls and nesting included.

use lakeward_sdk::prelude::*;
use lakeward_sdk::testing::{self, Value, json};

/// Read from an event and written to a product, since it derives both.
#[derive(Event, Product)]
struct Place<'a> {
    city: &'a str,
    floor: Option<i8>,
}

#[derive(Event)]
#[event(topic = "everything", rename_all = "camelCase")]
struct Everything<'a> {
    flag: bool,
    maybe_flag: Option<bool>,
    tiny: i8,
    small: u16,
    large: u64,
    ratio: f64,
    price: Decimal<12, 2>,
    text: &'a str,
    owned: String,
    maybe_text: Option<&'a str>,
    day: Date,
    #[event(time)]
    at: Timestamp,
    id: Uuid,
    place: Place<'a>,
    maybe_place: Option<Place<'a>>,
    numbers: Vec<i64>,
    maybe_words: Option<Vec<Option<&'a str>>>,
    places: Vec<Place<'a>>,
}

#[derive(Product)]
struct Copy<'a> {
    flag: bool,
    maybe_flag: Option<bool>,
    tiny: i8,
    small: u16,
    large: u64,
    ratio: f64,
    price: Decimal<12, 2>,
    text: &'a str,
    owned: String,
    maybe_text: Option<&'a str>,
    day: Date,
    at: Timestamp,
    id: Uuid,
    place: Place<'a>,
    maybe_place: Option<Place<'a>>,
    numbers: Vec<i64>,
    maybe_words: Option<Vec<Option<&'a str>>>,
    places: Vec<Place<'a>>,
}

#[transform]
fn copy(event: Everything<'_>) -> Copy<'_> {
    let Everything { flag, maybe_flag, tiny, small, large, ratio, price, text, owned, .. } = event;
    let Everything { maybe_text, day, at, id, place, maybe_place, numbers, maybe_words, places, .. } = event;
    Copy {
        flag,
        maybe_flag,
        tiny,
        small,
        large,
        ratio,
        price,
        text,
        owned,
        maybe_text,
        day,
        at,
        id,
        place,
        maybe_place,
        numbers,
        maybe_words,
        places,
    }
}

/// The row `index`: optional values are there in some rows only, in different ones.
fn row(index: usize) -> Value {
    let maybe = |every: usize, value: Value| if index.is_multiple_of(every) { value } else { Value::Null };
    json!({
        "flag": index.is_multiple_of(2), "maybe_flag": maybe(3, json!(index % 2 == 1)), "tiny": -(index as i64), "small": 65_535,
        "large": u64::MAX, "ratio": 0.5, "price": format!("-{index}.25"), "text": "£".repeat(index), "owned": "own",
        "maybe_text": maybe(5, json!("here")), "day": "2024-02-29", "at": "2024-02-29T12:00:00.000001Z",
        "id": "0198c0de-7a11-7000-8000-00000000beef", "place": {"city": "York", "floor": maybe(2, json!(index))},
        "maybe_place": maybe(4, json!({"city": "Hull", "floor": null})), "numbers": (0..index).collect::<Vec<_>>(),
        "maybe_words": maybe(2, json!(["a", null, ""])), "places": vec![json!({"city": "Ely", "floor": 1}); index % 3],
    })
}

fn camel(row: &Value) -> Value {
    let fields = row.as_object().expect("a row is an object").iter().map(|(name, value)| {
        let mut words = name.split('_');
        let mut camel = words.next().expect("a name has a word").to_owned();
        words.for_each(|word| camel.extend([&word[..1].to_uppercase(), &word[1..]]));
        (camel, value.clone())
    });
    Value::Object(fields.collect())
}

#[test]
fn every_type_survives_the_way_through_a_transform() {
    let rows: Vec<Value> = (0..21).map(row).collect();
    let lines: Vec<String> = rows.iter().map(|row| camel(row).to_string()).collect();
    let report = testing::run_transform::<copy>(&lines.join("\n"));
    assert_eq!(report.rejects(), []);
    assert_eq!(report.rows("copy"), rows);
}

#[test]
fn no_events_make_no_rows() {
    let report = testing::run_transform::<copy>("");
    assert_eq!((report.rows("copy").len(), report.skipped()), (0, 0));
}
