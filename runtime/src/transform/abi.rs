//! The types of `sdk/wit/transform.wit` as the host passes and takes them.

use wasmtime::component::{ComponentType, Lift, Lower};

/// The interface that a module exports.
pub(super) const MODULE: &str = "lakeward:transform/module@1.0.0";

/// The only interface that a module may import.
pub(super) const HOST: &str = "lakeward:transform/host@1.0.0";

#[derive(ComponentType, Lift, Lower, Debug, Clone, Copy, PartialEq, Eq)]
#[component(record)]
pub(super) struct Node {
    pub(super) length: u32,
    #[component(name = "null-count")]
    pub(super) null_count: u32,
}

/// Columns that go in: borrowed, so that they are copied once, into the guest.
#[derive(ComponentType, Lower, Debug)]
#[component(record)]
pub(super) struct ColumnsIn<'a> {
    pub(super) rows: u32,
    pub(super) nodes: &'a [Node],
    pub(super) buffers: &'a [&'a [u8]],
}

/// Columns that come out.
#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct ColumnsOut {
    pub(super) rows: u32,
    pub(super) nodes: Vec<Node>,
    pub(super) buffers: Vec<Vec<u8>>,
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct OutputOut {
    pub(super) product: u32,
    pub(super) origins: Vec<u32>,
    pub(super) rows: ColumnsOut,
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct RejectOut {
    pub(super) origin: u32,
    pub(super) reason: String,
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(super) struct OutcomeOut {
    pub(super) outputs: Vec<OutputOut>,
    pub(super) rejects: Vec<RejectOut>,
}

#[derive(ComponentType, Lift, Debug, Clone, Copy, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "wasmtime makes the values from the guest's discriminant")]
pub(super) enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl OutcomeOut {
    /// Rows of all products.
    pub(super) fn rows(&self) -> u64 {
        self.outputs.iter().map(|output| u64::from(output.rows.rows)).sum()
    }

    /// Bytes that came across, but for lengths and numbers of fixed size.
    pub(super) fn bytes(&self) -> u64 {
        let of_output = |output: &OutputOut| {
            let buffers: usize = output.rows.buffers.iter().map(Vec::len).sum();
            buffers + output.origins.len() * size_of::<u32>()
        };
        let outputs: usize = self.outputs.iter().map(of_output).sum();
        let rejects: usize = self.rejects.iter().map(|reject| reject.reason.len()).sum();
        (outputs + rejects) as u64
    }
}

/// `process` as wasmtime types it.
pub(super) type Process<'a> = wasmtime::component::TypedFunc<(u32, ColumnsIn<'a>), (Result<OutcomeOut, String>,)>;

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error => Self::ERROR,
        }
    }
}
