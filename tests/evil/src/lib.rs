//! A hostile module, written without the SDK so that it can lie: it does to the host whatever a record commands.
//!
//! It reads `id` and `command` of topic `commands` and echoes the rows whose command is `ok`. Any other command, wherever it
//! stands in a chunk, spoils the whole call; so the host has to look for the record at fault.

#[cfg(target_arch = "wasm32")]
mod abi;
#[cfg(target_arch = "wasm32")]
mod deeds;
#[cfg(target_arch = "wasm32")]
mod echo;
