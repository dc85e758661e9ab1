//! What is answered about dead letters: the same to a program, over HTTP, and for the command line to show to a person.

use super::letter::Letter;
use super::query::Query;
use super::read::{Letters, Listing};
use super::request::{Request, request};
use super::{Error, Identity, Receipt};
use crate::sink::Warehouse;
use crate::sink::redrives::Action;
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Letters, or how many there are of each group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Listed {
    /// Letters that meet the conditions, in all.
    pub total: u64,
    /// The newest of them; `None` where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters: Option<Vec<Row>>,
    /// The largest groups, each with its name under that of the grouping, and its `letters`; `None` where letters are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<BTreeMap<String, serde_json::Value>>>,
    /// How many groups there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_count: Option<u64>,
}

/// A row of the dead-letter table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The record, `orders#0/3:4711`.
    pub record: String,
    /// The record's timestamp, RFC 3339.
    pub timestamp: Option<String>,
    /// The module that could not make rows of it.
    pub module: String,
    /// Its digest.
    pub module_digest: String,
    /// The product whose contract or window was missed.
    pub product: Option<String>,
    /// Where it failed.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// What became of it: `open`, `redriven` or `discarded`.
    pub status: String,
    /// How often it has been through a module.
    pub tries: i32,
    /// The number of the request that this row answers.
    pub request: Option<i64>,
    /// What is requested and not done yet: `redrive` or `discard`.
    pub requested: Option<String>,
    /// The micro-batch that wrote the row.
    pub micro_batch: i64,
}

/// All that is known of a record.
#[derive(Debug, Serialize, Deserialize)]
pub struct History {
    /// The record.
    pub record: String,
    /// All rows about it, the oldest first, a letter's together.
    pub rows: Vec<Try>,
}

/// A row with the record's bytes, where it holds them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Try {
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's value.
    pub value: Option<Bytes>,
}

/// Bytes of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bytes {
    /// Bytes that are UTF-8.
    Text(String),
    /// Any others, two hexadecimal digits each.
    Hex(String),
}

/// What was requested, or would be.
#[derive(Debug, Serialize, Deserialize)]
pub struct Requested {
    /// The id of the request; `None` where nothing was written.
    pub request: Option<String>,
    /// How many letters.
    pub letters: u64,
    /// Open letters that meet the conditions too, for which something is requested already.
    pub left_out: u64,
    /// The first of the letters, for a person.
    pub first: Vec<String>,
}

/// Lists letters, or counts them.
///
/// # Errors
/// When the lake fails.
pub async fn list(lake: &Warehouse, pipeline: &str, query: &Query) -> Result<Listed, Error> {
    let limit = if query.by.is_some() { 0 } else { query.limit };
    let letters = Letters::open(lake, pipeline).await?;
    let Listing { letters, total, groups } = letters.list(&query.filter, limit, query.by).await?;
    let Some(by) = query.by else {
        let letters = letters.iter().map(|(letter, requested)| Row::of(letter, *requested)).collect();
        return Ok(Listed { total, letters: Some(letters), ..Listed::default() });
    };
    let group_count = Some(groups.len() as u64);
    let group = |(group, letters): &(String, u64)| {
        [(by.name().to_owned(), group.as_str().into()), ("letters".to_owned(), (*letters).into())].into()
    };
    let groups = Some(groups.iter().take(query.limit).map(group).collect());
    Ok(Listed { total, groups, group_count, ..Listed::default() })
}

/// Shows all rows about the record that a query names.
///
/// # Errors
/// [`Error::Argument`] when it names none or several, or there is no letter of it; otherwise when the lake fails.
pub async fn show(lake: &Warehouse, pipeline: &str, query: &Query) -> Result<History, Error> {
    let [record] = query.records.as_slice() else {
        return Err(Error::argument("say which record: `record` is its name, as orders#0/3:4711"));
    };
    let history = Letters::open(lake, pipeline).await?.history(record).await?;
    let of_module = |letter: &Letter| query.filter.module.as_ref().is_none_or(|of| *of == letter.identity.module);
    let rows: Vec<Try> = history
        .iter()
        .filter(|(letter, _)| of_module(letter))
        .map(|(letter, requested)| Try {
            row: Row::of(letter, *requested),
            key: letter.key.as_deref().map(Bytes::of),
            value: letter.value.as_deref().map(Bytes::of),
        })
        .collect();
    if rows.is_empty() {
        return Err(Error::argument(format!("there is no dead letter of {record}")));
    }
    Ok(History { record: record.to_string(), rows })
}

/// Requests something of the letters that a query chooses.
///
/// # Errors
/// [`Error::Refused`] when it chooses none, or one that cannot be; otherwise when the lake fails.
pub async fn ask(
    lake: &Warehouse,
    pipeline: &str,
    action: Action,
    query: &Query,
    who: &str,
    at_ms: i64,
) -> Result<Requested, Error> {
    // Which are open is for the request to see, and to say of one that is not.
    let filter = super::Filter { status: None, ..query.filter.clone() };
    let (origins, who, dry_run) = (query.records.clone(), who.to_owned(), query.dry_run);
    let receipt = request(lake, pipeline, &Request { action, origins, filter, who, at_ms, dry_run }).await?;
    let Receipt { id, letters, first, left_out } = receipt;
    Ok(Requested { request: id, letters, left_out, first: first.iter().map(Identity::to_string).collect() })
}

impl Row {
    /// A letter, with what is requested for it.
    #[must_use]
    pub fn of(letter: &Letter, requested: Option<Action>) -> Self {
        let time = letter.timestamp_ms.and_then(DateTime::from_timestamp_millis);
        Self {
            record: letter.identity.origin.to_string(),
            timestamp: time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            module: letter.identity.module.clone(),
            module_digest: letter.digest.clone(),
            product: letter.product.clone(),
            stage: letter.stage.clone(),
            reason: letter.reason.clone(),
            status: letter.status.name().to_owned(),
            tries: letter.tries,
            request: letter.request,
            requested: requested.map(|action| action.name().to_owned()),
            micro_batch: letter.micro_batch,
        }
    }

    /// What late rows are late for; the rows of a record that are late for different products are different letters.
    #[must_use]
    pub fn late_for(&self) -> Option<&str> {
        self.product.as_deref().filter(|_| self.stage == crate::record::Stage::Aggregate.name())
    }
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    #[test]
    fn answers_read_back() {
        let letter = letter(7, "no description");
        let row = Row::of(&letter, Some(Action::Redrive));
        let history = History {
            record: row.record.clone(),
            rows: vec![Try { row, key: Some(Bytes::of(&[0, 255])), value: Some(Bytes::of(b"{}")) }],
        };
        let json = serde_json::to_value(&history).unwrap();
        assert_eq!(json["rows"][0]["key"], serde_json::json!({"hex": "00ff"}));
        assert_eq!(json["rows"][0]["value"], serde_json::json!({"text": "{}"}));
        assert_eq!(
            (&json["rows"][0]["timestamp"], &json["rows"][0]["requested"]),
            (&"1970-01-01T00:00:01.000Z".into(), &"redrive".into())
        );
        let back: History = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), json);
    }
}
