//! A short torture by a fixed seed. `cargo run --release -p lakeward-torture` plays long ones by any seed.

use crate::case::Case;
use anyhow::{Result, bail, ensure};
use lakeward_tests::requirements::Need;
use lakeward_tests::stage::Stage;
use lakeward_torture::{Kind, LakeKind, Settings, Summary};
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("torture::a_short_run_is_exact", &[Need::Kafka, Need::Python], short),
        Case::new("torture::a_digit_that_differs_is_noticed", &[Need::Kafka, Need::Python], falsified),
    ]
}

fn play(rounds: u64, only: Vec<Kind>, falsify: bool) -> Result<(Summary, String)> {
    let (first, seed, lake) = (1, 4, LakeKind::File);
    let settings = Settings { rounds, first, seed, limit: None, lake, instances: 1, only, falsify };
    let mut lines = String::new();
    let say = |line: &str| lines += &format!("{line}\n");
    let summary = lakeward_torture::run(&settings, Path::new(env!("CARGO_BIN_EXE_lakeward")), say)?;
    Ok((summary, lines))
}

fn short(_: &Stage) -> Result<()> {
    for (rounds, only) in [(11, Vec::new()), (1, vec![Kind::Deploy]), (2, vec![Kind::Rewind, Kind::Pause])] {
        let (summary, lines) = play(rounds, only, false)?;
        ensure!(summary.failures.is_empty() && summary.rounds == rounds, "{lines}{summary}");
        let [drawn, missed] = [&summary.faults, &summary.missed].map(|of| of.get(&Kind::KillAtPoint));
        ensure!(drawn.is_none() || drawn > missed, "no instance ended at its point: {lines}{summary}");
    }
    Ok(())
}

fn falsified(_: &Stage) -> Result<()> {
    let (summary, lines) = play(1, vec![Kind::Kill], true)?;
    let [failure] = summary.failures.as_slice() else { bail!("not one failure: {lines}{summary}") };
    for table in ["silver/retail/sales", "gold/retail/top_products"] {
        ensure!(failure.wrong.contains(table), "nothing is wrong with {table}: {}", failure.wrong);
    }
    match &failure.folder {
        Some(folder) => Ok(std::fs::remove_dir_all(folder)?),
        None => bail!("the folder of a failed round is gone"),
    }
}
