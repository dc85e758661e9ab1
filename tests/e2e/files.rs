//! A topic read from files: the same guarantees, also over a restart in the middle.

use crate::audit;
use crate::case::Case;
use crate::exact::{self, DEAD_LETTERS, SALES};
use anyhow::{Result, ensure};
use lakeward_tests::readers::Engine;
use lakeward_tests::requirements::Need;
use lakeward_tests::retail;
use lakeward_tests::stage::Stage;
use serde_json::json;
use std::fs::{self, File};
use std::io::{BufWriter, Write};

const LINES: usize = 150_000;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("files::a_killed_backfill_goes_on_where_it_was", &[Need::Python, Need::RetailData], killed)]
}

fn killed(stage: &Stage) -> Result<()> {
    let folder = stage.folder().join("events");
    fs::create_dir(&folder)?;
    let mut file = BufWriter::new(File::create(folder.join("orders.ndjson"))?);
    let events = retail::events(LINES)?;
    for event in &events {
        writeln!(file, "{}", event.json)?;
    }
    file.into_inner()?.sync_all()?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("topics.orders", "path", &folder.join("*.ndjson").display().to_string());
    config.set("micro_batch", "rows", "10000").text("micro_batch", "every", "100ms");

    let instance = stage.start(&mut config)?;
    stage.wait_versions("_lakeward/commits", 3, || Ok(()))?;
    instance.kill()?;
    let summary = stage.until_current(&config)?;
    ensure!(summary.records <= LINES as i64, "{summary:?}");

    let found = stage.query(
        Engine::DeltaLake,
        &[SALES, DEAD_LETTERS],
        r#"WITH seqs AS (
             SELECT seq FROM sales
             UNION ALL SELECT (decode(value)::JSON ->> 'seq')::BIGINT FROM dead_letters)
           SELECT count(*) AS records, count(DISTINCT seq) AS distinct_records, max(seq) AS last FROM seqs"#,
    )?;
    let expected = json!([{ "records": LINES, "distinct_records": LINES, "last": LINES - 1 }]);
    ensure!(json!(found) == expected, "found {found:?}, expected {expected}");
    exact::gold_adds_up(stage)?;
    audit::holds(stage, &config)
}
