//! The exports and the import, flattened as the canonical ABI lays them out.
#![expect(unsafe_code, reason = "lists cross the wall as addresses and lengths")]

use crate::columns::{Columns, Node};
use crate::log::Level;
use crate::output::{Outcome, Output};
use crate::{Module, Reject};

#[link(wasm_import_module = "lakeward:transform/host@1.0.0")]
unsafe extern "C" {
    #[link_name = "log"]
    safe fn host_log(level: i32, message: *const u8, length: usize);
}

/// Writes a line to the host's log.
pub(crate) fn log(level: Level, message: &str) {
    host_log(level as i32, message.as_ptr(), message.len());
}

/// A list, as it lies in memory: the address of its first element and the number of elements.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct List {
    first: usize,
    length: usize,
}

impl List {
    /// Gives the elements away for good.
    fn of<T>(elements: Vec<T>) -> Self {
        let elements = elements.leak();
        Self { first: elements.as_ptr() as usize, length: elements.len() }
    }

    /// # Safety
    /// The list must be one that the host passed in, of elements of type `T`.
    unsafe fn elements<T>(self) -> &'static [T] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: the host allocated the list by `cabi_realloc`, aligned and filled, and nobody frees it.
        unsafe { std::slice::from_raw_parts(self.first as *const T, self.length) }
    }
}

#[repr(C)]
struct RawOutput {
    product: u32,
    origins: List,
    rows: u32,
    nodes: List,
    buffers: List,
}

#[repr(C)]
struct RawReject {
    origin: u32,
    reason: List,
}

/// `result<outcome, string>`: the case in the first byte, then two lists or one.
#[derive(Debug)]
#[repr(C)]
pub struct RawAnswer {
    case: u32,
    outputs_or_message: List,
    rejects: List,
}

/// What the export `describe` returns: the manifest of `module`.
#[must_use]
pub fn describe(module: &Module) -> *const List {
    log_panics();
    Box::leak(Box::new(List::of(module.manifest().to_json().into_bytes())))
}

/// What the export `process` returns: the answer of `module` to a chunk of events.
///
/// # Safety
/// `nodes` and `buffers` must be the lists that the host passed to the export.
pub unsafe fn process(module: &Module, input: u32, rows: u32, nodes: List, buffers: List) -> *const RawAnswer {
    log_panics();
    // SAFETY: these are the lists of `columns`, by the caller's word; their elements are laid out as `Node` and `List`.
    let (nodes, buffers) = unsafe { (nodes.elements::<Node>(), buffers.elements::<List>()) };
    // SAFETY: every element of `buffers` is a `list<u8>`.
    let buffers: Vec<&[u8]> = buffers.iter().map(|buffer| unsafe { buffer.elements() }).collect();
    let events = Columns { rows: rows as usize, nodes, buffers: &buffers };
    let answer = match module.process(input as usize, events) {
        Ok(outcome) => lower(module, outcome),
        Err(message) => RawAnswer {
            case: 1,
            outputs_or_message: List::of(message.into_bytes()),
            rejects: List::of::<u8>(Vec::new()),
        },
    };
    Box::leak(Box::new(answer))
}

impl List {
    /// The list of a pair of flattened parameters.
    #[must_use]
    pub fn from_parameters(first: usize, length: usize) -> Self {
        Self { first, length }
    }
}

fn lower(module: &Module, outcome: Outcome) -> RawAnswer {
    let products = module.products();
    let outputs = outcome.outputs.into_iter().map(|output| lower_output(&products, output)).collect();
    let rejects = outcome.rejects.into_iter().map(lower_reject).collect();
    RawAnswer { case: 0, outputs_or_message: List::of::<RawOutput>(outputs), rejects: List::of::<RawReject>(rejects) }
}

fn lower_output(products: &[&str], output: Output) -> RawOutput {
    let product = products.iter().position(|name| *name == output.product).expect("a module lists all its products");
    RawOutput {
        product: product as u32,
        origins: List::of(output.origins),
        rows: output.rows.rows as u32,
        nodes: List::of(output.rows.nodes),
        buffers: List::of(output.rows.buffers.into_iter().map(List::of).collect()),
    }
}

fn lower_reject((origin, reject): (u32, Reject)) -> RawReject {
    RawReject { origin, reason: List::of(reject.into_reason().into_bytes()) }
}

/// A panic ends the call; what it says goes to the host first, who puts it into the dead letter.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
}
