//! For those who look after the server.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Bearer;
use crate::app::App;
use crate::auth::Action;
use crate::error::ApiError;
use crate::room::Cleaned;
use crate::time::Timestamp;

/// Cleans up at once, as the clean-up worker does every now and then.
#[utoipa::path(post, path = "/admin/cleanup", tag = "admin", responses((status = 200, body = Cleaned)),
    security(("bearer" = [])))]
pub(crate) async fn clean_up(
    State(app): State<Arc<App>>,
    bearer: Bearer,
) -> Result<Json<Cleaned>, ApiError> {
    bearer.required()?.check(Action::Administer)?;
    let cleaned = app.rooms.clean_up(app.config.upkeep(), Timestamp::now());
    cleaned.await.map(Json).map_err(ApiError::store)
}
