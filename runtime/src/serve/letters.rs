//! `/v1/modules/{module}/dead-letters`: what a module could not make rows of, for an operator who may look at it: records are shown as they
//! were read, unmasked.

use super::modules::operator;
use super::orders::About;
use super::problem::Problem;
use super::{Site, conditional};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Json, Router};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/v1/modules/{module}/dead-letters", about(MethodFilter::GET, About::List))
        .route("/v1/modules/{module}/dead-letters/show", about(MethodFilter::GET, About::Show))
        .route("/v1/modules/{module}/dead-letters/redrive", about(MethodFilter::POST, About::Redrive))
        .route("/v1/modules/{module}/dead-letters/discard", about(MethodFilter::POST, About::Discard))
}

fn about(method: MethodFilter, about: About) -> MethodRouter<Arc<Site>> {
    on(
        method,
        move |State(site): State<Arc<Site>>,
              Path(module): Path<String>,
              RawQuery(query): RawQuery,
              headers: HeaderMap| async move {
            let operator = operator(&site, &headers)?;
            let parameters = url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
            let parameters = parameters.into_owned().collect();
            let reply = site.operators().inquire(operator, module, about, parameters).await;
            let answer = reply.ok_or_else(|| Problem::unavailable("the pipeline is ending"))??;
            Ok::<Response, Problem>(match about {
                About::List | About::Show => conditional::json(&headers, &answer),
                About::Redrive | About::Discard => (StatusCode::ACCEPTED, Json(answer)).into_response(),
            })
        },
    )
}
