//! Who somebody is: making an account, signing in and out, and the bearer's own data.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::{Identity, Role, Secret, SignedIn, display_name};
use crate::chat;
use crate::error::{ApiError, Code};
use crate::limit::{Door, Who};
use crate::ws::protocol::REACTIONS;

use super::remote::RemoteNetwork;
use super::{Bearer, Body};

/// What pages must know before anybody signs in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientConfig {
    /// Whether a name alone is enough to sign in.
    dev_sign_in: bool,
    /// Whether people may make accounts themselves.
    registration: bool,
    #[schema(value_type = Vec<String>)]
    reactions: [&'static str; REACTIONS.len()],
    max_chat_length: usize,
    /// Whether what is left out of a product comes from a shop's catalogue.
    catalogue: bool,
    version: &'static str,
}

/// Says what pages must know before anybody signs in.
#[utoipa::path(get, path = "/config", tag = "accounts", responses((status = 200, body = ClientConfig)))]
pub(crate) async fn config(State(app): State<Arc<App>>) -> Json<ClientConfig> {
    let config = ClientConfig {
        dev_sign_in: app.config.dev,
        registration: app.live().registration,
        reactions: REACTIONS,
        max_chat_length: chat::MAX_LENGTH,
        catalogue: app.catalogue.is_there(),
        version: env!("CARGO_PKG_VERSION"),
    };
    std::future::ready(Json(config)).await
}

/// Who wants an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    #[schema(min_length = 1, max_length = 40)]
    username: String,
    /// At least 8 characters, 4 of them different; 256 bytes at most.
    #[schema(value_type = String, min_length = 8, max_length = 256)]
    password: Secret,
}

/// Makes an account and signs it in.
#[utoipa::path(post, path = "/auth/register", tag = "accounts", request_body = Registration,
    responses((status = 201, body = SignedIn)))]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    RemoteNetwork(from): RemoteNetwork,
    Body(new): Body<Registration>,
) -> Result<(StatusCode, Json<SignedIn>), ApiError> {
    let live = app.live();
    if !live.registration {
        let text = "Accounts are made by those who look after the server.";
        return Err(ApiError::new(Code::Forbidden, text));
    }
    let name = display_name(&new.username)?;
    app.doors.pass(Door::Register, &Who::Network(from))?;
    let role = live.new_account_role;
    let made = app.sign_ins.register(name, new.password, role).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    #[schema(min_length = 1, max_length = 40)]
    username: String,
    /// May be left out on servers for development.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
}

/// Signs somebody in.
#[utoipa::path(post, path = "/auth/login", tag = "accounts", request_body = Login,
    responses((status = 200, body = SignedIn)))]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    RemoteNetwork(from): RemoteNetwork,
    Body(login): Body<Login>,
) -> Result<Json<SignedIn>, ApiError> {
    let name = display_name(&login.username)?;
    app.doors.pass(Door::SignIn, &Who::Network(from))?;
    let key = name.to_lowercase();
    app.doors
        .pass(Door::SignIn, &Who::NameFrom(from, key.clone()))?;
    // Who tries from one network keeps nobody out but themselves; the name alone may be tried much more often.
    let wanted = Who::Identity(key);
    app.doors.look(Door::WrongPassword, &wanted)?;
    let signed_in = match login.password {
        Some(password) => app.sign_ins.sign_in(&name, password).await,
        None => by_name(&app, &name).await,
    };
    if let Err(error) = &signed_in
        && error.code == Code::CredentialsWrong
    {
        app.doors.pass(Door::WrongPassword, &wanted)?;
    }
    signed_in.map(Json)
}

/// Signs in by name alone, where that is allowed.
async fn by_name(app: &App, name: &str) -> Result<SignedIn, ApiError> {
    if !app.config.dev {
        let text = "A password is needed.";
        return Err(ApiError::new(Code::CredentialsWrong, text));
    }
    if app.sign_ins.has_password(name).await? {
        let text = "This name has a password.";
        return Err(ApiError::new(Code::CredentialsWrong, text));
    }
    let user = app.stores.users.sign_in(name).await;
    let user = user.map_err(ApiError::store)?;
    app.sign_ins.begin_for(&user.id).await
}

/// The token that is changed for new ones.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Refresh {
    #[schema(value_type = String)]
    refresh_token: Secret,
}

/// Changes a refresh token for new tokens; it is good once.
#[utoipa::path(post, path = "/auth/refresh", tag = "accounts", request_body = Refresh,
    responses((status = 200, body = SignedIn)))]
pub(crate) async fn refresh(
    State(app): State<Arc<App>>,
    RemoteNetwork(from): RemoteNetwork,
    Body(refresh): Body<Refresh>,
) -> Result<Json<SignedIn>, ApiError> {
    let who = Who::Network(from);
    // Counted apart from passwords: pages that come back with old tokens keep nobody on their network from signing in.
    app.doors.look(Door::Refresh, &who)?;
    let refreshed = app.sign_ins.refresh(refresh.refresh_token.expose()).await;
    if let Err(error) = &refreshed
        && matches!(error.code, Code::TokenInvalid | Code::TokenExpired)
    {
        app.doors.pass(Door::Refresh, &who)?;
    }
    refreshed.map(Json)
}

/// Where to sign out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logout {
    /// Ends every sign-in of the account, and not only that of the bearer.
    #[serde(default)]
    everywhere: bool,
}

/// Signs out.
#[utoipa::path(post, path = "/auth/logout", tag = "accounts", request_body = Logout,
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    logout: Option<Body<Logout>>,
) -> Result<StatusCode, ApiError> {
    let identity = bearer.required()?;
    let Logout { everywhere } = Body::or_default(logout);
    app.sign_ins.sign_out(&identity, everywhere).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The present password and the next.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewPassword {
    #[schema(value_type = String)]
    password: Secret,
    #[schema(value_type = String, min_length = 8, max_length = 256)]
    new_password: Secret,
}

/// Changes the password, and signs out everywhere else.
#[utoipa::path(put, path = "/me/password", tag = "accounts", request_body = NewPassword,
    responses((status = 200, body = SignedIn)), security(("bearer" = [])))]
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    RemoteNetwork(from): RemoteNetwork,
    bearer: Bearer,
    Body(change): Body<NewPassword>,
) -> Result<Json<SignedIn>, ApiError> {
    let identity = bearer.required()?;
    app.doors.pass(Door::SignIn, &Who::Network(from))?;
    app.doors
        .pass(Door::SignIn, &Who::Identity(identity.id.clone()))?;
    let changed = app
        .sign_ins
        .change_password(&identity, change.password, change.new_password);
    changed.await.map(Json)
}

/// The bearer, as they see themselves.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    id: String,
    name: String,
    /// Outside of rooms.
    role: Role,
    /// Whether they may create rooms.
    may_host: bool,
}

/// Says who the bearer is.
#[utoipa::path(get, path = "/me", tag = "accounts", responses((status = 200, body = Me)), security(("bearer" = [])))]
pub(crate) async fn me(bearer: Bearer) -> Result<Json<Me>, ApiError> {
    let identity: Identity = bearer.required()?;
    std::future::ready(Ok(Json(Me {
        role: identity.usual_role(),
        may_host: identity.may_host(),
        id: identity.id,
        name: identity.name,
    })))
    .await
}
