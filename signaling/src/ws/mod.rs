//! The WebSocket: one per participant, for signaling, chat, reactions and room events (docs/protocol.md).

pub(crate) mod protocol;

pub(crate) mod outbox;

mod writer;

mod socket;

mod handlers;

mod floor;

mod sessions;

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::Bearer;
use crate::http::origin::check_origin;
use crate::http::visitor::Visitor;

/// Turns a request into a socket: `GET /ws`.
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Bearer(identity): Bearer,
    visitor: Visitor,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    check_origin(&app.live(), &headers)?;
    let upgrade = upgrade.map_err(|_| {
        ApiError::new(
            Code::BadMessage,
            "This address expects the upgrade to a WebSocket.",
        )
    })?;
    app.course.check_open()?;
    if app.metrics.sockets.get() >= i64::try_from(app.config.max_sockets).unwrap_or(i64::MAX) {
        return Err(ApiError::busy());
    }
    let upgrade = upgrade.protocols([protocol::SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let text = "The subprotocol must be klieg.v1.";
        return Err(ApiError::new(Code::BadMessage, text));
    }
    // A message beyond 64 KiB is read whole, up to this, so that the client is told before the socket
    // closes. The buffers never shrink, so they begin small and grow with what a client really says.
    let upgrade = upgrade
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_message_size(socket::MAX_READ_BYTES)
        .max_frame_size(socket::MAX_READ_BYTES);
    // A task of its own: that of the upgrade has room for all that came before.
    Ok(upgrade.on_upgrade(async move |websocket| {
        let who = (identity, visitor);
        tokio::spawn(socket::serve(app, who, websocket));
    }))
}
