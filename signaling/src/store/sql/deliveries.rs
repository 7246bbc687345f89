//! What is on its way to those outside. A lane is what waits for one endpoint from one room; who is at it has moved the
//! time at which it is due to the end of their lease, so that what they leave behind is due again by itself.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::Row as _;

use super::row::{moment, number};
use super::{Connection, Row, Store};
use crate::store::{
    Backlog, DeliveryStore, Due, Lane, Lease, Next, StoreError, Stored, Tried, promptly,
};
use crate::time::Timestamp;

/// Takes lanes that are due. Of several servers each passes over what another is about to take.
macro_rules! claimed {
    ($begin:literal, $end:literal) => {
        concat!(
            "UPDATE webhook_lanes SET lease = $1, due_at = $2
             WHERE webhook_id = $3 AND due_at <= $4 AND room_id ",
            $begin,
            "SELECT room_id FROM webhook_lanes WHERE webhook_id = $3 AND due_at <= $4
             ORDER BY due_at LIMIT $5 ",
            $end,
            " RETURNING room_id, changes"
        )
    };
}

impl DeliveryStore for Store {
    fn added(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.told.notified())
    }

    fn claim<'a>(&'a self, id: &'a str, lease: &'a Lease, limit: u32) -> Stored<'a, Vec<Lane>> {
        promptly(async move {
            let statement = if Self::IS_ALONE {
                claimed!("IN (", ")")
            } else {
                claimed!("= ANY (ARRAY (", "FOR UPDATE SKIP LOCKED))")
            };
            let rows = sqlx::query(statement)
                .bind(&lease.name)
                .bind(lease.until.millis())
                .bind(id)
                .bind(lease.now.millis())
                .bind(i64::from(limit))
                .fetch_all(self.writer())
                .await?;
            let mut lanes = Vec::with_capacity(rows.len());
            for row in rows {
                let mut lane = Lane {
                    webhook_id: id.to_owned(),
                    room_id: row.try_get("room_id")?,
                    lease: lease.name.clone(),
                    changes: row.try_get("changes")?,
                    due: Vec::new(),
                    more: false,
                };
                self.read_lane(&mut lane).await?;
                lanes.push(lane);
            }
            Ok(lanes)
        })
    }

    fn release<'a>(&'a self, lane: &'a Lane, tried: &'a [Tried], next: Next) -> Stored<'a, ()> {
        promptly(async move {
            let mut transaction = self.writer().begin().await?;
            for tried in tried {
                note(&mut transaction, lane, tried).await?;
            }
            give_back(&mut transaction, lane, next).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    fn reclaim(&self) -> Stored<'_, ()> {
        promptly(async move {
            if !Self::IS_ALONE {
                return Ok(());
            }
            sqlx::query(
                "UPDATE webhook_lanes SET lease = NULL, due_at = $1 WHERE lease IS NOT NULL",
            )
            .bind(Timestamp::now().millis())
            .execute(self.writer())
            .await?;
            Ok(())
        })
    }

    fn backlog(&self) -> Stored<'_, Backlog> {
        promptly(async move {
            let row = sqlx::query(
                "SELECT COUNT(*) AS waiting, MIN(queued_at) AS oldest FROM webhook_deliveries
                 WHERE status = 'pending'",
            )
            .fetch_one(self.readers())
            .await?;
            Ok(Backlog {
                count: number(row.try_get("waiting")?),
                oldest: moment(&row, "oldest")?,
            })
        })
    }
}

impl Store {
    /// Reads the first that wait in a lane.
    async fn read_lane(&self, lane: &mut Lane) -> Result<(), StoreError> {
        let rows = sqlx::query(
            "SELECT outbox.*, attempts, queued_at
             FROM webhook_deliveries JOIN outbox ON outbox.number = webhook_deliveries.number
             WHERE webhook_id = $1 AND webhook_deliveries.room_id = $2 AND status = 'pending'
             ORDER BY webhook_deliveries.number LIMIT $3",
        )
        .bind(&lane.webhook_id)
        .bind(&lane.room_id)
        .bind(AT_ONCE + 1)
        .fetch_all(self.readers())
        .await?;
        lane.due = rows.iter().map(due).collect::<Result<_, _>>()?;
        lane.more = rows.len() > usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
        lane.due
            .truncate(usize::try_from(AT_ONCE).unwrap_or(usize::MAX));
        Ok(())
    }
}

/// Writes down what became of an attempt, unless the lease was over and the lane is somebody else's by now: what they
/// find out counts.
async fn note(connection: &mut Connection, lane: &Lane, tried: &Tried) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_deliveries SET status = $3, attempts = $4, last_at = $5, last_status = $6,
                last_error = $7, last_ms = $8
         WHERE webhook_id = $1 AND number = $2 AND EXISTS
             (SELECT 1 FROM webhook_lanes WHERE webhook_id = $1 AND room_id = $9 AND lease = $10)",
    )
    .bind(&lane.webhook_id)
    .bind(tried.number)
    .bind(tried.status.as_str())
    .bind(i64::from(tried.attempts))
    .bind(tried.at.millis())
    .bind(tried.answer.map(i64::from))
    .bind(&tried.error)
    .bind(millis(tried.took))
    .bind(&lane.room_id)
    .bind(&lane.lease)
    .execute(connection)
    .await?;
    Ok(())
}

async fn give_back(connection: &mut Connection, lane: &Lane, next: Next) -> Result<(), StoreError> {
    let due_at = match next {
        Next::At(moment) => moment,
        Next::WhenAdded => {
            let gone = sqlx::query(
                "DELETE FROM webhook_lanes
                 WHERE webhook_id = $1 AND room_id = $2 AND lease = $3 AND changes = $4",
            )
            .bind(&lane.webhook_id)
            .bind(&lane.room_id)
            .bind(&lane.lease)
            .bind(lane.changes)
            .execute(&mut *connection)
            .await?;
            if gone.rows_affected() > 0 {
                return Ok(());
            }
            Timestamp::now()
        }
    };
    // Where the lease was over the lane is somebody else's by now.
    sqlx::query(
        "UPDATE webhook_lanes SET lease = NULL, due_at = $4
         WHERE webhook_id = $1 AND room_id = $2 AND lease = $3",
    )
    .bind(&lane.webhook_id)
    .bind(&lane.room_id)
    .bind(&lane.lease)
    .bind(due_at.millis())
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads something to be told from a row of both tables.
pub(super) fn due(row: &Row) -> Result<Due, StoreError> {
    Ok(Due {
        number: row.try_get("number")?,
        event_id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        room_id: row.try_get("room_id")?,
        seq: row.try_get("seq")?,
        content: row.try_get("content")?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        attempts: attempts(row)?,
        queued_at: Timestamp::from_millis(row.try_get("queued_at")?),
    })
}

pub(super) fn attempts(row: &Row) -> Result<u32, StoreError> {
    let attempts: i64 = row.try_get("attempts")?;
    Ok(u32::try_from(attempts).unwrap_or_default())
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// What is told in one go, before it is written down what became of it: as much is told twice at most when a server dies.
const AT_ONCE: i64 = 16;
