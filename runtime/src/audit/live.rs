//! Whether a running server answers what the gold table holds.

use super::Error;
use super::cell::{Cell, Column};
use super::report::{Check, Offenders};
use super::subject::{Gold, Silver};
use crate::checkpoint::Checkpoint;
use crate::columns::{UTC, table_type};
use crate::sink::{Snapshot, Warehouse};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate};
use futures::TryStreamExt;
use lakeward_manifest::text;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// The most rows that a server gives at once.
const PAGE: usize = 100_000;

/// Seconds after which an answer is given up.
const LIMIT_S: u64 = 30;

/// How often, and how many times, a server is asked again whose table is behind its answers.
const AGAIN: Duration = Duration::from_millis(500);
const TRIES: u32 = 40;

/// A server and the lake that it serves.
pub(super) struct Live<'a> {
    /// The server's address, `http://127.0.0.1:8080`.
    pub(super) server: &'a str,
    /// The lake.
    pub(super) lake: &'a Warehouse,
    /// The pipeline.
    pub(super) pipeline: &'a str,
}

/// What was answered.
struct Answer {
    version: Option<u64>,
    /// Whether the table holds the micro-batch that the answer shows, as far as its number tells: instances count on their own.
    is_current: bool,
    /// The offsets up to which the answer is, by partition.
    offsets: Vec<(i32, i64)>,
    /// Older windows are answered no more.
    kept_from_us: i64,
    rows: Vec<Value>,
}

/// Whether anybody answers at `server`.
pub(super) async fn answers(server: &str) -> bool {
    let url = format!("{server}/livez");
    let asked = tokio::task::spawn_blocking(move || minreq::get(url).with_timeout(2).send());
    asked.await.is_ok_and(|answer| answer.is_ok())
}

impl Live<'_> {
    /// Compares the answer with the table at the version that the answer names.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn check(&self, silver: &Silver, gold: &Gold) -> Result<Check, Error> {
        let not_checked = |why: String| Ok(Check::not_checked("live", &gold.path, why));
        let mut last = String::from("the server was not asked");
        let mut differs = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(AGAIN).await;
            }
            let answer = match self.ask(&gold.path).await {
                Ok(Some(answer)) => answer,
                Ok(None) => {
                    "the server's answers change faster than they can be read".clone_into(&mut last);
                    continue;
                }
                Err(why) => return not_checked(format!("{} does not answer: {why}", self.server)),
            };
            let Some(version) = answer.version else {
                "the table has not been published yet".clone_into(&mut last);
                continue;
            };
            let table = Snapshot::open(self.lake, self.pipeline, &gold.table(), Some(version)).await?;
            let Some(table) = table else { return not_checked("there is no table".to_owned()) };
            let bad = compare(silver, gold, &table, &answer).await?;
            let stands = table.offsets([]).await?;
            let is_as_far = answer.offsets.iter().all(|(of, next)| stood(&stands, silver, *of) == Some(*next));
            if bad.is_empty() || (answer.is_current && is_as_far) {
                let detail = format!("{} rows answered, as in version {version} of the table", answer.rows.len());
                return Ok(Check::of("live", &gold.path, detail, bad));
            }
            last = format!("the table, at version {version}, is not where the answers are");
            // Where it is as far for as long as this is asked, it is not about to be published.
            differs = is_as_far.then_some((version, answer.rows.len(), bad));
        }
        match differs {
            Some((version, rows, bad)) => {
                let detail = format!("{rows} rows answered, as far as version {version} of the table");
                Ok(Check::of("live", &gold.path, detail, bad))
            }
            None => not_checked(last),
        }
    }

    /// All committed rows; `None` if they changed while they were read.
    async fn ask(&self, product: &str) -> Result<Option<Answer>, String> {
        let (mut rows, mut from, mut as_of) = (Vec::new(), None::<String>, None::<Value>);
        loop {
            let from_text = from.as_ref().map(|from| format!("&from={from}")).unwrap_or_default();
            let query = format!("view=committed&order=window_start&limit={PAGE}{from_text}");
            let body = get(format!("{}/v1/products/{product}/rows?{query}", self.server)).await?;
            if as_of.as_ref().is_some_and(|as_of| *as_of != body["as_of"]) {
                return Ok(None);
            }
            let page = body["rows"].as_array().cloned().unwrap_or_default();
            let is_last = page.len() < PAGE;
            let last_window = page.last().map(|row| row["window_start"].clone()).unwrap_or_default();
            let now = as_of.insert(body["as_of"].clone());
            if is_last {
                rows.extend(page);
                let is_current = now["table_micro_batch"] == now["micro_batch"];
                let kept_from = now["kept_from"].as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
                let kept_from_us = kept_from.map_or(i64::MIN, |time| time.timestamp_micros());
                let offsets = now["offsets"].as_object().into_iter().flatten();
                let offset = |(of, next): (&String, &Value)| Some((of.parse().ok()?, next.as_i64()?));
                let offsets = offsets.filter_map(offset).collect();
                let version = now["table_version"].as_u64();
                return Ok(Some(Answer { version, is_current, offsets, kept_from_us, rows }));
            }
            // The last window of a full page may be cut off: the next page begins with it.
            let before = rows.len();
            rows.extend(page.into_iter().filter(|row| row["window_start"] != last_window));
            if rows.len() == before {
                return Err(format!("a window has more than {PAGE} groups"));
            }
            from = last_window.as_str().map(str::to_owned);
        }
    }
}

/// Where a gold table stands in a partition of its topic, the newest of that name.
fn stood(stands: &Checkpoint, silver: &Silver, partition: i32) -> Option<i64> {
    let of_partition = stands.iter().filter(|(of, _)| of.topic == silver.topic && of.partition == partition);
    of_partition.max_by_key(|(of, _)| of.incarnation).map(|(_, next)| next)
}

async fn get(url: String) -> Result<Value, String> {
    let asked = tokio::task::spawn_blocking(move || {
        let answer = minreq::get(url).with_timeout(LIMIT_S).send().map_err(|error| error.to_string())?;
        if answer.status_code != 200 {
            return Err(format!("status {}", answer.status_code));
        }
        serde_json::from_slice(answer.as_bytes()).map_err(|error| error.to_string())
    });
    asked.await.map_err(|error| error.to_string()).flatten()
}

/// The columns of the product with their types: first those that name a group.
fn columns<'a>(silver: &Silver, gold: &'a Gold) -> Vec<(&'a str, DataType)> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let keys =
        gold.gold.keys.iter().map(|key| (key.name.as_str(), silver.column_type(&key.column).unwrap_or(DataType::Null)));
    let measures = gold.gold.measures.iter().map(|measure| (measure.name.as_str(), table_type(&measure.data_type)));
    keys.chain([("window_start", time.clone()), ("window_end", time)]).chain(measures).collect()
}

async fn compare(silver: &Silver, gold: &Gold, table: &Snapshot, answer: &Answer) -> Result<Offenders, Error> {
    let columns = columns(silver, gold);
    let key_columns = gold.gold.keys.len() + 1;
    let mut bad = Offenders::default();
    let mut answered: HashMap<Vec<u8>, Vec<Cell<'static>>> = HashMap::with_capacity(answer.rows.len());
    for row in &answer.rows {
        let cells: Option<Vec<Cell<'static>>> =
            columns.iter().map(|(name, data_type)| cell(&row[*name], data_type)).collect();
        match cells {
            Some(cells) => drop(answered.insert(encoded(&cells[..key_columns]), cells)),
            None => bad.add(|| format!("{row} is not a row of the product")),
        }
    }
    let show = |cells: &[Cell<'_>]| {
        let shown = columns.iter().zip(cells).take(key_columns);
        let shown = shown.map(|((name, data_type), cell)| format!("{name}={}", cell.show(data_type)));
        shown.collect::<Vec<_>>().join(" ")
    };
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    for part in table.parts() {
        let mut rows = table.rows(part, &names).await?;
        while let Some(batch) = rows.batches.try_next().await? {
            let arrays = names.iter().map(|name| batch.column_by_name(name).and_then(|array| Column::of(array)));
            let Some(arrays) = arrays.collect::<Option<Vec<_>>>() else {
                bad.add(|| "a file without the columns of the product".to_owned());
                continue;
            };
            for row in 0..batch.num_rows() {
                let cells: Vec<Cell<'_>> = arrays.iter().map(|array| array.at(row)).collect();
                if matches!(cells[key_columns - 1], Cell::Int(start_us) if start_us < answer.kept_from_us) {
                    continue;
                }
                let Some(live) = answered.remove(&encoded(&cells[..key_columns])) else {
                    bad.add(|| format!("{} is in the table and not in the answer", show(&cells)));
                    continue;
                };
                for (((name, data_type), live), stored) in columns.iter().zip(&live).zip(&cells) {
                    if !same(live, stored) {
                        let (live, stored) = (live.show(data_type), stored.show(data_type));
                        bad.add(|| {
                            format!("{}: {name} is {live} in the answer and {stored} in the table", show(&cells))
                        });
                    }
                }
            }
        }
    }
    answered.values().for_each(|cells| bad.add(|| format!("{} is in the answer and not in the table", show(cells))));
    Ok(bad)
}

fn encoded(cells: &[Cell<'_>]) -> Vec<u8> {
    let mut key = Vec::new();
    cells.iter().for_each(|cell| cell.encode(&mut key));
    key
}

/// JSON has no word for what is not a number; it stands as null there. Our reader of JSON may be off by one in the last binary digit.
fn same(live: &Cell<'_>, stored: &Cell<'_>) -> bool {
    match (live, stored) {
        (Cell::Null, Cell::Float(stored)) => !stored.is_finite(),
        (Cell::Float(live), Cell::Float(stored)) if live.is_finite() && stored.is_finite() => {
            (live - stored).abs() <= f64::EPSILON * stored.abs()
        }
        _ => live.is(stored),
    }
}

/// A value of an answer, as the column holds it; `None` if it is of another type.
fn cell(value: &Value, data_type: &DataType) -> Option<Cell<'static>> {
    if value.is_null() {
        return Some(Cell::Null);
    }
    Some(match data_type {
        DataType::Boolean => Cell::Int(value.as_bool()?.into()),
        DataType::Decimal128(precision, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            Cell::Decimal(text::decimal(value.as_str()?.as_bytes(), *precision, scale)?)
        }
        DataType::Float32 => Cell::Float(f64::from(value.as_f64()? as f32)),
        DataType::Float64 => Cell::Float(value.as_f64()?),
        DataType::Date32 => Cell::Int(value.as_str()?.parse::<NaiveDate>().ok()?.to_epoch_days().into()),
        DataType::Timestamp(..) => Cell::Int(DateTime::parse_from_rfc3339(value.as_str()?).ok()?.timestamp_micros()),
        DataType::Utf8 => Cell::Bytes(value.as_str()?.as_bytes().to_vec().into()),
        DataType::Binary => Cell::Bytes(decoded(value.as_str()?)?.into()),
        _ => Cell::Int(value.as_i64()?),
    })
}

/// RFC 4648, the standard alphabet, padded.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        (bits, held) = (bits << 6 | u32::from(digit(byte)?), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_s_values_are_those_of_the_table() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
        for (value, data_type, expected) in [
            (json!("12.340"), DataType::Decimal128(18, 3), Cell::Decimal(12_340)),
            (json!(5), DataType::Int64, Cell::Int(5)),
            (json!("2010-12-01T08:00:00Z"), time, Cell::Int(1_291_190_400_000_000)),
            (json!("2010-12-01"), DataType::Date32, Cell::Int(14_944)),
            (json!(0.1), DataType::Float32, Cell::Float(f64::from(0.1_f32))),
            (json!("Zm9vYg=="), DataType::Binary, Cell::Bytes(b"foob".as_slice().into())),
            (json!(null), DataType::Utf8, Cell::Null),
        ] {
            assert!(cell(&value, &data_type).unwrap().is(&expected), "{value} as {data_type}");
        }
        assert!(cell(&json!("x"), &DataType::Int64).is_none());
    }
}
