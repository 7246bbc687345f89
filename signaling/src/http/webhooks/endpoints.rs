//! Webhooks: who is told.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;
use uuid::Uuid;

use super::fields::{NewWebhook, WebhookPatch};
use super::view::{CreatedWebhook, Delivery, Webhook};
use super::{WebhookInPath, administer, nothing};
use crate::app::App;
use crate::auth::Action;
use crate::error::{ApiError, Code};
use crate::http::creation::{IdempotencyKey, creation_key, used_otherwise};
use crate::http::page::Page;
use crate::http::{Bearer, Body};
use crate::store::{self, Added};
use crate::time::Timestamp;
use crate::webhook::{MAX_WEBHOOKS, new_secret};

/// A new secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewSecret {
    /// What each request is signed with from now on; shown here and never again.
    secret: String,
    /// Until when the one before signs, too.
    #[schema(value_type = String, format = DateTime)]
    old_secret_until: Timestamp,
}

/// Lists the webhooks, the oldest first.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", responses((status = 200, body = Page<Webhook>)),
    security(("bearer" = [])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    bearer: Bearer,
) -> Result<Json<Page<Webhook>>, ApiError> {
    bearer.required()?.check(Action::Administer)?;
    let all = app.stores.webhooks.endpoints().await;
    let all = all.map_err(ApiError::store)?;
    Ok(Json(Page::whole(
        all.into_iter().map(Webhook::from).collect(),
    )))
}

/// Adds a webhook; fifty at most. It is told of what happens from now on.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks",
    params(IdempotencyKey),
    request_body = NewWebhook, responses((status = 201, body = CreatedWebhook)), security(("bearer" = [])))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    headers: HeaderMap,
    Body(new): Body<NewWebhook>,
) -> Result<(StatusCode, Json<CreatedWebhook>), ApiError> {
    let identity = bearer.required()?;
    identity.check(Action::Administer)?;
    let creation = creation_key(&headers, &identity, &format!("{new:?}"))?;
    let webhooks = &app.stores.webhooks;
    // What was right when it was asked for the first time may be none the second: it is not looked at again.
    if let Some(creation) = &creation {
        let before = webhooks.added_before(creation).await;
        if let Some(before) = before.map_err(ApiError::store)? {
            return added(&app, before, None).await;
        }
    }
    let webhook = new.check(&app)?;
    let made = webhooks
        .add(&webhook, MAX_WEBHOOKS, creation.as_ref())
        .await;
    added(&app, made.map_err(ApiError::store)?, Some(webhook)).await
}

/// Answers with the webhook that there is now.
async fn added(
    app: &App,
    added: Added,
    new: Option<store::Webhook>,
) -> Result<(StatusCode, Json<CreatedWebhook>), ApiError> {
    let webhook = match (added, new) {
        (Added::New, Some(webhook)) => {
            info!(webhook = %webhook.id, "a webhook was added");
            webhook
        }
        (Added::Full | Added::New, _) => return Err(ApiError::too_many()),
        (Added::Before { same: false, .. }, _) => return Err(used_otherwise()),
        (Added::Before { id, .. }, _) => {
            let found = app.stores.webhooks.endpoint(&id).await;
            found.map_err(ApiError::store)?.ok_or_else(|| {
                let text = "The webhook that was added under this Idempotency-Key was removed.";
                ApiError::new(Code::NotFound, text)
            })?
        }
    };
    Ok((StatusCode::CREATED, Json(webhook.into())))
}

/// Shows a webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks", params(WebhookInPath),
    responses((status = 200, body = Webhook)), security(("bearer" = [])))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    WebhookInPath(id): WebhookInPath,
) -> Result<Json<Webhook>, ApiError> {
    Ok(Json(administer(&app, bearer, &id).await?.into()))
}

/// Changes something about a webhook.
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks", params(WebhookInPath), request_body = WebhookPatch,
    responses((status = 200, body = Webhook)), security(("bearer" = [])))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    WebhookInPath(id): WebhookInPath,
    Body(patch): Body<WebhookPatch>,
) -> Result<Json<Webhook>, ApiError> {
    let mut webhook = administer(&app, bearer, &id).await?;
    patch.apply(&app, &mut webhook)?;
    let changed = app.stores.webhooks.change(&webhook).await;
    if !changed.map_err(ApiError::store)? {
        return Err(nothing());
    }
    info!(webhook = %id, enabled = webhook.enabled, "a webhook was changed");
    Ok(Json(webhook.into()))
}

/// Removes a webhook, with what waits for it and with its log.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", params(WebhookInPath),
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    WebhookInPath(id): WebhookInPath,
) -> Result<StatusCode, ApiError> {
    bearer.required()?.check(Action::Administer)?;
    let removed = app.stores.webhooks.remove(&id).await;
    if !removed.map_err(ApiError::store)? {
        return Err(nothing());
    }
    info!(webhook = %id, "a webhook was removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook a new secret. For a day each request is signed with the one before, too.
#[utoipa::path(post, path = "/webhooks/{id}/secret", tag = "webhooks", params(WebhookInPath),
    responses((status = 200, body = NewSecret)), security(("bearer" = [])))]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    WebhookInPath(id): WebhookInPath,
) -> Result<Json<NewSecret>, ApiError> {
    bearer.required()?.check(Action::Administer)?;
    let (secret, until) = (new_secret(), Timestamp::now().plus(OVERLAP));
    let rotated = app.stores.webhooks.rotate(&id, &secret, until).await;
    if !rotated.map_err(ApiError::store)? {
        return Err(nothing());
    }
    info!(webhook = %id, "a webhook has a new secret");
    Ok(Json(NewSecret {
        secret: secret.expose().to_owned(),
        old_secret_until: until,
    }))
}

/// Tells a webhook of an event of the kind `test`.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks", params(WebhookInPath),
    responses((status = 202, body = Delivery)), security(("bearer" = [])))]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    WebhookInPath(id): WebhookInPath,
) -> Result<(StatusCode, Json<Delivery>), ApiError> {
    let webhook = administer(&app, bearer, &id).await?;
    check_enabled(webhook.enabled)?;
    let (log, event) = (&app.stores.delivery_log, Uuid::now_v7().to_string());
    let told = log.tell(&id, &event, r#"{"test":true}"#).await;
    told.map_err(ApiError::store)?;
    let found = log.delivery(&id, &event).await.map_err(ApiError::store)?;
    let (delivery, _) = found.ok_or_else(nothing)?;
    Ok((StatusCode::ACCEPTED, Json(delivery.into())))
}

/// Says no to what would wait for nobody knows how long.
pub(super) fn check_enabled(enabled: bool) -> Result<(), ApiError> {
    if enabled {
        return Ok(());
    }
    let text = "The webhook is disabled: enable it first.";
    Err(ApiError::new(Code::InvalidValue, text))
}

/// How long the secret before signs, too.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
