use lakeward_sdk::prelude::*;

#[derive(Event)]
#[event(subject = "orders")]
struct Order<'a> {
    id: &'a str,
}

#[derive(Event)]
struct Line<'a> {
    #[event(nmae = "ID")]
    id: &'a str,
}

#[derive(Product)]
struct Sale {
    #[product(mask = "sha256")]
    customer: String,
}

#[derive(Product)]
#[product(partition_by = "day(sold_at)")]
struct Undated {
    id: i64,
}

fn main() {}
