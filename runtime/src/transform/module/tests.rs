//! Which files are modules, and what is said of the others.

use super::*;
use crate::transform::sample;
use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentTypeRef, CustomSection, Module,
};

/// A component with these imports, exports and manifest, and nothing inside: reading looks no further.
fn component(imports: &[&str], exports: &[&str], manifest: Option<&str>) -> Vec<u8> {
    let mut component = Component::new();
    let mut import_section = ComponentImportSection::new();
    for name in imports {
        import_section.import(*name, ComponentTypeRef::Instance(0));
    }
    component.section(&import_section);
    let mut export_section = ComponentExportSection::new();
    for name in exports {
        export_section.export(*name, ComponentExportKind::Instance, 0, None);
    }
    component.section(&export_section);
    if let Some(manifest) = manifest {
        component.section(&CustomSection { name: MANIFEST_SECTION.into(), data: manifest.as_bytes().into() });
    }
    component.finish()
}

/// What is said of `bytes`, with the causes.
fn refusal(bytes: Vec<u8>) -> String {
    let error = ModuleFile::parse(bytes).unwrap_err();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

const MODULE: &str = "lakeward:transform/module@1.0.0";
const HOST: &str = "lakeward:transform/host@1.0.0";

#[test]
fn a_component_with_a_manifest_is_a_module() {
    let manifest = sample::manifest();
    let bytes = component(&[HOST], &["lakeward:transform/module@1.4.2"], Some(&manifest.to_json()));
    let module = ModuleFile::parse(bytes.clone()).unwrap();
    assert_eq!(module.manifest, manifest);
    assert_eq!(module.digest, digest(&bytes));
    assert_eq!(module.digest.len(), 64);
}

#[test]
fn what_is_not_a_module_is_refused_with_the_reason() {
    let json = sample::manifest().to_json();
    let layout_2 = json.replace(r#""manifest_version":1"#, r#""manifest_version":2"#);
    let mut broken = component(&[], &[MODULE], Some(&json));
    broken.truncate(broken.len() - 1);
    let cases = [
        (b"#!/bin/sh".to_vec(), "it is not WebAssembly at all"),
        (Vec::new(), "it is not WebAssembly at all"),
        (
            Module::new().finish(),
            "it is a core WebAssembly module, not a component: `lakeward build` makes a component of a module crate",
        ),
        (
            component(&[], &["wasi:cli/run@0.2.0"], None),
            "it is a component, but not a transform: it does not export lakeward:transform/module@1.x",
        ),
        (
            component(&["lakeward:transform/host@2.0.0"], &["lakeward:transform/module@2.0.0"], Some(&json)),
            "it is built for lakeward:transform 2.0.0, this version hosts 1.x",
        ),
        (
            component(&[HOST, "wasi:clocks/wall-clock@0.2.0", "wasi:random/random@0.2.0"], &[MODULE], Some(&json)),
            "it imports wasi:clocks/wall-clock@0.2.0, wasi:random/random@0.2.0, but a module may import nothing except \
             lakeward:transform/host@1.x",
        ),
        (
            component(&[HOST], &[MODULE], None),
            "it carries no manifest (custom section `lakeward:manifest`): `lakeward build` puts it in",
        ),
        (
            component(&[HOST], &[MODULE], Some(&layout_2)),
            "its manifest cannot be read: the manifest is of layout 2, this version reads layout 1",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(refusal(bytes), expected);
    }
    assert!(refusal(broken).starts_with("it is damaged: "));
}

#[test]
fn a_manifest_inside_a_nested_component_does_not_count() {
    let mut outer = Component::new();
    outer.section(&wasm_encoder::RawSection { id: 4, data: &component(&[], &[MODULE], Some("{}")) });
    assert_eq!(refusal(outer.finish()), Unusable::NotATransform.to_string());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = ModuleFile::read(Path::new("no/such.wasm")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the module no/such.wasm");
}
