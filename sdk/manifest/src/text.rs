//! How text becomes a value: decimals, dates, timestamps, UUIDs, base64. Shared by the runtime's decoder and the SDK's tests.
//!
//! Every function takes bytes that need not be UTF-8, reads all of them or answers `None`, and never rounds.

mod binary;
mod calendar;
mod decimal;
mod pattern;
mod timestamp;

pub use binary::{base64, base64_into, uuid};
pub use calendar::date;
pub use decimal::decimal;
pub use timestamp::{FormatError, TimestampFormat};
