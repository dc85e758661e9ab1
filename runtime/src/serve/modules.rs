//! `/v1/modules`: where the modules stand, and orders about them for who shows a token.

use super::orders::{Accepted, Act, Offer, Operator, Refusal, Released};
use super::problem::Problem;
use super::upload::Upload;
use super::{Site, conditional};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on, post};
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;

/// The largest module that is taken, in bytes; one of the SDK has some hundred thousand.
const LARGEST_MODULE: usize = 64 << 20;

#[derive(Serialize)]
struct Modules<'a> {
    modules: &'a [Released],
}

pub(super) fn routes() -> Router<Arc<Site>> {
    let largest = DefaultBodyLimit::max(LARGEST_MODULE);
    let end_shadow = about(MethodFilter::DELETE, |module| Act::EndShadow { module });
    Router::new()
        .route("/v1/modules", get(modules).post(deploy).layer(largest))
        .route("/v1/modules/{module}", get(module))
        .route("/v1/modules/{module}/rollback", about(MethodFilter::POST, |module| Act::Rollback { module }))
        .route("/v1/modules/{module}/promote", post(promote))
        .route("/v1/modules/{module}/rewind", post(rewind))
        .route("/v1/modules/{module}/shadow", get(comparison).post(shadow).merge(end_shadow).layer(largest))
        .route("/v1/modules/{module}/pause", about(MethodFilter::POST, |module| Act::Pause { module }))
        .route("/v1/modules/{module}/resume", about(MethodFilter::POST, |module| Act::Resume { module }))
}

async fn modules(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    conditional::json(&headers, &Modules { modules: &released(&site) })
}

async fn module(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = released(&site).into_iter().find(|released| released.module == name);
    let found = found
        .ok_or_else(|| Problem::not_found(format!("there is no module `{name}`; `/v1/modules` lists the modules")))?;
    Ok(conditional::json(&headers, &found))
}

/// Where the modules stand, with what runs at this moment.
fn released(site: &Site) -> Vec<Released> {
    let (status, rewound) = (site.status(), site.rewound());
    let with_status = |of: &Released| {
        let known = status.modules.iter().find(|module| module.name == of.module);
        let runs = known.filter(|module| module.paused.is_none() && module.parked.is_none());
        let running = runs.map(|module| module.digest.clone());
        let rewound = rewound.get(&of.module).copied();
        let stopped = known.map(|module| module.stopped.clone()).unwrap_or_default();
        let metered = known.map(|module| module.metered.clone());
        Released { running, rewound, stopped, metered, ..of.clone() }
    };
    site.released().iter().map(with_status).collect()
}

async fn deploy(
    State(site): State<Arc<Site>>,
    RawQuery(query): RawQuery,
    Upload { operator, bytes, turn: _turn }: Upload,
) -> Result<Response, Problem> {
    let allowed = ["why", "replaces", "as_version", "rebuild", "yes", "dry_run"];
    let Parameters { why, replaces, as_version, rebuild, yes, dry_run, .. } =
        Parameters::parse(query.as_deref(), &allowed)?;
    give(&site, operator, why, Act::Deploy(Offer { bytes, replaces, as_version, rebuild, yes, dry_run })).await
}

/// Whose shadow it is, its manifest says: the name in the address is for people.
async fn shadow(
    State(site): State<Arc<Site>>,
    RawQuery(query): RawQuery,
    Upload { operator, bytes, turn: _turn }: Upload,
) -> Result<Response, Problem> {
    let Parameters { why, as_version, .. } = Parameters::parse(query.as_deref(), &["why", "as_version"])?;
    give(&site, operator, why, Act::Shadow { bytes, as_version }).await
}

async fn comparison(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (released, comparisons) = (site.released(), site.comparisons());
    let shadow = released.iter().find(|released| released.module == name).and_then(|module| module.shadow.as_ref());
    let found = shadow.and_then(|shadow| comparisons.get(&(name.clone(), shadow.clone()))).ok_or_else(|| {
        Problem::not_found(format!(
            "nothing was compared with module `{name}` yet; `lakeward shadow` runs another beside it"
        ))
    })?;
    let is_operator = operator(&site, &headers).is_ok();
    Ok(conditional::json(&headers, if is_operator { &found.for_operators } else { &found.for_everybody }))
}

async fn promote(
    State(site): State<Arc<Site>>,
    Path(module): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let operator = operator(&site, &headers)?;
    let parameters = Parameters::parse(query.as_deref(), &["why", "if"])?;
    let act = Act::Promote { module, conditions: parameters.conditions };
    give(&site, operator, parameters.why, act).await
}

async fn rewind(
    State(site): State<Arc<Site>>,
    Path(module): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let operator = operator(&site, &headers)?;
    let parameters = Parameters::parse(query.as_deref(), &["why", "to", "rollback", "dry_run"])?;
    let missing = "say where to go back to: `to` is a micro-batch, a time, or a digest to go back before";
    let to = parameters.to.ok_or_else(|| Problem::bad_request(missing))?;
    let (rollback, dry_run) = (parameters.rollback, parameters.dry_run);
    give(&site, operator, parameters.why, Act::Rewind { module, to, rollback, dry_run }).await
}

/// Takes orders that say no more than which module they are about.
fn about(method: MethodFilter, act: fn(String) -> Act) -> MethodRouter<Arc<Site>> {
    on(
        method,
        move |State(site): State<Arc<Site>>,
              Path(module): Path<String>,
              RawQuery(query): RawQuery,
              headers: HeaderMap| async move {
            let operator = operator(&site, &headers)?;
            let parameters = Parameters::parse(query.as_deref(), &["why"])?;
            give(&site, operator, parameters.why, act(module)).await
        },
    )
}

/// Who asks, by the token of the request.
pub(super) fn operator(site: &Site, headers: &HeaderMap) -> Result<Operator, Problem> {
    let operators = site.operators();
    if operators.is_empty() {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "this pipeline takes no orders: name who may give them, [operators.<name>] with a token",
        ));
    }
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        shown.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else {
        return Err(Problem::unauthorized("show an operator's token: `Authorization: Bearer ..`"));
    };
    let known = operators.find(token.trim().as_bytes()).cloned();
    known.ok_or_else(|| Problem::unauthorized("the token is no operator's of this pipeline"))
}

async fn give(site: &Site, operator: Operator, why: Option<String>, act: Act) -> Result<Response, Problem> {
    let reply = site.operators().give(operator, why, act).await;
    let accepted: Accepted = reply.ok_or_else(|| Problem::unavailable("the pipeline is ending"))??;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(detail) => Self::not_found(detail),
            Refusal::Conflict(detail) => Self::new(StatusCode::CONFLICT, detail),
            Refusal::Unfit(detail, reasons) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).because(reasons),
            Refusal::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, detail),
            Refusal::Unavailable(detail) => Self::unavailable(detail),
            Refusal::Internal => Self::internal(),
        }
    }
}

/// The parameters of an order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    why: Option<String>,
    replaces: Option<String>,
    conditions: Vec<String>,
    to: Option<String>,
    as_version: Option<u32>,
    rebuild: bool,
    yes: bool,
    rollback: bool,
    dry_run: bool,
}

impl Parameters {
    fn parse(query: Option<&str>, allowed: &[&str]) -> Result<Self, Problem> {
        let mut parameters = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !allowed.contains(&&*name) {
                let known = allowed.join("`, `");
                return Err(Problem::bad_request(format!("there is no parameter `{name}`; there are `{known}`")));
            }
            let place = match &*name {
                "if" => {
                    parameters.conditions.push(value.into_owned());
                    continue;
                }
                "rollback" => {
                    parameters.rollback = choice(&name, &value)?;
                    continue;
                }
                "dry_run" => {
                    parameters.dry_run = choice(&name, &value)?;
                    continue;
                }
                "rebuild" => {
                    parameters.rebuild = choice(&name, &value)?;
                    continue;
                }
                "yes" => {
                    parameters.yes = choice(&name, &value)?;
                    continue;
                }
                "as_version" => {
                    parameters.as_version = Some(version(&value)?);
                    continue;
                }
                "to" => &mut parameters.to,
                "why" => &mut parameters.why,
                _ => &mut parameters.replaces,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Problem::bad_request(format!("parameter `{name}` is given twice")));
            }
        }
        Ok(parameters)
    }
}

fn version(value: &str) -> Result<u32, Problem> {
    value.parse().map_err(|_| Problem::bad_request(format!("`as_version` is a number, as 2, not {value:?}")))
}

fn choice(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::bad_request(format!("`{name}` is true or false, not {value:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_they_are_meant_or_refused() {
        let allowed = ["why", "as_version", "rebuild", "yes", "dry_run"];
        let parse = |query| Parameters::parse(Some(query), &allowed);
        let why = Some("by kind".to_owned());
        let meant = Parameters { as_version: Some(2), rebuild: true, why, ..Parameters::default() };
        assert_eq!(parse("as_version=2&rebuild=true&yes=false&why=by+kind").ok(), Some(meant));
        for wrong in ["as_version=", "as_version=-2", "as_version=v2", "rebuild=yes", "yes=1", "replaces=ab"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
