//! A component that other tools could make: a transform that also imports a clock.

use anyhow::{Context, Result};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection, MemorySection,
    MemoryType, Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CLOCK: &str = "package wasi:clocks@0.2.0;\ninterface wall-clock { now: func() -> u64; }\n";
const OURS: &str = include_str!("../../sdk/wit/transform.wit");
const MODULE: &str = "lakeward:transform/module@1.0.0";

/// The component; none of its functions does anything, for it must not come so far.
///
/// # Errors
/// When the world with the clock is no longer one.
pub fn component() -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    resolve.push_source("clock.wit", CLOCK)?;
    let ours = OURS.replace("import host;", "import host;\n  import wasi:clocks/wall-clock@0.2.0;");
    let package = resolve.push_source("transform.wit", &ours)?;
    let world = resolve.select_world(&[package], Some("transform"))?;
    let mut module = core();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let mut encoder = ComponentEncoder::default().module(&module)?;
    encoder.encode().context("making a component")
}

fn core() -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I64]);
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32; 6], [ValType::I32]);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    let mut imports = ImportSection::new();
    imports.import("wasi:clocks/wall-clock@0.2.0", "now", EntityType::Function(0));
    let mut functions = FunctionSection::new();
    functions.function(1).function(2).function(3);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut exports = ExportSection::new();
    exports
        .export("memory", ExportKind::Memory, 0)
        .export(&format!("{MODULE}#describe"), ExportKind::Func, 1)
        .export(&format!("{MODULE}#process"), ExportKind::Func, 2)
        .export("cabi_realloc", ExportKind::Func, 3);
    let mut code = CodeSection::new();
    for _ in 0..3 {
        let mut body = Function::new([]);
        body.instructions().unreachable().end();
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories).section(&exports).section(&code);
    module.finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_component_can_be_made() {
        let component = super::component().unwrap();
        assert!(component.starts_with(b"\0asm"));
    }
}
