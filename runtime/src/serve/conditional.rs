//! Answers that say when nothing has changed: entity tags and `304 Not Modified` (RFC 9110, section 13).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The entity tag of whatever `parts` determine.
pub(super) fn etag(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length first, so that no two lists of parts read the same.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut tag = String::from("\"");
    for byte in &hash.finalize()[..16] {
        write!(tag, "{byte:02x}").expect("writing to a string cannot fail");
    }
    tag.push('"');
    tag
}

/// Whether the caller holds what `etag` stands for.
pub(super) fn holds(headers: &HeaderMap, etag: &str) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    })
}

/// Whether the caller holds anything at all.
pub(super) fn asks(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH)
}

/// `304 Not Modified`.
pub(super) fn not_modified(etag: &str) -> Response {
    tagged(StatusCode::NOT_MODIFIED.into_response(), etag)
}

/// The body, or `304 Not Modified` if the caller holds it.
pub(super) fn body(
    headers: &HeaderMap,
    etag: &str,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    if holds(headers, etag) {
        return not_modified(etag);
    }
    tagged(([(CONTENT_TYPE, HeaderValue::from_static(content_type))], body.into()).into_response(), etag)
}

/// The value as JSON, or `304 Not Modified` if the caller holds it.
pub(super) fn json(headers: &HeaderMap, value: &impl serde::Serialize) -> Response {
    let text = serde_json::to_string(value).expect("what is shown has string keys only and so always serialises");
    let tag = etag(&[text.as_bytes()]);
    body(headers, &tag, "application/json", text)
}

/// `no-cache` means: keep it, but ask each time whether it still holds.
fn tagged(mut response: Response, etag: &str) -> Response {
    let etag = HeaderValue::from_str(etag).expect("an entity tag is hexadecimal in quotes");
    response.headers_mut().insert(ETAG, etag);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
