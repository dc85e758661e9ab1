use lakeward_sdk::prelude::*;

#[derive(Product)]
struct Sale<'a> {
    country: &'a str,
    total: i64,
    sold_at: Timestamp,
}

#[derive(Gold)]
#[gold(from = Sale, time = sold_at, window = "tumbling 1h")]
struct UnknownColumn {
    #[key]
    country: String,
    #[sum(totl)]
    revenue: i64,
}

#[derive(Gold)]
#[gold(from = Sale, window = "tumbling 1h")]
struct NoTime {
    #[count]
    lines: u64,
}

#[derive(Gold)]
#[gold(from = Sale, time = sold_at, window = "hourly")]
struct UnknownWindow {
    #[count]
    lines: u64,
}

#[derive(Gold)]
#[gold(from = Sale, time = sold_at, window = "tumbling 1h")]
struct NoRole {
    country: String,
}

fn main() {}
