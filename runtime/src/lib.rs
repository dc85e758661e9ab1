//! Lakeward carries a domain's events to the lake: Kafka topics through WebAssembly transforms into Delta tables and live answers.

pub mod aggregate;
pub mod audit;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod columns;
pub mod config;
pub mod decode;
pub mod fault;
pub mod letters;
pub mod memory;
pub mod pipeline;
pub mod product;
pub mod record;
pub mod release;
pub mod serve;
pub mod sink;
pub mod source;
pub mod telemetry;
pub mod transform;
