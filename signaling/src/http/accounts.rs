//! Who somebody is: sign-in and the bearer's own data.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::chat;
use crate::error::{ApiError, Code};
use crate::store::User;
use crate::text;
use crate::time::Timestamp;
use crate::ws::protocol::REACTIONS;

use super::{Bearer, Body};

/// What pages must know before anybody signs in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientConfig {
    dev_sign_in: bool,
    #[schema(value_type = Vec<String>)]
    reactions: [&'static str; REACTIONS.len()],
    max_chat_length: usize,
    version: &'static str,
}

/// Says what pages must know before anybody signs in.
#[utoipa::path(get, path = "/config", tag = "accounts", responses((status = 200, body = ClientConfig)))]
pub(crate) async fn config(State(app): State<Arc<App>>) -> Json<ClientConfig> {
    let config = ClientConfig {
        dev_sign_in: app.config.dev,
        reactions: REACTIONS,
        max_chat_length: chat::MAX_LENGTH,
        version: env!("CARGO_PKG_VERSION"),
    };
    std::future::ready(Json(config)).await
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    #[schema(min_length = 1, max_length = 40)]
    username: String,
}

/// Somebody who signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedIn {
    access_token: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    user: User,
}

/// Signs somebody in: by name alone, on servers for development.
#[utoipa::path(post, path = "/auth/login", tag = "accounts", request_body = Login,
    responses((status = 200, body = SignedIn)))]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    Body(login): Body<Login>,
) -> Result<Json<SignedIn>, ApiError> {
    if !app.config.dev {
        let text = "Sign-in by name is for development servers.";
        return Err(ApiError::new(Code::Forbidden, text));
    }
    let name = display_name(&login.username)?;
    let user = app
        .stores
        .users
        .sign_in(&name)
        .await
        .map_err(ApiError::store)?;
    let issued = app
        .authority
        .access(&user.id, &user.name, app.access_ttl())?;
    Ok(Json(SignedIn {
        access_token: issued.token,
        expires_at: issued.expires_at,
        user,
    }))
}

/// Says who the bearer is.
#[utoipa::path(get, path = "/me", tag = "accounts", responses((status = 200, body = User)), security(("bearer" = [])))]
pub(crate) async fn me(bearer: Bearer) -> Result<Json<User>, ApiError> {
    let identity = bearer.required()?;
    std::future::ready(Ok(Json(User {
        id: identity.id,
        name: identity.name,
    })))
    .await
}

/// Cleans a name that others will see.
///
/// # Errors
/// `bad_message` when nothing or too much is left.
pub(crate) fn display_name(text: &str) -> Result<String, ApiError> {
    let bounded = (1..=MAX_NAME_LENGTH).contains(&text.chars().count());
    let name = text::clean(text);
    if bounded && !name.is_empty() {
        return Ok(name);
    }
    let code = if bounded {
        Code::InvalidValue
    } else {
        Code::BadMessage
    };
    Err(ApiError::new(code, "A name has 1 to 40 characters."))
}

const MAX_NAME_LENGTH: usize = 40;
