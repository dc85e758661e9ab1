//! Lakeward carries a domain's events to the lake: Kafka topics through WebAssembly transforms into Delta tables and live answers.

pub mod checkpoint;
pub mod clock;
pub mod columns;
pub mod config;
pub mod product;
pub mod record;
pub mod sink;
pub mod source;
pub mod transform;
