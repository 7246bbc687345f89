//! Who is in a room, and how they are put out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fields::line;
use super::{keep_order, nobody};
use crate::app::App;
use crate::error::ApiError;
use crate::http::cursor::List;
use crate::http::page::page_size;
use crate::http::query::Parameters;
use crate::http::{Bearer, Body, RoomInPath};
use crate::room::Person;
use crate::store::Deed;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PeopleParameters {
    /// Where the page before said that this one begins.
    #[param(min_length = 1, max_length = 700, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// How many; 20 where it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Who is in a room. Moderators get the list as well as the count.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct People {
    /// Those who watch, or are about to: each socket and each player counts.
    viewer_count: u64,
    /// People among them: one who watches twice counts once.
    unique: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    items: Option<Vec<Person>>,
    /// What to ask for the next page with; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Says who is in a room: how many, and to moderators their names.
#[utoipa::path(get, path = "/rooms/{id}/viewers", tag = "people", params(RoomInPath, PeopleParameters),
    responses((status = 200, body = People)), security((), ("bearer" = [])))]
pub(crate) async fn viewers(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(parameters): Parameters<PeopleParameters>,
) -> Result<Json<People>, ApiError> {
    let limit = page_size(parameters.limit)?;
    let list = List::new(&app.seed, format_args!("viewers {room}"));
    let after = parameters.cursor.map(|cursor| list.place(&cursor));
    let after = after.transpose()?.unwrap_or_default();
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, grants) = app.enter(&identity, &room).await?;
    let summary = app.rooms.summary(&record.id);
    let mut people = People {
        viewer_count: summary.as_ref().map_or(0, |now| now.viewer_count),
        unique: summary.map_or(0, |now| now.unique),
        items: None,
        next_cursor: None,
    };
    if grants.moderate {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut items = app.rooms.people(&record.id, after, limit + 1).await?;
        if items.len() > limit {
            items.truncate(limit);
            people.next_cursor = items.last().map(|person| list.cursor(&person.id));
        }
        people.items = Some(items);
    }
    Ok(Json(people))
}

/// Whom to put out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kick {
    /// The id of the person.
    #[schema(min_length = 1, max_length = 128)]
    identity: String,
    /// What they are told.
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

/// Puts somebody out of a room, and ends every token that they have for it.
///
/// They may come back with a new one.
#[utoipa::path(post, path = "/rooms/{id}/kicks", tag = "people", params(RoomInPath), request_body = Kick,
    responses((status = 204)), security(("bearer" = [])))]
pub(crate) async fn kick(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Body(kick): Body<Kick>,
) -> Result<StatusCode, ApiError> {
    let reason = kick.reason.map(|text| line("reason", &text, 200));
    let reason = reason.transpose()?;
    let identity = kick.identity;
    keep_order(&app, bearer, &room, Deed::Kick { identity, reason }).await
}
