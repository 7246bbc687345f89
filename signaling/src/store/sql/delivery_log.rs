//! What became of each telling.

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::query::Query;

use super::deliveries::{attempts, due};
use super::outbox::open_lanes;
use super::row::{moment, named};
use super::{Connection, Database, Row, Store};
use crate::store::{
    Delivery, DeliveryLogStore, DeliveryQuery, DeliveryStatus, Due, Keep, Replay, StoreError,
    Stored, Swept, promptly,
};
use crate::time::Timestamp;

/// A line of the log, with what narrows the list. The next attempt is that of the first in the lane; who is at it now
/// has moved it to the end of their lease.
macro_rules! listed {
    ($only:literal) => {
        concat!(
            "SELECT outbox.*, status, attempts, queued_at, last_at, last_status, last_error, last_ms,
                    webhook_lanes.due_at AS next_at
             FROM webhook_deliveries
             JOIN outbox ON outbox.number = webhook_deliveries.number
             LEFT JOIN webhook_lanes ON webhook_lanes.webhook_id = webhook_deliveries.webhook_id
                 AND webhook_lanes.room_id = webhook_deliveries.room_id
                 AND webhook_lanes.lease IS NULL
             WHERE webhook_deliveries.webhook_id = $1 AND webhook_deliveries.number < $2 ",
            $only,
            " ORDER BY webhook_deliveries.number DESC LIMIT $3"
        )
    };
}

/// The endpoints that a table names, each once. It goes from one to the next by the index instead of through all rows.
macro_rules! named_in {
    ($table:literal) => {
        concat!(
            "WITH RECURSIVE told (id) AS (
               SELECT MIN(webhook_id) FROM ",
            $table,
            "  UNION ALL
               SELECT (SELECT MIN(webhook_id) FROM ",
            $table,
            " WHERE webhook_id > told.id) FROM told WHERE told.id IS NOT NULL
             )
             SELECT told.id, webhooks.id AS present FROM told
             LEFT JOIN webhooks ON webhooks.id = told.id WHERE told.id IS NOT NULL"
        )
    };
}

impl DeliveryLogStore for Store {
    fn deliveries<'a>(
        &'a self,
        id: &'a str,
        query: &'a DeliveryQuery,
    ) -> Stored<'a, Vec<Delivery>> {
        promptly(async move {
            let before = query.before.unwrap_or(i64::MAX);
            let select = match query.status {
                Some(_) => listed!("AND webhook_deliveries.status = $4"),
                None => listed!("AND $4 = ''"),
            };
            let rows = sqlx::query(select)
                .bind(id)
                .bind(before)
                .bind(i64::from(query.limit))
                .bind(query.status.map_or("", DeliveryStatus::as_str))
                .fetch_all(self.readers())
                .await?;
            rows.iter().map(delivery).collect()
        })
    }

    fn delivery<'a>(&'a self, id: &'a str, event: &'a str) -> Stored<'a, Option<(Delivery, Due)>> {
        promptly(async move {
            let row = sqlx::query(listed!("AND outbox.id = $4"))
                .bind(id)
                .bind(i64::MAX)
                .bind(1_i64)
                .bind(event)
                .fetch_optional(self.readers())
                .await?;
            row.map(|row| Ok((delivery(&row)?, due(&row)?))).transpose()
        })
    }

    fn tell<'a>(&'a self, id: &'a str, event: &'a str, content: &'a str) -> Stored<'a, ()> {
        promptly(async move {
            let mut transaction = self.writer().begin().await?;
            let now = Timestamp::now().millis();
            let row = sqlx::query(
                "INSERT INTO outbox (id, room_id, seq, kind, content, created_at)
                 VALUES ($1, '', NULL, 'test', $2, $3) RETURNING number",
            )
            .bind(event)
            .bind(content)
            .bind(now)
            .fetch_one(&mut *transaction)
            .await?;
            let number: i64 = row.try_get("number")?;
            sqlx::query(
                "INSERT INTO webhook_deliveries (webhook_id, number, room_id, status, attempts, queued_at)
                 VALUES ($1, $2, '', 'pending', 0, $3)",
            )
            .bind(id)
            .bind(number)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
            open_lanes(&mut transaction, "", number, now).await?;
            transaction.commit().await?;
            self.told.notify_one();
            Ok(())
        })
    }

    fn replay<'a>(&'a self, id: &'a str, which: &'a Replay) -> Stored<'a, u64> {
        promptly(async move {
            let mut transaction = self.writer().begin().await?;
            let now = Timestamp::now().millis();
            let queued = match which {
                Replay::One(event) => sqlx::query(
                    "UPDATE webhook_deliveries SET status = 'pending', attempts = 0, queued_at = $2
                     WHERE webhook_id = $1 AND number = (SELECT number FROM outbox WHERE id = $3)
                     RETURNING number",
                )
                .bind(id)
                .bind(now)
                .bind(event),
                Replay::Between {
                    from,
                    until,
                    status,
                    at_most,
                } => between((id, now), (*from, *until), *status, *at_most),
            };
            let queued = queued.fetch_all(&mut *transaction).await?;
            let numbers = queued.iter().map(|row| row.try_get("number"));
            let numbers: Vec<i64> = numbers.collect::<Result<_, _>>()?;
            if let (Some(first), Some(last)) = (numbers.iter().min(), numbers.iter().max()) {
                wake_lanes(&mut transaction, id, (*first, *last), now).await?;
            }
            transaction.commit().await?;
            self.told.notify_one();
            Ok(u64::try_from(numbers.len()).unwrap_or(u64::MAX))
        })
    }

    fn sweep(&self, keep: Keep) -> Stored<'_, Swept> {
        Box::pin(async move {
            let mut swept = Swept::default();
            let (gone, more) = self.some(expire(keep)).await?;
            swept.expired = gone;
            swept.more = more;
            let last_old = self.last_before(keep.since).await?;
            for (id, is_there) in self.told_endpoints().await? {
                if is_there {
                    self.sweep_endpoint(&id, (keep, last_old), &mut swept)
                        .await?;
                } else {
                    self.forget_endpoint(&id, &mut swept).await?;
                }
            }
            // What somebody replayed may be older than the rest.
            let old = sqlx::query(
                "DELETE FROM outbox WHERE number IN
                   (SELECT number FROM outbox WHERE created_at < $1 AND NOT EXISTS
                      (SELECT 1 FROM webhook_deliveries WHERE webhook_deliveries.number = outbox.number)
                    ORDER BY created_at LIMIT 1000)",
            );
            let (gone, more) = self.some(old.bind(keep.since.millis())).await?;
            swept.forgotten += gone;
            swept.more |= more;
            Ok(swept)
        })
    }
}

impl Store {
    /// Changes a bounded number of rows, so that others who write are not held up; returns how many, and whether that
    /// was the bound.
    async fn some(
        &self,
        statement: Query<'_, Database, <Database as sqlx::Database>::Arguments>,
    ) -> Result<(u64, bool), StoreError> {
        let done = statement.execute(self.writer()).await?.rows_affected();
        Ok((done, done >= AT_ONCE))
    }

    /// Returns a number from which on nothing happened before a moment. Who deletes holds up who writes, so that what is
    /// looked for is narrowed before.
    async fn last_before(&self, moment: Timestamp) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT MAX(number) AS number FROM outbox WHERE created_at < $1")
            .bind(moment.millis())
            .fetch_one(self.readers())
            .await?;
        let last: Option<i64> = row.try_get("number")?;
        Ok(last.unwrap_or(0))
    }

    /// Returns whom something was told, or is to be, and whether they are still there.
    async fn told_endpoints(&self) -> Result<BTreeMap<String, bool>, StoreError> {
        let mut told = BTreeMap::new();
        for statement in [named_in!("webhook_deliveries"), named_in!("webhook_lanes")] {
            let rows = sqlx::query(statement).fetch_all(self.readers()).await?;
            for row in rows {
                let present: Option<String> = row.try_get("present")?;
                told.insert(row.try_get("id")?, present.is_some());
            }
        }
        Ok(told)
    }

    /// Forgets what an endpoint was told that is no more.
    async fn forget_endpoint(&self, id: &str, swept: &mut Swept) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM webhook_lanes WHERE webhook_id = $1 AND room_id IN
               (SELECT room_id FROM webhook_lanes WHERE webhook_id = $1 LIMIT 1000)",
            "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND number IN
               (SELECT number FROM webhook_deliveries WHERE webhook_id = $1 LIMIT 1000)",
        ] {
            let (gone, more) = self.some(sqlx::query(statement).bind(id)).await?;
            swept.forgotten += gone;
            swept.more |= more;
        }
        Ok(())
    }

    /// Forgets what one endpoint was told long ago, and what is too much of it.
    async fn sweep_endpoint(
        &self,
        id: &str,
        (keep, last_old): (Keep, i64),
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        let old = sqlx::query(
            "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND number IN
               (SELECT webhook_deliveries.number FROM webhook_deliveries
                JOIN outbox ON outbox.number = webhook_deliveries.number
                WHERE webhook_id = $1 AND webhook_deliveries.number <= $3
                  AND status <> 'pending' AND created_at < $2
                ORDER BY webhook_deliveries.number LIMIT 1000)",
        );
        let old = old.bind(id).bind(keep.since.millis()).bind(last_old);
        let (gone, more) = self.some(old).await?;
        swept.forgotten += gone;
        swept.more |= more;
        let first_kept = sqlx::query(
            "SELECT number FROM webhook_deliveries WHERE webhook_id = $1
             ORDER BY number DESC LIMIT 1 OFFSET $2",
        )
        .bind(id)
        .bind(i64::from(keep.at_most))
        .fetch_optional(self.readers())
        .await?;
        let Some(row) = first_kept else {
            return Ok(());
        };
        let last_gone: i64 = row.try_get("number")?;
        for status in [
            DeliveryStatus::Pending,
            DeliveryStatus::Delivered,
            DeliveryStatus::Failed,
        ] {
            let surplus = sqlx::query(
                "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND number IN
                   (SELECT number FROM webhook_deliveries
                    WHERE webhook_id = $1 AND status = $2 AND number <= $3 ORDER BY number LIMIT 1000)",
            );
            let surplus = surplus.bind(id).bind(status.as_str()).bind(last_gone);
            let (gone, more) = self.some(surplus).await?;
            match status {
                DeliveryStatus::Pending => swept.dropped += gone,
                DeliveryStatus::Delivered | DeliveryStatus::Failed => swept.forgotten += gone,
            }
            swept.more |= more;
        }
        Ok(())
    }
}

fn between<'a>(
    (id, now): (&'a str, i64),
    (from, until): (Timestamp, Timestamp),
    status: Option<DeliveryStatus>,
    at_most: u32,
) -> Query<'a, Database, <Database as sqlx::Database>::Arguments> {
    sqlx::query(
        "UPDATE webhook_deliveries SET status = 'pending', attempts = 0, queued_at = $2
         WHERE webhook_id = $1 AND number IN
             (SELECT webhook_deliveries.number FROM outbox
              JOIN webhook_deliveries ON outbox.number = webhook_deliveries.number
              WHERE webhook_id = $1 AND status <> 'pending' AND ($3 = '' OR status = $3)
                AND created_at >= $4 AND created_at < $5
              ORDER BY webhook_deliveries.number LIMIT $6)
         RETURNING number",
    )
    .bind(id)
    .bind(now)
    .bind(status.map_or("", DeliveryStatus::as_str))
    .bind(from.millis())
    .bind(until.millis())
    .bind(i64::from(at_most))
}

/// Makes lanes for what is to be told again, and has those tried at once that nobody is at.
async fn wake_lanes(
    connection: &mut Connection,
    id: &str,
    (first, last): (i64, i64),
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO webhook_lanes (webhook_id, room_id, due_at, lease, changes)
         SELECT DISTINCT webhook_id, room_id, $4, NULL, 1 FROM webhook_deliveries
         WHERE webhook_id = $1 AND number >= $2 AND number <= $3 AND status = 'pending'
         ORDER BY room_id
         ON CONFLICT (webhook_id, room_id) DO UPDATE SET changes = webhook_lanes.changes + 1,
             due_at = CASE WHEN webhook_lanes.lease IS NULL THEN excluded.due_at
                           ELSE webhook_lanes.due_at END",
    )
    .bind(id)
    .bind(first)
    .bind(last)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

fn expire(keep: Keep) -> Query<'static, Database, <Database as sqlx::Database>::Arguments> {
    sqlx::query(
        "UPDATE webhook_deliveries SET status = 'failed', last_error = COALESCE(last_error, $2)
         WHERE status = 'pending' AND (webhook_id, number) IN
             (SELECT webhook_id, number FROM webhook_deliveries
              WHERE status = 'pending' AND queued_at < $1 ORDER BY queued_at LIMIT 1000)",
    )
    .bind(keep.queued_since.millis())
    .bind("it waited too long for its turn")
}

fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    let room_id: String = row.try_get("room_id")?;
    let status: DeliveryStatus = named(row, "status")?;
    let answer: Option<i64> = row.try_get("last_status")?;
    Ok(Delivery {
        number: row.try_get("number")?,
        event_id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        room_id: Some(room_id).filter(|it| !it.is_empty()),
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        status,
        attempts: attempts(row)?,
        next_at: moment(row, "next_at")?.filter(|_| status == DeliveryStatus::Pending),
        last_at: moment(row, "last_at")?,
        last_status: answer.and_then(|it| u16::try_from(it).ok()),
        last_error: row.try_get("last_error")?,
        last_ms: row.try_get("last_ms")?,
    })
}

const AT_ONCE: u64 = 1000;
