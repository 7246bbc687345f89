//! Lists of rooms.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::nobody;
use super::view::Room;
use crate::app::App;
use crate::auth::{Action, Identity};
use crate::error::ApiError;
use crate::http::page::{Page, Parameters, bad_query, page_size, read_cursor, write_cursor};
use crate::http::{Bearer, RoomInPath};
use crate::store::{
    self, RoomCursor, RoomOrder, RoomQuery, RoomRecord, RoomStatus, SeenBy, Visibility,
};

/// Which rooms to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Only these; left out: all but cancelled ones.
    status: Option<RoomStatus>,
    #[serde(flatten)]
    #[param(ignore)]
    others: Filter,
}

/// Which rooms to list for who looks after the server.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AdminParameters {
    /// Only these; left out: whatever it is.
    visibility: Option<Visibility>,
    #[serde(flatten)]
    #[param(ignore)]
    others: ListParameters,
}

/// Which rooms to list, whatever their status.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only those with words that begin with these, in title, host, category or description.
    #[param(max_length = 120)]
    q: Option<String>,
    /// Only those listed under it.
    #[param(min_length = 1, max_length = 40, pattern = "^[a-z0-9-]+$")]
    category: Option<String>,
    /// Only those of this person.
    #[param(min_length = 1, max_length = 128)]
    owner: Option<String>,
    /// In which order; `active` where it is left out.
    sort: Option<RoomOrder>,
    /// Where the page before said that this one begins. Everything else must be as it was then.
    #[param(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// How many; 20 where it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Option<String>,
}

impl Filter {
    fn query(self, identity: Option<Identity>) -> Result<RoomQuery, ApiError> {
        // Behind `flatten` everything is text.
        let limit = self.limit.map(|text| text.parse().map_err(|_| bad_query()));
        let limit = page_size(limit.transpose()?)?;
        // No title is longer, and searching has its price.
        let asked = self.q.as_deref().unwrap_or_default();
        let in_category = |text: &String| {
            let allowed = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
            (1..=40).contains(&text.len()) && text.bytes().all(allowed)
        };
        let order = self.sort.unwrap_or_default();
        let after = self.cursor.as_deref();
        let after = after.map(|cursor| read_cursor(cursor, order));
        let named = |text: &String| (1..=128).contains(&text.chars().count());
        if asked.chars().count() > MAX_ASKED
            || !self.category.as_ref().is_none_or(in_category)
            || !self.owner.as_ref().is_none_or(named)
        {
            return Err(bad_query());
        }
        Ok(RoomQuery {
            words: (!asked.is_empty()).then(|| store::words(asked)),
            category: self.category,
            // The database takes no text with a zero in it, and nobody is called so.
            owner: self.owner.map(|owner| owner.replace('\0', "\u{fffd}")),
            seen_by: match identity {
                Some(identity) if identity.may_host() => SeenBy::Host(identity.id),
                Some(_) | None => SeenBy::Everybody,
            },
            order,
            after: after.transpose()?,
            limit: limit + 1,
            ..RoomQuery::default()
        })
    }
}

/// Lists rooms.
///
/// Those that everybody may know of, and of a signed-in host also the others of that host.
#[utoipa::path(get, path = "/rooms", tag = "rooms", params(ListParameters, Filter),
    responses((status = 200, body = Page<Room>)), security((), ("bearer" = [])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<Json<Page<Room>>, ApiError> {
    let query = RoomQuery {
        status: parameters.status,
        ..parameters.others.query(identity)?
    };
    page(&app, query).await
}

/// Lists the rooms that are on air.
#[utoipa::path(get, path = "/rooms/live", tag = "rooms", params(Filter),
    responses((status = 200, body = Page<Room>)), security((), ("bearer" = [])))]
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Page<Room>>, ApiError> {
    let query = RoomQuery {
        rank: Some(RoomStatus::Live.rank()),
        ..filter.query(identity)?
    };
    page(&app, query).await
}

/// Lists the rooms whose event is over.
#[utoipa::path(get, path = "/rooms/past", tag = "rooms", params(Filter),
    responses((status = 200, body = Page<Room>)), security((), ("bearer" = [])))]
pub(crate) async fn past(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Page<Room>>, ApiError> {
    let query = RoomQuery {
        rank: Some(RoomStatus::Ended.rank()),
        ..filter.query(identity)?
    };
    page(&app, query).await
}

/// Lists rooms for who looks after the server, unlisted and private ones too.
///
/// By words unlisted and private rooms are found among the first ten thousand of each in the list.
#[utoipa::path(get, path = "/admin/rooms", tag = "admin", params(AdminParameters, ListParameters, Filter),
    responses((status = 200, body = Page<Room>)), security(("bearer" = [])))]
pub(crate) async fn all(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    Parameters(parameters): Parameters<AdminParameters>,
) -> Result<Json<Page<Room>>, ApiError> {
    bearer.required()?.check(Action::Administer)?;
    let ListParameters { status, others } = parameters.others;
    let query = RoomQuery {
        status,
        seen_by: SeenBy::Admin(parameters.visibility),
        ..others.query(None)?
    };
    page(&app, query).await
}

/// Lists what to watch next.
///
/// Rooms on air or to come of the same host and category first, then others on air; twelve at most.
#[utoipa::path(get, path = "/rooms/{id}/related", tag = "rooms", params(RoomInPath),
    responses((status = 200, body = Page<Room>)), security((), ("bearer" = [])))]
pub(crate) async fn related(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Page<Room>>, ApiError> {
    let identity = identity.unwrap_or_else(nobody);
    let (record, _, _) = app.enter(&identity, &room).await?;
    let of_host = RoomQuery {
        owner: Some(record.owner.id.clone()),
        ..best()
    };
    let of_category = RoomQuery {
        category: record.category.clone(),
        ..best()
    };
    let mut seen = HashSet::from([record.id.clone()]);
    let mut found: Vec<RoomRecord> = Vec::new();
    for query in [of_host, of_category, best()] {
        let rooms = app.stores.rooms.list(&query).await;
        let rooms = rooms.map_err(ApiError::store)?;
        found.extend(
            rooms
                .into_iter()
                .filter(|room| seen.insert(room.id.clone())),
        );
    }
    // Those on air first; within that the order in which they were looked for.
    found.sort_by_key(|room| -room.status.rank());
    found.truncate(RELATED);
    let rooms = found.into_iter().map(|record| Room::new(&app, record));
    Ok(Json(Page::whole(rooms.collect())))
}

fn best() -> RoomQuery {
    RoomQuery {
        limit: u32::try_from(RELATED + 1).unwrap_or_default(),
        ..RoomQuery::default()
    }
}

async fn page(app: &App, query: RoomQuery) -> Result<Json<Page<Room>>, ApiError> {
    let rooms = app.stores.rooms.list(&query).await;
    let rooms = rooms.map_err(ApiError::store)?;
    let cursor = |room: &RoomRecord| write_cursor(&RoomCursor::of(room, query.order));
    let page = Page::new(rooms, query.limit - 1, cursor);
    Ok(Json(page.map(|record| Room::new(app, record))))
}

const MAX_ASKED: usize = 120;

/// More than a page shows beside the picture.
const RELATED: usize = 12;
