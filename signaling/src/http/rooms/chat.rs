//! What is said in a room, over REST.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{keep_order, nobody};
use crate::app::App;
use crate::auth::Action;
use crate::chat::{Said, SaidKind, is_name};
use crate::error::{ApiError, Code};
use crate::http::creation::{IdempotencyKey, creation_key};
use crate::http::page::{Page, page_size};
use crate::http::query::{Parameters, bad_parameter};
use crate::http::{Bearer, Body, RoomInPath};
use crate::room::Heard;
use crate::store::{ChatMessage, Deed};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChatParameters {
    /// Only messages whose number is less.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    before: Option<u64>,
    /// How many; 20 where it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Lists what was said, the newest first; `nextCursor` is the next `before`.
#[utoipa::path(get, path = "/rooms/{id}/chat", tag = "chat", params(RoomInPath, ChatParameters),
    responses((status = 200, body = Page<ChatMessage>)), security((), ("bearer" = [])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(parameters): Parameters<ChatParameters>,
) -> Result<Json<Page<ChatMessage>>, ApiError> {
    let limit = page_size(parameters.limit)?;
    let before = parameters.before.unwrap_or(MAX_NUMBER);
    if before > MAX_NUMBER {
        let expected = format!("a whole number from 0 to {MAX_NUMBER}");
        return Err(bad_parameter("before", &expected));
    }
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    let journal = &app.stores.journal;
    let messages = journal.chat(&record.id, before, limit + 1).await;
    let messages = messages.map_err(ApiError::store)?;
    let cursor = |last: &ChatMessage| last.seq.to_string();
    Ok(Json(Page::new(messages, limit, cursor)))
}

/// Something to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// At most 500 characters as people count them (grapheme clusters, UAX #29).
    #[schema(min_length = 1, max_length = 2000)]
    text: String,
    /// `chat` where it is left out.
    #[serde(default)]
    kind: SaidKind,
    /// The ids of those who are meant, of whom the room knows.
    #[serde(default)]
    #[schema(max_items = 10)]
    mentions: Vec<Id>,
    /// The id of the message that it answers.
    #[schema(min_length = 1, max_length = 64)]
    reply_to: Option<String>,
    /// The id of the product that it is about, where the room sells it.
    #[schema(min_length = 1, max_length = 64)]
    product_id: Option<String>,
    /// The sender's own id of it: saying it again under the same one says nothing more. Where it is left out, the
    /// `Idempotency-Key` is.
    #[schema(min_length = 1, max_length = 64)]
    client_id: Option<String>,
}

/// The id of somebody.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(min_length = 1, max_length = 128)]
pub(crate) struct Id(String);

/// Says something; answered once it is stored.
#[utoipa::path(post, path = "/rooms/{id}/chat", tag = "chat", params(RoomInPath, IdempotencyKey),
    request_body = NewMessage,
    responses((status = 201, body = ChatMessage), (status = 202, description = "A moderator looks at it first.")),
    security(("bearer" = [])))]
pub(crate) async fn say(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    headers: HeaderMap,
    Body(new): Body<NewMessage>,
) -> Result<Response, ApiError> {
    let identity = bearer.required()?;
    let (record, role, grants) = app.enter(&identity, &room).await?;
    grants.check(Action::Chat)?;
    if new.kind == SaidKind::System {
        grants.check(Action::Moderate)?;
    }
    let named = |id: &String| is_name(id, 64);
    if !new.client_id.as_ref().is_none_or(named) {
        let text = "`clientId` has 1 to 64 characters.";
        return Err(ApiError::new(Code::BadMessage, text));
    }
    let said = Said {
        text: new.text,
        kind: new.kind,
        mentions: new.mentions.into_iter().map(|Id(id)| id).collect(),
        reply_to: new.reply_to,
        product_id: new.product_id,
    };
    let said = Box::new(said.check()?);
    let from = identity.author(role);
    // The same as one of the message's own, which goes before it.
    let key = creation_key(&headers, &identity, "")?.map(|key| key.name);
    let heard = app.rooms.say(&record.id, from, said, new.client_id.or(key));
    Ok(match heard.await? {
        Heard::Said(message) => (StatusCode::CREATED, Json(message)).into_response(),
        Heard::Held => StatusCode::ACCEPTED.into_response(),
    })
}

/// Takes away what a message says. That there was one stays.
#[utoipa::path(delete, path = "/rooms/{id}/chat/{messageId}", tag = "chat", params(MessageInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    MessageInPath(room, message): MessageInPath,
) -> Result<StatusCode, ApiError> {
    keep_order(&app, bearer, &room, Deed::Delete { message }).await
}

/// Puts a message where everybody sees it first.
#[utoipa::path(put, path = "/rooms/{id}/chat/{messageId}/pin", tag = "chat", params(MessageInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn pin(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    MessageInPath(room, message): MessageInPath,
) -> Result<StatusCode, ApiError> {
    let message = Some(message);
    keep_order(&app, bearer, &room, Deed::Pin { message }).await
}

/// Takes the pinned message down, whichever it is.
#[utoipa::path(delete, path = "/rooms/{id}/chat/{messageId}/pin", tag = "chat", params(MessageInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn unpin(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    MessageInPath(room, _): MessageInPath,
) -> Result<StatusCode, ApiError> {
    keep_order(&app, bearer, &room, Deed::Pin { message: None }).await
}

/// A room and a message in it, as an address names them.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path, names("id", "messageId"))]
pub(crate) struct MessageInPath(
    /// The room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    String,
    /// The message.
    #[param(min_length = 1, max_length = 64)]
    String,
);

impl FromRequestParts<Arc<App>> for MessageInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, app).await;
        path.map(|Path((room, message))| Self(room, message))
            .map_err(|_| ApiError::no_room())
    }
}

/// What the database counts to.
const MAX_NUMBER: u64 = i64::MAX.cast_unsigned();
