//! Who somebody is: sign-in and the bearer's own data.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::chat;
use crate::error::{ApiError, Code};
use crate::store::User;
use crate::text;
use crate::time::Timestamp;
use crate::ws::protocol::REACTIONS;

use super::{Bearer, Body};

/// What pages must know before anybody signs in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientConfig {
    dev_sign_in: bool,
    reactions: [&'static str; REACTIONS.len()],
    max_chat_length: usize,
    version: &'static str,
}

/// `GET /api/v1/config`.
pub(crate) async fn config(State(app): State<Arc<App>>) -> Json<ClientConfig> {
    let config = ClientConfig {
        dev_sign_in: app.config.dev,
        reactions: REACTIONS,
        max_chat_length: chat::MAX_LENGTH,
        version: env!("CARGO_PKG_VERSION"),
    };
    std::future::ready(Json(config)).await
}

#[derive(Deserialize)]
pub(crate) struct Login {
    username: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedIn {
    access_token: String,
    expires_at: Timestamp,
    user: User,
}

/// `POST /api/v1/auth/login`.
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

/// `GET /api/v1/me`.
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
pub(super) fn display_name(text: &str) -> Result<String, ApiError> {
    let name = text::clean(text);
    if (1..=MAX_NAME_LENGTH).contains(&name.chars().count()) {
        Ok(name)
    } else {
        Err(ApiError::new(
            Code::BadMessage,
            "A name has 1 to 40 characters.",
        ))
    }
}

const MAX_NAME_LENGTH: usize = 40;
