//! `GET /v1/products/{domain}/{product}/rows`: the live answers of a gold product.

use super::parameters::{Format, Request, refused};
use super::problem::Problem;
use super::site::{Published, Site};
use super::{Time, answer, catalog, conditional, sending};
use crate::aggregate::{AsOf, View};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::VARY;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use std::sync::Arc;

/// The micro-batch that an answer shows.
pub(super) const MICRO_BATCH: HeaderName = HeaderName::from_static("lakeward-micro-batch");
/// The watermark of an answer.
pub(super) const WATERMARK: HeaderName = HeaderName::from_static("lakeward-watermark");
/// The newest version of the product's table.
pub(super) const TABLE_VERSION: HeaderName = HeaderName::from_static("lakeward-table-version");

/// Answers a request for rows.
pub(super) async fn rows(
    State(site): State<Arc<Site>>,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let published = site.published();
    let (view, identity) = find(&published, path)?;
    let request = {
        let keys: Vec<_> = view.plan().gold().keys.iter().map(|key| key.name.as_str()).collect();
        Request::parse(text.as_deref().unwrap_or_default(), &headers, &keys)?
    };
    let turn = site.turn_to_answer().await;
    // Off the reactor: an answer of 100,000 rows takes tens of milliseconds of one core. It goes on where its caller has gone, so the turn
    // ends with it and not with the request.
    let answered = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        respond(&view, &request, &headers, &identity)
    });
    let answer = answered.await.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer panicked");
        Err(Problem::internal())
    })?;
    sending::bounded(answer, site.sends()).await
}

/// The view behind a path, and what of the catalog decides its answers.
fn find(
    published: &Published,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<(Arc<View>, String), Problem> {
    let product = super::find_product(&published.catalog, path)?;
    let view = published.views.get(&product.path()).ok_or_else(|| not_served(product))?;
    Ok((Arc::clone(view), format!("{} {} {}", product.path(), product.module.name, product.module.version)))
}

fn not_served(product: &catalog::Product) -> Problem {
    Problem::not_found(format!(
        "rows are served for gold products; `{}` is a {} product, whose table is at {}",
        product.path(),
        product.layer,
        product.location
    ))
}

fn respond(view: &View, request: &Request, headers: &HeaderMap, identity: &str) -> Result<Response, Problem> {
    let canonical = request.canonical();
    let tag = |text: &str, as_of: &AsOf| {
        let restated = as_of.restated.to_le_bytes();
        conditional::etag(&[identity.as_bytes(), canonical.as_bytes(), text.as_bytes(), &restated])
    };
    let committed = request.query.committed;
    if conditional::asks(headers) {
        // Rows that the caller holds are not even looked for.
        let now = view.as_of(&request.query).map_err(|error| refused(&error))?;
        let etag = tag(&answer::as_of_json(&now, committed), &now);
        if conditional::holds(headers, &etag) {
            return Ok(with_as_of(conditional::not_modified(&etag), &now));
        }
    }
    let answer = view.query(&request.query).map_err(|error| refused(&error))?;
    let as_of = answer::as_of_json(&answer.as_of, committed);
    let (content_type, body) = match request.format {
        Format::Json => ("application/json", answer::json(view.plan().path(), &as_of, &answer)),
        Format::Csv => ("text/csv; charset=utf-8; header=present", answer::csv(&answer)),
    };
    let body = body.map_err(|error| {
        tracing::error!(product = view.plan().path(), %error, "rows cannot be written");
        Problem::internal()
    })?;
    Ok(with_as_of(conditional::body(headers, &tag(&as_of, &answer.as_of), content_type, body), &answer.as_of))
}

fn with_as_of(mut response: Response, as_of: &AsOf) -> Response {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept"));
    if let Some(micro_batch) = answer::micro_batch(as_of) {
        headers.insert(MICRO_BATCH, micro_batch.into());
    }
    if let Some(watermark) = Time::from_watermark_ms(as_of.watermark_ms) {
        let text = HeaderValue::from_str(&watermark.to_string()).expect("a time is written in digits and `-:TZ.`");
        headers.insert(WATERMARK, text);
    }
    if let Some(version) = as_of.table_version {
        headers.insert(TABLE_VERSION, version.into());
    }
    response
}
