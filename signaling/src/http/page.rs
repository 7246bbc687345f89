//! Lists, page by page.

use axum::extract::FromRequestParts;
use axum::extract::Query;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::error::{ApiError, Code};
use crate::store::{RoomCursor, RoomOrder};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    items: Vec<T>,
    /// What to ask for the next page with; `null` on the last one.
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of a list that was read one longer than wanted; `cursor` says where an item stands.
    pub(crate) fn new(mut items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Self { items, next_cursor }
    }

    /// Makes a list that has one page.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }

    /// Shows each item as something else.
    pub(crate) fn map<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(show).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// What stands behind the question mark, with our errors.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(parameters)| Self(parameters))
            .map_err(|_| bad_query())
    }
}

/// Says that a parameter is not as described.
pub(crate) fn bad_query() -> ApiError {
    let text = "A parameter of the address makes no sense.";
    ApiError::new(Code::BadMessage, text)
}

/// Returns how many items a page has.
pub(crate) fn page_size(wanted: Option<u32>) -> Result<u32, ApiError> {
    let limit = wanted.unwrap_or(DEFAULT_PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        let text = "`limit` must be from 1 to 100.";
        Err(ApiError::new(Code::BadMessage, text))
    }
}

pub(crate) fn write_cursor(cursor: &RoomCursor) -> String {
    let RoomCursor {
        order,
        rank,
        key,
        id,
    } = cursor;
    let order = letter(*order);
    URL_SAFE_NO_PAD.encode(format!("{order}:{rank}:{key}:{id}"))
}

/// Names an order within a cursor.
fn letter(order: RoomOrder) -> &'static str {
    match order {
        RoomOrder::Active => "a",
        RoomOrder::Newest => "n",
        RoomOrder::Popular => "p",
        RoomOrder::Soonest => "s",
    }
}

/// Reads a cursor that [`write_cursor`] wrote in a list of this order.
///
/// # Errors
/// `bad_message` for what is no cursor of anybody, `invalid_value` for what is not ours, or of another list.
pub(crate) fn read_cursor(text: &str, order: RoomOrder) -> Result<RoomCursor, ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !(1..=MAX_CURSOR).contains(&text.len()) || !text.bytes().all(allowed) {
        return Err(bad_query());
    }
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (named, text) = text.split_once(':')?;
        let mut parts = text.splitn(3, ':');
        (named == letter(order)).then_some(())?;
        Some(RoomCursor {
            order,
            rank: parts.next()?.parse().ok()?,
            key: parts.next()?.parse().ok()?,
            id: parts.next()?.to_owned(),
        })
    };
    // The database takes no text with a zero in it.
    let ours = read().filter(|cursor| !cursor.id.contains('\0'));
    ours.ok_or_else(|| {
        ApiError::new(
            Code::InvalidValue,
            "`cursor` is not one of ours, or of a list in another order.",
        )
    })
}

const DEFAULT_PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;
const MAX_CURSOR: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_can_be_read_back_and_nothing_else_can() {
        let order = RoomOrder::Newest;
        let cursor = RoomCursor {
            order,
            rank: -1,
            key: 1_763_700_000_000,
            id: "a:b".into(),
        };
        let text = write_cursor(&cursor);
        assert_eq!(read_cursor(&text, order).unwrap(), cursor);
        let elsewhere = read_cursor(&text, RoomOrder::Active).unwrap_err();
        assert_eq!(elsewhere.code, Code::InvalidValue);
        for bad in ["", "x", "bjoxOng6YQ", "////", "bjoxOjE6AA", "MToxOjE"] {
            assert!(read_cursor(bad, order).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_says_where_the_next_one_begins() {
        let page = Page::new(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!(
            (page.items, page.next_cursor),
            (vec![1, 2], Some("2".into()))
        );
        let page = Page::new(vec![1, 2], 2, ToString::to_string);
        assert_eq!(page.next_cursor, None);
    }
}
