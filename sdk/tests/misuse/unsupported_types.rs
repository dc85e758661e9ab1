use lakeward_sdk::prelude::*;
use std::collections::HashMap;

#[derive(Event)]
#[event(topic = "orders")]
struct Letter {
    kind: char,
}

#[derive(Event)]
#[event(topic = "orders")]
struct Tags {
    tags: Option<HashMap<String, String>>,
}

#[derive(Product)]
struct Count {
    pieces: usize,
}

fn main() {}
