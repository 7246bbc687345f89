//! What a host sees of their own rooms at a glance.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Bearer;
use super::rooms::view::Room;
use crate::app::App;
use crate::error::ApiError;
use crate::store::{RoomOrder, RoomQuery, RoomStatus, SeenBy, Totals};

/// A host's own rooms at a glance.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dashboard {
    /// Of all the bearer's events, those under way included up to the last minute or so.
    totals: Totals,
    /// On air; twelve at most, as in the other lists.
    live: Vec<Room>,
    /// Started, and waiting for media.
    ready: Vec<Room>,
    /// To begin at a moment, the next first.
    upcoming: Vec<Room>,
    /// Over, the latest first.
    past: Vec<Room>,
}

/// Shows the bearer's own rooms and what they came to, together.
#[utoipa::path(get, path = "/me/dashboard", tag = "accounts", responses((status = 200, body = Dashboard)),
    security(("bearer" = [])))]
pub(crate) async fn dashboard(
    State(app): State<Arc<App>>,
    bearer: Bearer,
) -> Result<Json<Dashboard>, ApiError> {
    let identity = bearer.required()?;
    identity.may_ask_for_any()?;
    let host = identity.id;
    let own = || RoomQuery {
        owner: Some(host.clone()),
        seen_by: SeenBy::Host(host.clone()),
        limit: LISTED,
        ..RoomQuery::default()
    };
    let of_rank = |status: RoomStatus| RoomQuery {
        rank: Some(status.rank()),
        ..own()
    };
    let ready = RoomQuery {
        status: Some(RoomStatus::Ready),
        ..own()
    };
    let upcoming = RoomQuery {
        order: RoomOrder::Soonest,
        ..own()
    };
    let rooms = async |query| {
        let rooms = app.stores.rooms.list(&query).await;
        let shown = rooms.map_err(ApiError::store)?.into_iter();
        Ok::<_, ApiError>(shown.map(|room| Room::new(&app, room)).collect())
    };
    let totals = app.stores.rooms.totals(&host).await;
    Ok(Json(Dashboard {
        totals: totals.map_err(ApiError::store)?,
        live: rooms(of_rank(RoomStatus::Live)).await?,
        ready: rooms(ready).await?,
        upcoming: rooms(upcoming).await?,
        past: rooms(of_rank(RoomStatus::Ended)).await?,
    }))
}

/// How many rooms each list has at most.
const LISTED: u32 = 12;
