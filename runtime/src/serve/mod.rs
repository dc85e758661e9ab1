//! The HTTP side: the catalog, live gold rows, status, metrics and the page; and, for who may, orders about modules.

pub mod catalog;
pub mod orders;
pub mod status;

mod answer;
mod cells;
mod conditional;
mod letters;
mod modules;
mod page;
mod parameters;
mod problem;
mod rows;
mod sending;
mod site;
mod time;
mod upload;

#[cfg(test)]
mod tests;

pub use catalog::Catalog;
pub use site::{Compared, Comparisons, Readiness, Site};
pub use status::Status;
pub use time::Time;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures::FutureExt;
use problem::Problem;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// How long open answers may take once the pipeline ends; a stuck reader must not hold up a deployment.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the HTTP side ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener failed.
    #[error("cannot accept connections")]
    Accept(#[source] std::io::Error),
}

/// Answers requests until `shutdown` completes, then lets open answers finish for up to five seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    site: Arc<Site>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let (ending, ended) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        // The other side is gone only if serving has ended already.
        let _ = ending.send(());
    };
    let listener = listener.tap_io(|connection| {
        // Small answers are sent at once instead of waiting for more to send.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let serving = axum::serve(listener, router(site)).with_graceful_shutdown(shutdown);
    let overdue = async {
        match ended.await {
            Ok(()) => tokio::time::sleep(DRAIN).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = serving.into_future() => served.map_err(Error::Accept),
        () = overdue => Ok(()),
    }
}

fn router(site: Arc<Site>) -> Router {
    let page = page::FILES.into_iter().fold(Router::new(), |router, file| {
        router.route(file.address, get(async move |headers: HeaderMap| page::file(&headers, file)))
    });
    page.route("/v1/products", get(products))
        .route("/v1/products/{domain}/{product}", get(product))
        .route("/v1/products/{domain}/{product}/rows", get(rows::rows))
        .merge(modules::routes())
        .merge(letters::routes())
        .route("/v1/status", get(status))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(nothing)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(from_fn(catch_panics))
        .layer(from_fn(for_browsers))
        .with_state(site)
}

async fn products(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let status = site.status();
    let published = site.published();
    let products = published.catalog.products.iter().map(|product| product.as_of(&status)).collect();
    conditional::json(&headers, &Catalog { products })
}

async fn product(
    State(site): State<Arc<Site>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let published = site.published();
    let product = find_product(&published.catalog, path)?;
    Ok(conditional::json(&headers, &product.as_of(&site.status())))
}

async fn status(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    conditional::json(&headers, &*site.status())
}

async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(site): State<Arc<Site>>) -> Result<&'static str, Problem> {
    match &*site.readiness() {
        Readiness::Ready => Ok("ready\n"),
        Readiness::NotReady(why) => Err(Problem::unavailable(why)),
    }
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let content_type = HeaderValue::from_static(prometheus::TEXT_FORMAT);
    ([(CONTENT_TYPE, content_type)], site.metrics().encode()).into_response()
}

async fn nothing(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`; `/v1/products` lists the products", request.uri().path()))
}

fn find_product(
    catalog: &Catalog,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<&catalog::Product, Problem> {
    let Path((domain, name)) = path.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    if catalog.products.is_empty() {
        return Err(Problem::unavailable("the pipeline is starting, its products are not open yet"));
    }
    catalog.product(&domain, &name).ok_or_else(|| {
        Problem::not_found(format!("there is no product `{domain}/{name}`; `/v1/products` lists the products"))
    })
}

/// A panic costs one answer.
async fn catch_panics(request: Request, next: Next) -> Response {
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| Problem::internal().into_response())
}

/// Lets dashboards of any origin read: there is nothing to change here and no cookie to abuse.
async fn for_browsers(request: Request, next: Next) -> Response {
    let asks_first = request.method() == Method::OPTIONS;
    let mut response = if asks_first { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if asks_first {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("accept, if-none-match"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    } else {
        let readable = "etag, lakeward-micro-batch, lakeward-watermark, lakeward-table-version";
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(readable));
    }
    response
}
