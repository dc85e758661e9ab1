//! From a core module to a module file, without a compiler.

use super::fixture::{Describe, core};
use super::*;
use crate::transform::sample;

/// What is said of a core module that cannot be used, with the first cause.
fn refusal(core: &[u8]) -> String {
    verified(core).unwrap_err().to_string()
}

#[test]
fn a_core_module_becomes_a_component_that_carries_its_manifest() {
    let manifest = sample::manifest();
    let module = verified(&core(Describe::Answer(&manifest.to_json()), &[])).unwrap();
    assert_eq!(module.manifest, manifest);
    let read_back = ModuleFile::parse(module.bytes.clone()).unwrap();
    assert_eq!((read_back.digest, read_back.manifest), (module.digest, manifest));
}

#[test]
fn the_same_core_module_gives_the_same_component() {
    let core = core(Describe::Answer(&sample::manifest().to_json()), &[]);
    assert_eq!(verified(&core).unwrap().digest, verified(&core).unwrap().digest);
}

#[test]
fn foreign_imports_are_named_with_what_brings_them_in() {
    let describe = Describe::Trap;
    let cases: [(&[(&str, &str)], &str); 3] = [
        (
            &[("wasi_snapshot_preview1", "random_get")],
            "the module imports wasi_snapshot_preview1#random_get; a module may import nothing except lakeward:transform/host@1.x\n  \
             this usually comes from a build for WASI, or C code compiled for it: modules have no clock, files, environment or \
             randomness",
        ),
        (
            &[("env", "now"), ("env", "now"), ("env", "entropy")],
            "the module imports env#entropy, env#now; a module may import nothing except lakeward:transform/host@1.x\n  this \
             usually comes from an `extern \"C\"` function that nothing defines, often of a C library or of getrandom's custom \
             backend",
        ),
        (
            &[("strange", "thing")],
            "the module imports strange#thing; a module may import nothing except lakeward:transform/host@1.x",
        ),
    ];
    for (imports, expected) in cases {
        assert_eq!(refusal(&core(describe, imports)), expected);
    }
}

#[test]
fn a_module_without_the_exports_is_refused() {
    let empty = wasm_encoder::Module::new().finish();
    assert_eq!(refusal(&empty), "the module does not fit lakeward:transform (is `lakeward_sdk::module!` in its lib.rs?)");
}

#[test]
fn a_module_that_cannot_describe_itself_is_refused() {
    for describe in [Describe::Trap, Describe::Loop] {
        assert_eq!(refusal(&core(describe, &[])), "the module fails when asked for its manifest", "{describe:?}");
    }
    assert_eq!(refusal(&core(Describe::Answer("{}"), &[])), "the module's manifest cannot be read");
}

#[test]
fn a_manifest_with_problems_is_refused_with_all_of_them() {
    let mut manifest = sample::manifest();
    manifest.owner = "Retail".to_owned();
    manifest.gold[0].from = "sale".to_owned();
    assert_eq!(
        refusal(&core(Describe::Answer(&manifest.to_json()), &[])),
        "the module's manifest is refused:\n  - the module: the owner `Retail` is not of the letters a-z, 0-9 and _ (100 at \
         most)\n  - gold sales_by_customer: it aggregates the product `sale`, which the module does not declare"
    );
}

#[test]
fn a_folder_without_a_crate_is_a_wrong_use() {
    let empty = tempfile::tempdir().unwrap();
    let error = build(empty.path(), None).unwrap_err();
    assert!(matches!(error, Error::NoCrate { .. }) && error.is_usage());
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("retail.wasm");
    write_whole(&path, b"old and long").unwrap();
    write_whole(&path, b"new").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
