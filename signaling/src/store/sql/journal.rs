//! The numbered events of rooms, chat included.

use serde::Serialize;
use serde_json::json;
use sqlx::Row as _;
use uuid::Uuid;

use super::outbox::Wanted;
use super::row::{chat_message, column, number, other_event};
use super::{Connection, Store};
use crate::id::RoomId;
use crate::store::{
    Answered, ChatMessage, Details, Done, Entry, Event, JournalStore, NewChat, Outcome, RoomUpdate,
    StoreError, Stored, User, promptly,
};
use crate::time::Timestamp;

impl JournalStore for Store {
    fn append<'a>(&'a self, room: &'a RoomId, entries: &'a [Entry]) -> Stored<'a, Vec<Outcome>> {
        Box::pin(async move {
            let mut transaction = self.writer().begin().await?;
            let mut batch = Batch::begin(&mut transaction, room.as_str()).await?;
            let mut outcomes = Vec::with_capacity(entries.len());
            for entry in entries {
                outcomes.push(batch.entry(&mut transaction, entry).await?);
            }
            batch.open_lanes(&mut transaction).await?;
            sqlx::query(
                "UPDATE rooms SET last_seq = $2, message_count = message_count + $3 WHERE id = $1",
            )
            .bind(room.as_str())
            .bind(batch.last_seq)
            .bind(batch.messages)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            if batch.first_told.is_some() {
                self.told.notify_one();
            }
            Ok(outcomes)
        })
    }

    fn tail<'a>(&'a self, room: &'a RoomId, limit: u32) -> Stored<'a, (u64, Vec<Event>)> {
        promptly(async move {
            let row = sqlx::query("SELECT last_seq FROM rooms WHERE id = $1")
                .bind(room.as_str())
                .fetch_one(self.readers())
                .await?;
            let last: i64 = row.try_get("last_seq")?;
            let first = last - i64::from(limit);
            sqlx::query("DELETE FROM room_events WHERE room_id = $1 AND seq <= $2")
                .bind(room.as_str())
                .bind(first)
                .execute(self.writer())
                .await?;
            let chat = sqlx::query("SELECT * FROM chat_messages WHERE room_id = $1 AND seq > $2")
                .bind(room.as_str())
                .bind(first)
                .fetch_all(self.readers())
                .await?;
            let others = sqlx::query("SELECT * FROM room_events WHERE room_id = $1 AND seq > $2")
                .bind(room.as_str())
                .bind(first)
                .fetch_all(self.readers())
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
        promptly(async move {
            let rows = sqlx::query(
                "SELECT * FROM chat_messages WHERE room_id = $1 AND seq < $2
                 ORDER BY seq DESC LIMIT $3",
            )
            .bind(room.as_str())
            .bind(column(before))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(chat_message).collect()
        })
    }
}

/// One transaction of the journal.
pub(super) struct Batch<'a> {
    pub(super) room: &'a str,
    /// The last number given.
    last_seq: i64,
    /// The time of all its entries.
    pub(super) ts: Timestamp,
    /// Chat messages among them.
    messages: i64,
    /// What others want to know of.
    pub(super) wanted: Wanted,
    /// The first that others are told of, by its place in the outbox; `None`: nothing yet.
    pub(super) first_told: Option<i64>,
}

impl<'a> Batch<'a> {
    async fn begin(connection: &mut Connection, room: &'a str) -> Result<Self, StoreError> {
        // Writing the room's row first takes the lock before anything is read.
        let row = sqlx::query(
            "UPDATE rooms SET last_seq = last_seq WHERE id = $1
             RETURNING last_seq,
                 (SELECT string_agg(events, '') FROM webhooks
                  WHERE enabled AND (webhooks.room_id IS NULL OR webhooks.room_id = rooms.id)
                    AND (webhooks.owner_id IS NULL OR webhooks.owner_id = rooms.owner_id)) AS wanted",
        )
        .bind(room)
        .fetch_one(connection)
        .await?;
        Ok(Self {
            room,
            last_seq: row.try_get("last_seq")?,
            ts: Timestamp::now(),
            messages: 0,
            wanted: Wanted::new(row.try_get("wanted")?),
            first_told: None,
        })
    }
}

impl Batch<'_> {
    async fn entry(
        &mut self,
        connection: &mut Connection,
        entry: &Entry,
    ) -> Result<Outcome, StoreError> {
        match entry {
            Entry::Chat(chat) => self.chat(connection, chat).await,
            Entry::Event {
                kind,
                content,
                update,
            } => {
                if let Some(update) = update {
                    self.update(connection, update).await?;
                }
                self.event(connection, (kind, content)).await
            }
            Entry::Notice { kind, content } => {
                self.tell_others(connection, kind, (None, content)).await?;
                Ok(Outcome::Noticed)
            }
            Entry::Held(held) => self.hold(connection, held).await,
            Entry::Report(report) => self.report(connection, report).await,
            Entry::Deed { deed, by } => self.deed(connection, deed, by).await,
            Entry::Shop(change) => self.sell(connection, change).await,
            Entry::Order(order) => self.order(connection, order).await,
            Entry::Like { identity, liking } => self.like(connection, identity, *liking).await,
            Entry::Poll(deed) => self.poll(connection, deed).await,
            Entry::Question(deed) => self.question(connection, deed).await,
            Entry::Row(update) => self.row(connection, update).await,
        }
    }

    pub(super) async fn chat(
        &mut self,
        connection: &mut Connection,
        chat: &NewChat,
    ) -> Result<Outcome, StoreError> {
        if let Some(earlier) = self.earlier(connection, chat).await? {
            return Ok(Outcome::Duplicate(earlier));
        }
        if !self.may_write(connection, chat).await? {
            return Ok(Outcome::NotInAudience);
        }
        let Some(details) = self.details(connection, chat).await? else {
            return Ok(Outcome::Missing);
        };
        let message = ChatMessage {
            message_id: Uuid::now_v7().to_string(),
            seq: self.next_seq(),
            ts: self.ts.millis(),
            kind: chat.kind,
            text: chat.text.clone(),
            from: chat.from.clone(),
            details,
            deleted: false,
        };
        self.insert(&mut *connection, &message, chat.client_id.as_deref())
            .await?;
        if self.wanted.has("chat.message") {
            let content = serde_json::to_string(&message).unwrap_or_default();
            self.tell_others(connection, "chat.message", (Some(self.last_seq), &content))
                .await?;
        }
        Ok(Outcome::Chat(message))
    }

    /// Returns the same message, where it was said before.
    pub(super) async fn earlier(
        &self,
        connection: &mut Connection,
        chat: &NewChat,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let Some(client_id) = &chat.client_id else {
            return Ok(None);
        };
        let row = sqlx::query(
            "SELECT * FROM chat_messages WHERE room_id = $1 AND sender_id = $2 AND client_id = $3",
        )
        .bind(self.room)
        .bind(&chat.from.id)
        .bind(client_id)
        .fetch_optional(connection)
        .await?;
        row.as_ref().map(chat_message).transpose()
    }

    /// Puts together what a message refers to; `None` when what it answers is not there.
    async fn details(
        &self,
        connection: &mut Connection,
        chat: &NewChat,
    ) -> Result<Option<Details>, StoreError> {
        let reply_to = match &chat.reply_to {
            Some(id) => {
                let Some(answered) = self.message(connection, id).await? else {
                    return Ok(None);
                };
                Some(Answered {
                    message_id: answered.message_id,
                    from: User {
                        id: answered.from.id,
                        name: answered.from.name,
                    },
                })
            }
            None => None,
        };
        Ok(Some(Details {
            mentions: chat.mentions.clone(),
            reply_to,
            product: chat.product.clone(),
            captured_at: chat.captured_at,
        }))
    }

    /// Numbers a message that is about to be written.
    pub(super) fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.messages += 1;
        number(self.last_seq)
    }

    pub(super) async fn insert(
        &self,
        connection: &mut Connection,
        message: &ChatMessage,
        client_id: Option<&str>,
    ) -> Result<(), StoreError> {
        let details = (message.details != Details::default()).then_some(&message.details);
        let details = details.and_then(|it| serde_json::to_string(it).ok());
        sqlx::query(
            "INSERT INTO chat_messages (room_id, seq, id, ts, kind, body, sender_id, sender_name,
                                        sender_role, client_id, details, sender_avatar)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(self.room)
        .bind(self.last_seq)
        .bind(&message.message_id)
        .bind(message.ts)
        .bind(message.kind.as_str())
        .bind(&message.text)
        .bind(&message.from.id)
        .bind(&message.from.name)
        .bind(message.from.role.as_str())
        .bind(client_id)
        .bind(details)
        .bind(&message.from.avatar_url)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Writes an event that a deed causes.
    pub(super) async fn told(
        &mut self,
        connection: &mut Connection,
        kind: &'static str,
        content: &impl Serialize,
        message: Option<ChatMessage>,
    ) -> Result<Outcome, StoreError> {
        let content = serde_json::to_string(content).unwrap_or_default();
        self.event(connection, (kind, &content)).await?;
        Ok(Outcome::Deed(Box::new(Done {
            event: Some(Event::Other {
                seq: number(self.last_seq),
                ts: self.ts,
                kind: kind.to_owned(),
                content,
            }),
            message,
            settings: None,
            version: None,
        })))
    }

    async fn event(
        &mut self,
        connection: &mut Connection,
        (kind, content): (&str, &str),
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
        .execute(&mut *connection)
        .await?;
        self.tell_others(connection, kind, (Some(self.last_seq), content))
            .await?;
        Ok(Outcome::Event {
            seq: number(self.last_seq),
            ts: self.ts,
        })
    }

    /// Writes the row once more that could not be written. Nobody outside was told of the change, either.
    async fn row(
        &mut self,
        connection: &mut Connection,
        update: &RoomUpdate,
    ) -> Result<Outcome, StoreError> {
        self.update(connection, update).await?;
        let content = json!({
            "status": update.status, "startedAt": update.started_at, "endedAt": update.ended_at,
        });
        self.tell_others(connection, "room.status", (None, &content.to_string()))
            .await?;
        Ok(Outcome::Row)
    }

    async fn update(
        &self,
        connection: &mut Connection,
        update: &RoomUpdate,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE rooms SET status = $2, started_at = $3, ended_at = $4, changed_at = $5,
                    peak_viewers = CASE WHEN peak_viewers < $6 THEN $6 ELSE peak_viewers END,
                    total_viewers = CASE WHEN total_viewers < $7 THEN $7 ELSE total_viewers END,
                    rank = $8, since = COALESCE($3, scheduled_at, created_at)
             WHERE id = $1",
        )
        .bind(self.room)
        .bind(update.status.as_str())
        .bind(update.started_at.map(Timestamp::millis))
        .bind(update.ended_at.map(Timestamp::millis))
        .bind(update.changed_at.millis())
        .bind(column(update.peak_viewers))
        .bind(column(update.total_viewers))
        .bind(update.status.rank())
        .execute(connection)
        .await?;
        Ok(())
    }
}
