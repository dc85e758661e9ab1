//! Runs a module natively over JSON lines, through the code that runs in the host: JSON to columns to transform to columns.
//!
//! ```
//! # use lakeward_sdk::prelude::*;
//! use lakeward_sdk::testing::{self, json};
//! # #[derive(Event)] #[event(topic = "orders")] struct Line<'a> { item: &'a str, pieces: i64 }
//! # #[derive(Product)] struct Sale<'a> { item: &'a str, pieces: i64 }
//! # #[transform] fn clean(line: Line<'_>) -> Result<Sale<'_>, Reject> {
//! #     if line.pieces == 0 { Err("no pieces".into()) } else { Ok(Sale { item: line.item, pieces: line.pieces }) }
//! # }
//! # lakeward_sdk::module!(owner = "retail", transforms = [clean]);
//! # fn main() {
//! let report = testing::run(&MODULE, "orders", r#"
//!     {"item": "lantern", "pieces": 6}
//!     {"item": "lantern", "pieces": 0}
//! "#);
//! assert_eq!(report.rows("sale"), [json!({"item": "lantern", "pieces": 6})]);
//! assert_eq!(report.rejects(), [(2, "no pieces")]);
//! # }
//! ```
//!
//! What the host does to the rows afterwards, expectations and masks, is not done here.

mod decode;
mod encode;
mod show;

pub use serde_json::{Value, json};

use crate::Module;
use crate::columns::Columns;
use crate::module::Entry;
use crate::transform::{Described, Transform};
use std::collections::BTreeMap;

/// What lines became.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    rows: BTreeMap<String, Vec<Value>>,
    rejects: Vec<(usize, String)>,
    skipped: usize,
}

impl Report {
    /// The rows of a product as JSON objects: decimals, dates, timestamps and UUIDs as text, binary as base64.
    ///
    /// # Panics
    /// When no transform of the topic writes such a product.
    #[must_use]
    pub fn rows(&self, product: &str) -> &[Value] {
        let known = || format!("there is no product `{product}`, but {:?}", self.rows.keys());
        self.rows.get(product).unwrap_or_else(|| panic!("{}", known()))
    }

    /// The lines that became no rows, and why: line numbers from 1, blank lines not counted. Lines that the host could not decode are
    /// among them.
    #[must_use]
    pub fn rejects(&self) -> Vec<(usize, &str)> {
        self.rejects.iter().map(|(line, reason)| (*line, reason.as_str())).collect()
    }

    /// How many times a transform made neither rows nor a reject of a line.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }
}

/// Runs every transform of `module` that reads `topic` over JSON lines.
///
/// # Panics
/// When no transform reads the topic, or one panics.
#[must_use]
pub fn run(module: &Module, topic: &str, lines: &str) -> Report {
    let mut report = Report::default();
    let mut found = false;
    for entry in module.transforms {
        let described = (entry.describe)();
        if described.input.topic == topic {
            found = true;
            run_entry(*entry, &described, lines, &mut report);
        }
    }
    assert!(found, "no transform of `{}` reads the topic `{topic}`", module.name);
    report
}

/// Runs one transform over JSON lines: `run_transform::<clean>(lines)`.
///
/// # Panics
/// When the transform panics.
#[must_use]
pub fn run_transform<T: Transform>(lines: &str) -> Report {
    let mut report = Report::default();
    run_entry(Entry::of::<T>(), &T::describe(), lines, &mut report);
    report
}

fn run_entry(entry: Entry, described: &Described, lines: &str, report: &mut Report) {
    let columns = &described.input.columns;
    let mut events = Vec::new();
    let mut numbers = Vec::new();
    for (number, line) in (1..).zip(lines.lines().filter(|line| !line.trim().is_empty())) {
        match decode::record(columns, line) {
            Ok(event) => {
                events.push(event);
                numbers.push(number);
            }
            Err(reason) => report.rejects.push((number, reason)),
        }
    }
    let encoded = encode::columns(columns, &events);
    let buffers: Vec<&[u8]> = encoded.buffers.iter().map(Vec::as_slice).collect();
    let outcome = (entry.run)(Columns { rows: events.len(), nodes: &encoded.nodes, buffers: &buffers })
        .unwrap_or_else(|error| panic!("{error}"));

    let mut answered = vec![false; events.len()];
    for output in outcome.outputs {
        for origin in &output.origins {
            answered[*origin as usize] = true;
        }
        let product = described.products.iter().find(|product| product.name == output.product);
        let product = product.expect("a transform writes the products that it declares");
        report.rows.entry(product.name.clone()).or_default().extend(show::rows(&product.columns, output.rows));
    }
    for (origin, reject) in outcome.rejects {
        answered[origin as usize] = true;
        report.rejects.push((numbers[origin as usize], reject.into_reason()));
    }
    report.skipped += answered.iter().filter(|answered| !**answered).count();
    report.rejects.sort_by_key(|(line, _)| *line);
}
