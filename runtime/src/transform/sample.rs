//! A manifest for tests.

use lakeward_manifest::Manifest;

/// The manifest of a module like `retail`.
pub(crate) fn manifest() -> Manifest {
    Manifest::from_json(include_str!("sample.json")).expect("the sample is a manifest")
}
