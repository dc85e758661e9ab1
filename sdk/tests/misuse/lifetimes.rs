use lakeward_sdk::prelude::*;

#[derive(Event)]
#[event(topic = "orders")]
struct Order<'a, 'b> {
    id: &'a str,
    item: &'b str,
}

#[derive(Event)]
#[event(topic = "orders")]
struct Line {
    id: &'static str,
}

#[derive(Product)]
struct Sale<T> {
    id: T,
}

fn main() {}
