//! Rooms over REST.

pub(crate) mod fields;

pub(crate) mod view;

pub(crate) mod lists;

pub(crate) mod edit;

pub(crate) mod life;

pub(crate) mod join;

pub(crate) mod people;

pub(crate) mod chat;

pub(crate) mod audit;

pub(crate) mod moderation;

pub(crate) mod helpers;

pub(crate) mod products;

pub(crate) mod like;

pub(crate) mod react;

pub(crate) mod thumbnail;

pub(crate) mod floor;

pub(crate) mod analytics;

use axum::http::{HeaderMap, StatusCode, header};

use crate::app::App;
use crate::auth::{Action, Grants, Identity};
use crate::error::ApiError;
use crate::http::Bearer;
use crate::store::{Deed, RoomRecord};

/// One who shows no token may look at what guests may.
pub(super) fn nobody() -> Identity {
    Identity::guest("Guest".to_owned())
}

/// Finds a room for who may change it.
///
/// # Errors
/// `not_found` for who may not know of it, `forbidden` for who may.
pub(super) async fn manage(
    app: &App,
    identity: &Identity,
    room: &str,
) -> Result<RoomRecord, ApiError> {
    let (record, role, _) = app.enter(identity, room).await?;
    role.check(Action::Manage, &record)?;
    Ok(record)
}

/// Finds a room for who keeps order there.
///
/// # Errors
/// As [`manage`].
pub(super) async fn moderate(
    app: &App,
    identity: &Identity,
    room: &str,
) -> Result<(RoomRecord, Grants), ApiError> {
    let (record, _, grants) = app.enter(identity, room).await?;
    grants.check(Action::Moderate)?;
    Ok((record, grants))
}

/// Keeps order in a room for somebody who may; answered once it is stored.
///
/// # Errors
/// As [`moderate`]; `not_found` when there is nothing that it could be done to.
pub(super) async fn keep_order(
    app: &App,
    bearer: Bearer,
    room: &str,
    deed: Deed,
) -> Result<StatusCode, ApiError> {
    carry_out(app, bearer, room, deed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// As [`keep_order`]; returns with how many addresses a ban goes.
pub(super) async fn carry_out(
    app: &App,
    bearer: Bearer,
    room: &str,
    deed: Deed,
) -> Result<usize, ApiError> {
    let identity = bearer.required()?;
    let (record, role, grants) = app.enter(&identity, room).await?;
    grants.check(Action::Moderate)?;
    role.check_deed(&deed)?;
    deed.check()?;
    let by = identity.author(role);
    app.rooms.keep_order(&record.id, by, deed).await
}

/// Says how this server is reached, as seen by who asks: `https://live.example`.
pub(crate) fn base_url(app: &App, headers: &HeaderMap) -> String {
    match &app.config.public_url {
        Some(url) => url.clone(),
        None => {
            let host = headers.get(header::HOST);
            let host = host.and_then(|host| host.to_str().ok());
            let scheme = app.config.scheme();
            format!("{scheme}://{}", host.unwrap_or("localhost"))
        }
    }
}
