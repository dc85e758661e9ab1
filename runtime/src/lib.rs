//! Lakeward carries a domain's events to the lake: Kafka topics through WebAssembly transforms into Delta tables and live answers.

pub mod aggregate;
pub mod checkpoint;
pub mod clock;
pub mod columns;
pub mod record;
