//! Rooms over REST: to list, create, look at and join them, and to read what was said.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use klieg_turn::IceServer;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::auth::{Grants, Identity, Role, Secret};
use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::store::{
    self, ChatMessage, RoomCursor, RoomOrder, RoomQuery, RoomRecord, RoomStatus, User, Visibility,
};
use crate::text;
use crate::time::Timestamp;
use crate::ws::protocol::RoomView;

use super::accounts::display_name;
use super::{Bearer, Body, RoomInPath};

/// A room in a list: what the socket says and how many watch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedRoom<'a> {
    #[serde(flatten)]
    room: RoomView<'a>,
    viewer_count: u64,
}

/// A room as JSON.
pub(crate) type RoomJson = Json<serde_json::Value>;

fn listed(app: &App, record: &RoomRecord) -> serde_json::Value {
    let mut room = RoomView::from(record);
    let summary = app.rooms.summary(&record.id);
    if let Some(summary) = &summary {
        room.status = summary.status;
        room.started_at = summary.started_at;
    }
    let viewer_count = summary.map_or(0, |summary| summary.viewer_count);
    serde_json::to_value(ListedRoom { room, viewer_count }).unwrap_or_default()
}

#[derive(Deserialize)]
pub(crate) struct ListParameters {
    status: Option<RoomStatus>,
    q: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// One page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// `GET /api/v1/rooms`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    parameters: Result<Query<ListParameters>, QueryRejection>,
) -> Result<Json<Page<serde_json::Value>>, ApiError> {
    let Query(parameters) = parameters.map_err(|_| bad_query())?;
    let limit = page_size(parameters.limit)?;
    // No title is longer, and the database takes no pattern of any length.
    let asked = parameters.q.as_deref().unwrap_or_default();
    if asked.chars().count() > MAX_TITLE_LENGTH {
        return Err(bad_query());
    }
    let query = RoomQuery {
        status: parameters.status,
        words: parameters
            .q
            .filter(|text| !text.is_empty())
            .map(|text| store::words(&text)),
        viewer: identity
            .filter(Identity::may_host)
            .map(|identity| identity.id),
        after: parameters.cursor.as_deref().map(read_cursor).transpose()?,
        limit: limit + 1,
        ..RoomQuery::default()
    };
    let mut rooms = app
        .stores
        .rooms
        .list(&query)
        .await
        .map_err(ApiError::store)?;
    let next_cursor =
        cut(&mut rooms, limit).map(|last| write_cursor(&RoomCursor::of(last, RoomOrder::Active)));
    let items = rooms.iter().map(|record| listed(&app, record)).collect();
    Ok(Json(Page { items, next_cursor }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewRoom {
    title: String,
    #[serde(default = "public")]
    visibility: Visibility,
    #[serde(default)]
    allow_guest_chat: bool,
}

fn public() -> Visibility {
    Visibility::Public
}

/// `POST /api/v1/rooms`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    Body(new): Body<NewRoom>,
) -> Result<(StatusCode, RoomJson), ApiError> {
    let identity = bearer.required()?;
    if !identity.may_host() {
        return Err(ApiError::new(Code::Forbidden, "You may not create rooms."));
    }
    let title = text::clean(&new.title);
    if !(1..=MAX_TITLE_LENGTH).contains(&title.chars().count()) {
        return Err(ApiError::new(
            Code::BadMessage,
            "A title has 1 to 120 characters.",
        ));
    }
    let owner = User {
        id: identity.id,
        name: identity.name,
    };
    let record = RoomRecord {
        visibility: new.visibility,
        status: RoomStatus::Ready,
        allow_guest_chat: new.allow_guest_chat,
        ..RoomRecord::new(RoomId::random(), title, owner, Timestamp::now())
    };
    let key = Secret::new(crate::id::random());
    app.stores
        .rooms
        .create(&record, &key.hash(), None)
        .await
        .map_err(ApiError::store)?;
    tracing::info!(room = %record.id, "room created");
    let mut room = listed(&app, &record);
    room["ingest"] = serde_json::json!({ "streamKey": key.expose() });
    Ok((StatusCode::CREATED, Json(room)))
}

/// `GET /api/v1/rooms/{id}`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<RoomJson, ApiError> {
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    Ok(Json(listed(&app, &record)))
}

#[derive(Default, Deserialize)]
pub(crate) struct JoinParameters {
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JoinAnswer {
    token: String,
    expires_at: Timestamp,
    ws_url: String,
    ice_servers: Vec<IceServer>,
    role: Role,
    grants: Grants,
}

/// `POST /api/v1/rooms/{id}/join`.
pub(crate) async fn join(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
    Body(parameters): Body<JoinParameters>,
) -> Result<Json<JoinAnswer>, ApiError> {
    let identity = match identity {
        Some(identity) => identity,
        None => {
            let name = parameters.name.as_deref().map(display_name).transpose()?;
            Identity::guest(name.unwrap_or_else(|| "Guest".to_owned()))
        }
    };
    let (record, role, grants) = app.enter(&identity, &room).await?;
    let issued = app
        .authority
        .join(&identity, &record.id, (role, grants), app.join_ttl())?;
    Ok(Json(JoinAnswer {
        token: issued.token,
        expires_at: issued.expires_at,
        ws_url: ws_url(&app, &headers),
        ice_servers: app.ice.for_identity(&identity.id, SystemTime::now()),
        role,
        grants,
    }))
}

#[derive(Deserialize)]
pub(crate) struct ChatParameters {
    before: Option<u64>,
    limit: Option<u32>,
}

/// `GET /api/v1/rooms/{id}/chat`: the newest first.
pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
    parameters: Result<Query<ChatParameters>, QueryRejection>,
) -> Result<Json<Page<ChatMessage>>, ApiError> {
    let Query(parameters) = parameters.map_err(|_| bad_query())?;
    let limit = page_size(parameters.limit)?;
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    let before = parameters.before.unwrap_or(u64::MAX);
    let journal = &app.stores.journal;
    let messages = journal.chat(&record.id, before, limit + 1).await;
    let mut items = messages.map_err(ApiError::store)?;
    let next_cursor = cut(&mut items, limit).map(|last| last.seq.to_string());
    Ok(Json(Page { items, next_cursor }))
}

/// One who shows no token may look at what guests may.
fn nobody() -> Identity {
    Identity::guest("Guest".to_owned())
}

/// Says where the socket of this server is, as seen by who asks.
fn ws_url(app: &App, headers: &HeaderMap) -> String {
    match &app.config.public_url {
        // http → ws, https → wss.
        Some(url) => format!("ws{}/ws", url.trim_start_matches("http")),
        None => {
            let host = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok());
            format!("ws://{}/ws", host.unwrap_or("localhost"))
        }
    }
}

fn bad_query() -> ApiError {
    ApiError::new(
        Code::BadMessage,
        "A parameter of the address makes no sense.",
    )
}

fn page_size(wanted: Option<u32>) -> Result<u32, ApiError> {
    let limit = wanted.unwrap_or(DEFAULT_PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::new(
            Code::BadMessage,
            "`limit` must be from 1 to 100.",
        ))
    }
}

/// Cuts a list that was read one longer than wanted; returns its last item when there are more.
fn cut<T>(items: &mut Vec<T>, limit: u32) -> Option<&T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    items.last().filter(|_| more)
}

fn write_cursor(cursor: &RoomCursor) -> String {
    let RoomCursor { rank, key, id } = cursor;
    URL_SAFE_NO_PAD.encode(format!("{rank}:{key}:{id}"))
}

fn read_cursor(text: &str) -> Result<RoomCursor, ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(3, ':');
        Some(RoomCursor {
            rank: parts.next()?.parse().ok()?,
            key: parts.next()?.parse().ok()?,
            id: parts.next()?.to_owned(),
        })
    };
    read().ok_or_else(|| ApiError::new(Code::BadMessage, "`cursor` is not one of ours."))
}

const MAX_TITLE_LENGTH: usize = 120;
const DEFAULT_PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_can_be_read_back_and_nothing_else_can() {
        let cursor = RoomCursor {
            rank: -1,
            key: 1_763_700_000_000,
            id: "a:b".into(),
        };
        assert_eq!(read_cursor(&write_cursor(&cursor)).unwrap(), cursor);
        for bad in ["", "x", "MTp4OmE", "////"] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
