//! Whether a gold table is what its silver product adds up to.

use super::Error;
use super::progress::Progress;
use super::regroup::Regrouped;
use super::report::{Check, Offenders};
use super::subject::Gold;
use crate::sink::Snapshot;
use futures::TryStreamExt;
use lakeward_manifest::{DataType, Function};

/// Reads the gold table and holds every group against what was computed anew.
///
/// # Errors
/// When a file cannot be read.
pub(super) async fn check(
    gold: &Gold,
    table: &Snapshot,
    mut fresh: Regrouped<'_>,
    progress: &mut Progress<'_>,
) -> Result<Check, Error> {
    let (mut bad, mut groups) = (Offenders::default(), 0);
    let doubtful = fresh.settle();
    let mut columns: Vec<&str> = gold.gold.keys.iter().map(|key| key.name.as_str()).collect();
    columns.extend(gold.gold.measures.iter().map(|measure| measure.name.as_str()));
    columns.extend(["window_start", "window_end"]);
    for part in table.parts() {
        let mut rows = table.rows(part, &columns).await?;
        while let Some(batch) = rows.batches.try_next().await? {
            groups += batch.num_rows();
            if !fresh.compare(&batch, &mut bad) {
                bad.add(|| "a file without the columns of the product".to_owned());
            }
            progress.rows(table.path(), batch.num_rows() as u64);
        }
        progress.file();
    }
    let rows = fresh.rows;
    fresh.missing(&mut bad);
    let equal = if bad.is_empty() { ", equal to the last digit" } else { "" };
    let mut detail = format!("{groups} groups of {rows} rows of silver, version {}{equal}", table.version());
    for words in manner(gold) {
        detail += "; ";
        detail += words;
    }
    if doubtful > 0 {
        detail += &format!(
            "; the groups of {doubtful} records with rows in several windows, some of them late, are not checked"
        );
    }
    Ok(Check::of("gold", table.path(), detail, bad))
}

/// How equality is judged where it is not plain.
fn manner(gold: &Gold) -> Vec<&'static str> {
    let has = |function: Function| gold.gold.measures.iter().any(|measure| measure.function == function);
    let floats = gold.gold.measures.iter().any(|measure| {
        measure.data_type == DataType::Float64 && matches!(measure.function, Function::Sum | Function::Average)
    });
    let mut words = Vec::new();
    if has(Function::DistinctSketch) {
        words.push("of sketched distinct counts the estimates are equal, of sketches of the same values");
    }
    if floats {
        words.push("sums of floats agree within 1e-9, since their order is not kept");
    }
    words
}
