//! The stores in one `SQLite` file. The statements are plain SQL with `$1`, so that they run on PostgreSQL too.

mod row;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use row::{
    chat_message, like_pattern, number, other_event, room_id, room_record, status_name,
    visibility_name,
};

use super::{
    ChatMessage, Entry, Event, JournalStore, NewChat, Outcome, RoomQuery, RoomRecord, RoomStore,
    RoomUpdate, StoreError, Stored, Stores, User, UserStore,
};
use crate::id::RoomId;
use crate::time::Timestamp;

/// Opens or creates the database, brings its tables to this version and returns the stores.
///
/// # Errors
/// The file cannot be opened, or its tables are not ours.
pub(crate) async fn open(file: &Path) -> Result<Stores, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged message survives the loss of power, not only that of the process.
        .synchronous(SqliteSynchronous::Full);
    // SQLite has one writer: waiting in our queue is fair, waiting for its lock is not.
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await?;
    sqlx::migrate!().run(&writer).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options.read_only(true))
        .await?;
    let store = Arc::new(Sqlite { writer, readers });
    Ok(Stores {
        users: store.clone(),
        rooms: store.clone(),
        journal: store,
    })
}

struct Sqlite {
    /// One connection, for everything that changes something.
    writer: SqlitePool,
    /// The others.
    readers: SqlitePool,
}

impl UserStore for Sqlite {
    fn sign_in<'a>(&'a self, name: &'a str) -> Stored<'a, User> {
        Box::pin(async move {
            let row = sqlx::query(
                "INSERT INTO users (id, name, name_key, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name_key) DO UPDATE SET name_key = users.name_key
                 RETURNING id, name",
            )
            .bind(Uuid::now_v7().to_string())
            .bind(name)
            .bind(name.to_lowercase())
            .bind(Timestamp::now().millis())
            .fetch_one(&self.writer)
            .await?;
            Ok(User {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
            })
        })
    }
}

impl RoomStore for Sqlite {
    fn create<'a>(&'a self, room: &'a RoomRecord, key_hash: &'a str) -> Stored<'a, bool> {
        Box::pin(async move {
            let done = sqlx::query(
                "INSERT INTO rooms (id, title, visibility, status, owner_id, owner_name,
                                    allow_guest_chat, stream_key_hash, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
            )
            .bind(room.id.as_str())
            .bind(&room.title)
            .bind(visibility_name(room.visibility))
            .bind(status_name(room.status))
            .bind(&room.owner.id)
            .bind(&room.owner.name)
            .bind(room.allow_guest_chat)
            .bind(key_hash)
            .bind(room.created_at.millis())
            .execute(&self.writer)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn find<'a>(&'a self, id: &'a RoomId) -> Stored<'a, Option<RoomRecord>> {
        Box::pin(async move {
            let row = sqlx::query("SELECT * FROM rooms WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(&self.readers)
                .await?;
            row.as_ref().map(room_record).transpose()
        })
    }

    fn find_by_key<'a>(
        &'a self,
        id: &'a RoomId,
        key_hash: &'a str,
    ) -> Stored<'a, Option<RoomRecord>> {
        Box::pin(async move {
            let row = sqlx::query("SELECT * FROM rooms WHERE id = $1 AND stream_key_hash = $2")
                .bind(id.as_str())
                .bind(key_hash)
                .fetch_optional(&self.readers)
                .await?;
            row.as_ref().map(room_record).transpose()
        })
    }

    fn list<'a>(&'a self, query: &'a RoomQuery) -> Stored<'a, Vec<RoomRecord>> {
        Box::pin(async move {
            let after = query.after.as_ref();
            let pattern = query.text.as_deref().map(like_pattern).unwrap_or_default();
            let rows = sqlx::query(
                "SELECT * FROM (
                   SELECT rooms.*, CASE WHEN status = 'ready' THEN 0 ELSE 1 END AS on_air,
                          COALESCE(started_at, created_at) AS since
                   FROM rooms
                 ) AS placed
                 WHERE (visibility = 'public' OR owner_id = $1)
                   AND ($2 = '' OR status = $2)
                   AND ($3 = '' OR LOWER(title) LIKE $3 ESCAPE '!')
                   AND (on_air, since, id) < ($4, $5, $6)
                 ORDER BY on_air DESC, since DESC, id DESC LIMIT $7",
            )
            .bind(query.viewer.as_deref().unwrap_or_default())
            .bind(query.status.map(status_name).unwrap_or_default())
            .bind(pattern)
            .bind(after.map_or(2, |place| i64::from(place.on_air)))
            .bind(after.map_or(i64::MAX, |place| place.since.millis()))
            .bind(after.map_or("", |place| &place.id))
            .bind(i64::from(query.limit))
            .fetch_all(&self.readers)
            .await?;
            rows.iter().map(room_record).collect()
        })
    }

    fn unfinished(&self) -> Stored<'_, Vec<RoomId>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT id FROM rooms WHERE status <> 'ready' ORDER BY id")
                .fetch_all(&self.readers)
                .await?;
            rows.iter().map(room_id).collect()
        })
    }
}

impl JournalStore for Sqlite {
    fn append<'a>(&'a self, room: &'a RoomId, entries: &'a [Entry]) -> Stored<'a, Vec<Outcome>> {
        Box::pin(async move {
            let mut transaction = self.writer.begin().await?;
            // Writing the room's row first takes the lock before anything is read.
            let row = sqlx::query(
                "UPDATE rooms SET last_seq = last_seq WHERE id = $1 RETURNING last_seq",
            )
            .bind(room.as_str())
            .fetch_one(&mut *transaction)
            .await?;
            let mut batch = Batch {
                room: room.as_str(),
                last_seq: row.try_get("last_seq")?,
                ts: Timestamp::now(),
            };
            let mut outcomes = Vec::with_capacity(entries.len());
            for entry in entries {
                outcomes.push(match entry {
                    Entry::Chat(chat) => batch.chat(&mut transaction, chat).await?,
                    Entry::Event {
                        kind,
                        content,
                        update,
                    } => {
                        if let Some(update) = update {
                            batch.update(&mut transaction, update).await?;
                        }
                        batch.event(&mut transaction, kind, content).await?
                    }
                });
            }
            sqlx::query("UPDATE rooms SET last_seq = $2 WHERE id = $1")
                .bind(room.as_str())
                .bind(batch.last_seq)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(outcomes)
        })
    }

    fn tail<'a>(&'a self, room: &'a RoomId, limit: u32) -> Stored<'a, (u64, Vec<Event>)> {
        Box::pin(async move {
            let row = sqlx::query("SELECT last_seq FROM rooms WHERE id = $1")
                .bind(room.as_str())
                .fetch_one(&self.readers)
                .await?;
            let last: i64 = row.try_get("last_seq")?;
            let first = last - i64::from(limit);
            sqlx::query("DELETE FROM room_events WHERE room_id = $1 AND seq <= $2")
                .bind(room.as_str())
                .bind(first)
                .execute(&self.writer)
                .await?;
            let chat = sqlx::query("SELECT * FROM chat_messages WHERE room_id = $1 AND seq > $2")
                .bind(room.as_str())
                .bind(first)
                .fetch_all(&self.readers)
                .await?;
            let others = sqlx::query("SELECT * FROM room_events WHERE room_id = $1 AND seq > $2")
                .bind(room.as_str())
                .bind(first)
                .fetch_all(&self.readers)
                .await?;
            let chat = chat.iter().map(|row| chat_message(row).map(Event::Chat));
            let mut events: Vec<Event> = chat
                .chain(others.iter().map(other_event))
                .collect::<Result<_, _>>()?;
            events.sort_by_key(Event::seq);
            Ok((number(last), events))
        })
    }

    fn chat<'a>(
        &'a self,
        room: &'a RoomId,
        before: u64,
        limit: u32,
    ) -> Stored<'a, Vec<ChatMessage>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT * FROM chat_messages WHERE room_id = $1 AND seq < $2
                 ORDER BY seq DESC LIMIT $3",
            )
            .bind(room.as_str())
            .bind(i64::try_from(before).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
            rows.iter().map(chat_message).collect()
        })
    }
}

/// One transaction of the journal.
struct Batch<'a> {
    room: &'a str,
    /// The last number given.
    last_seq: i64,
    /// The time of all its entries.
    ts: Timestamp,
}

impl Batch<'_> {
    async fn chat(
        &mut self,
        connection: &mut SqliteConnection,
        chat: &NewChat,
    ) -> Result<Outcome, StoreError> {
        let earlier = sqlx::query(
            "SELECT * FROM chat_messages WHERE room_id = $1 AND sender_id = $2 AND client_id = $3",
        )
        .bind(self.room)
        .bind(&chat.from.id)
        .bind(&chat.client_id)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(row) = earlier {
            return Ok(Outcome::Duplicate(chat_message(&row)?));
        }
        self.last_seq += 1;
        let message = ChatMessage {
            message_id: Uuid::now_v7().to_string(),
            seq: number(self.last_seq),
            ts: self.ts.millis(),
            kind: "chat".to_owned(),
            text: chat.text.clone(),
            from: chat.from.clone(),
        };
        sqlx::query(
            "INSERT INTO chat_messages (room_id, seq, id, ts, kind, body, sender_id, sender_name,
                                        sender_role, client_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(self.room)
        .bind(self.last_seq)
        .bind(&message.message_id)
        .bind(message.ts)
        .bind(&message.kind)
        .bind(&message.text)
        .bind(&message.from.id)
        .bind(&message.from.name)
        .bind(message.from.role.as_str())
        .bind(&chat.client_id)
        .execute(connection)
        .await?;
        Ok(Outcome::Chat(message))
    }

    async fn event(
        &mut self,
        connection: &mut SqliteConnection,
        kind: &str,
        content: &str,
    ) -> Result<Outcome, StoreError> {
        self.last_seq += 1;
        sqlx::query(
            "INSERT INTO room_events (room_id, seq, ts, kind, content) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(self.room)
        .bind(self.last_seq)
        .bind(self.ts.millis())
        .bind(kind)
        .bind(content)
        .execute(connection)
        .await?;
        Ok(Outcome::Event {
            seq: number(self.last_seq),
            ts: self.ts,
        })
    }

    async fn update(
        &self,
        connection: &mut SqliteConnection,
        update: &RoomUpdate,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE rooms SET status = $2, started_at = $3, peak_viewers = $4 WHERE id = $1",
        )
        .bind(self.room)
        .bind(status_name(update.status))
        .bind(update.started_at.map(Timestamp::millis))
        .bind(i64::try_from(update.peak_viewers).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Reading is quick; more connections than this only cost memory.
const READERS: u32 = 4;
