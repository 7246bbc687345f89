//! What is served over HTTP: the REST API, probes and the pages.

pub(crate) mod listen;

mod pace;

pub(crate) mod redirect;

pub(crate) mod origin;

pub(crate) mod remote;

pub(crate) mod visitor;

pub(crate) mod request;

pub(crate) mod accounts;

pub(crate) mod ingest;

pub(crate) mod rooms;

pub(crate) mod dashboard;

pub(crate) mod admin;

pub(crate) mod hooks;

pub(crate) mod webhooks;

pub(crate) mod query;

pub(crate) mod cursor;

pub(crate) mod page;

mod creation;

pub(crate) mod openapi;

pub(crate) mod body;

mod schema;

pub(crate) mod probes;

pub(crate) mod assets;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use crate::analytics::Region;
use crate::app::App;
use crate::auth::Identity;
use crate::error::{ApiError, Code};
use crate::limit::Who;
pub(crate) use body::Body;
use remote::ClientNetwork;
use visitor::Visitor;

/// Who asks, by the token of the `Authorization` header; `None` without one.
pub(crate) struct Bearer(pub(crate) Option<Identity>);

impl Bearer {
    /// Returns who asks.
    ///
    /// # Errors
    /// `unauthenticated` without a token.
    pub(crate) fn required(self) -> Result<Identity, ApiError> {
        self.0
            .ok_or_else(|| ApiError::new(Code::Unauthenticated, "A bearer token is needed."))
    }
}

impl FromRequestParts<Arc<App>> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        match bearer_token(&parts.headers)? {
            Some(token) => {
                let identity = app.authority.verify(token).await?;
                let identity = app.profiles.complete(identity).await;
                let ClientNetwork(client) = ClientNetwork::from_request_parts(parts, app).await?;
                Ok(Self(Some(identity.coming_from(client))))
            }
            None => Ok(Self(None)),
        }
    }
}

/// Who asks and from where, for what is limited by either.
pub(crate) struct Caller {
    /// `None` without a token.
    pub(crate) identity: Option<Identity>,
    from: IpAddr,
    /// The same; `None` where no more is known than a proxy of this server's.
    pub(crate) client: Option<IpAddr>,
    /// The country they are in.
    pub(crate) region: Region,
}

impl Caller {
    /// Returns by whom it is counted: anybody can be many guests, but not on many networks.
    pub(crate) fn who(&self) -> Who {
        match &self.identity {
            Some(identity) if !identity.is_guest() => Who::Identity(identity.id.clone()),
            Some(_) | None => Who::Network(self.from),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        let Bearer(identity) = Bearer::from_request_parts(parts, app).await?;
        Ok(Self {
            identity,
            from: visitor.network,
            client: visitor.client,
            region: visitor.origin.region,
        })
    }
}

/// Returns the token of the `Authorization` header (RFC 6750, section 2.1).
pub(crate) fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let credentials = value.to_str().ok().and_then(|value| value.split_once(' '));
    match credentials {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        Some(_) | None => Err(ApiError::new(
            Code::TokenInvalid,
            "The Authorization header has no bearer token.",
        )),
    }
}

/// The room that an address names, as it stands there; what is no text names no room.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path, names("id"))]
pub(crate) struct RoomInPath(
    /// The room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) String,
);

impl FromRequestParts<Arc<App>> for RoomInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        path.map(|Path(room)| Self(room))
            .map_err(|_| ApiError::no_room())
    }
}

/// Answers for addresses of the API that there are not.
pub(crate) async fn unknown_route() -> ApiError {
    std::future::ready(ApiError::new(
        Code::NotFound,
        "There is nothing at this address.",
    ))
    .await
}

/// Answers for methods that an address does not know.
pub(crate) async fn unknown_method() -> ApiError {
    let error = ApiError::new(
        Code::MethodNotAllowed,
        "This address does not know the method.",
    );
    std::future::ready(error).await
}
