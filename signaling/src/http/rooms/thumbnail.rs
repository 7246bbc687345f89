//! The picture of a room in lists.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use klieg_sfu::Codec;
use serde::Deserialize;
use tracing::info;

use super::{manage, nobody};
use crate::app::App;
use crate::auth::Action;
use crate::error::{ApiError, Code};
use crate::http::body::Upload;
use crate::http::query::Parameters;
use crate::http::{Bearer, RoomInPath};
use crate::id::RoomId;
use crate::room::RoomSummary;
use crate::store::{RoomRecord, Visibility};
use crate::thumbnail::Picture;
use crate::time::Timestamp;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShowParameters {
    /// Whatever it is, the picture is the same: another address, so that a page is given a newer one.
    #[serde(rename = "v")]
    _version: Option<String>,
}

/// Shows a room in a picture: while it is on air what it shows, else what its owner gave it. A room that was said to have one may have none
/// by the time it is asked for, as when a publisher left: that is no error of whoever asks.
#[utoipa::path(get, path = "/rooms/{id}/thumbnail", tag = "rooms", params(RoomInPath, ShowParameters,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the picture that is known")),
    responses(
        (status = 200, description = "The picture.", headers(("ETag" = String), ("Cache-Control" = String)),
            content((String = "image/webp"), (String = "image/jpeg"), (String = "image/png"))),
        (status = 204, description = "The room has no picture at present."),
        (status = 304, description = "It is the one that is known.")),
    security((), ("bearer" = [])))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(_): Parameters<ShowParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, grants) = app.enter(&identity, &room).await?;
    grants.check(Action::Watch)?;
    let live = live(&app, &record.id).await;
    let tag = match &live {
        Some(picture) => Some(picture.tag()),
        None => given_tag(&record),
    };
    let Some(tag) = tag else {
        return Ok(no_picture());
    };
    let common = [
        (header::CACHE_CONTROL, caching(record.visibility)),
        (header::ETAG, tag.as_str()),
    ];
    if knows(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let picture = match live {
        Some(picture) => Some(picture),
        None => given(&app, &record).await?,
    };
    let Some(picture) = picture else {
        return Ok(no_picture());
    };
    let kind = [(header::CONTENT_TYPE, picture.media_type())];
    Ok((common, kind, picture.bytes).into_response())
}

fn no_picture() -> Response {
    // There may be one in a moment.
    let uncached = [(header::CACHE_CONTROL, "no-store")];
    (StatusCode::NO_CONTENT, uncached).into_response()
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SendParameters {
    /// Whether it is what the room shows at present: then it is kept for two minutes, and in the place of no other,
    /// unless one came within the last five seconds. For codings of which the server can make no picture itself.
    #[serde(default)]
    live: bool,
}

/// Gives a room a picture: JPEG, PNG or WebP of 256 KiB and 1280 pixels a side at most, every five seconds at most.
#[utoipa::path(post, path = "/rooms/{id}/thumbnail", tag = "rooms", params(RoomInPath, SendParameters),
    request_body(content((String = "image/jpeg"), (String = "image/png"), (String = "image/webp"))),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn send(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(SendParameters { live }): Parameters<SendParameters>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let record = manage(&app, &bearer.required()?, &room).await?;
    // Nothing is read from those who may not.
    let Upload(bytes) = Upload::from_request(request, &app).await?;
    let picture = Picture::sent(bytes)?;
    if live {
        if !shown(&app, &record.id).is_some_and(|now| now.status.is_on_air()) {
            let text = "The room is not on air.";
            return Err(ApiError::new(Code::RoomState, text));
        }
        app.pictures.post(&record.id, picture);
    } else {
        app.pictures.pass(&record.id)?;
        keep(&app, &record.id, &picture).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Returns where the picture of a room is, if there is one by what is known without asking anybody.
pub(super) fn address(app: &App, record: &RoomRecord, now: Option<&RoomSummary>) -> Option<String> {
    let id = &record.id;
    let on_air = now.filter(|now| now.status.is_on_air());
    let is_live = on_air.is_some_and(|now| is_shown(now) || app.pictures.posted(id).is_some());
    let at = record.thumbnail_at.map(Timestamp::millis);
    match (is_live, at) {
        (true, _) => Some(format!("/api/v1/rooms/{id}/thumbnail")),
        (false, Some(at)) => Some(format!("/api/v1/rooms/{id}/thumbnail?v={at}")),
        (false, None) => None,
    }
}

/// Returns what a room on air shows.
async fn live(app: &App, id: &RoomId) -> Option<Picture> {
    let now = shown(app, id).filter(|now| now.status.is_on_air())?;
    let key = app.rooms.here(id)?.key;
    let taken = if is_shown(&now) {
        let ask = |wish| app.media.still(key, wish);
        app.pictures.taken(id, ask).await
    } else {
        None
    };
    taken.or_else(|| app.pictures.posted(id))
}

/// Returns whether pictures can be made of what a room shows.
fn is_shown(now: &RoomSummary) -> bool {
    now.formats[1].is_some_and(|format| format.codec == Codec::Vp8)
}

fn shown(app: &App, id: &RoomId) -> Option<RoomSummary> {
    app.rooms.summary(id)
}

/// Returns the picture that a room's owner gave it.
async fn given(app: &App, record: &RoomRecord) -> Result<Option<Picture>, ApiError> {
    if record.thumbnail_at.is_none() {
        return Ok(None);
    }
    let image = app.stores.thumbnails.find(&record.id).await;
    Ok(image.map_err(ApiError::store)?.and_then(Picture::kept))
}

async fn keep(app: &App, id: &RoomId, picture: &Picture) -> Result<(), ApiError> {
    let turn = app.editors.take(id).await?;
    let kept = app
        .stores
        .thumbnails
        .replace(id, &picture.bytes, Timestamp::now());
    if !kept.await.map_err(|error| turn.fail(error))? {
        return Err(ApiError::no_room());
    }
    if let Some(record) = app.find(id).await? {
        app.rooms.changed(&record).await;
        info!(room = %id, version = record.version, "room was given a picture");
    }
    Ok(())
}

/// Returns the `ETag` of the picture that a room's owner gave it: without the picture, which is read where it is not known.
fn given_tag(record: &RoomRecord) -> Option<String> {
    let at = record.thumbnail_at?.millis();
    Some(format!("\"{}.{at}\"", record.id))
}

fn caching(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public | Visibility::Unlisted => "public, max-age=5",
        // Whoever uses the browser next may be somebody else: it has to ask each time.
        Visibility::Private => "private, no-cache",
    }
}

/// Compares `If-None-Match` with a tag (RFC 9110, section 13.1.2): what packs on the way may have called it weak.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let said = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = said.flat_map(|line| line.to_str().unwrap_or_default().split(','));
    known.any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}
