//! What machines ask: alive, ready, how much.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Version, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::{ApiError, Code};

use super::bearer_token;

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> &'static str {
    std::future::ready("ok\n").await
}

/// `GET /readyz`: the server takes new clients.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    std::future::ready(app.course.check_open().map(|()| "ready\n")).await
}

/// `GET /metrics`: for this machine, and for who has the token.
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    version: Version,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // What a proxy on this machine hands on is not from this machine, and not every proxy says that it is one: some
    // do by the version of HTTP that nobody else speaks any more, of others the operator has told us.
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let direct = !forwarded.into_iter().any(|name| headers.contains_key(name))
        && version != Version::HTTP_10
        && app.config.public_url.is_none()
        // What forwards TLS to us adds no headers.
        && !app.config.tls();
    let token = bearer_token(&headers).ok().flatten();
    let known = match (&app.config.metrics_token, token) {
        (Some(secret), Some(token)) => secret.is(token),
        (_, _) => false,
    };
    let from_here = direct && remote.ip().to_canonical().is_loopback();
    if !known && !from_here {
        return Err(ApiError::new(
            Code::Forbidden,
            "Metrics need a token from here.",
        ));
    }
    let text = app.metrics.text().map_err(ApiError::internal)?;
    let content_type = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    std::future::ready(Ok((content_type, text).into_response())).await
}
