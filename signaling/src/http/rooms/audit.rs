//! What those did who keep order.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::moderate;
use crate::app::App;
use crate::error::ApiError;
use crate::http::cursor::List;
use crate::http::page::{Page, page_size};
use crate::http::query::Parameters;
use crate::http::{Bearer, RoomInPath};
use crate::store::Audit;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditParameters {
    /// Where the page before said that this one begins.
    #[param(min_length = 1, max_length = 700, pattern = "^[A-Za-z0-9_-]+$")]
    pub(super) cursor: Option<String>,
    /// How many; 20 where it is left out.
    #[param(minimum = 1, maximum = 100)]
    pub(super) limit: Option<u32>,
}

impl AuditParameters {
    /// Returns the id before which a page begins.
    ///
    /// # Errors
    /// The cursor is not one of the list.
    pub(super) fn before(&self, list: &List) -> Result<Option<String>, ApiError> {
        let cursor = self.cursor.as_deref();
        cursor.map(|cursor| list.place(cursor)).transpose()
    }
}

/// Lists what those did who keep order, the last first.
#[utoipa::path(get, path = "/rooms/{id}/audit", tag = "moderation", params(RoomInPath, AuditParameters),
    responses((status = 200, body = Page<Audit>)), security(("bearer" = [])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(parameters): Parameters<AuditParameters>,
) -> Result<Json<Page<Audit>>, ApiError> {
    let identity = bearer.required()?;
    let limit = page_size(parameters.limit)?;
    let list = List::new(&app.seed, format_args!("audit {room}"));
    let before = parameters.before(&list)?;
    let (record, _) = moderate(&app, &identity, &room).await?;
    let order = &app.stores.order;
    let deeds = order.audit(&record.id, before.as_deref(), limit + 1).await;
    let deeds = deeds.map_err(ApiError::store)?;
    let cursor = |last: &Audit| list.cursor(&last.id);
    Ok(Json(Page::new(deeds, limit, cursor)))
}
