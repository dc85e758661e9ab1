//! The engine that all modules share, and the clock that stops them.

use super::Error;
use super::abi::{HOST, Level};
use super::bounds::Bounds;
use super::limits::{LOG_CALLS, LOG_LINES, Limits, clean};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, StoreContextMut};

/// How often the epoch moves.
const TICK: Duration = Duration::from_millis(10);

/// Bytes of a dropped instance's memory that stay mapped for the next one, so that a chunk does not begin with page faults: it touches 2 to
/// 3 MiB, and the faults cost as much as the transform. Where the kernel can tell which pages were written, only these are reset.
const KEEP_RESIDENT: usize = 4 << 20;

/// Runs modules for all workers.
#[derive(Clone)]
pub struct Host {
    pub(super) engine: Engine,
    pub(super) linker: Arc<Linker<Guest>>,
    pub(super) limits: Limits,
    _ticker: Arc<Ticker>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// What a store knows of the instance that it holds.
pub(super) struct Guest {
    pub(super) bounds: Bounds,
    pub(super) lines: Vec<(Level, String)>,
    log_calls: usize,
}

impl Guest {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { bounds: Bounds::new(limits), lines: Vec::new(), log_calls: 0 }
    }

    /// The last thing that the guest said at level error: its panic message.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.lines.iter().rev().find(|(level, _)| *level == Level::Error).map(|(_, line)| line.as_str())
    }
}

impl Host {
    /// Sets the engine up for `workers` threads that run modules at the same time.
    ///
    /// # Errors
    /// When the machine cannot reserve the memory.
    pub fn new(limits: Limits, workers: usize) -> Result<Self, Error> {
        let engine = Engine::new(&config(limits, workers)).map_err(Error::Engine)?;
        let mut linker = Linker::new(&engine);
        let mut host = linker.instance(HOST).map_err(Error::Engine)?;
        host.func_wrap("log", log).map_err(Error::Engine)?;
        let ticker = Arc::new(Ticker::start(engine.clone()).map_err(|e| Error::Engine(e.into()))?);
        Ok(Self { engine, linker: Arc::new(linker), limits, _ticker: ticker })
    }

    /// The epoch deadline, in ticks.
    pub(super) fn deadline(&self) -> u64 {
        u64::try_from(self.limits.timeout.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX / 2).max(1)
    }
}

fn config(limits: Limits, workers: usize) -> Config {
    let slots = u32::try_from(workers * 2 + 2).unwrap_or(64);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots)
        .total_core_instances(slots * 8)
        .total_memories(slots)
        .total_tables(slots * 4)
        .max_memories_per_component(1)
        .max_tables_per_component(4)
        .max_core_instances_per_component(8)
        .max_memory_size(limits.memory)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(KEEP_RESIDENT);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The module's only import. Lines beyond the bound are counted, not kept; a module that only talks is stopped.
fn log(mut store: StoreContextMut<'_, Guest>, (level, message): (Level, String)) -> wasmtime::Result<()> {
    let guest = store.data_mut();
    guest.log_calls += 1;
    if guest.log_calls > LOG_CALLS {
        return Err(wasmtime::Error::msg("the module logged too often"));
    }
    if guest.lines.len() < LOG_LINES || level == Level::Error {
        if guest.lines.len() >= LOG_LINES {
            guest.lines.pop();
        }
        guest.lines.push((level, clean(&message)));
    }
    Ok(())
}

/// Moves the engine's epoch until it is dropped.
struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
