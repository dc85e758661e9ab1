//! What a transform may return, and what a module says about itself.

use lakeward_sdk::prelude::*;
use lakeward_sdk::testing::{self, json};

/// A basket that somebody
/// carried to the till.
///
/// Not part of the description.
#[derive(Event)]
#[event(topic = "baskets")]
struct Basket<'a> {
    shop: &'a str,
    items: Vec<&'a str>,
    #[event(time, format = "%Y-%m-%d")]
    paid_at: Timestamp,
}

#[derive(Product)]
#[product(name = "items", partition_by = "shop, month(paid_at)")]
#[product(expect = "item <> shop", on_violation = "drop", name = "shops are not for sale")]
struct Item<'a> {
    shop: &'a str,
    /// What was bought.
    #[product(rename = "item", expect = "value <> ''", on_violation = "dead_letter", mask = "truncate(3)")]
    bought: &'a str,
    paid_at: Timestamp,
}

#[derive(Product)]
struct Receipt<'a> {
    shop: &'a str,
    items: u32,
}

#[transform]
fn split(basket: Basket<'_>) -> Result<(Vec<Item<'_>>, Option<Receipt<'_>>), Reject> {
    if basket.shop.is_empty() {
        return Err("no shop".into());
    }
    let Basket { shop, items, paid_at } = basket;
    let receipt = (items.len() > 1).then_some(Receipt { shop, items: items.len() as u32 });
    Ok((items.into_iter().map(|bought| Item { shop, bought, paid_at }).collect(), receipt))
}

#[transform]
fn first(Basket { shop, items, paid_at }: Basket<'_>) -> Option<Item<'_>> {
    items.first().map(|bought| Item { shop, bought, paid_at })
}

#[derive(Gold)]
#[gold(from = Item, time = paid_at, window = "tumbling 1d", lateness = "90s", partition_by = "year")]
struct Sold {
    #[key]
    shop: String,
    #[key(bought)]
    thing: String,
    /// How often.
    #[count]
    times: u64,
    #[distinct(bought, sketch)]
    things: u64,
}

lakeward_sdk::module!(
    owner = "shops",
    name = "baskets",
    description = "Baskets become items.",
    transforms = [split, first],
    gold = [Sold],
);

const LINES: &str = r#"
    {"shop": "York", "items": ["tea", "milk"], "paid_at": "2024-05-02"}
    {"shop": "", "items": ["tea"], "paid_at": "2024-05-02"}
    {"shop": "Hull", "items": [], "paid_at": "2024-05-02"}
"#;

#[test]
fn one_event_becomes_rows_of_several_products() {
    let report = testing::run_transform::<split>(LINES);
    let item = |item| json!({"shop": "York", "item": item, "paid_at": "2024-05-02T00:00:00Z"});
    assert_eq!(report.rows("items"), [item("tea"), item("milk")]);
    assert_eq!(report.rows("receipt"), [json!({"shop": "York", "items": 2})]);
    assert_eq!((report.rejects(), report.skipped()), (vec![(2, "no shop")], 1));
}

#[test]
fn all_transforms_of_a_topic_run() {
    let report = testing::run(&MODULE, "baskets", LINES);
    assert_eq!((report.rows("items").len(), report.rows("receipt").len(), report.skipped()), (4, 1, 2));
}

#[test]
fn a_product_of_two_transforms_is_listed_once() {
    assert_eq!(MODULE.products(), ["items", "receipt"]);
    let manifest = MODULE.manifest();
    let inputs: Vec<_> = manifest.inputs.iter().map(|input| json!([input.transform, input.products])).collect();
    assert_eq!(inputs, [json!(["split", ["items", "receipt"]]), json!(["first", ["items"]])]);
}

#[test]
fn the_manifest_says_what_the_attributes_say() {
    let manifest: testing::Value = MODULE.manifest().to_json().parse().unwrap();
    assert_eq!((&manifest["owner"], &manifest["name"]), (&json!("shops"), &json!("baskets")));
    let input = &manifest["inputs"][0];
    assert_eq!(input["description"], "A basket that somebody carried to the till.");
    assert_eq!(input["event_time"], "paid_at");
    assert_eq!(input["columns"][2]["format"], "%Y-%m-%d");
    assert_eq!(
        manifest["products"][0],
        json!({
            "name": "items", "layer": "silver",
            "columns": [
                {"name": "shop", "data_type": "string", "nullable": false},
                {"name": "item", "data_type": "string", "nullable": false, "mask": {"truncate": {"keep": 3}}, "description": "What was bought."},
                {"name": "paid_at", "data_type": "timestamp", "nullable": false},
            ],
            "partition_by": [{"column": "shop", "by": "value"}, {"column": "paid_at", "by": "month"}],
            "expectations": [
                {"name": "item <> ''", "column": "item", "expression": "value <> ''", "on_violation": "dead_letter"},
                {"name": "shops are not for sale", "expression": "item <> shop", "on_violation": "drop"},
            ],
        })
    );
    assert_eq!(
        manifest["gold"],
        json!([{
            "name": "sold", "from": "items", "time": "paid_at", "window": {"tumbling": {"width_ms": 86_400_000}}, "lateness_ms": 90_000,
            "partition_by": "year", "keys": [{"name": "shop", "column": "shop"}, {"name": "thing", "column": "item"}],
            "measures": [
                {"name": "times", "function": "count", "data_type": "uint64", "description": "How often."},
                {"name": "things", "function": "distinct_sketch", "column": "item", "data_type": "uint64"},
            ],
        }])
    );
}
