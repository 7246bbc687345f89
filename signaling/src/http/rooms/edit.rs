//! To create, look at, change and remove a room.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tracing::info;

use super::fields::{NewRoom, RoomPatch};
use super::view::{CreatedRoom, Room};
use super::{base_url, manage, nobody};
use crate::app::App;
use crate::auth::{Action, Identity, Secret};
use crate::error::{ApiError, Code};
use crate::http::creation::{IdempotencyKey, creation_key, used_otherwise};
use crate::http::query::Parameters;
use crate::http::{Bearer, Body, RoomInPath};
use crate::id::RoomId;
use crate::limit::{Door, Who};
use crate::room::{Input, Reason};
use crate::store::{Created, CreationKey, RoomRecord, RoomStatus, User};
use crate::time::Timestamp;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CreateParameters {
    /// Whether the room begins at once: it is `ready` instead of `scheduled`.
    #[serde(default)]
    start: bool,
}

/// Creates a room.
#[utoipa::path(post, path = "/rooms", tag = "rooms",
    params(CreateParameters, IdempotencyKey),
    request_body = NewRoom, responses((status = 201, body = CreatedRoom)), security(("bearer" = [])))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    Parameters(parameters): Parameters<CreateParameters>,
    headers: HeaderMap,
    Body(new): Body<NewRoom>,
) -> Result<(StatusCode, Json<CreatedRoom>), ApiError> {
    let identity = bearer.required()?;
    identity.check(Action::Create)?;
    let request = format!("{new:?} {}", parameters.start);
    let creation = creation_key(&headers, &identity, &request)?;
    let rooms = &app.stores.rooms;
    let base = base_url(&app, &headers);
    // What was right when it was asked for the first time may be none the second: it is not looked at again.
    if let Some(creation) = &creation {
        let before = rooms.created(creation).await;
        if let Some(before) = before.map_err(ApiError::store)? {
            return created(&app, None, (Some(creation), before), &base).await;
        }
    }
    // Nor does it count again, or come too late: a client that asks anew for want of an answer gets it.
    app.course.check_open()?;
    app.doors
        .pass(Door::CreateRoom, &Who::Identity(identity.id.clone()))?;
    let record = new_record(&identity, new, parameters.start)?;
    let key = stream_key(&app, creation.as_ref(), &record.id);
    let made = rooms.create(&record, &key.hash(), creation.as_ref()).await;
    let made = made.map_err(ApiError::store)?;
    let room = Some((record, key));
    created(&app, room, (creation.as_ref(), made), &base).await
}

/// Answers with the room that there is now.
async fn created(
    app: &App,
    new: Option<(RoomRecord, Secret)>,
    (creation, created): (Option<&CreationKey>, Created),
    base: &str,
) -> Result<(StatusCode, Json<CreatedRoom>), ApiError> {
    let (record, key) = match (created, new) {
        (Created::New, Some((record, key))) => {
            info!(room = %record.id, "room created");
            (record, Some(key))
        }
        // 128 random bits that were there before: nobody sees this.
        (Created::Taken | Created::New, _) => return Err(ApiError::busy()),
        (Created::Other, _) => return Err(used_otherwise()),
        (Created::Before { room, key_hash, .. }, _) => {
            let record = app.stores.rooms.find(&room).await;
            let record = record.map_err(ApiError::store)?.ok_or_else(|| {
                let text = "The room that was created under this Idempotency-Key was removed.";
                ApiError::new(Code::RoomOver, text)
            })?;
            let key = stream_key(app, creation, &room);
            // A key that was rotated since is of no use.
            let holds = key_hash.is_some_and(|hash| hash == key.hash());
            (record, holds.then_some(key))
        }
    };
    let room = CreatedRoom::new(app, record, key.as_ref(), base);
    Ok((StatusCode::CREATED, Json(room)))
}

/// Shows a room.
#[utoipa::path(get, path = "/rooms/{id}", tag = "rooms", params(RoomInPath),
    responses((status = 200, body = Room, headers(("ETag" = String)))), security((), ("bearer" = [])))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Response, ApiError> {
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    Ok(tagged(&app, record))
}

/// Changes what the owner writes about a room.
///
/// With `If-Match` only if nobody changed it since: 412 otherwise.
#[utoipa::path(patch, path = "/rooms/{id}", tag = "rooms",
    params(RoomInPath, ("If-Match" = Option<String>, Header, description = "The ETag of the room as it was read")),
    request_body = RoomPatch, responses((status = 200, body = Room, headers(("ETag" = String)))),
    security(("bearer" = [])))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
    Body(patch): Body<RoomPatch>,
) -> Result<Response, ApiError> {
    let identity = bearer.required()?;
    let mut record = manage(&app, &identity, &room).await?;
    let turn = app.editors.take(&record.id).await?;
    for _ in 0..ATTEMPTS {
        let before = record.clone();
        patch.clone().apply(&mut record)?;
        if !matches(&headers, &record) {
            return Err(changed_since());
        }
        if record == before {
            return Ok(tagged(&app, record));
        }
        if before.status != RoomStatus::Scheduled && record.scheduled_at != before.scheduled_at {
            let text = "Only a scheduled room can be put off.";
            return Err(ApiError::new(Code::RoomState, text));
        }
        let updated = app.stores.rooms.update(&record).await;
        if updated.map_err(|error| turn.fail(error))? {
            record.version += 1;
            app.rooms.changed(&record).await;
            info!(room = %record.id, version = record.version, "room changed");
            return Ok(tagged(&app, record));
        }
        // Somebody was faster, maybe through another server, so not the memory of this one is asked.
        // Who said which version they mean is told so; a change of any is made to the new one.
        record = app.find(&record.id).await?.ok_or_else(ApiError::no_room)?;
    }
    Err(ApiError::busy())
}

/// Cancels a room that has not begun, and removes one that is over.
#[utoipa::path(delete, path = "/rooms/{id}", tag = "rooms", params(RoomInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<StatusCode, ApiError> {
    let identity = bearer.required()?;
    let record = manage(&app, &identity, &room).await?;
    if record.status.is_over() {
        app.rooms.remove(&record.id).await?;
        info!(room = %record.id, "room removed");
    } else {
        let cancel = Input::Cancel(Reason::Owner);
        app.rooms.act(&record.id, cancel).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn new_record(identity: &Identity, new: NewRoom, start: bool) -> Result<RoomRecord, ApiError> {
    let owner = User {
        id: identity.id.clone(),
        name: identity.name.clone(),
    };
    let mut record = RoomRecord::new(RoomId::random(), String::new(), owner, Timestamp::now());
    new.apply(&mut record)?;
    if record.host_avatar_url.is_none() {
        record.host_avatar_url.clone_from(&identity.avatar_url);
    }
    if start {
        record.status = RoomStatus::Ready;
    }
    Ok(record)
}

/// Makes a room's stream key: of 128 random bits, or of the client's key, so that asking again yields the same one.
fn stream_key(app: &App, creation: Option<&CreationKey>, room: &RoomId) -> Secret {
    let Some(CreationKey { identity, name, .. }) = creation else {
        return Secret::new(crate::id::random());
    };
    let secret = hmac::Key::new(hmac::HMAC_SHA256, app.seed.expose().as_bytes());
    // The room is 128 random bits, so that no key is made twice.
    let text = format!("stream key\n{room}\n{name}\n{identity}");
    let tag = hmac::sign(&secret, text.as_bytes());
    Secret::new(URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16]))
}

fn tagged(app: &App, record: RoomRecord) -> Response {
    let tag = HeaderValue::from_str(&tag(&record));
    let mut response = Json(Room::new(app, record)).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn tag(record: &RoomRecord) -> String {
    format!("\"{}\"", record.version)
}

/// Compares `If-Match` with a room (RFC 9110, section 13.1.1); without one it is about any.
fn matches(headers: &HeaderMap, record: &RoomRecord) -> bool {
    let mut said = headers.get_all(IF_MATCH).iter().peekable();
    if said.peek().is_none() {
        return true;
    }
    let tag = tag(record);
    let mut named = said.flat_map(|line| line.to_str().unwrap_or_default().split(','));
    named.any(|text| text.trim() == tag || text.trim() == "*")
}

fn changed_since() -> ApiError {
    let text = "The room was changed since it was read.";
    ApiError::new(Code::PreconditionFailed, text)
}

const IF_MATCH: HeaderName = header::IF_MATCH;

/// How often a change is made anew when another server changes the room at the same time.
const ATTEMPTS: u32 = 8;
