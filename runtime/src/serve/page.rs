//! The page at `/`: files inside the binary that ask for nothing from elsewhere.

use super::conditional;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

/// Only what this server sends may run, style or be asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// The page, its style, its scripts.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    /// Where it is found.
    pub(super) address: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every file of the page.
pub(super) const FILES: [File; 7] = [
    File { address: "/", content_type: "text/html; charset=utf-8", text: include_str!("page/index.html") },
    File { address: "/page.css", content_type: "text/css; charset=utf-8", text: include_str!("page/page.css") },
    File { address: "/page.js", content_type: SCRIPT, text: include_str!("page/page.js") },
    File { address: "/chart.js", content_type: SCRIPT, text: include_str!("page/chart.js") },
    File { address: "/format.js", content_type: SCRIPT, text: include_str!("page/format.js") },
    File { address: "/shadow.js", content_type: SCRIPT, text: include_str!("page/shadow.js") },
    File { address: "/table.js", content_type: SCRIPT, text: include_str!("page/table.js") },
];

/// Sends a file.
pub(super) fn file(headers: &HeaderMap, file: File) -> Response {
    let etag = conditional::etag(&[file.text.as_bytes()]);
    let mut response = conditional::body(headers, &etag, file.content_type, file.text);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
