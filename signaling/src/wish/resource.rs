//! A session's own address: to trickle candidates, to restart ICE, to end it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State as AppState;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::ApiError;
use crate::room::Departure;

use super::FRAGMENT;
use super::endpoint::{Body, entity_tag, refusal, text};
use super::headers::{add, check_content_type, check_if_match};
use super::resources::{Found, Resource};

/// `GET /{whip,whep}/{room}/{session}`: it is there.
pub(crate) async fn show(_: Found) -> StatusCode {
    std::future::ready(StatusCode::NO_CONTENT).await
}

/// `PATCH /{whip,whep}/{room}/{session}`.
pub(crate) async fn patch(
    AppState(app): AppState<Arc<App>>,
    Found(resource): Found,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    std::future::ready(take_fragment(&app, &resource, &headers, body)).await
}

/// `DELETE /{whip,whep}/{room}/{session}`.
pub(crate) async fn delete(
    AppState(app): AppState<Arc<App>>,
    Found(resource): Found,
) -> StatusCode {
    app.resources.end(resource, Departure::Left).await;
    StatusCode::OK
}

/// Takes a fragment (RFC 9725, section 4.3): 204 for candidates, 200 with ours for an ICE restart.
fn take_fragment(
    app: &App,
    resource: &Resource,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    check_content_type(headers, FRAGMENT)?;
    let mut state = resource.state();
    state.take_request(Instant::now())?;
    check_if_match(headers, &entity_tag(&state.session))?;
    // Changed only once the forwarding unit has taken it, so that the client may try again.
    let mut session = state.session.clone();
    let negotiated = session
        .handle_fragment(&app.media.config(), &text(body)?)
        .map_err(refusal)?;
    let Some(negotiated) = negotiated else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    app.media.carry_out(negotiated.commands)?;
    state.session = session;
    let mut response = negotiated.sdp.into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    add(headers, header::CONTENT_TYPE, FRAGMENT);
    add(headers, header::ETAG, &entity_tag(&state.session));
    Ok(response)
}
