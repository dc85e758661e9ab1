//! What `lakeward demo` brings with it: an embedded broker and a shop that never closes.

mod broker;
mod catalogue;
mod dirt;
mod generator;
mod pace;
mod publisher;
mod random;

pub use broker::{Broker, Error};
pub use generator::{Counts, Event, Generator};
pub use publisher::{Lag, MAX_LAG_PER_PARTITION, PublishError, Published, Publisher};
