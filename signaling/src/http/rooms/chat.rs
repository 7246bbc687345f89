//! What is said in a room, over REST.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::nobody;
use crate::app::App;
use crate::auth::Action;
use crate::chat;
use crate::error::{ApiError, Code};
use crate::http::page::{Page, Parameters, bad_query, page_size};
use crate::http::{Bearer, Body, RoomInPath};
use crate::store::{Author, ChatMessage};

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
        return Err(bad_query());
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
    #[schema(min_length = 1, max_length = 500)]
    text: String,
    /// The sender's own id of it: saying it again under the same one says nothing more.
    #[schema(min_length = 1, max_length = 64)]
    client_id: Option<String>,
}

/// Says something; answered once it is stored.
#[utoipa::path(post, path = "/rooms/{id}/chat", tag = "chat", params(RoomInPath), request_body = NewMessage,
    responses((status = 201, body = ChatMessage)), security(("bearer" = [])))]
pub(crate) async fn say(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(new): Body<NewMessage>,
) -> Result<(StatusCode, Json<ChatMessage>), ApiError> {
    let identity = bearer.required()?;
    let (record, role, grants) = app.enter(&identity, &room).await?;
    grants.check(Action::Chat)?;
    if new.text.chars().count() > chat::MAX_LENGTH {
        let text = "The text has more than 500 characters.";
        return Err(ApiError::new(Code::TextTooLong, text));
    }
    let named = |id: &String| (1..=64).contains(&id.chars().count()) && !id.contains('\0');
    if !new.client_id.as_ref().is_none_or(named) {
        let text = "`clientId` has 1 to 64 characters.";
        return Err(ApiError::new(Code::BadMessage, text));
    }
    let from = Author {
        id: identity.id,
        name: identity.name,
        role,
    };
    let message = app.rooms.say(&record.id, from, new.text, new.client_id);
    Ok((StatusCode::CREATED, Json(message.await?)))
}

/// What the database counts to.
const MAX_NUMBER: u64 = i64::MAX.cast_unsigned();
