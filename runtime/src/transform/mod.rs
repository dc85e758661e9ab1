//! Runs the domain teams' modules: columns in, columns out, behind a wall that a module cannot climb.

mod abi;
mod check;
mod error;
mod host;
mod limits;
mod lower;
mod module;
mod process;
mod raise;
#[cfg(test)]
pub(crate) mod sample;
mod version;

pub use check::{Problem, check};
pub use error::Error;
pub use host::Host;
pub use limits::Limits;
pub(crate) use module::is_host_interface;
pub use module::{ModuleFile, ReadError, Unusable};
pub use process::{Module, Output, Processed, Reject};
pub use version::{FIRST_VERSION, deployed_as, version_name, version_of};
