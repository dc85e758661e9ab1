//! What a module's source needs, in one `use`.

pub use crate::{Date, Decimal, Event, Gold, Product, Reject, Timestamp, Uuid, transform};
