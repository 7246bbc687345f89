//! Rooms.

use sqlx::{QueryBuilder, Row as _};

use super::row::{column, count, room_id, room_record};
use super::{Connection, Database, Store, candidates};
use crate::id::RoomId;
use crate::store::{
    Created, CreationKey, RoomCursor, RoomOrder, RoomQuery, RoomRecord, RoomStatus, RoomStore,
    SeenBy, StoreError, Stored, Totals, Visibility, promptly,
};
use crate::time::Timestamp;

impl RoomStore for Store {
    fn create<'a>(
        &'a self,
        room: &'a RoomRecord,
        key_hash: &'a str,
        creation: Option<&'a CreationKey>,
    ) -> Stored<'a, Created> {
        promptly(async move {
            let mut transaction = self.writer().begin().await?;
            if let Some(creation) = creation
                && let Some(before) = claim(&mut transaction, creation, room).await?
            {
                return Ok(before);
            }
            if !insert(&mut transaction, room, key_hash).await? {
                return Ok(Created::Taken);
            }
            transaction.commit().await?;
            Ok(Created::New)
        })
    }

    fn update<'a>(&'a self, room: &'a RoomRecord) -> Stored<'a, bool> {
        promptly(async move {
            let done = sqlx::query(
                "UPDATE rooms SET title = $3, description = $4, category = $5, visibility = $6,
                        quality = $7, documents = $8, host_avatar_url = $9, external_link = $10,
                        allow_guest_chat = $11, reusable = $12, scheduled_at = $13,
                        search_text = $14, since = COALESCE(started_at, $13, created_at),
                        version = version + 1
                 WHERE id = $1 AND version = $2",
            )
            .bind(room.id.as_str())
            .bind(column(room.version))
            .bind(&room.title)
            .bind(&room.description)
            .bind(&room.category)
            .bind(room.visibility.as_str())
            .bind(room.quality.as_str())
            .bind(json(&room.documents))
            .bind(&room.host_avatar_url)
            .bind(room.external_link.as_ref().map(json))
            .bind(room.allow_guest_chat)
            .bind(room.reusable)
            .bind(room.scheduled_at.map(Timestamp::millis))
            .bind(room.search_text())
            .execute(self.writer())
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn remove<'a>(&'a self, id: &'a RoomId) -> Stored<'a, ()> {
        promptly(async move {
            sqlx::query("DELETE FROM rooms WHERE id = $1")
                .bind(id.as_str())
                .execute(self.writer())
                .await?;
            Ok(())
        })
    }

    fn find<'a>(&'a self, id: &'a RoomId) -> Stored<'a, Option<RoomRecord>> {
        promptly(async move {
            let row = sqlx::query("SELECT * FROM rooms WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(self.readers())
                .await?;
            row.as_ref().map(room_record).transpose()
        })
    }

    fn find_by_key<'a>(
        &'a self,
        id: &'a RoomId,
        key_hash: &'a str,
    ) -> Stored<'a, Option<RoomRecord>> {
        promptly(async move {
            let row = sqlx::query("SELECT * FROM rooms WHERE id = $1 AND stream_key_hash = $2")
                .bind(id.as_str())
                .bind(key_hash)
                .fetch_optional(self.readers())
                .await?;
            row.as_ref().map(room_record).transpose()
        })
    }

    fn expel<'a>(&'a self, id: &'a RoomId, identity: &'a str, at: Timestamp) -> Stored<'a, ()> {
        promptly(async move {
            // Of a room that was removed in the meantime nobody has to be kept out.
            sqlx::query(
                "INSERT INTO expulsions (room_id, identity, at)
                 SELECT id, $2, $3 FROM rooms WHERE id = $1
                 ON CONFLICT (room_id, identity) DO UPDATE SET at = excluded.at",
            )
            .bind(id.as_str())
            .bind(identity)
            .bind(at.millis())
            .execute(self.writer())
            .await?;
            Ok(())
        })
    }

    fn expelled(&self) -> Stored<'_, Vec<(RoomId, String, Timestamp)>> {
        promptly(async move {
            let rows = sqlx::query(
                "SELECT room_id, identity, at FROM expulsions ORDER BY at DESC LIMIT 100000",
            )
            .fetch_all(self.readers())
            .await?;
            rows.iter()
                .map(|row| {
                    let at = Timestamp::from_millis(row.try_get("at")?);
                    Ok((room_id(row, "room_id")?, row.try_get("identity")?, at))
                })
                .collect()
        })
    }

    fn totals<'a>(&'a self, owner: &'a str) -> Stored<'a, Totals> {
        promptly(async move {
            // PostgreSQL adds up whole numbers as decimal ones.
            let row = sqlx::query(
                "SELECT COUNT(started_at) AS events,
                        CAST(COALESCE(SUM(ended_at - started_at), 0) AS BIGINT) AS duration_ms,
                        COALESCE(MAX(peak_viewers), 0) AS peak_viewers,
                        CAST(COALESCE(SUM(total_viewers), 0) AS BIGINT) AS total_viewers,
                        CAST(COALESCE(SUM(watch_ms), 0) AS BIGINT) AS watch_ms,
                        CAST(COALESCE(SUM(message_count), 0) AS BIGINT) AS messages
                 FROM rooms WHERE owner_id = $1",
            )
            .bind(owner)
            .fetch_one(self.readers())
            .await?;
            Ok(Totals {
                events: count(&row, "events")?,
                duration_sec: count(&row, "duration_ms")? / 1000,
                peak_viewers: count(&row, "peak_viewers")?,
                total_viewers: count(&row, "total_viewers")?,
                watch_time_sec: count(&row, "watch_ms")? / 1000,
                messages: count(&row, "messages")?,
            })
        })
    }

    fn list<'a>(&'a self, query: &'a RoomQuery) -> Stored<'a, Vec<RoomRecord>> {
        promptly(async move {
            let mut rooms = Vec::new();
            // Several lists, each by an index of its own, instead of one with an `OR` that no index serves.
            for whose in parts(query) {
                rooms.extend(self.page(query, whose).await?);
            }
            rooms.sort_by(|one, other| {
                let place = |room| RoomCursor::of(room, query.order);
                place(one).compare(&place(other), query.order)
            });
            rooms.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
            Ok(rooms)
        })
    }
}

/// Whose rooms a page is of.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// Everybody's of this visibility.
    All(Visibility),
    /// One person's that are not listed.
    Hidden(&'a str),
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
    async fn page(
        &self,
        query: &RoomQuery,
        whose: Whose<'_>,
    ) -> Result<Vec<RoomRecord>, StoreError> {
        let Some(mut select) = page_query("", query, whose) else {
            return Ok(Vec::new());
        };
        let rows = select.build().fetch_all(self.readers()).await?;
        rows.iter().map(room_record).collect()
    }

    /// Returns how the database would go about a page.
    #[cfg(test)]
    pub(in crate::store) async fn plan(&self, query: &RoomQuery) -> Result<String, StoreError> {
        let mut plans = Vec::new();
        for whose in parts(query) {
            let Some(mut explain) = page_query(super::EXPLAIN, query, whose) else {
                continue;
            };
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

/// Writes the query of a page; `None` where nothing can be found.
fn page_query(before: &str, query: &RoomQuery, whose: Whose<'_>) -> Option<QueryBuilder<Database>> {
    let mut select = QueryBuilder::new(format!("{before}SELECT * FROM rooms WHERE "));
    match whose {
        // Written out, for the planner to know how many there are of it.
        Whose::All(visibility) => {
            select.push(format_args!("visibility = '{}'", visibility.as_str()))
        }
        Whose::Hidden(viewer) => select
            .push("visibility <> 'public' AND owner_id = ")
            .push_bind(viewer.to_owned()),
    };
    if let Some(words) = &query.words {
        if words.is_empty() {
            return None;
        }
        match whose {
            Whose::All(Visibility::Public) => candidates(&mut select, words),
            Whose::All(hidden) => {
                latest(&mut select, hidden);
                containing(&mut select, words);
            }
            Whose::Hidden(_) => containing(&mut select, words),
        }
    }
    if let Some(owner) = &query.owner {
        select.push(" AND owner_id = ").push_bind(owner.clone());
    }
    if let Some(category) = &query.category {
        select.push(" AND category = ").push_bind(category.clone());
    }
    status(&mut select, query);
    place(&mut select, query);
    select.push(" LIMIT ").push_bind(i64::from(query.limit));
    Some(select)
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

/// Narrows a list to as many as can be read through: the index of words holds listed rooms alone.
fn latest(select: &mut QueryBuilder<Database>, visibility: Visibility) {
    select.push(format_args!(
        " AND id IN (SELECT id FROM rooms WHERE visibility = '{}'
           ORDER BY rank DESC, since DESC, id DESC LIMIT 10000)",
        visibility.as_str()
    ));
}

/// Narrows rooms to those with words that begin so: they are few, so no index is needed.
fn containing(select: &mut QueryBuilder<Database>, words: &[String]) {
    for word in words {
        // A folded word has no wildcards in it.
        select
            .push(" AND ' ' || search_text LIKE ")
            .push_bind(format!("% {word}%"));
    }
}

/// Takes a key for a creation; returns what was created under it before.
async fn claim(
    connection: &mut Connection,
    creation: &CreationKey,
    room: &RoomRecord,
) -> Result<Option<Created>, StoreError> {
    let claimed = sqlx::query(
        "INSERT INTO idempotency_keys (identity, name, request, room_id, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (identity, name) DO NOTHING",
    )
    .bind(&creation.identity)
    .bind(&creation.name)
    .bind(&creation.request)
    .bind(room.id.as_str())
    .bind(room.created_at.millis())
    .execute(&mut *connection)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query(
        "SELECT request, room_id, stream_key_hash FROM idempotency_keys
         LEFT JOIN rooms ON rooms.id = room_id WHERE identity = $1 AND name = $2",
    )
    .bind(&creation.identity)
    .bind(&creation.name)
    .fetch_one(connection)
    .await?;
    let request: &str = row.try_get("request")?;
    Ok(Some(Created::Before {
        room: room_id(&row, "room_id")?,
        same: request == creation.request,
        key_hash: row.try_get("stream_key_hash")?,
    }))
}

async fn insert(
    connection: &mut Connection,
    room: &RoomRecord,
    key_hash: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO rooms (id, title, description, category, visibility, quality, documents,
                            host_avatar_url, external_link, allow_guest_chat, reusable, owner_id,
                            owner_name, stream_key_hash, status, created_at, scheduled_at,
                            changed_at, rank, since, search_text)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                 $19, $20, $21) ON CONFLICT DO NOTHING",
    )
    .bind(room.id.as_str())
    .bind(&room.title)
    .bind(&room.description)
    .bind(&room.category)
    .bind(room.visibility.as_str())
    .bind(room.quality.as_str())
    .bind(json(&room.documents))
    .bind(&room.host_avatar_url)
    .bind(room.external_link.as_ref().map(json))
    .bind(room.allow_guest_chat)
    .bind(room.reusable)
    .bind(&room.owner.id)
    .bind(&room.owner.name)
    .bind(key_hash)
    .bind(room.status.as_str())
    .bind(room.created_at.millis())
    .bind(room.scheduled_at.map(Timestamp::millis))
    .bind(room.changed_at.millis())
    .bind(room.status.rank())
    .bind(room.since().millis())
    .bind(room.search_text())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn json(value: &impl serde::Serialize) -> String {
    // Texts and lists of them: what JSON cannot hold is not among them.
    serde_json::to_string(value).unwrap_or_default()
}
