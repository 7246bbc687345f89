//! The right to enter a room, as a token.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use klieg_turn::IceServer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::base_url;
use crate::app::App;
use crate::auth::{Grants, Identity, Role, display_name};
use crate::error::{ApiError, Code};
use crate::http::{Body, Caller, RoomInPath};
use crate::limit::Door;
use crate::store::RoomStatus;
use crate::time::Timestamp;

/// Who wants to enter.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinParameters {
    /// What a guest is called; who shows a token has a name.
    #[schema(min_length = 1, max_length = 40)]
    name: Option<String>,
}

/// The right to enter a room.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JoinAnswer {
    /// For the socket's `auth`, and the bearer for WHIP and WHEP.
    token: String,
    /// Until when it may be used to connect.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    ws_url: String,
    whep_url: String,
    /// As `RTCPeerConnection` takes them.
    #[schema(value_type = Vec<crate::http::openapi::IceServerBody>)]
    ice_servers: Vec<IceServer>,
    role: Role,
    grants: Grants,
}

/// Lets somebody enter a room: checks that they may, and mints a token that says so.
///
/// Without a bearer: a guest. The token allows no more than the bearer's, and holds no longer.
#[utoipa::path(post, path = "/rooms/{id}/join", tag = "rooms", params(RoomInPath), request_body = JoinParameters,
    responses((status = 200, body = JoinAnswer)), security((), ("bearer" = [])))]
pub(crate) async fn join(
    State(app): State<Arc<App>>,
    caller: Caller,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
    parameters: Option<Body<JoinParameters>>,
) -> Result<Json<JoinAnswer>, ApiError> {
    app.course.check_open()?;
    app.doors.pass(Door::Join, &caller.who())?;
    let JoinParameters { name } = Body::or_default(parameters);
    let name = name.as_deref().map(display_name).transpose()?;
    let identity = match caller.identity {
        Some(identity) => identity,
        None => {
            let guest = Identity::guest(name.unwrap_or_else(|| "Guest".to_owned()));
            guest.coming_from(caller.client)
        }
    };
    let admitted = app.admit(&identity, &room).await?;
    let (role, grants) = admitted.now;
    let record = &admitted.record;
    if record.status == RoomStatus::Cancelled {
        return Err(ApiError::new(Code::RoomOver, "The room was cancelled."));
    }
    let issued = app
        .authority
        .join(&identity, admitted.opening(), app.join_ttl())?;
    app.rooms.expect(&record.id, issued.expires_at).await;
    let base = base_url(&app, &headers);
    let country = caller.region.as_str();
    Ok(Json(JoinAnswer {
        token: issued.token,
        expires_at: issued.expires_at,
        // http → ws, https → wss.
        ws_url: format!("ws{}/ws", base.trim_start_matches("http")),
        whep_url: format!("{base}/whep/{}", record.id),
        ice_servers: app.ice.for_client(&identity.id, country, SystemTime::now()),
        role,
        grants,
    }))
}
