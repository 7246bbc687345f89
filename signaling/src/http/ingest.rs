//! Where encoders of a room publish, and the key that they need.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::{Action, Secret};
use crate::error::ApiError;
use crate::id::RoomId;
use crate::limit::{Door, Who};

use super::rooms::base_url;
use super::{Bearer, Body, RoomInPath};

/// Where encoders publish.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ingest {
    whip_url: String,
    /// Only when it is new: it is kept hashed, and shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stream_key: Option<String>,
}

/// Says where encoders publish.
#[utoipa::path(get, path = "/rooms/{id}/ingest", tag = "ingest", params(RoomInPath),
    responses((status = 200, body = Ingest)), security(("bearer" = [])))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
) -> Result<Json<Ingest>, ApiError> {
    let identity = bearer.required()?;
    let (record, role, _) = app.enter(&identity, &room).await?;
    role.check(Action::StreamKey, &record)?;
    Ok(Json(Ingest {
        whip_url: whip_url(&app, &record.id, &headers),
        stream_key: None,
    }))
}

/// What becomes of who publishes with an older key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rotation {
    /// Whether who publishes with an older key has to stop: the room is interrupted, and waits for who comes with the
    /// new one. Otherwise they go on until they stop by themselves.
    #[serde(default)]
    stop_encoder: bool,
}

/// Makes a new stream key, which is shown once. The old one opens nothing from then on.
#[utoipa::path(post, path = "/rooms/{id}/ingest/rotate", tag = "ingest", params(RoomInPath), request_body = Rotation,
    responses((status = 200, body = Ingest)), security(("bearer" = [])))]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
    rotation: Option<Body<Rotation>>,
) -> Result<Json<Ingest>, ApiError> {
    let identity = bearer.required()?;
    let (record, role, _) = app.enter(&identity, &room).await?;
    role.check(Action::StreamKey, &record)?;
    app.doors
        .pass(Door::CreateRoom, &Who::Identity(identity.id))?;
    let key = Secret::new(crate::id::random());
    let hash = key.hash();
    let set = app.stores.identities.set_stream_key(&record.id, &hash);
    if !set.await.map_err(ApiError::store)? {
        return Err(ApiError::no_room());
    }
    let stopped = if Body::or_default(rotation).stop_encoder {
        app.resources.end_other_keys(&record.id, &hash).await
    } else {
        0
    };
    info!(room = %record.id, stopped, "stream key changed");
    Ok(Json(Ingest {
        whip_url: whip_url(&app, &record.id, &headers),
        stream_key: Some(key.expose().to_owned()),
    }))
}

/// Says where encoders publish into a room, as seen by who asks.
fn whip_url(app: &App, room: &RoomId, headers: &HeaderMap) -> String {
    format!("{}/whip/{room}", base_url(app, headers))
}
