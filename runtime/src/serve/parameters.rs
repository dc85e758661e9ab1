//! What a caller asks of a gold product's rows: the query parameters, checked.

use super::problem::Problem;
use super::time::parse_ms;
use crate::aggregate::{Query, QueryError};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use std::collections::BTreeSet;

/// Rows in an answer when the caller sets no limit.
const DEFAULT_LIMIT: usize = 1_000;
/// The most rows in one answer: about 20 MB of JSON.
const MAX_LIMIT: usize = 100_000;
/// The parameters beside the key columns.
const FIXED: [&str; 6] = ["from", "to", "order", "limit", "view", "format"];

/// A request for rows.
pub(super) struct Request {
    pub(super) query: Query,
    pub(super) format: Format,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
}

impl Request {
    /// Reads a query string. `keys` are the product's key columns; one that bears the name of a fixed parameter cannot be
    /// filtered on.
    pub(super) fn parse(text: &str, headers: &HeaderMap, keys: &[&str]) -> Result<Self, Problem> {
        let mut query = Query {
            committed: false,
            keys: Vec::new(),
            from_ms: None,
            to_ms: None,
            order: Vec::new(),
            limit: DEFAULT_LIMIT,
        };
        let mut format = accepted(headers);
        let mut seen = BTreeSet::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            if !seen.insert(name.clone()) {
                return Err(Problem::bad_request(format!("parameter `{name}` is given twice")));
            }
            match name.as_ref() {
                "from" => query.from_ms = Some(time("from", &value)?),
                "to" => query.to_ms = Some(time("to", &value)?),
                "order" => query.order = order(&value)?,
                "limit" => query.limit = limit(&value)?,
                "view" => query.committed = choice("view", &value, [("live", false), ("committed", true)])?,
                "format" => format = choice("format", &value, [("json", Format::Json), ("csv", Format::Csv)])?,
                key if keys.contains(&key) => query.keys.push((name.into_owned(), value.into_owned())),
                _ => return Err(unknown(&name, keys)),
            }
        }
        // Two spellings of one question are one question to the entity tag.
        query.keys.sort();
        Ok(Self { query, format })
    }

    /// Everything that makes this request's answer another than that of a different one, as text.
    pub(super) fn canonical(&self) -> String {
        let Query { committed, keys, from_ms, to_ms, order, limit } = &self.query;
        format!("{committed} {keys:?} {from_ms:?} {to_ms:?} {order:?} {limit} {:?}", self.format)
    }
}

/// Says what is wrong with a query that the aggregates refuse.
pub(super) fn refused(error: &QueryError) -> Problem {
    Problem::bad_request(match error {
        QueryError::UnknownColumn { name, known } => {
            format!("there is no column `{name}`; this product has {}", list(known))
        }
        QueryError::BadValue { column, value, data_type } => {
            format!("`{value}` is not a value of column `{column}`, which is of type {data_type}")
        }
    })
}

/// The format that the `Accept` header names first; JSON without one.
fn accepted(headers: &HeaderMap) -> Format {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = accept.split(',').find_map(|range| match range.split(';').next().unwrap_or_default().trim() {
        "text/csv" => Some(Format::Csv),
        "application/json" | "application/*" | "*/*" => Some(Format::Json),
        _ => None,
    });
    known.unwrap_or(Format::Json)
}

fn time(name: &str, value: &str) -> Result<i64, Problem> {
    parse_ms(value).ok_or_else(|| {
        // The `+` of an offset reads as a space unless the caller has encoded it; the hint saves a puzzled hour.
        let hint = if value.contains(' ') { "; a `+` in an address is written `%2B`" } else { "" };
        Problem::bad_request(format!(
            "`{name}={value}` is neither RFC 3339 (2011-01-01T10:00:00Z) nor milliseconds since 1970{hint}"
        ))
    })
}

fn order(value: &str) -> Result<Vec<(String, bool)>, Problem> {
    let columns = value.split(',').map(|column| match column.strip_prefix('-') {
        Some(column) => (column.to_owned(), true),
        None => (column.to_owned(), false),
    });
    let columns: Vec<_> = columns.collect();
    if columns.iter().any(|(column, _)| column.is_empty()) {
        return Err(Problem::bad_request(format!("`order={value}` names no column between two commas")));
    }
    // A second time decides nothing, and each costs a sort key of every row.
    let mut seen = BTreeSet::new();
    if let Some((column, _)) = columns.iter().find(|(column, _)| !seen.insert(column)) {
        return Err(Problem::bad_request(format!("`order` names column `{column}` twice")));
    }
    Ok(columns)
}

fn limit(value: &str) -> Result<usize, Problem> {
    value
        .parse()
        .ok()
        .filter(|limit| *limit <= MAX_LIMIT)
        .ok_or_else(|| Problem::bad_request(format!("`limit={value}` is not a whole number from 0 to {MAX_LIMIT}")))
}

fn choice<T: Copy>(name: &str, value: &str, choices: [(&str, T); 2]) -> Result<T, Problem> {
    choices.iter().find(|(known, _)| *known == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let [(first, _), (second, _)] = choices;
        Problem::bad_request(format!("`{name}={value}` is neither `{first}` nor `{second}`"))
    })
}

fn unknown(name: &str, keys: &[&str]) -> Problem {
    let known: Vec<_> = keys.iter().chain(&FIXED).collect();
    Problem::bad_request(format!("there is no parameter `{name}`; this product takes {}", list(&known)))
}

fn list<T: std::fmt::Display>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn parse(text: &str) -> Request {
        let parsed = Request::parse(text, &HeaderMap::new(), &["country", "channel"]);
        parsed.unwrap_or_else(|problem| panic!("{text}: {problem:?}"))
    }

    fn accept(value: &'static str) -> Format {
        accepted(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]))
    }

    #[test]
    fn the_order_of_parameters_does_not_matter() {
        let one = parse("channel=web&country=France&limit=5");
        let other = parse("limit=5&country=France&channel=web");
        assert_eq!(one.canonical(), other.canonical());
        assert_ne!(one.canonical(), parse("limit=6&country=France&channel=web").canonical());
    }

    #[test]
    fn every_parameter_is_taken() {
        let request =
            parse("country=C%C3%B4te+d%27Or&from=5&to=2011-01-01T10:00:00Z&order=-lines,country&view=committed");
        assert_eq!(request.query.keys, [("country".to_owned(), "Côte d'Or".to_owned())]);
        assert_eq!((request.query.from_ms, request.query.to_ms), (Some(5), Some(1_293_876_000_000)));
        assert_eq!(request.query.order, [("lines".to_owned(), true), ("country".to_owned(), false)]);
        assert_eq!((request.query.limit, request.query.committed), (DEFAULT_LIMIT, true));
    }

    #[test]
    fn a_column_orders_once() {
        for text in ["order=lines,country,lines", "order=lines,-lines"] {
            let Err(problem) = Request::parse(text, &HeaderMap::new(), &[]) else { panic!("{text} was taken") };
            assert_eq!(problem, Problem::bad_request("`order` names column `lines` twice"));
        }
    }

    #[test]
    fn the_first_known_media_type_decides() {
        assert_eq!(accept("text/csv"), Format::Csv);
        assert_eq!(accept("text/csv;q=0.9, application/json"), Format::Csv);
        assert_eq!(accept("text/html, */*;q=0.8"), Format::Json);
        assert_eq!(accept("image/png"), Format::Json);
    }
}
