//! To start and end a room, and to ask how it stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::Room;
use super::{manage, nobody};
use crate::app::App;
use crate::auth::Identity;
use crate::error::ApiError;
use crate::http::{Bearer, RoomInPath};
use crate::room::{Input, Reason, RoomSummary};
use crate::store::RoomStatus;
use crate::time::Timestamp;

/// How a room stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusAnswer {
    status: RoomStatus,
    /// Viewing sessions that are open.
    viewer_count: u64,
    /// When media first came; `null` before.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// Seconds since then, or until it was over; `null` before.
    duration_sec: Option<u64>,
    /// The lines of the best picture that comes, such as `720p`; `null` while none does.
    quality: Option<String>,
}

/// Lets a room begin: it waits for media from now on.
#[utoipa::path(post, path = "/rooms/{id}/start", tag = "rooms", params(RoomInPath),
    responses((status = 200, body = Room)), security(("bearer" = [])))]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Room>, ApiError> {
    let identity = bearer.required()?;
    app.course.check_open()?;
    act(&app, &identity, &room, Input::Start(Reason::Owner)).await
}

/// Ends a room's event.
#[utoipa::path(post, path = "/rooms/{id}/end", tag = "rooms", params(RoomInPath),
    responses((status = 200, body = Room)), security(("bearer" = [])))]
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Room>, ApiError> {
    act(&app, &bearer.required()?, &room, Input::End(Reason::Owner)).await
}

/// Says how a room stands.
#[utoipa::path(get, path = "/rooms/{id}/status", tag = "rooms", params(RoomInPath),
    responses((status = 200, body = StatusAnswer)), security((), ("bearer" = [])))]
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<StatusAnswer>, ApiError> {
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    let now = app.rooms.summary(&record.id);
    let (started_at, ended_at) = now
        .as_ref()
        .map_or((record.started_at, record.ended_at), |now| {
            (now.started_at, now.ended_at)
        });
    let until = ended_at.unwrap_or_else(Timestamp::now);
    Ok(Json(StatusAnswer {
        status: now.as_ref().map_or(record.status, |now| now.status),
        viewer_count: now.as_ref().map_or(0, |now| now.viewer_count),
        started_at,
        duration_sec: started_at.map(|start| until.since(start).as_secs()),
        quality: now.as_ref().and_then(RoomSummary::quality),
    }))
}

async fn act(
    app: &App,
    identity: &Identity,
    room: &str,
    input: Input,
) -> Result<Json<Room>, ApiError> {
    let record = manage(app, identity, room).await?;
    app.rooms.act(&record.id, input).await?;
    let record = app.stores.rooms.find(&record.id).await;
    let record = record.map_err(ApiError::store)?;
    let mut record = record.ok_or_else(ApiError::no_room)?;
    // What was watched is written down a moment later than that it is over.
    if let Some(here) = app.rooms.record(&record.id) {
        record.watch_ms = record.watch_ms.max(here.watch_ms);
    }
    Ok(Json(Room::new(app, record)))
}
