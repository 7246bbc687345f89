//! What others are to be told, written with what it tells of.

use sqlx::Row as _;
use uuid::Uuid;

use super::Connection;
use super::journal::Batch;
use crate::store::StoreError;
use crate::webhook::KINDS;

/// Which kinds of events somebody outside wants to know of one room.
pub(super) struct Wanted(String);

impl Wanted {
    /// Takes the kinds of all endpoints as they are stored, one after the other; `None`: there are none.
    pub(super) fn new(kinds: Option<String>) -> Self {
        Self(kinds.unwrap_or_default())
    }

    /// Returns whether anybody wants to know of such an event.
    pub(super) fn has(&self, kind: &str) -> bool {
        // Almost always nobody does.
        !self.0.is_empty()
            && KINDS.contains(&kind)
            && self.0.split(' ').any(|it| it == kind || it == "*")
    }
}

impl Batch<'_> {
    /// Writes what those outside are told, for each who wants to know of it.
    pub(super) async fn tell_others(
        &mut self,
        connection: &mut Connection,
        kind: &str,
        (seq, content): (Option<i64>, &str),
    ) -> Result<(), StoreError> {
        if !self.wanted.has(kind) {
            return Ok(());
        }
        let row = sqlx::query(
            "INSERT INTO outbox (id, room_id, seq, kind, content, created_at)
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING number",
        )
        .bind(Uuid::now_v7().to_string())
        .bind(self.room)
        .bind(seq)
        .bind(kind)
        .bind(content)
        .bind(self.ts.millis())
        .fetch_one(&mut *connection)
        .await?;
        let number: i64 = row.try_get("number")?;
        sqlx::query(
            "INSERT INTO webhook_deliveries (webhook_id, number, room_id, status, attempts, queued_at)
             SELECT id, $1, $2, 'pending', 0, $3 FROM webhooks
             WHERE enabled AND (events = ' * ' OR events LIKE $4)
               AND (webhooks.room_id IS NULL OR webhooks.room_id = $2)
               AND (webhooks.owner_id IS NULL
                    OR webhooks.owner_id = (SELECT rooms.owner_id FROM rooms WHERE rooms.id = $2))",
        )
        .bind(number)
        .bind(self.room)
        .bind(self.ts.millis())
        .bind(format!("% {kind} %"))
        .execute(connection)
        .await?;
        self.first_told.get_or_insert(number);
        Ok(())
    }

    /// Lets those know who deliver, once all of a transaction is written.
    pub(super) async fn open_lanes(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let Some(first) = self.first_told else {
            return Ok(());
        };
        open_lanes(connection, self.room, first, self.ts.millis()).await
    }
}

/// Makes lanes for the deliveries of a room from one number on.
pub(super) async fn open_lanes(
    connection: &mut Connection,
    room: &str,
    first: i64,
    now: i64,
) -> Result<(), StoreError> {
    // A lane that somebody is at, or that waits for its next attempt, keeps its time.
    sqlx::query(
        "INSERT INTO webhook_lanes (webhook_id, room_id, due_at, lease, changes)
         SELECT DISTINCT webhook_id, room_id, $3, NULL, 1 FROM webhook_deliveries
         WHERE room_id = $1 AND number >= $2 AND status = 'pending'
         ORDER BY webhook_id
         ON CONFLICT (webhook_id, room_id) DO UPDATE SET changes = webhook_lanes.changes + 1",
    )
    .bind(room)
    .bind(first)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
