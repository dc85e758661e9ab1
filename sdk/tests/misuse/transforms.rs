use lakeward_sdk::prelude::*;

#[derive(Event)]
#[event(topic = "orders")]
struct Order<'a> {
    id: &'a str,
}

#[derive(Product)]
struct Sale<'a> {
    id: &'a str,
}

#[transform]
fn two(left: Order<'_>, right: Order<'_>) -> Sale<'static> {
    Sale { id: "" }
}

#[transform]
fn none() -> Sale<'static> {
    Sale { id: "" }
}

#[transform]
fn any<T>(order: T) -> Sale<'static> {
    Sale { id: "" }
}

#[transform]
fn nothing(order: Order<'_>) {}

struct Shop;

impl Shop {
    #[transform]
    fn sell(&self, order: Order<'_>) -> Sale<'static> {
        Sale { id: "" }
    }
}

#[transform]
struct NotAFunction;

fn main() {}
