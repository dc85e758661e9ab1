use lakeward_sdk::prelude::*;

#[derive(Event)]
#[event(topic = "orders")]
struct Order<'a> {
    id: &'a str,
}

#[derive(Event)]
struct Nested<'a> {
    id: &'a str,
}

#[derive(Product)]
struct Sale<'a> {
    id: &'a str,
}

#[transform]
fn text(order: Order<'_>) -> Option<String> {
    Some(order.id.to_owned())
}

#[transform]
fn without_topic(order: Nested<'_>) -> Sale<'_> {
    Sale { id: order.id }
}

fn main() {}
