//! Lists of rooms, each by an index.

use sqlx::{QueryBuilder, Row as _};

#[cfg(test)]
use super::row::column;
use super::row::room_record;
use super::{Database, Store, candidates, matches};
use crate::store::{
    RoomCursor, RoomOrder, RoomQuery, RoomRecord, RoomStatus, SeenBy, StoreError, Visibility,
};

/// Whose rooms a page is of.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// Everybody's of this visibility.
    All(Visibility),
    /// One person's that are not listed.
    Hidden(&'a str),
}

/// How a page finds the words that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    /// There are none.
    No,
    /// By the index of words: few rooms have them.
    Index,
    /// By reading all that is left: it is little.
    Read,
    /// By reading the list in its order, so far as is quick.
    Walk,
}

/// Returns of which pages one is made.
fn parts(query: &RoomQuery) -> Vec<Whose<'_>> {
    match &query.seen_by {
        SeenBy::Everybody => vec![Whose::All(Visibility::Public)],
        SeenBy::Host(host) if query.owner.as_ref().is_none_or(|owner| owner == host) => {
            vec![Whose::All(Visibility::Public), Whose::Hidden(host)]
        }
        SeenBy::Host(_) => vec![Whose::All(Visibility::Public)],
        SeenBy::Admin(only) => Visibility::ALL
            .into_iter()
            .filter(|it| only.is_none_or(|only| only == *it))
            .map(Whose::All)
            .collect(),
    }
}

impl Store {
    /// Returns a page of a list.
    pub(super) async fn listed(&self, query: &RoomQuery) -> Result<Vec<RoomRecord>, StoreError> {
        let mut rooms = Vec::new();
        // Several lists, each by an index of its own, instead of one with an `OR` that no index serves.
        for whose in parts(query) {
            rooms.extend(self.page(query, whose).await?);
        }
        rooms.sort_by(|one, other| {
            let place = |room| RoomCursor::of(room, query.order);
            place(one).compare(&place(other))
        });
        rooms.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        Ok(rooms)
    }

    async fn page(
        &self,
        query: &RoomQuery,
        whose: Whose<'_>,
    ) -> Result<Vec<RoomRecord>, StoreError> {
        let search = match &query.words {
            None => Search::No,
            Some(words) if words.is_empty() => return Ok(Vec::new()),
            Some(words) => self.search(words, whose).await?,
        };
        let mut select = page_query("", query, (whose, search));
        let rows = select.build().fetch_all(self.readers()).await?;
        rows.iter().map(room_record).collect()
    }

    /// Returns how words are best looked for: what few rooms have, the index of words finds; what many have, one comes
    /// upon by reading the list itself.
    async fn search(&self, words: &[String], whose: Whose<'_>) -> Result<Search, StoreError> {
        match whose {
            Whose::Hidden(_) => return Ok(Search::Read),
            Whose::All(Visibility::Public) => {}
            Whose::All(_) => return Ok(Search::Walk),
        }
        let mut count = QueryBuilder::new("SELECT COUNT(*) AS found FROM (");
        matches(&mut count, words);
        count.push(format_args!(" LIMIT {}) AS matching", FEW + 1));
        let row = count.build().fetch_one(self.readers()).await?;
        let found: i64 = row.try_get("found")?;
        Ok(if found > FEW {
            Search::Walk
        } else {
            Search::Index
        })
    }

    /// Returns how the database would go about a page.
    #[cfg(test)]
    pub(in crate::store) async fn plan(&self, query: &RoomQuery) -> Result<String, StoreError> {
        let mut plans = Vec::new();
        for whose in parts(query) {
            let search = match &query.words {
                None => Search::No,
                Some(words) => self.search(words, whose).await?,
            };
            let mut explain = page_query(super::EXPLAIN, query, (whose, search));
            for row in explain.build().fetch_all(self.readers()).await? {
                plans.push(super::plan_line(&row)?);
            }
        }
        Ok(plans.join("\n"))
    }
}

#[cfg(test)]
impl Store {
    /// Adds many rooms of all kinds, so many at a time that no statement takes too long.
    pub(in crate::store) async fn fill(&self, count: u64) -> Result<(), StoreError> {
        for first in (1..=count).step_by(20_000) {
            let last = count.min(first + 19_999);
            sqlx::query(
                "WITH RECURSIVE numbers (n) AS (
                   SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < $2
                 )
                 INSERT INTO rooms (id, title, category, visibility, allow_guest_chat, owner_id, owner_name,
                                    stream_key_hash, status, created_at, scheduled_at, changed_at,
                                    peak_viewers, rank, since, search_text)
                 SELECT 'filled-' || n, 'Room ' || n, 'c' || (n % 20),
                        CASE n % 10 WHEN 9 THEN 'private' WHEN 8 THEN 'unlisted' ELSE 'public' END, FALSE,
                        'owner ' || (n % 5000), 'Host', 'key ' || n,
                        CASE n % 100 WHEN 0 THEN 'live' WHEN 1 THEN 'scheduled' ELSE 'ended' END, n,
                        CASE WHEN n % 100 = 1 THEN n END, n, n * 7919 % 10007,
                        CASE n % 100 WHEN 0 THEN 2 WHEN 1 THEN 1 ELSE 0 END, n,
                        'room ' || n || ' host c' || (n % 20)
                 FROM numbers",
            )
            .bind(column(first))
            .bind(column(last))
            .execute(self.writer())
            .await?;
        }
        super::settle(self.writer()).await?;
        Ok(())
    }
}

/// Writes the query of a page.
fn page_query(
    before: &str,
    query: &RoomQuery,
    (whose, search): (Whose<'_>, Search),
) -> QueryBuilder<Database> {
    let mut select = QueryBuilder::new(before);
    if search == Search::Walk {
        select.push("SELECT * FROM (");
    }
    select.push("SELECT * FROM rooms WHERE ");
    match whose {
        // Written out, for the planner to know how many there are of it.
        Whose::All(visibility) => {
            select.push(format_args!("visibility = '{}'", visibility.as_str()))
        }
        Whose::Hidden(viewer) => select
            .push("visibility <> 'public' AND owner_id = ")
            .push_bind(viewer.to_owned()),
    };
    let words = query.words.as_deref().unwrap_or_default();
    match search {
        Search::Index => candidates(&mut select, words),
        Search::Read => containing(&mut select, words),
        Search::No | Search::Walk => {}
    }
    if let Some(owner) = &query.owner {
        select.push(" AND owner_id = ").push_bind(owner.clone());
    }
    if let Some(category) = &query.category {
        select.push(" AND category = ").push_bind(category.clone());
    }
    status(&mut select, query);
    place(&mut select, query);
    if search == Search::Walk {
        // Both databases keep the order of the inner list. Ordered once more, all of it would be read first.
        select.push(format_args!(" LIMIT {WALK}) AS walked WHERE TRUE"));
        containing(&mut select, words);
    }
    select.push(" LIMIT ").push_bind(i64::from(query.limit));
    select
}

/// Adds of which status the rooms are. Where the list does not go by rank, no index that does must be thought better:
/// with a plus before it a column is none that an index has.
fn status(select: &mut QueryBuilder<Database>, query: &RoomQuery) {
    let rank = match query.order {
        RoomOrder::Active => "rank",
        RoomOrder::Newest | RoomOrder::Popular | RoomOrder::Soonest => "+rank",
    };
    if let Some(status) = query.status {
        select.push(" AND status = ").push_bind(status.as_str());
    }
    let same = query.status.map(RoomStatus::rank).or(query.rank);
    let comparison = if same.is_some() { "=" } else { ">=" };
    select.push(format_args!(" AND {rank} {comparison} "));
    select.push_bind(same.unwrap_or(0));
}

/// Adds where the page begins and in which order it goes on.
fn place(select: &mut QueryBuilder<Database>, query: &RoomQuery) {
    let (columns, order) = match query.order {
        RoomOrder::Active => ("rank, since, id", "rank DESC, since DESC, id DESC"),
        RoomOrder::Newest => ("created_at, id", "created_at DESC, id DESC"),
        RoomOrder::Popular => ("peak_viewers, id", "peak_viewers DESC, id DESC"),
        RoomOrder::Soonest => ("scheduled_at, id", "scheduled_at, id"),
    };
    if query.order == RoomOrder::Soonest {
        select.push(" AND status = 'scheduled' AND scheduled_at IS NOT NULL");
    }
    if let Some(after) = &query.after {
        let comparison = match query.order {
            RoomOrder::Soonest => ">",
            RoomOrder::Active | RoomOrder::Newest | RoomOrder::Popular => "<",
        };
        select.push(format_args!(" AND ({columns}) {comparison} ("));
        if query.order == RoomOrder::Active {
            select.push_bind(after.rank).push(", ");
        }
        select.push_bind(after.key).push(", ");
        select.push_bind(after.id.clone()).push(")");
    }
    select.push(format_args!(" ORDER BY {order}"));
}

/// Narrows rooms to those with words that begin so, without an index.
fn containing(select: &mut QueryBuilder<Database>, words: &[String]) {
    for word in words {
        // A folded word has no wildcards in it.
        select
            .push(" AND ' ' || search_text LIKE ")
            .push_bind(format!("% {word}%"));
    }
}

/// As many rooms with some words are few: all of them are looked at, and sorted.
const FEW: i64 = 1000;

/// So many rooms of a list are read for words that many rooms have.
const WALK: u32 = 10_000;
