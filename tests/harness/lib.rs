//! What the end-to-end cases stand on: brokers, readers of tables, and the product itself as a child process.

pub mod broker;
pub mod cache;
pub mod command;
pub mod config;
pub mod embedded;
pub mod foreign;
pub mod http;
pub mod instance;
pub mod kafka;
pub mod lake;
pub mod minio;
pub mod process;
pub mod produce;
pub mod product;
pub mod random;
pub mod readers;
pub mod requirements;
pub mod retail;
pub mod stage;
pub mod store_proxy;
pub mod wait;

use std::path::PathBuf;

/// The workspace's top folder.
///
/// # Panics
/// Never: this package stands in a folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("this package stands in a folder of the workspace").to_owned()
}
