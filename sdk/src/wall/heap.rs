//! Memory in a module: an instance lives for one call, so memory is handed out upwards and never given back to the host.
//!
//! Small blocks (an author's `format!` for a record) return to a list of their size and are reused. Large blocks (the columns) are
//! few; the last one grows in place.
#![expect(unsafe_code, reason = "an allocator deals in addresses")]

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::UnsafeCell;
use std::ptr;

const PAGE: usize = 65_536;

/// Every block is aligned to this, so that the host may place any list in it.
const ALIGN: usize = 16;

/// Small blocks have 16, 32, 64, .. 2,048 bytes.
const SIZES: usize = 8;
const LARGEST_SMALL: usize = ALIGN << (SIZES - 1);

unsafe extern "C" {
    static __heap_base: u8;
}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(State { next: 0, free: [ptr::null_mut(); SIZES] }));

struct Heap(UnsafeCell<State>);

// SAFETY: a module has one thread.
unsafe impl Sync for Heap {}

struct State {
    /// The first address that was never handed out; 0 before the first allocation.
    next: usize,
    /// Returned blocks of each small size; a block's first word is the address of the next one.
    free: [*mut u8; SIZES],
}

fn class(size: usize) -> usize {
    size.div_ceil(ALIGN).next_power_of_two().trailing_zeros() as usize
}

impl State {
    /// Hands out fresh memory; null when the host gives no more.
    fn fresh(&mut self, size: usize, align: usize) -> *mut u8 {
        if self.next == 0 {
            self.next = &raw const __heap_base as usize;
        }
        let start = self.next.next_multiple_of(align.max(ALIGN));
        match start.checked_add(size) {
            Some(end) if reserve(end) => {
                self.next = end;
                start as *mut u8
            }
            _ => ptr::null_mut(),
        }
    }

    /// Makes the last block larger or smaller where it is.
    fn resize_last(&mut self, block: *mut u8, old: usize, new: usize) -> bool {
        if block as usize + old != self.next {
            return false;
        }
        let Some(end) = (block as usize).checked_add(new) else {
            return false;
        };
        let reserved = reserve(end);
        if reserved {
            self.next = end;
        }
        reserved
    }
}

/// Grows the memory to `end`, by a quarter at least, since a growth is a call of the host.
fn reserve(end: usize) -> bool {
    let pages = memory_size::<0>();
    let needed = end.div_ceil(PAGE).saturating_sub(pages);
    needed == 0 || memory_grow::<0>(needed.max(pages / 4)) != usize::MAX || memory_grow::<0>(needed) != usize::MAX
}

// SAFETY: blocks are disjoint, aligned and as large as asked: fresh ones by `fresh`, reused ones because a block returns only to the
// list of its own class.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a module has one thread and no function here calls back.
        let state = unsafe { &mut *self.0.get() };
        if layout.size() > LARGEST_SMALL || layout.align() > ALIGN {
            return state.fresh(layout.size(), layout.align());
        }
        let class = class(layout.size());
        let block = state.free[class];
        if block.is_null() {
            return state.fresh(ALIGN << class, ALIGN);
        }
        // SAFETY: a block in a list holds the address of the next one.
        state.free[class] = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        let state = unsafe { &mut *self.0.get() };
        if layout.size() > LARGEST_SMALL || layout.align() > ALIGN {
            state.resize_last(block, layout.size(), 0);
            return;
        }
        let class = class(layout.size());
        // SAFETY: the block is the caller's no more, and has 16 bytes at least.
        unsafe { block.cast::<*mut u8>().write(state.free[class]) };
        state.free[class] = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let small = layout.size() <= LARGEST_SMALL;
        if small && new_size <= LARGEST_SMALL && class(layout.size()) == class(new_size) {
            return block;
        }
        // SAFETY: as in `alloc`.
        let state = unsafe { &mut *self.0.get() };
        if !small && new_size > LARGEST_SMALL && state.resize_last(block, layout.size(), new_size) {
            return block;
        }
        // SAFETY: `new_size` is not zero and does not overflow when aligned, by the caller's word; the blocks are disjoint.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// How the host asks for memory to put a list in.
///
/// # Safety
/// Called by the host only, with a block that this function gave out.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(block: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    if new_size == 0 {
        return align as *mut u8;
    }
    // SAFETY: the canonical ABI passes valid sizes and alignments, and a block only with the size that it was given out with.
    let block = unsafe {
        let align = align.max(ALIGN);
        if old_size == 0 {
            HEAP.alloc(Layout::from_size_align_unchecked(new_size, align))
        } else {
            HEAP.realloc(block, Layout::from_size_align_unchecked(old_size, align), new_size)
        }
    };
    if block.is_null() {
        std::arch::wasm32::unreachable();
    }
    block
}
