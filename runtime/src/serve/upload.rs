//! A module that somebody sends: who it is comes before what is sent.

use super::Site;
use super::modules::operator;
use super::orders::Operator;
use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// How long a module may take to arrive: 64 MiB over 4 Mbit/s. Who stalls must not keep others from their turn.
const LONGEST: Duration = Duration::from_secs(150);

/// How long the rest of a refused request is taken off the line. A client that sends first and reads afterwards would otherwise see a
/// broken connection instead of the reason.
const LINGER: Duration = Duration::from_secs(2);

/// The bytes of a module from somebody who may send one.
pub(super) struct Upload {
    pub(super) operator: Operator,
    pub(super) bytes: Bytes,
    /// Held until the order is answered, as the bytes are.
    pub(super) turn: OwnedSemaphorePermit,
}

impl FromRequest<Arc<Site>> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Self, Problem> {
        let operator = match operator(site, request.headers()) {
            Ok(operator) => operator,
            Err(problem) => {
                discard(request.into_body()).await;
                return Err(problem);
            }
        };
        let turn = site.turn_to_upload().await;
        let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the module did not arrive within 150 seconds");
        let read = timeout(LONGEST, Bytes::from_request(request, site)).await.map_err(late)?;
        let bytes = read.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        Ok(Self { operator, bytes, turn })
    }
}

/// Reads and keeps nothing.
async fn discard(body: Body) {
    let mut data = body.into_data_stream();
    let rest = async { while let Some(Ok(_)) = data.next().await {} };
    // Where it takes longer the connection is closed as it is.
    let _ = timeout(LINGER, rest).await;
}

#[cfg(test)]
mod tests {
    use super::super::orders::Operators;
    use super::super::{Status, Time};
    use super::*;
    use crate::telemetry::Metrics;
    use axum::http::header::AUTHORIZATION;
    use futures::FutureExt;

    fn site() -> Arc<Site> {
        let ada = Operator { name: "ada".to_owned(), domains: None };
        let (operators, _) = Operators::new([(b"secret".to_vec(), ada)]);
        Arc::new(Site::new(Status::starting("shop", Time(0)), Arc::new(Metrics::new())).operated_by(operators))
    }

    fn request(token: &str, body: Body) -> Request {
        Request::builder().header(AUTHORIZATION, format!("Bearer {token}")).body(body).unwrap()
    }

    #[tokio::test]
    async fn nobody_without_a_token_takes_a_turn() {
        let site = site();
        let _turns = [site.turn_to_upload().await, site.turn_to_upload().await];
        let Err(problem) = Upload::from_request(request("guess", Body::from("wasm")), &site).await else {
            panic!("it was taken")
        };
        assert_eq!(problem, Problem::unauthorized("the token is no operator's of this pipeline"));
    }

    #[tokio::test]
    async fn no_more_than_two_modules_are_received_at_once() {
        let site = site();
        let send = || Upload::from_request(request("secret", Body::from("wasm")), &site);
        let (one, two) = (send().await.ok().unwrap(), send().await.ok().unwrap());
        assert_eq!((&one.bytes[..], &*two.operator.name), (&b"wasm"[..], "ada"));
        assert!(send().now_or_never().is_none());
        drop(one);
        send().await.ok().unwrap();
    }
}
