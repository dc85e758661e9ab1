//! The SDK for Lakeward modules: what a domain team writes to turn the events of a topic into data products.
//!
//! ```
//! use lakeward_sdk::prelude::*;
//!
//! /// One invoice line, as the till publishes it.
//! #[derive(Event)]
//! #[event(topic = "orders", rename_all = "PascalCase")]
//! struct OrderLine<'a> {
//!     invoice_no: &'a str,
//!     quantity: i64,
//!     unit_price: Decimal<18, 3>,
//!     country: &'a str,
//!     #[event(time, format = "%Y-%m-%d %H:%M:%S")]
//!     invoice_date: Timestamp,
//! }
//!
//! /// A priced line that analysts can sum without thinking.
//! #[derive(Product)]
//! #[product(name = "sales", partition_by = "day(sold_at)")]
//! struct Sale<'a> {
//!     invoice: &'a str,
//!     line_total: Decimal<18, 3>,
//!     country: &'a str,
//!     sold_at: Timestamp,
//! }
//!
//! /// Prices a line.
//! #[transform]
//! fn clean(line: OrderLine<'_>) -> Result<Sale<'_>, Reject> {
//!     if !line.unit_price.is_positive() {
//!         return Err(Reject::new(format!("unit price {} is not positive", line.unit_price)));
//!     }
//!     Ok(Sale {
//!         invoice: line.invoice_no,
//!         line_total: line.unit_price * line.quantity,
//!         country: line.country,
//!         sold_at: line.invoice_date,
//!     })
//! }
//!
//! /// What the sales dashboard polls.
//! #[derive(Gold)]
//! #[gold(from = Sale, time = sold_at, window = "tumbling 1h", lateness = "10m")]
//! struct SalesByCountry {
//!     #[key]
//!     country: String,
//!     #[count]
//!     lines: u64,
//!     #[sum(line_total)]
//!     revenue: Decimal<18, 3>,
//! }
//!
//! lakeward_sdk::module!(owner = "retail", transforms = [clean], gold = [SalesByCountry]);
//! # fn main() {}
//! ```
//!
//! A transform is a plain function: a unit test calls it. [`testing`] runs whole modules natively over JSON lines, through the same
//! generated code that runs in the host. `lakeward build` makes the `.wasm`.

mod columns;
mod decimal;
#[doc(hidden)]
pub mod glue;
mod log;
mod module;
mod output;
pub mod prelude;
mod reject;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;
mod transform;
mod uuid;
mod wall;

pub use columns::{ReadColumn, WriteColumn};
pub use decimal::Decimal;
pub use lakeward_macros::{Event, Gold, Product, module, transform};
pub use log::{Level, log};
pub use module::{Gold, Module};
pub use output::{Answer, Product, Rows};
pub use reject::{ParseError, Reject};
pub use time::{Date, Timestamp};
pub use transform::{Event, Transform};
pub use uuid::Uuid;
