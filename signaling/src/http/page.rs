//! Lists, page by page.

use serde::Serialize;
use utoipa::ToSchema;

use super::query::bad_parameter;
use crate::error::ApiError;

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

/// Returns how many items a page has.
pub(crate) fn page_size(wanted: Option<u32>) -> Result<u32, ApiError> {
    let limit = wanted.unwrap_or(DEFAULT_PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        let expected = format!("a whole number from 1 to {MAX_PAGE}");
        Err(bad_parameter("limit", &expected))
    }
}

const DEFAULT_PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

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
