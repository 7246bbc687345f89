//! Who may write and enter, who helps to keep order, and what waits for a moderator.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::AuditParameters;
use super::{carry_out, keep_order, moderate};
use crate::app::App;
use crate::auth::Action;
use crate::chat::{ChatSettings, SettingsPatch};
use crate::error::{ApiError, Code};
use crate::http::cursor::List;
use crate::http::page::{Page, page_size};
use crate::http::query::Parameters;
use crate::http::{Bearer, Body, RoomInPath};
use crate::room::new_report;
use crate::store::{Deed, Held, Limit, LimitKind, Order, Report, User};
use crate::ws::protocol::deeds::limit;

/// Whom to keep from writing or entering.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLimit {
    /// The id of the person.
    #[schema(min_length = 1, max_length = 128)]
    identity: String,
    /// What moderators call them.
    #[serde(default)]
    #[schema(max_length = 128)]
    name: String,
    /// For how long; for good where it is left out.
    #[schema(minimum = 1, maximum = 31_536_000)]
    seconds: Option<u32>,
    /// Why, for moderators, and for who is put out.
    #[schema(max_length = 200)]
    reason: Option<String>,
}

impl NewLimit {
    fn deed(self, kind: LimitKind) -> Result<Deed, ApiError> {
        let seconds = self.seconds.is_none_or(|it| (1..=YEAR).contains(&it));
        if !seconds || self.name.chars().nth(128).is_some() {
            let text = "`seconds` is 1 to 31536000; `name` has 128 characters at most.";
            return Err(ApiError::new(Code::BadMessage, text));
        }
        let who = User {
            id: self.identity,
            name: self.name,
        };
        Ok(limit(kind, who, self.seconds, self.reason))
    }
}

/// Whom an address means.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Whom {
    /// The id of the person.
    #[param(min_length = 1, max_length = 128)]
    pub(super) identity: String,
}

/// Keeps somebody from writing.
#[utoipa::path(post, path = "/rooms/{id}/mutes", tag = "moderation", params(RoomInPath), request_body = NewLimit,
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn mute(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(new): Body<NewLimit>,
) -> Result<StatusCode, ApiError> {
    keep_order(&app, bearer, &room, new.deed(LimitKind::Mute)?).await
}

/// Lets somebody write again.
#[utoipa::path(delete, path = "/rooms/{id}/mutes", tag = "moderation", params(RoomInPath, Whom),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn unmute(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(Whom { identity }): Parameters<Whom>,
) -> Result<StatusCode, ApiError> {
    let kind = LimitKind::Mute;
    keep_order(&app, bearer, &room, Deed::Lift { kind, identity }).await
}

/// Lists who may not write.
#[utoipa::path(get, path = "/rooms/{id}/mutes", tag = "moderation", params(RoomInPath),
    responses((status = 200, body = Page<Limit>)), security(("bearer" = [])))]
pub(crate) async fn mutes(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Page<Limit>>, ApiError> {
    limits(&app, bearer, &room, LimitKind::Mute).await
}

/// What a ban came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Banned {
    /// How many addresses are shut out with the person.
    #[schema(maximum = 4)]
    addresses: usize,
}

/// Shuts somebody out, where the settings say so with the addresses that they come from.
#[utoipa::path(post, path = "/rooms/{id}/bans", tag = "moderation", params(RoomInPath), request_body = NewLimit,
    responses((status = 200, body = Banned)), security(("bearer" = [])))]
pub(crate) async fn ban(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(new): Body<NewLimit>,
) -> Result<Json<Banned>, ApiError> {
    let addresses = carry_out(&app, bearer, &room, new.deed(LimitKind::Ban)?).await?;
    Ok(Json(Banned { addresses }))
}

/// Lets somebody enter again.
#[utoipa::path(delete, path = "/rooms/{id}/bans", tag = "moderation", params(RoomInPath, Whom),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn unban(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(Whom { identity }): Parameters<Whom>,
) -> Result<StatusCode, ApiError> {
    let kind = LimitKind::Ban;
    keep_order(&app, bearer, &room, Deed::Lift { kind, identity }).await
}

/// Lists who may not enter.
#[utoipa::path(get, path = "/rooms/{id}/bans", tag = "moderation", params(RoomInPath),
    responses((status = 200, body = Page<Limit>)), security(("bearer" = [])))]
pub(crate) async fn bans(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Page<Limit>>, ApiError> {
    limits(&app, bearer, &room, LimitKind::Ban).await
}

async fn limits(
    app: &App,
    bearer: Bearer,
    room: &str,
    kind: LimitKind,
) -> Result<Json<Page<Limit>>, ApiError> {
    let order = order(app, bearer, room).await?;
    let heeded = app.rooms.addresses().are_heeded();
    let shown = |mut limit: Limit| {
        limit.addresses.retain(|_| heeded);
        limit
    };
    let limits = order.limits.into_iter().filter(|it| it.kind == kind);
    Ok(Json(Page::whole(limits.map(shown).collect())))
}

/// Says how the chat is set.
#[utoipa::path(get, path = "/rooms/{id}/chat-settings", tag = "moderation", params(RoomInPath),
    responses((status = 200, body = ChatSettings)), security(("bearer" = [])))]
pub(crate) async fn settings(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<ChatSettings>, ApiError> {
    Ok(Json(order(&app, bearer, &room).await?.settings))
}

/// Sets the chat: who may write, how often, and what.
#[utoipa::path(patch, path = "/rooms/{id}/chat-settings", tag = "moderation", params(RoomInPath),
    request_body = SettingsPatch, responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn change_settings(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(patch): Body<SettingsPatch>,
) -> Result<StatusCode, ApiError> {
    let patch = Box::new(patch.check()?);
    keep_order(&app, bearer, &room, Deed::Settings(patch)).await
}

/// Lists what waits for a moderator, the oldest first.
#[utoipa::path(get, path = "/rooms/{id}/held", tag = "moderation", params(RoomInPath),
    responses((status = 200, body = Page<Held>)), security(("bearer" = [])))]
pub(crate) async fn held(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Page<Held>>, ApiError> {
    let order = order(&app, bearer, &room).await?;
    Ok(Json(Page::whole(order.held)))
}

/// What a moderator thinks of a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opinion {
    /// Whether it is said.
    approve: bool,
}

/// Lets a held message be said, or not.
#[utoipa::path(post, path = "/rooms/{id}/held/{itemId}", tag = "moderation", params(ItemInPath), request_body = Opinion,
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn review(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, held): ItemInPath,
    Body(Opinion { approve }): Body<Opinion>,
) -> Result<StatusCode, ApiError> {
    keep_order(&app, bearer, &room, Deed::Review { held, approve }).await
}

/// What is wrong with a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Complaint {
    /// The id of the message.
    #[schema(min_length = 1, max_length = 64)]
    message_id: String,
    /// Why.
    #[serde(default)]
    #[schema(max_length = 200)]
    reason: String,
}

/// Tells the moderators of a message.
#[utoipa::path(post, path = "/rooms/{id}/reports", tag = "moderation", params(RoomInPath), request_body = Complaint,
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn report(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(complaint): Body<Complaint>,
) -> Result<StatusCode, ApiError> {
    let identity = bearer.required()?;
    let (record, role, grants) = app.enter(&identity, &room).await?;
    grants.check(Action::Chat)?;
    let by = identity.author(role);
    let report = new_report(by, complaint.message_id, complaint.reason)?;
    app.rooms.report(&record.id, report).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what the moderators were told, the last first.
#[utoipa::path(get, path = "/rooms/{id}/reports", tag = "moderation", params(RoomInPath, AuditParameters),
    responses((status = 200, body = Page<Report>)), security(("bearer" = [])))]
pub(crate) async fn reports(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(parameters): Parameters<AuditParameters>,
) -> Result<Json<Page<Report>>, ApiError> {
    let identity = bearer.required()?;
    let limit = page_size(parameters.limit)?;
    let list = List::new(&app.seed, format_args!("reports {room}"));
    let before = parameters.before(&list)?;
    let (record, _) = moderate(&app, &identity, &room).await?;
    let order = &app.stores.order;
    let reports = order
        .reports(&record.id, before.as_deref(), limit + 1)
        .await;
    let reports = reports.map_err(ApiError::store)?;
    let cursor = |last: &Report| list.cursor(&last.report_id);
    Ok(Json(Page::new(reports, limit, cursor)))
}

/// Has done with a report.
#[utoipa::path(delete, path = "/rooms/{id}/reports/{itemId}", tag = "moderation", params(ItemInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn resolve(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    ItemInPath(room, report): ItemInPath,
) -> Result<StatusCode, ApiError> {
    keep_order(&app, bearer, &room, Deed::Resolve { report }).await
}

/// A room and what is in it, as an address names them.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path, names("id", "itemId"))]
pub(crate) struct ItemInPath(
    /// The room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) String,
    /// Its id.
    #[param(min_length = 1, max_length = 64)]
    pub(crate) String,
);

impl FromRequestParts<Arc<App>> for ItemInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, app).await;
        path.map(|Path((room, item))| Self(room, item))
            .map_err(|_| ApiError::no_room())
    }
}

pub(super) async fn order(app: &App, bearer: Bearer, room: &str) -> Result<Order, ApiError> {
    let identity = bearer.required()?;
    let (record, _) = moderate(app, &identity, room).await?;
    let order = app.stores.order.order(&record.id).await;
    order.map_err(ApiError::store)
}

const YEAR: u32 = 31_536_000;
