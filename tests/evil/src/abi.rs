//! The wall as the canonical ABI of the component model lays it out, by hand.
#![expect(unsafe_code, reason = "lists cross the wall as addresses and lengths")]

use crate::{deeds, echo};
use std::alloc::{Layout, alloc, realloc};

const MANIFEST: &str = include_str!("manifest.json");

#[link(wasm_import_module = "lakeward:transform/host@1.0.0")]
unsafe extern "C" {
    #[link_name = "log"]
    safe fn host_log(level: i32, message: *const u8, length: usize);
}

const ERROR: i32 = 4;

/// Writes an error to the host's log.
pub(crate) fn log(message: &str) {
    host_log(ERROR, message.as_ptr(), message.len());
}

/// A list in memory: its first element and their number.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct List {
    first: usize,
    length: usize,
}

impl List {
    /// Gives the elements away; the host frees nothing, an instance lives for one call.
    pub(crate) fn of<T>(elements: Vec<T>) -> Self {
        let elements = elements.leak();
        Self { first: elements.as_ptr() as usize, length: elements.len() }
    }

    /// # Safety
    /// The list must be one that the host passed in, of elements of type `T`.
    unsafe fn elements<T>(self) -> &'static [T] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: by the caller's word.
        unsafe { std::slice::from_raw_parts(self.first as *const T, self.length) }
    }
}

/// The record `node`.
#[repr(C)]
pub(crate) struct Node {
    pub(crate) length: u32,
    pub(crate) null_count: u32,
}

/// The record `output`, with `rows: columns` laid flat.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Output {
    pub(crate) product: u32,
    pub(crate) origins: List,
    pub(crate) rows: u32,
    pub(crate) nodes: List,
    pub(crate) buffers: List,
}

/// The record `reject`.
#[repr(C)]
pub(crate) struct Reject {
    pub(crate) origin: u32,
    pub(crate) reason: List,
}

/// `result<outcome, string>`, of which this module only uses the first case.
#[repr(C)]
struct Answer {
    case: u32,
    outputs: List,
    rejects: List,
}

#[unsafe(export_name = "lakeward:transform/module@1.0.0#describe")]
extern "C" fn describe() -> *const List {
    Box::leak(Box::new(List::of(MANIFEST.as_bytes().to_vec())))
}

#[unsafe(export_name = "lakeward:transform/module@1.0.0#process")]
extern "C" fn process(_input: u32, rows: u32, _nodes: usize, _node_count: usize, first: usize, length: usize) -> usize {
    // SAFETY: these are the parameters of `columns`, whose buffers are lists of bytes.
    let buffers: &[List] = unsafe { List { first, length }.elements() };
    // SAFETY: as above. The columns are `id` (validity, values) and `command` (validity, offsets, bytes).
    let buffer = |index: usize| -> &'static [u8] { unsafe { buffers[index].elements() } };
    let events = echo::Events { rows: rows as usize, ids: buffer(1), offsets: buffer(3), text: buffer(4) };
    let (outputs, rejects) = deeds::act(&events);
    let answer = Answer { case: 0, outputs: List::of(outputs), rejects: List::of(rejects) };
    std::ptr::from_ref(Box::leak(Box::new(answer))) as usize
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(block: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    if new_size == 0 {
        return align as *mut u8;
    }
    // SAFETY: the canonical ABI passes valid sizes and alignments, and a block only with the size it was given out with.
    let block = unsafe {
        if old_size == 0 {
            alloc(Layout::from_size_align_unchecked(new_size, align))
        } else {
            realloc(block, Layout::from_size_align_unchecked(old_size, align), new_size)
        }
    };
    if block.is_null() {
        core::arch::wasm32::unreachable();
    }
    block
}
