//! For those who look after the server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use prometheus::IntGauge;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use super::Bearer;
use super::page::Page;
use crate::app::App;
use crate::auth::{Action, Identity};
use crate::error::ApiError;
use crate::room::Cleaned;
use crate::time::Timestamp;

/// A server, and what it has to do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeView {
    /// Its name for as long as it runs; another after each start.
    id: String,
    version: &'static str,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Whether it takes no more: nobody new, and no new room.
    draining: bool,
    /// Rooms in memory.
    rooms: u64,
    /// Those of them whose media is coming.
    live_rooms: u64,
    /// Sockets that are in a room.
    participants: u64,
    /// Viewing sessions that are open, those of players that came by WHEP among them.
    viewers: u64,
    /// Where clients are told to send media.
    #[schema(value_type = Vec<String>)]
    media_addresses: Vec<SocketAddr>,
    /// How much of its time the busiest forwarding thread worked lately.
    #[schema(minimum = 0, maximum = 1)]
    load: f64,
}

impl NodeView {
    fn new(app: &App) -> Self {
        let metrics = &app.metrics;
        let count = |gauge: &IntGauge| u64::try_from(gauge.get()).unwrap_or(0);
        Self {
            id: app.node.id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: app.node.started_at,
            draining: app.course.is_draining(),
            rooms: count(&metrics.rooms),
            live_rooms: count(&metrics.live_rooms),
            participants: count(&metrics.participants),
            viewers: count(&metrics.viewers),
            media_addresses: app.media.config().candidates.clone(),
            load: app.media.load(),
        }
    }
}

/// Cleans up at once, as the clean-up worker does every now and then.
#[utoipa::path(post, path = "/admin/cleanup", tag = "admin", responses((status = 200, body = Cleaned)),
    security(("bearer" = [])))]
pub(crate) async fn clean_up(
    State(app): State<Arc<App>>,
    bearer: Bearer,
) -> Result<Json<Cleaned>, ApiError> {
    administrator(bearer)?;
    let cleaned = app.rooms.clean_up(app.config.upkeep(), Timestamp::now());
    cleaned.await.map(Json).map_err(ApiError::store)
}

/// Lists the servers that there are, and what they have to do: the one that answers.
#[utoipa::path(get, path = "/admin/nodes", tag = "admin", responses((status = 200, body = Page<NodeView>)),
    security(("bearer" = [])))]
pub(crate) async fn nodes(
    State(app): State<Arc<App>>,
    bearer: Bearer,
) -> Result<Json<Page<NodeView>>, ApiError> {
    administrator(bearer)?;
    std::future::ready(Ok(Json(Page::whole(vec![NodeView::new(&app)])))).await
}

/// Has the server that answers take no more.
///
/// `/readyz` says so, sockets are told by `server.draining`, and nobody new and no new room is let in (503 `draining`).
/// Those who are there go on until they leave. It is so until it is taken back, or the server starts again.
#[utoipa::path(post, path = "/admin/drain", tag = "admin", responses((status = 200, body = NodeView)),
    security(("bearer" = [])))]
pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    bearer: Bearer,
) -> Result<Json<NodeView>, ApiError> {
    let by = administrator(bearer)?;
    if app.course.drain() {
        info!(by = %by.id, sockets = app.metrics.sockets.get(), "server draining");
    }
    std::future::ready(Ok(Json(NodeView::new(&app)))).await
}

/// Has the server that answers take those again who come.
///
/// 503 `draining` where it is about to stop.
#[utoipa::path(delete, path = "/admin/drain", tag = "admin", responses((status = 200, body = NodeView)),
    security(("bearer" = [])))]
pub(crate) async fn take_back_drain(
    State(app): State<Arc<App>>,
    bearer: Bearer,
) -> Result<Json<NodeView>, ApiError> {
    let by = administrator(bearer)?;
    if app.course.take_back()? {
        info!(by = %by.id, "server serving again");
    }
    std::future::ready(Ok(Json(NodeView::new(&app)))).await
}

fn administrator(bearer: Bearer) -> Result<Identity, ApiError> {
    let identity = bearer.required()?;
    identity.check(Action::Administer)?;
    Ok(identity)
}
