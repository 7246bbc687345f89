//! What became of each telling.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use super::endpoints::check_enabled;
use super::view::{Delivery, DeliveryWithBody};
use super::{DeliveryInPath, WebhookInPath, administer, nothing};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::cursor::List;
use crate::http::page::{Page, page_size};
use crate::http::query::Parameters;
use crate::http::{Bearer, Body};
use crate::store::{self, DeliveryQuery, DeliveryStatus, Replay};
use crate::time::Timestamp;
use crate::webhook::body;

/// Which deliveries to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryParameters {
    /// Only these.
    status: Option<DeliveryStatus>,
    /// Where the page before said that this one begins.
    #[param(min_length = 1, max_length = 700, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// How many; 20 where it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// What to tell again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReplayBody {
    /// What happened since then.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// What happened before then; until now where it is left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Only what became this; where it is left out, what was delivered and what failed.
    status: Option<DeliveryStatus>,
}

/// What is told again.
#[derive(Serialize, ToSchema)]
pub(crate) struct Replayed {
    /// How many events; ten thousand at most, the oldest first.
    replayed: u64,
}

/// Lists what a webhook was told, and is to be told, the latest first.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks", params(WebhookInPath, DeliveryParameters),
    responses((status = 200, body = Page<Delivery>)), security(("bearer" = [])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    WebhookInPath(id): WebhookInPath,
    Parameters(parameters): Parameters<DeliveryParameters>,
) -> Result<Json<Page<Delivery>>, ApiError> {
    administer(&app, bearer, &id).await?;
    let limit = page_size(parameters.limit)?;
    let status = parameters.status;
    let list = List::new(&app.seed, format_args!("deliveries {id} {status:?}"));
    let before = parameters.cursor.map(|it| read_cursor(&list, &it));
    let query = DeliveryQuery {
        status,
        before: before.transpose()?,
        limit: limit + 1,
    };
    let found = app.stores.delivery_log.deliveries(&id, &query).await;
    let found = found.map_err(ApiError::store)?;
    let cursor = |last: &store::Delivery| list.cursor(&last.number.to_string());
    Ok(Json(Page::new(found, limit, cursor).map(Delivery::from)))
}

/// Shows a delivery with the body of its request.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries/{deliveryId}", tag = "webhooks", params(DeliveryInPath),
    responses((status = 200, body = DeliveryWithBody)), security(("bearer" = [])))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    DeliveryInPath(id, event): DeliveryInPath,
) -> Result<Json<DeliveryWithBody>, ApiError> {
    administer(&app, bearer, &id).await?;
    let found = app.stores.delivery_log.delivery(&id, &event).await;
    let (delivery, due) = found.map_err(ApiError::store)?.ok_or_else(nothing)?;
    Ok(Json(DeliveryWithBody::new(delivery, body(&due))))
}

/// Tells an event again, before what waits of the same room.
#[utoipa::path(post, path = "/webhooks/{id}/deliveries/{deliveryId}/replay", tag = "webhooks",
    params(DeliveryInPath), responses((status = 202, body = Replayed)), security(("bearer" = [])))]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    DeliveryInPath(id, event): DeliveryInPath,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let webhook = administer(&app, bearer, &id).await?;
    check_enabled(webhook.enabled)?;
    let log = &app.stores.delivery_log;
    let replayed = log.replay(&id, &Replay::One(event)).await;
    match replayed.map_err(ApiError::store)? {
        0 => Err(nothing()),
        replayed => Ok((StatusCode::ACCEPTED, Json(Replayed { replayed }))),
    }
}

/// Tells again what happened within a time.
#[utoipa::path(post, path = "/webhooks/{id}/replay", tag = "webhooks", params(WebhookInPath),
    request_body = ReplayBody, responses((status = 202, body = Replayed)), security(("bearer" = [])))]
pub(crate) async fn replay_all(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    WebhookInPath(id): WebhookInPath,
    Body(asked): Body<ReplayBody>,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let webhook = administer(&app, bearer, &id).await?;
    check_enabled(webhook.enabled)?;
    let until = asked.until.unwrap_or(Timestamp::MAX);
    if asked.from >= until || asked.status == Some(DeliveryStatus::Pending) {
        let text = "`until` is later than `from`, and `status` is `delivered` or `failed`.";
        return Err(ApiError::new(Code::InvalidValue, text));
    }
    let which = Replay::Between {
        from: asked.from,
        until,
        status: asked.status,
        at_most: MAX_REPLAYED,
    };
    let replayed = app.stores.delivery_log.replay(&id, &which).await;
    let replayed = replayed.map_err(ApiError::store)?;
    info!(webhook = %id, replayed, "events are told again");
    Ok((StatusCode::ACCEPTED, Json(Replayed { replayed })))
}

/// Reads the number before which a page begins.
fn read_cursor(list: &List, cursor: &str) -> Result<i64, ApiError> {
    // What is sealed was written above.
    list.place(cursor)?.parse().map_err(ApiError::internal)
}

/// Events that are told again by one request.
const MAX_REPLAYED: u32 = 10_000;
