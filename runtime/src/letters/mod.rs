//! Dead letters, for whoever looks after them: which there are, what became of them, and requests to redrive or discard some.
//!
//! The table is append-only. A letter is a record that a module could not make rows of, or whose rows came too late for a gold product;
//! its newest row says what became of it. Nothing here holds the table in memory: it is read file by file, and what is kept is a bit or two
//! for every letter that was ever redriven or discarded.

pub mod answer;
mod error;
mod filter;
mod letter;
mod query;
mod read;
mod request;
mod requested;
mod states;

pub use error::Error;
pub use filter::{Filter, Grouping};
pub use letter::{Identity, Letter, Origin};
pub use query::Query;
pub use read::{Letters, Listing};
pub use request::{Receipt, Request, request};
