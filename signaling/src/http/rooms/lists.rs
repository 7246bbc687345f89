//! Lists of rooms.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::nobody;
use super::view::Room;
use crate::app::App;
use crate::auth::{Action, Identity, Secret};
use crate::error::ApiError;
use crate::http::cursor::List;
use crate::http::page::{Page, page_size};
use crate::http::query::{Parameters, bad_parameter, read};
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
}

/// Which rooms to list for who looks after the server.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AdminParameters {
    /// Only these; left out: whatever it is.
    visibility: Option<Visibility>,
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
    #[param(min_length = 1, max_length = 700, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// How many; 20 where it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

impl Filter {
    /// Says which rooms are wanted, and returns the cursor, which is for the whole of the query.
    fn query(self, identity: Option<Identity>) -> Result<(RoomQuery, Option<String>), ApiError> {
        let limit = page_size(self.limit)?;
        // No title is longer, and searching has its price.
        let asked = self.q.as_deref().unwrap_or_default();
        let in_category = |text: &String| {
            let allowed = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
            (1..=40).contains(&text.len()) && text.bytes().all(allowed)
        };
        let named = |text: &String| (1..=128).contains(&text.chars().count());
        if asked.chars().count() > MAX_ASKED {
            let expected = format!("{MAX_ASKED} characters at most");
            return Err(bad_parameter("q", &expected));
        }
        if !self.category.as_ref().is_none_or(in_category) {
            let expected = "1 to 40 lower-case letters, digits and hyphens";
            return Err(bad_parameter("category", expected));
        }
        if !self.owner.as_ref().is_none_or(named) {
            return Err(bad_parameter("owner", "1 to 128 characters"));
        }
        let query = RoomQuery {
            words: (!asked.is_empty()).then(|| store::words(asked)),
            category: self.category,
            // The database takes no text with a zero in it, and nobody is called so.
            owner: self.owner.map(|owner| owner.replace('\0', "\u{fffd}")),
            seen_by: match identity {
                Some(identity) if identity.may_host() => SeenBy::Host(identity.id),
                Some(_) | None => SeenBy::Everybody,
            },
            order: self.sort.unwrap_or_default(),
            limit: limit + 1,
            ..RoomQuery::default()
        };
        Ok((query, self.cursor))
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
    Parameters(ListParameters { status }): Parameters<ListParameters>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Page<Room>>, ApiError> {
    let (query, cursor) = filter.query(identity)?;
    page(&app, RoomQuery { status, ..query }, cursor).await
}

/// Lists the rooms that are on air.
#[utoipa::path(get, path = "/rooms/live", tag = "rooms", params(Filter),
    responses((status = 200, body = Page<Room>)), security((), ("bearer" = [])))]
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Page<Room>>, ApiError> {
    let (query, cursor) = filter.query(identity)?;
    let rank = Some(RoomStatus::Live.rank());
    page(&app, RoomQuery { rank, ..query }, cursor).await
}

/// Lists the rooms whose event is over.
#[utoipa::path(get, path = "/rooms/past", tag = "rooms", params(Filter),
    responses((status = 200, body = Page<Room>)), security((), ("bearer" = [])))]
pub(crate) async fn past(
    State(app): State<Arc<App>>,
    Bearer(identity): Bearer,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Page<Room>>, ApiError> {
    let (query, cursor) = filter.query(identity)?;
    let rank = Some(RoomStatus::Ended.rank());
    page(&app, RoomQuery { rank, ..query }, cursor).await
}

/// Lists rooms for who looks after the server, unlisted and private ones too.
///
/// By words unlisted and private rooms are found among the first ten thousand of each in the list.
#[utoipa::path(get, path = "/admin/rooms", tag = "admin", params(AdminParameters, ListParameters, Filter),
    responses((status = 200, body = Page<Room>)), security(("bearer" = [])))]
pub(crate) async fn all(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    Parameters(AdminParameters { visibility }): Parameters<AdminParameters>,
    Parameters(ListParameters { status }): Parameters<ListParameters>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Page<Room>>, ApiError> {
    bearer.required()?.check(Action::Administer)?;
    let (query, cursor) = filter.query(None)?;
    let query = RoomQuery {
        status,
        seen_by: SeenBy::Admin(visibility),
        ..query
    };
    page(&app, query, cursor).await
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

async fn page(
    app: &App,
    mut query: RoomQuery,
    cursor: Option<String>,
) -> Result<Json<Page<Room>>, ApiError> {
    let list = list_of(app, &query);
    let after = cursor.map(|cursor| read_cursor(&list, &cursor, query.order));
    query.after = after.transpose()?;
    let rooms = app.stores.rooms.list(&query).await;
    let rooms = rooms.map_err(ApiError::store)?;
    let cursor = |room: &RoomRecord| write_cursor(&list, &RoomCursor::of(room, query.order));
    let page = Page::new(rooms, query.limit - 1, cursor);
    Ok(Json(page.map(|record| Room::new(app, record))))
}

/// Reads a query as strangers may send it: the door for fuzzing. Returns whether its cursor is one of a list that nobody
/// has seen.
pub(crate) fn read_hostile(query: &str) -> bool {
    let list = List::new(&Secret::new("a secret that nobody guesses"), "rooms");
    let filter = read::<Filter>(query).and_then(|filter| filter.query(None));
    let cursor = filter.ok().and_then(|(_, cursor)| cursor);
    cursor.is_some_and(|cursor| list.place(&cursor).is_ok())
}

/// Names what is listed: all of a query but the page of it.
fn list_of(app: &App, query: &RoomQuery) -> List {
    let whole = RoomQuery {
        limit: 0,
        ..query.clone()
    };
    List::new(&app.seed, format_args!("rooms {whole:?}"))
}

fn write_cursor(list: &List, cursor: &RoomCursor) -> String {
    let RoomCursor { rank, key, id, .. } = cursor;
    list.cursor(&format!("{rank}:{key}:{id}"))
}

/// Reads a cursor that [`write_cursor`] wrote in this list.
fn read_cursor(list: &List, cursor: &str, order: RoomOrder) -> Result<RoomCursor, ApiError> {
    let place = list.place(cursor)?;
    let read = || {
        let mut parts = place.splitn(3, ':');
        Some(RoomCursor {
            order,
            rank: parts.next()?.parse().ok()?,
            key: parts.next()?.parse().ok()?,
            id: parts.next()?.to_owned(),
        })
    };
    // What is sealed was written above.
    read().ok_or_else(|| ApiError::internal("a cursor of this list that cannot be read"))
}

const MAX_ASKED: usize = 120;

/// More than a page shows beside the picture.
const RELATED: usize = 12;
