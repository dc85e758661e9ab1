//! The module's side of the wall: the canonical ABI of `sdk/wit/transform.wit`, written by hand because it is small.
//!
//! All unsafe code of the SDK is in this module and exists in WebAssembly only. It trusts the host in what the Component Model
//! guarantees (lists point at readable memory that `cabi_realloc` gave out) and in the one promise of the WIT that would cost to
//! check again: that strings are UTF-8. A fresh instance answers every call, so nothing is freed.

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(target_family = "wasm")]
mod heap;

#[cfg(target_family = "wasm")]
pub use abi::{List, RawAnswer, describe, process};

/// The text of bytes that the host has validated.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "validating again what the host has validated would double the cost of reading strings")]
#[inline]
pub(crate) fn validated_text(bytes: &[u8]) -> &str {
    // SAFETY: the host validates every string of a column, one by one, before it passes the column in.
    unsafe { str::from_utf8_unchecked(bytes) }
}

/// The text of bytes that the native harness has made from text.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn validated_text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the columns of a string are made from text")
}

/// Writes a line to the host's log, or to stderr in a native test.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn log(level: crate::log::Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

#[cfg(target_family = "wasm")]
pub(crate) use abi::log;
