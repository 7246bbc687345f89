//! Who helps in a room, and who is of its owner's audience.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keep_order;
use super::moderation::{Whom, order};
use crate::app::App;
use crate::auth::{Action, Role};
use crate::error::{ApiError, Code};
use crate::http::page::Page;
use crate::http::query::Parameters;
use crate::http::{Bearer, Body, RoomInPath};
use crate::store::{Deed, User};

/// Who helps.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Helper {
    /// The id of the person.
    #[schema(min_length = 1, max_length = 128)]
    identity: String,
    /// What others call them.
    #[serde(default)]
    #[schema(max_length = 128)]
    name: String,
    role: HelperRole,
}

/// As what somebody helps.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HelperRole {
    /// May publish, too.
    Cohost,
    /// Keeps order.
    Moderator,
}

/// Gives somebody a role in the room, at once.
#[utoipa::path(put, path = "/rooms/{id}/roles", tag = "moderation", params(RoomInPath), request_body = Helper,
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn give_role(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(helper): Body<Helper>,
) -> Result<StatusCode, ApiError> {
    let role = match helper.role {
        HelperRole::Cohost => Role::Cohost,
        HelperRole::Moderator => Role::Moderator,
    };
    let who = named(helper.identity, &helper.name)?;
    let role = Some(role);
    keep_order(&app, bearer, &room, Deed::Role { who, role }).await
}

/// Takes somebody the role that they were given, at once.
#[utoipa::path(delete, path = "/rooms/{id}/roles", tag = "moderation", params(RoomInPath, Whom),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn take_role(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(Whom { identity }): Parameters<Whom>,
) -> Result<StatusCode, ApiError> {
    let who = named(identity, "")?;
    keep_order(&app, bearer, &room, Deed::Role { who, role: None }).await
}

/// Lists who was given a role.
#[utoipa::path(get, path = "/rooms/{id}/roles", tag = "moderation", params(RoomInPath),
    responses((status = 200, body = Page<Helper>)), security(("bearer" = [])))]
pub(crate) async fn roles(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Page<Helper>>, ApiError> {
    let roles = order(&app, bearer, &room).await?.roles.into_iter();
    let helper = |(who, role): (User, Role)| Helper {
        identity: who.id,
        name: who.name,
        role: if role == Role::Cohost {
            HelperRole::Cohost
        } else {
            HelperRole::Moderator
        },
    };
    Ok(Json(Page::whole(roles.map(helper).collect())))
}

/// Somebody.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Somebody {
    /// The id of the person.
    #[schema(min_length = 1, max_length = 128)]
    identity: String,
    /// What others call them.
    #[serde(default)]
    #[schema(max_length = 128)]
    name: String,
}

/// Makes somebody a member of the owner's audience, for chats that are for members alone.
#[utoipa::path(put, path = "/rooms/{id}/members", tag = "moderation", params(RoomInPath), request_body = Somebody,
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn add_member(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(somebody): Body<Somebody>,
) -> Result<StatusCode, ApiError> {
    let who = named(somebody.identity, &somebody.name)?;
    keep_order(&app, bearer, &room, Deed::Member { who, member: true }).await
}

/// Makes somebody a member no more.
#[utoipa::path(delete, path = "/rooms/{id}/members", tag = "moderation", params(RoomInPath, Whom),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn remove_member(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(Whom { identity }): Parameters<Whom>,
) -> Result<StatusCode, ApiError> {
    let who = named(identity, "")?;
    let member = false;
    keep_order(&app, bearer, &room, Deed::Member { who, member }).await
}

/// Follows the room's owner.
#[utoipa::path(put, path = "/rooms/{id}/follow", tag = "people", params(RoomInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<StatusCode, ApiError> {
    set_following(&app, bearer, &room, true).await
}

/// Follows the room's owner no more.
#[utoipa::path(delete, path = "/rooms/{id}/follow", tag = "people", params(RoomInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn unfollow(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<StatusCode, ApiError> {
    set_following(&app, bearer, &room, false).await
}

async fn set_following(
    app: &App,
    bearer: Bearer,
    room: &str,
    follows: bool,
) -> Result<StatusCode, ApiError> {
    let identity = bearer.required()?;
    let (record, _, grants) = app.enter(&identity, room).await?;
    grants.check(Action::Chat)?;
    if identity.is_guest() {
        let text = "Sign in to follow somebody.";
        return Err(ApiError::new(Code::InvalidValue, text));
    }
    let who = User {
        id: identity.id,
        name: identity.name,
    };
    let order = &app.stores.order;
    let stored = order.follow(&record.owner.id, &who, follows).await;
    stored.map_err(ApiError::store)?;
    Ok(StatusCode::NO_CONTENT)
}

fn named(identity: String, name: &str) -> Result<User, ApiError> {
    if name.chars().nth(128).is_some() {
        let text = "`name` has 128 characters at most.";
        return Err(ApiError::new(Code::BadMessage, text));
    }
    Ok(User {
        id: identity,
        name: crate::text::clean(name),
    })
}
