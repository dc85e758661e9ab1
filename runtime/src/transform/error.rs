//! Why a module cannot be run at all; what goes wrong inside a call is a value, not an error.

/// Why a module cannot be hosted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine cannot run modules.
    #[error("the WebAssembly engine cannot be set up")]
    Engine(#[source] wasmtime::Error),
    /// The module does not compile or does not fit the world.
    #[error("module {module} cannot be loaded")]
    Load {
        /// The module's name.
        module: String,
        /// The cause.
        source: wasmtime::Error,
    },
}
