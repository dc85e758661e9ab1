//! placeholder until cli engineer's file arrives
use lakeward_manifest::Manifest;
#[derive(Debug, Clone)]
pub struct ModuleFile { pub bytes: Vec<u8>, pub digest: String, pub manifest: Manifest }
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ReadError;
