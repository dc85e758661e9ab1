//! Modules: what a component file says of itself, and whether the host can take it.

mod check;
mod module;
#[cfg(test)]
pub(crate) mod sample;

pub use check::{Problem, check};
pub(crate) use module::is_host_interface;
pub use module::{ModuleFile, ReadError, Unusable};
