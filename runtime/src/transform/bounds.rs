//! Holds an instance to its limits, and notes how large its memory grew.

use super::limits::Limits;
use wasmtime::{ResourceLimiter, StoreLimits, StoreLimitsBuilder};

/// What an instance may have.
pub(super) struct Bounds {
    limits: StoreLimits,
    /// Bytes of linear memory that it got.
    memory: u64,
}

impl Bounds {
    pub(super) fn new(limits: &Limits) -> Self {
        let limits = StoreLimitsBuilder::new()
            .memory_size(limits.memory)
            .table_elements(100_000)
            .instances(16)
            .tables(16)
            .memories(2)
            .build();
        Self { limits, memory: 0 }
    }

    /// Bytes of linear memory that the instance got so far.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let may = self.limits.memory_growing(current, desired, maximum)?;
        if may {
            self.memory = self.memory.max(desired as u64);
        }
        Ok(may)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}
