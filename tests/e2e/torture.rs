//! A short torture by a fixed seed. `cargo run --release -p lakeward-torture` plays long ones by any seed.

use crate::case::Case;
use anyhow::{Result, ensure};
use lakeward_tests::requirements::Need;
use lakeward_tests::stage::Stage;
use lakeward_torture::{LakeKind, Settings};
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("torture::a_short_run_is_exact", &[Need::Kafka, Need::Python], short)]
}

fn short(_: &Stage) -> Result<()> {
    let settings =
        Settings { rounds: 12, first: 1, seed: 4, limit: None, lake: LakeKind::File, instances: 1, only: Vec::new() };
    let mut lines = String::new();
    let say = |line: &str| lines += &format!("{line}\n");
    let summary = lakeward_torture::run(&settings, Path::new(env!("CARGO_BIN_EXE_lakeward")), say)?;
    ensure!(summary.failures.is_empty() && summary.rounds == 12, "{lines}{summary}");
    Ok(())
}
