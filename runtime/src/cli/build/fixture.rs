//! Tiny core modules for tests, as a compiler would leave them.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    MemorySection, MemoryType, Module, TypeSection, ValType,
};

const PREFIX: &str = "lakeward:transform/module@1.0.0#";
/// Where the manifest's address and length stand, and behind them the text.
const TEXT_AT: i32 = 1_024;

/// What `describe` of a test module does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Describe<'a> {
    /// It answers with this text.
    Answer(&'a str),
    /// It traps.
    Trap,
    /// It never ends.
    Loop,
}

/// A core module that fits the world, with these imports in addition.
pub(super) fn core(describe: Describe<'_>, imports: &[(&str, &str)]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32; 6], [ValType::I32]);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    let mut import_section = ImportSection::new();
    for (module, name) in imports {
        import_section.import(module, name, EntityType::Function(0));
    }
    let first = u32::try_from(imports.len()).expect("a test has few imports");
    let mut functions = FunctionSection::new();
    functions.function(0).function(1).function(2);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 2, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut exports = ExportSection::new();
    exports
        .export("memory", ExportKind::Memory, 0)
        .export(&format!("{PREFIX}describe"), ExportKind::Func, first)
        .export(&format!("{PREFIX}process"), ExportKind::Func, first + 1)
        .export("cabi_realloc", ExportKind::Func, first + 2);
    let mut code = CodeSection::new();
    code.function(&describe_body(describe)).function(&unreachable_body()).function(&unreachable_body());
    let mut data = DataSection::new();
    if let Describe::Answer(text) = describe {
        let length = i32::try_from(text.len()).expect("a test's manifest is small");
        data.active(0, &ConstExpr::i32_const(0), [TEXT_AT.to_le_bytes(), length.to_le_bytes()].concat());
        data.active(0, &ConstExpr::i32_const(TEXT_AT), text.bytes());
    }
    let mut module = Module::new();
    module.section(&types).section(&import_section).section(&functions).section(&memories).section(&exports);
    module.section(&code).section(&data);
    module.finish()
}

fn describe_body(describe: Describe<'_>) -> Function {
    let mut body = Function::new([]);
    let mut code = body.instructions();
    match describe {
        Describe::Answer(_) => code.i32_const(0),
        Describe::Trap => code.unreachable(),
        Describe::Loop => code.loop_(BlockType::Empty).br(0).end().unreachable(),
    };
    code.end();
    body
}

fn unreachable_body() -> Function {
    let mut body = Function::new([]);
    body.instructions().unreachable().end();
    body
}
