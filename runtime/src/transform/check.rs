//! placeholder
pub struct Problem; pub fn check(_: &lakeward_manifest::Manifest) -> Vec<Problem> { vec![] }
