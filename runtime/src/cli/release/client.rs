//! Asks a running pipeline over HTTP.

use super::args::ServerArgs;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Seconds after which an answer is given up: a large module takes a while to compile.
const LIMIT_S: u64 = 120;

/// Why a running pipeline did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is none.
    #[error("{server:?} is not an address of the form http://host:port")]
    Address {
        /// The address.
        server: String,
    },
    /// There is no token to show.
    #[error(
        "orders need an operator's token: set LAKEWARD_TOKEN to the token of an [operators.<name>] of the pipeline"
    )]
    NoToken,
    /// Nobody answers.
    #[error("no pipeline answers at {server}: --server or LAKEWARD_SERVER says where it runs")]
    Silent {
        /// The address.
        server: String,
        /// The cause.
        source: minreq::Error,
    },
    /// The pipeline refuses.
    #[error("the pipeline refuses: {detail}{}", reasons.iter().map(|reason| format!("\n  - {reason}")).collect::<String>())]
    Refused {
        /// The HTTP status.
        status: i32,
        /// Why.
        detail: String,
        /// The single reasons.
        reasons: Vec<String>,
    },
    /// The answer is not one of a pipeline.
    #[error("what answers at {server} is not a pipeline of this version")]
    Foreign {
        /// The address.
        server: String,
    },
}

impl ServerError {
    /// Whether the caller gave something wrong: no address, no token, or one without the right.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Address { .. } | Self::NoToken => true,
            Self::Refused { status, .. } => matches!(status, 400 | 401 | 403),
            Self::Silent { .. } | Self::Foreign { .. } => false,
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    reasons: Vec<String>,
}

/// Asks one pipeline.
pub(in crate::cli) struct Client {
    server: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(args: &ServerArgs) -> Result<Self, ServerError> {
        Self::of(&args.server)
    }

    /// Of the pipeline at this address.
    pub(in crate::cli) fn of(server: &str) -> Result<Self, ServerError> {
        let server = server.trim_end_matches('/').to_owned();
        let is_http = url::Url::parse(&server).is_ok_and(|url| url.scheme() == "http" && url.has_host());
        if !is_http {
            return Err(ServerError::Address { server });
        }
        Ok(Self { server, token: std::env::var("LAKEWARD_TOKEN").ok().filter(|token| !token.trim().is_empty()) })
    }

    /// What orders are given with.
    pub(super) fn token(&self) -> Result<&str, ServerError> {
        self.token.as_deref().map(str::trim).ok_or(ServerError::NoToken)
    }

    pub(in crate::cli) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ServerError> {
        let request = minreq::get(format!("{}{path}", self.server));
        // Some of what everybody may ask for has more in it for operators.
        self.send(match self.token() {
            Ok(token) => request.with_header("Authorization", format!("Bearer {token}")),
            Err(_) => request,
        })
    }

    /// The same, where there may be nothing.
    pub(super) fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ServerError> {
        match self.get(path) {
            Ok(found) => Ok(Some(found)),
            Err(ServerError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn delete<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ServerError> {
        self.order(minreq::delete, path, query, Vec::new())
    }

    /// Asks for what not everybody may see.
    pub(in crate::cli) fn get_as_operator<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ServerError> {
        self.order(minreq::get, path, query, Vec::new())
    }

    pub(in crate::cli) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<T, ServerError> {
        self.order(minreq::post, path, query, body)
    }

    fn order<T: DeserializeOwned>(
        &self,
        method: fn(String) -> minreq::Request,
        path: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<T, ServerError> {
        let token = self.token()?;
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = method(format!("{}{path}?{query}", self.server))
            .with_header("Authorization", format!("Bearer {token}"))
            .with_header("Content-Type", "application/wasm")
            .with_body(body);
        self.send(request)
    }

    fn send<T: DeserializeOwned>(&self, request: minreq::Request) -> Result<T, ServerError> {
        let silent = |source| ServerError::Silent { server: self.server.clone(), source };
        let answer = request.with_timeout(LIMIT_S).send().map_err(silent)?;
        let foreign = || ServerError::Foreign { server: self.server.clone() };
        if !(200..300).contains(&answer.status_code) {
            let problem: Problem = serde_json::from_slice(answer.as_bytes()).map_err(|_| foreign())?;
            let (detail, reasons) = (problem.detail, problem.reasons);
            return Err(ServerError::Refused { status: answer.status_code, detail, reasons });
        }
        serde_json::from_slice(answer.as_bytes()).map_err(|_| foreign())
    }
}
