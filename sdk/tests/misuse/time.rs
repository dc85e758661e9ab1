use lakeward_sdk::prelude::*;

#[derive(Event)]
#[event(topic = "orders")]
struct Order<'a> {
    #[event(time)]
    ordered_at: &'a str,
}

#[derive(Event)]
#[event(topic = "orders")]
struct Twice {
    #[event(time)]
    ordered_at: Timestamp,
    #[event(time)]
    paid_at: Timestamp,
}

fn main() {}
