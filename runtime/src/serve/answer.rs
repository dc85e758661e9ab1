//! How the rows of a gold product are written: JSON or CSV, straight into one buffer.

use super::Time;
use super::cells::{Cells, Unsupported, json_string};
use crate::aggregate::{Answer, AsOf};
use std::collections::BTreeMap;

/// The column that comes before `final` in both formats.
const BEFORE_FINAL: &str = "window_end";

/// Which rows are shown, in the words of the answer.
#[derive(serde::Serialize)]
struct AsOfBody<'a> {
    view: &'static str,
    micro_batch: Option<i64>,
    offsets: &'a BTreeMap<i32, i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    elsewhere: BTreeMap<i32, Time>,
    /// Older windows are in the gold table only.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_from: Option<Time>,
    watermark: Option<Time>,
    table_version: Option<i64>,
    table_micro_batch: Option<i64>,
}

/// The last micro-batch; the aggregates count from 0 and say -1 before the first.
pub(super) fn micro_batch(as_of: &AsOf) -> Option<i64> {
    (as_of.micro_batch >= 0).then_some(as_of.micro_batch)
}

/// As JSON, what an answer shows the state of.
pub(super) fn as_of_json(as_of: &AsOf, committed: bool) -> String {
    let body = AsOfBody {
        view: if committed { "committed" } else { "live" },
        micro_batch: micro_batch(as_of),
        offsets: &as_of.offsets,
        elsewhere: as_of.elsewhere.iter().map(|(partition, ms)| (*partition, Time(*ms))).collect(),
        kept_from: Time::from_watermark_ms(as_of.kept_from_ms),
        watermark: Time::from_watermark_ms(as_of.watermark_ms),
        table_version: as_of.table_version,
        table_micro_batch: as_of.table_micro_batch,
    };
    serde_json::to_string(&body).expect("integers and strings always serialise")
}

/// The answer as one JSON object.
pub(super) fn json(product: &str, as_of: &str, answer: &Answer) -> Result<String, Unsupported> {
    let columns = columns(answer)?;
    // What stands before each value of a row, written once: `{"country":`, then `,"window_start":` and so on.
    let labels: Vec<String> = columns.iter().enumerate().map(|(index, (name, _))| label(index, name)).collect();
    let width: usize = labels.iter().map(|label| label.len() + 16).sum();
    let mut out = String::with_capacity(256 + as_of.len() + answer.rows.num_rows() * (width + 16));
    out.push_str("{\"product\":");
    json_string(&mut out, product);
    out.push_str(",\"as_of\":");
    out.push_str(as_of);
    out.push_str(&format!(",\"total\":{},\"rows\":[", answer.total));
    for (row, is_final) in answer.is_final.iter().enumerate() {
        if row > 0 {
            out.push(',');
        }
        for ((name, cells), label) in columns.iter().zip(&labels) {
            out.push_str(label);
            cells.json(&mut out, row);
            if *name == BEFORE_FINAL {
                out.push_str(if *is_final { ",\"final\":true" } else { ",\"final\":false" });
            }
        }
        out.push('}');
    }
    out.push_str("]}");
    Ok(out)
}

/// The rows as CSV with a header, lines ending in a line feed (the `\r` of RFC 4180 hurts more readers than it helps).
pub(super) fn csv(answer: &Answer) -> Result<String, Unsupported> {
    let columns = columns(answer)?;
    let mut out = String::with_capacity(128 + answer.rows.num_rows() * columns.len() * 16);
    for (index, (name, _)) in columns.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        super::cells::csv_string(&mut out, name);
        if *name == BEFORE_FINAL {
            out.push_str(",final");
        }
    }
    out.push('\n');
    for (row, is_final) in answer.is_final.iter().enumerate() {
        for (index, (name, cells)) in columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            cells.csv(&mut out, row);
            if *name == BEFORE_FINAL {
                out.push_str(if *is_final { ",true" } else { ",false" });
            }
        }
        out.push('\n');
    }
    Ok(out)
}

fn columns(answer: &Answer) -> Result<Vec<(&str, Cells<'_>)>, Unsupported> {
    let schema = answer.rows.schema_ref();
    let columns = schema.fields().iter().zip(answer.rows.columns());
    columns.map(|(field, array)| Ok((field.name().as_str(), Cells::of(field.name(), array.as_ref())?))).collect()
}

fn label(index: usize, name: &str) -> String {
    let mut label = String::from(if index == 0 { "{" } else { "," });
    json_string(&mut label, name);
    label.push(':');
    label
}
