//! A core module becomes a component of the world `lakeward:transform/transform`.

use super::Error;
use crate::transform::is_host_interface;
use lakeward_manifest::WIT;
use std::collections::BTreeSet;
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// Makes a validated component of a core module that exports what the world wants.
pub(super) fn from_core(core: &[u8]) -> Result<Vec<u8>, Error> {
    refuse_imports(core)?;
    let mut resolve = Resolve::default();
    let package = resolve.push_source("transform.wit", WIT).expect("our own WIT parses, a test says");
    let world = resolve.select_world(&[package], Some("transform")).expect("our own WIT has this world, a test says");
    let mut module = core.to_vec();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|cause| Error::Component(cause.into()))?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|cause| Error::Component(cause.into()))
}

/// The encoder would refuse foreign imports too, but without saying what usually brings them in.
fn refuse_imports(core: &[u8]) -> Result<(), Error> {
    let mut foreign = BTreeSet::new();
    for payload in Parser::new(0).parse_all(core) {
        let Payload::ImportSection(imports) = payload.map_err(Error::Core)? else { continue };
        for import in imports.into_imports() {
            let import = import.map_err(Error::Core)?;
            if !is_host_interface(import.module) {
                foreign.insert(format!("{}#{}", import.module, import.name));
            }
        }
    }
    if foreign.is_empty() {
        return Ok(());
    }
    let hint = hint(&foreign);
    Err(Error::Imports { names: foreign.into_iter().collect(), hint })
}

/// What usually brings such imports in: `(part of the import's name, cause)`.
const CAUSES: [(&str, &str); 4] = [
    ("__wbindgen", "the crate `wasm-bindgen`, through a feature `js`, `wasmbind` or `wasm-bindgen` of getrandom, uuid or chrono: turn it off"),
    ("__wbg", "the crate `wasm-bindgen`, through a feature `js`, `wasmbind` or `wasm-bindgen` of getrandom, uuid or chrono: turn it off"),
    ("wasi", "a build for WASI, or C code compiled for it: modules have no clock, files, environment or randomness"),
    ("env#", "an `extern \"C\"` function that nothing defines, often of a C library or of getrandom's custom backend"),
];

fn hint(foreign: &BTreeSet<String>) -> String {
    let cause = CAUSES.iter().find(|(part, _)| foreign.iter().any(|name| name.contains(part)));
    cause.map_or(String::new(), |(_, cause)| format!("\n  this usually comes from {cause}"))
}
