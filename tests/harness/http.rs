//! A small HTTP client, blocking: what a dashboard or a scraper would send.

use anyhow::{Context, Result};
use serde_json::Value;

/// Seconds after which an answer is given up.
const LIMIT_S: u64 = 10;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: i32,
    /// The `ETag` header.
    pub etag: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

/// Asks for `url`; with `etag`, only if it has changed since.
///
/// # Errors
/// When nobody answers.
pub fn get(url: &str, etag: Option<&str>) -> Result<Answer> {
    let mut request = minreq::get(url).with_timeout(LIMIT_S);
    if let Some(etag) = etag {
        request = request.with_header("If-None-Match", etag);
    }
    let response = request.send().with_context(|| format!("asking for {url}"))?;
    let header = |name: &str| response.headers.get(name).cloned();
    Ok(Answer {
        status: response.status_code,
        etag: header("etag"),
        content_type: header("content-type"),
        body: response.as_str().context("a body that is not text")?.to_owned(),
    })
}
