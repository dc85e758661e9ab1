//! The Online Retail data set: real order lines as events, and the answers that were computed from it in SQL.

use crate::produce::Message;
use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::PathBuf;

/// The topic that the retail module reads.
pub const TOPIC: &str = "orders";

/// Where the data set is: in `LAKEWARD_DATA`, or beside the workspace. `None` if it is not there.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let data = match std::env::var_os("LAKEWARD_DATA") {
        Some(data) => PathBuf::from(data),
        None => crate::workspace().parent()?.join("shared").join("data"),
    };
    Some(data.join("online_retail")).filter(|folder| folder.join("online_retail.csv.gz").is_file())
}

/// An invoice line as the till would publish it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The invoice, which is the record's key.
    pub invoice: String,
    /// The record's value.
    pub json: String,
}

impl Event {
    /// The record, in the partition of its invoice.
    #[must_use]
    pub fn message(&self) -> Message {
        Message::keyed(&self.invoice, self.json.as_bytes())
    }
}

/// The first `count` events.
///
/// # Errors
/// When the data set is missing or damaged.
pub fn events(count: usize) -> Result<Vec<Event>> {
    let path = folder().context("the Online Retail data set is missing")?.join("online_retail.csv.gz");
    let mut lines = csv::Reader::from_reader(GzDecoder::new(File::open(path)?));
    lines.records().take(count).enumerate().map(|(seq, line)| event(seq, &line?)).collect()
}

/// One CSV row as JSON, nothing cleaned: empty texts are null, the price keeps its digits.
fn event(seq: usize, line: &csv::StringRecord) -> Result<Event> {
    let field = |index: usize| line.get(index).context("a line with too few fields");
    let text = |index: usize| Ok::<_, anyhow::Error>(serde_json::to_string(field(index)?)?);
    let or_null = |index: usize| if field(index)?.is_empty() { Ok("null".to_owned()) } else { text(index) };
    let mut json = String::with_capacity(240);
    write!(json, r#"{{"seq":{seq},"InvoiceNo":{},"StockCode":{}"#, text(0)?, text(1)?)?;
    write!(json, r#","Description":{},"Quantity":{}"#, or_null(2)?, field(3)?)?;
    write!(json, r#","InvoiceDate":{},"UnitPrice":{}"#, text(4)?, field(5)?)?;
    write!(json, r#","CustomerID":{},"Country":{}}}"#, or_null(6)?, text(7)?)?;
    Ok(Event { invoice: field(0)?.to_owned(), json })
}

/// What the tables must say after all events.
#[derive(Debug, Deserialize)]
pub struct Answers {
    /// Events in the data set.
    pub events: i64,
    /// Rows of `retail/sales`.
    pub silver_rows: i64,
    /// Records that are no sale.
    pub dead_letters: i64,
    /// Rows of kind `cancellation`.
    pub cancellations: i64,
    /// Rows without a customer.
    pub silver_rows_without_customer: i64,
    /// Distinct invoices.
    pub invoices: i64,
    /// The sum of the quantities.
    pub sum_quantity: i64,
    /// The sum of the line totals, with three decimals.
    pub sum_line_total: String,
    /// The first sale.
    pub first_sold_at: String,
    /// The last sale.
    pub last_sold_at: String,
    /// Country, start of the hour, lines, revenue, distinct customers; ordered by country and hour.
    pub sales_by_country_hour: Vec<(String, String, i64, String, i64)>,
}

/// Reads the answers.
///
/// # Errors
/// When the data set is missing or damaged.
pub fn answers() -> Result<Answers> {
    let path = folder().context("the Online Retail data set is missing")?.join("answers.json");
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}
