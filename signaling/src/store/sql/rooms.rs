//! Rooms.

use sqlx::query::Query;
use sqlx::{QueryBuilder, Row as _};

use super::creation::take;
use super::row::{column, count, room_id, room_record};
use super::{Connection, Database, Row, Store, push_some};
use crate::id::RoomId;
use crate::store::{
    Created, CreationKey, RoomQuery, RoomRecord, RoomStore, StoreError, Stored, Totals, promptly,
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

    fn created<'a>(&'a self, creation: &'a CreationKey) -> Stored<'a, Option<Created>> {
        promptly(async move {
            let row = before(creation).fetch_optional(self.readers()).await?;
            row.map(|row| created_before(&row, creation)).transpose()
        })
    }

    fn update<'a>(&'a self, room: &'a RoomRecord) -> Stored<'a, bool> {
        promptly(async move {
            let done = sqlx::query(
                "UPDATE rooms SET title = $3, description = $4, category = $5, visibility = $6,
                        quality = $7, documents = $8, host_avatar_url = $9, external_link = $10,
                        allow_guest_chat = $11, reusable = $12, scheduled_at = $13,
                        search_text = $14, since = COALESCE(started_at, $13, created_at),
                        playout_delay_ms = $15, version = version + 1
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
            .bind(room.playout_delay_ms.map(i32::from))
            .execute(self.writer())
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn empty<'a>(&'a self, id: &'a RoomId) -> Stored<'a, bool> {
        promptly(async move {
            for table in LARGE {
                let mut delete: QueryBuilder<Database> = QueryBuilder::new("DELETE FROM ");
                delete.push(table).push(" WHERE ");
                push_some(&mut delete, (table, id.as_str()), REMOVED_AT_ONCE);
                let done = delete.build().execute(self.writer()).await?;
                if done.rows_affected() > 0 {
                    return Ok(true);
                }
            }
            Ok(false)
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

    fn expel<'a>(
        &'a self,
        id: &'a RoomId,
        identity: &'a str,
        at: Timestamp,
    ) -> Stored<'a, Timestamp> {
        promptly(async move {
            // Of a room that was removed in the meantime nobody has to be kept out.
            let stored: Option<i64> = sqlx::query_scalar(
                "INSERT INTO expulsions (room_id, identity, at)
                 SELECT id, $2, $3 FROM rooms WHERE id = $1
                 ON CONFLICT (room_id, identity) DO UPDATE SET
                   at = CASE WHEN excluded.at > expulsions.at THEN excluded.at ELSE expulsions.at + 1 END
                 RETURNING at",
            )
            .bind(id.as_str())
            .bind(identity)
            .bind(at.millis())
            .fetch_optional(self.writer())
            .await?;
            Ok(stored.map_or(at, Timestamp::from_millis))
        })
    }

    fn expelled(&self) -> Stored<'_, Vec<(RoomId, String, Timestamp)>> {
        promptly(async move {
            // The latest of each host, then the one before of each: nobody crowds out those of others.
            let rows = sqlx::query(
                "SELECT room_id, identity, at FROM (
                   SELECT room_id, identity, at, ROW_NUMBER() OVER
                          (PARTITION BY owner_id ORDER BY at DESC, identity) AS place
                   FROM expulsions JOIN rooms ON rooms.id = room_id
                 ) AS placed ORDER BY place, at DESC LIMIT 100000",
            )
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(expulsion).collect()
        })
    }

    fn expelled_since(&self, after: Timestamp) -> Stored<'_, Vec<(RoomId, String, Timestamp)>> {
        promptly(async move {
            let rows = sqlx::query(
                "SELECT room_id, identity, at FROM expulsions WHERE at > $1 ORDER BY at LIMIT 100000",
            )
            .bind(after.millis())
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(expulsion).collect()
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
        promptly(self.listed(query))
    }
}

/// Reads who was put out of which room, and when.
fn expulsion(row: &Row) -> Result<(RoomId, String, Timestamp), StoreError> {
    let at = Timestamp::from_millis(row.try_get("at")?);
    Ok((room_id(row, "room_id")?, row.try_get("identity")?, at))
}

/// Takes a key for a creation; returns what was created under it before.
async fn claim(
    connection: &mut Connection,
    creation: &CreationKey,
    room: &RoomRecord,
) -> Result<Option<Created>, StoreError> {
    if take(connection, creation, (room.id.as_str(), room.created_at)).await? {
        return Ok(None);
    }
    let row = before(creation).fetch_one(connection).await?;
    created_before(&row, creation).map(Some)
}

/// Asks what was created under a key.
fn before(creation: &CreationKey) -> Query<'_, Database, Arguments> {
    sqlx::query(
        "SELECT request, created_id, stream_key_hash FROM idempotency_keys
         LEFT JOIN rooms ON rooms.id = created_id WHERE identity = $1 AND name = $2",
    )
    .bind(&creation.identity)
    .bind(&creation.name)
}

fn created_before(row: &Row, creation: &CreationKey) -> Result<Created, StoreError> {
    let request: &str = row.try_get("request")?;
    if request != creation.request {
        return Ok(Created::Other);
    }
    Ok(Created::Before {
        room: room_id(row, "created_id")?,
        key_hash: row.try_get("stream_key_hash")?,
    })
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
                            changed_at, rank, since, search_text, playout_delay_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                 $19, $20, $21, $22) ON CONFLICT DO NOTHING",
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
    .bind(room.playout_delay_ms.map(i32::from))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn json(value: &impl serde::Serialize) -> String {
    // Texts and lists of them: what JSON cannot hold is not among them.
    serde_json::to_string(value).unwrap_or_default()
}

/// What is bound to a question.
type Arguments = <Database as sqlx::Database>::Arguments;

/// Tables of which a room may have very many rows. No other refers to them.
const LARGE: [&str; 9] = [
    "analytics_viewers",
    "analytics_minutes",
    "chat_messages",
    "reports",
    "audit",
    "likes",
    "orders",
    "poll_votes",
    "question_votes",
];

/// Rows: some milliseconds, and another's turn behind each.
const REMOVED_AT_ONCE: i64 = 1_000;
