//! A module at work: one fresh instance per call, and a search for the records at fault when a call fails.

use super::abi::{ColumnsIn, MODULE, OutcomeOut, OutputOut, Process};
use super::host::{Guest, Host};
use super::limits::clean;
use super::lower::Lowered;
use super::patience::Search;
use super::usage::{Most, Usage};
use super::version::deployed_as;
use super::{Error, ModuleFile, raise};
use crate::clock;
use crate::columns::arrow_fields;
use crate::config::Ratio;
use arrow_array::{ArrayRef, UInt32Array};
use arrow_schema::Fields;
use lakeward_manifest::Manifest;
use std::ops::Range;
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

/// A compiled module, ready to be called from any thread.
#[derive(Clone)]
pub struct Module {
    host: Host,
    pre: InstancePre<Guest>,
    process: ComponentExportIndex,
    manifest: std::sync::Arc<Manifest>,
    digest: std::sync::Arc<str>,
    products: std::sync::Arc<[Fields]>,
    park_after: Option<Ratio>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.manifest.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Rows of one product.
#[derive(Debug)]
pub struct Output {
    /// The product's index in the manifest.
    pub product: usize,
    /// The event that each row came from, never decreasing.
    pub origins: Vec<u32>,
    /// The columns, in the types of [`crate::columns::arrow_type`].
    pub columns: Vec<ArrayRef>,
}

/// An event that became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The event's index.
    pub origin: u32,
    /// Why.
    pub reason: String,
    /// Whether the module failed on it, rather than rejecting it.
    pub failed: bool,
}

/// What became of a chunk's events.
#[derive(Debug, Default)]
pub struct Processed {
    /// Rows, in the order of the events; several outputs of one product follow each other where the call was split.
    pub outputs: Vec<Output>,
    /// Events that the module rejected or failed on, ascending.
    pub rejects: Vec<Reject>,
    /// What the calls used.
    pub usage: Usage,
    /// What the module logged, with its level (`trace` to `error`).
    pub lines: Vec<(tracing::Level, String)>,
    /// The module was given up on when so many events were judged: the others were not tried, and nothing of it may be used.
    pub given_up: Option<u64>,
    search: Search,
}

impl Module {
    /// Compiles a module.
    ///
    /// # Errors
    /// When it does not compile, or does not fit the world.
    pub fn load(host: &Host, file: &ModuleFile) -> Result<Self, Error> {
        let load = |source| Error::Load { module: file.manifest.name.clone(), source };
        let component = Component::new(&host.engine, &file.bytes).map_err(load)?;
        let pre = host.linker.instantiate_pre(&component).map_err(load)?;
        let missing = || load(wasmtime::Error::msg(format!("{MODULE} with process is not exported")));
        let instance = component.get_export_index(None, MODULE).ok_or_else(missing)?;
        let process = component.get_export_index(Some(&instance), "process").ok_or_else(missing)?;
        let products = file.manifest.products.iter().map(|product| arrow_fields(&product.columns)).collect();
        let module = Self {
            host: host.clone(),
            pre,
            process,
            manifest: std::sync::Arc::new(file.manifest.clone()),
            digest: file.digest.as_str().into(),
            products,
            park_after: None,
        };
        module.instance().map_err(load)?;
        Ok(module)
    }

    /// The same code under the name that it is deployed as: its own, or that of a version of it. `None` if it goes by no such name.
    #[must_use]
    pub fn deployed_as(&self, name: &str) -> Option<Self> {
        let manifest = deployed_as(&self.manifest, name)?;
        Some(Self { manifest: manifest.into(), ..self.clone() })
    }

    /// The same module, which is given up on in the middle of a chunk where it fails on this share of the events and costs too much time.
    #[must_use]
    pub fn parked_after(self, share: Option<Ratio>) -> Self {
        Self { park_after: share, ..self }
    }

    /// What the module says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The SHA-256 of the module, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &std::sync::Arc<str> {
        &self.digest
    }

    /// Transforms `rows` events of the manifest's input `input`.
    ///
    /// A failing call is split until the events at fault stand alone; these become rejects, the others go through. The budget is that of
    /// a call whatever its size, so the verdict on an event does not depend on its neighbours.
    #[must_use]
    pub fn process(&self, input: u32, columns: &[ArrayRef], rows: usize) -> Processed {
        let started = clock::instant();
        let mut processed = Processed::default();
        if let Some(message) = self.attempt(input, columns, 0, rows, &mut processed) {
            self.divide(input, columns, 0..rows, message, &mut processed);
        }
        processed.usage.nanoseconds = nanoseconds(started.elapsed());
        processed
    }

    /// `range` failed with `message`: the one event is at fault, or both halves are tried.
    fn divide(
        &self,
        input: u32,
        columns: &[ArrayRef],
        range: Range<usize>,
        message: String,
        processed: &mut Processed,
    ) {
        if range.len() <= 1 {
            processed.search.failed += range.len() as u64;
            let reject = |event| Reject { origin: to_u32(event), reason: message.clone(), failed: true };
            processed.rejects.extend(range.map(reject));
            return;
        }
        let middle = range.start + range.len() / 2;
        for half in [range.start..middle, middle..range.end] {
            if processed.search.is_hopeless(self.park_after) {
                processed.given_up = Some(processed.search.judged());
                return;
            }
            let indices = UInt32Array::from_iter_values(half.clone().map(to_u32));
            let part: Vec<ArrayRef> = columns
                .iter()
                .map(|column| {
                    arrow_select::take::take(column, &indices, None).expect("the indices are within the chunk")
                })
                .collect();
            if let Some(message) = self.attempt(input, &part, half.start, half.len(), processed) {
                self.divide(input, columns, half, message, processed);
            }
        }
    }

    /// Calls the module once; `first` is the index of the first event. `Some` is why the call failed.
    fn attempt(
        &self,
        input: u32,
        columns: &[ArrayRef],
        first: usize,
        rows: usize,
        processed: &mut Processed,
    ) -> Option<String> {
        let started = clock::instant();
        processed.usage.calls += 1;
        let (mut store, call) = match self.instance() {
            Ok(instance) => instance,
            Err(error) => {
                processed.usage.traps += 1;
                return Some(clean(&format!("the module cannot be started: {error:#}")));
            }
        };
        let lowered = Lowered::of(columns);
        let events = ColumnsIn { rows: to_u32(rows), nodes: &lowered.nodes, buffers: &lowered.buffers };
        let result = call.call(&mut store, (input, events));
        let mut used = Usage::default();
        let failure = match result {
            Ok((Ok(outcome),)) => {
                (used.rows, used.output) = (outcome.rows(), outcome.bytes());
                match self.check(outcome, first, rows) {
                    Ok((outputs, rejects)) => {
                        processed.outputs.extend(outputs);
                        processed.rejects.extend(rejects);
                        None
                    }
                    Err(message) => Some(clean(&format!("the module's output is invalid: {message}"))),
                }
            }
            Ok((Err(message),)) => Some(clean(&message)),
            Err(error) => Some(failure_text(&error, store.data())),
        };
        used.fuel = self.host.limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        processed.meter(used, store.data().bounds.memory(), started.elapsed(), rows, failure.is_some());
        // A failing call is made again for each half: what it said is told once, by the event at fault.
        if failure.is_some() && rows > 1 {
            return failure;
        }
        let keep = super::limits::LOG_LINES.saturating_sub(processed.lines.len());
        let lines = store.into_data().lines;
        processed.lines.extend(lines.into_iter().take(keep).map(|(level, line)| (level.into(), line)));
        failure
    }

    fn instance(&self) -> wasmtime::Result<(Store<Guest>, Process<'_>)> {
        let mut store = Store::new(&self.host.engine, Guest::new(&self.host.limits));
        store.limiter(|guest| &mut guest.bounds);
        store.set_fuel(self.host.limits.fuel)?;
        store.set_epoch_deadline(self.host.deadline());
        store.set_hostcall_fuel(self.host.limits.output);
        let instance = self.pre.instantiate(&mut store)?;
        let process = instance.get_typed_func(&mut store, self.process)?;
        Ok((store, process))
    }

    /// Checks what came back; the indices of events become those of the chunk.
    fn check(&self, outcome: OutcomeOut, first: usize, rows: usize) -> Result<(Vec<Output>, Vec<Reject>), String> {
        let mut outputs = Vec::with_capacity(outcome.outputs.len());
        for output in outcome.outputs {
            outputs.push(self.check_output(output, first, rows)?);
        }
        let mut rejects = Vec::with_capacity(outcome.rejects.len());
        let mut last = None;
        for reject in outcome.rejects {
            if reject.origin as usize >= rows || last.is_some_and(|last| last >= reject.origin) {
                return Err(format!("reject of event {} of {rows}, after {last:?}", reject.origin));
            }
            last = Some(reject.origin);
            let (origin, reason) = (to_u32(first) + reject.origin, clean(&reject.reason));
            rejects.push(Reject { origin, reason, failed: false });
        }
        Ok((outputs, rejects))
    }

    fn check_output(&self, output: OutputOut, first: usize, rows: usize) -> Result<Output, String> {
        let product = output.product as usize;
        let fields = self.products.get(product).ok_or_else(|| format!("product {product} is not in the manifest"))?;
        let mut origins = output.origins;
        if origins.len() != output.rows.rows as usize {
            return Err(format!("{} origins for {} rows", origins.len(), output.rows.rows));
        }
        if raise::falls(&origins) {
            return Err("the origins run backwards".to_owned());
        }
        if origins.last().is_some_and(|last| *last as usize >= rows) {
            return Err(format!("an origin is not one of the {rows} events"));
        }
        let columns = raise::columns(output.rows, fields)?;
        if first > 0 {
            origins.iter_mut().for_each(|origin| *origin += to_u32(first));
        }
        Ok(Output { product, origins, columns })
    }
}

impl Processed {
    /// Takes in what one call over `rows` events used. What a failing call gave back is nothing; the most of a call it may have used all the same.
    fn meter(&mut self, used: Usage, memory: u64, took: Duration, rows: usize, has_failed: bool) {
        let Usage { fuel, output, .. } = used;
        self.usage.most.raise(Most { fuel, memory, output, nanoseconds: nanoseconds(took) });
        if has_failed {
            self.usage.traps += 1;
            self.usage.fuel += fuel;
            self.search.lost += took;
        } else {
            self.usage += used;
            self.search.passed += rows as u64;
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Why a call failed: in the guest's own words where it trapped by itself, which is what a panic does.
fn failure_text(error: &wasmtime::Error, guest: &Guest) -> String {
    match (error.downcast_ref::<wasmtime::Trap>(), guest.last_error()) {
        (Some(wasmtime::Trap::OutOfFuel), _) => "the module used up its fuel".to_owned(),
        (Some(wasmtime::Trap::Interrupt), _) => "the module used up its time".to_owned(),
        (Some(_), Some(message)) => message.to_owned(),
        (Some(trap), None) => clean(&format!("the module trapped: {trap}")),
        (None, _) => clean(&format!("the call failed: {error:#}")),
    }
}

fn to_u32(index: usize) -> u32 {
    u32::try_from(index).expect("a chunk has at most 8,192 records")
}
