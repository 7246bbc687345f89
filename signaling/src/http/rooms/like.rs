//! Who likes a room, over REST.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Action;
use crate::error::ApiError;
use crate::http::{Bearer, RoomInPath};
use crate::store::{Liked, Liking};

/// Whether somebody likes a room, and how many do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Likes {
    /// Whether who asks does.
    liked: bool,
    /// How many do.
    likes: u64,
}

impl From<Liked> for Likes {
    fn from(Liked { liked, likes }: Liked) -> Self {
        Self { liked, likes }
    }
}

/// Says whether who asks likes the room, and how many do.
#[utoipa::path(get, path = "/rooms/{id}/like", tag = "people", params(RoomInPath),
    responses((status = 200, body = Likes)), security((), ("bearer" = [])))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Likes>, ApiError> {
    let identity = identity.unwrap_or_else(super::nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    let liked = app.stores.likes.likes(&record.id, &identity.id).await;
    let found = app.stores.rooms.find(&record.id).await;
    let found = found.map_err(ApiError::store)?;
    Ok(Json(Likes {
        liked: liked.map_err(ApiError::store)?,
        likes: found.map_or(0, |record| record.like_count),
    }))
}

/// Likes the room: once, however often it is said.
#[utoipa::path(put, path = "/rooms/{id}/like", tag = "people", params(RoomInPath),
    responses((status = 200, body = Likes)), security(("bearer" = [])))]
pub(crate) async fn like(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Likes>, ApiError> {
    set(&app, bearer, &room, Liking::Yes).await
}

/// Likes the room no more.
#[utoipa::path(delete, path = "/rooms/{id}/like", tag = "people", params(RoomInPath),
    responses((status = 200, body = Likes)), security(("bearer" = [])))]
pub(crate) async fn unlike(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Likes>, ApiError> {
    set(&app, bearer, &room, Liking::No).await
}

async fn set(
    app: &App,
    bearer: Bearer,
    room: &str,
    liking: Liking,
) -> Result<Json<Likes>, ApiError> {
    let identity = bearer.required()?;
    let (record, _, grants) = app.enter(&identity, room).await?;
    grants.check(Action::React)?;
    let liked = app.rooms.like(&record.id, identity.id, liking).await?;
    Ok(Json(liked.into()))
}
