//! Asks a component for its manifest, once, in an instance that is thrown away.

use super::Error;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Store, StoreLimits, StoreLimitsBuilder};

const HOST: &str = "lakeward:transform/host@1.0.0";
const MODULE: &str = "lakeward:transform/module@1.0.0";

/// Writing the largest manifest allowed takes well under this; a loop takes more.
const FUEL: u64 = 200_000_000;
const MEMORY: usize = 64 << 20;
/// Bytes that the module may hand out as its manifest or log.
const TEXT: usize = 4 << 20;

/// What the store knows of the instance.
struct Guest {
    limits: StoreLimits,
    said: Option<String>,
}

/// What the export `describe` answers.
pub(super) fn describe(component: &[u8]) -> Result<String, Error> {
    let engine = engine().map_err(Error::Engine)?;
    let component = Component::new(&engine, component).map_err(Error::Engine)?;
    let limits = StoreLimitsBuilder::new().memory_size(MEMORY).build();
    let mut store = Store::new(&engine, Guest { limits, said: None });
    store.limiter(|guest| &mut guest.limits);
    store.set_hostcall_fuel(TEXT);
    let answer = call(&engine, &component, &mut store);
    answer.map_err(|source| Error::Describe { said: store.into_data().said, source })
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.consume_fuel(true).concurrency_support(false);
    Engine::new(&config)
}

fn call(engine: &Engine, component: &Component, store: &mut Store<Guest>) -> wasmtime::Result<String> {
    store.set_fuel(FUEL)?;
    let mut linker: Linker<Guest> = Linker::new(engine);
    linker.instance(HOST)?.func_new("log", |mut store, _, parameters: &[Val], _| {
        // A panic logs its message before it traps: that is the reason to show.
        if let Some(Val::String(message)) = parameters.get(1) {
            store.data_mut().said = Some(message.clone());
        }
        Ok(())
    })?;
    let instance = linker.instantiate(&mut *store, component)?;
    let interface = instance.get_export_index(&mut *store, None, MODULE);
    let function = interface.and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), "describe"));
    let function = function.ok_or_else(|| wasmtime::format_err!("{MODULE} has no function `describe`"))?;
    let (text,) = instance.get_typed_func::<(), (String,)>(&mut *store, function)?.call(&mut *store, ())?;
    Ok(text)
}
