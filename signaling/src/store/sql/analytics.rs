//! What is known of audiences.

use sqlx::{QueryBuilder, Row as _};
use tracing::warn;

use super::audiences::{minute, push_sums, push_viewers, sums, viewer_row, with_viewers};
use super::row::{column, count};
use super::{Connection, Database, Store};
use crate::analytics::{COLUMNS, Earlier, MAX_VIEWERS, Minute};
use crate::id::RoomId;
use crate::store::{AnalyticsStore, EventFigures, RoomRollup, StoreError, Stored, promptly};
use crate::time::Timestamp;

impl AnalyticsStore for Store {
    fn write<'a>(&'a self, rollups: &'a [RoomRollup]) -> Stored<'a, ()> {
        Box::pin(async move {
            let mut transaction = self.writer().begin().await?;
            for rollup in rollups {
                if note_event(&mut transaction, rollup).await? {
                    write_minutes(&mut transaction, rollup).await?;
                    write_viewers(&mut transaction, rollup).await?;
                    // Last: until the end of the transaction nobody else writes into the room.
                    note_room(&mut transaction, rollup).await?;
                }
            }
            transaction.commit().await?;
            Ok(())
        })
    }

    fn earlier<'a>(&'a self, room: &'a RoomId, started_at: u64) -> Stored<'a, Earlier> {
        promptly(async move {
            let mut connection = self.readers().acquire().await?;
            let (_, peak, counts) = sums(&mut connection, room, column(started_at)).await?;
            let mut select: QueryBuilder<Database> = QueryBuilder::new("");
            push_viewers(&mut select, room, column(started_at));
            select.push(" LIMIT ");
            select.push_bind(i64::try_from(MAX_VIEWERS).unwrap_or(i64::MAX));
            let rows = select.build().fetch_all(&mut *connection).await?;
            let viewers = rows.iter().filter_map(|row| viewer_row(row).transpose());
            Ok(Earlier {
                peak,
                counts,
                viewers: viewers.collect::<Result<_, _>>()?,
            })
        })
    }

    fn event<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Option<EventFigures>> {
        promptly(async move {
            let mut connection = self.readers().acquire().await?;
            let last = sqlx::query(
                "SELECT started_at, updated_at, watching FROM analytics_events
                 WHERE room_id = $1 ORDER BY started_at DESC LIMIT 1",
            )
            .bind(room.as_str())
            .fetch_optional(&mut *connection)
            .await?;
            let Some(last) = last else {
                return Ok(None);
            };
            let started_at: i64 = last.try_get("started_at")?;
            let (minutes, peak, counts) = sums(&mut connection, room, started_at).await?;
            let event = EventFigures {
                started_at: Timestamp::from_millis(started_at),
                updated_at: Timestamp::from_millis(last.try_get("updated_at")?),
                watching: count(&last, "watching")?,
                peak,
                minutes,
                counts,
                unique: 0,
                engaged: 0,
                watched_ms: 0,
                median_ms: 0,
                by_minutes: Vec::new(),
                regions: Vec::new(),
                devices: Vec::new(),
            };
            let event = with_viewers(&mut connection, room, event).await?;
            Ok(Some(event))
        })
    }

    fn minutes<'a>(
        &'a self,
        room: &'a RoomId,
        from: Timestamp,
        limit: u32,
    ) -> Stored<'a, Vec<(Timestamp, Minute)>> {
        promptly(async move {
            let mut select: QueryBuilder<Database> = QueryBuilder::new("SELECT minute, ");
            push_sums(&mut select);
            select.push(", string_agg(revenue, ',') AS revenues FROM analytics_minutes");
            select
                .push(" WHERE room_id = ")
                .push_bind(room.as_str())
                .push(" AND started_at = (SELECT MAX(started_at) FROM analytics_events")
                .push(" WHERE room_id = ")
                .push_bind(room.as_str())
                .push(") AND minute >= ")
                .push_bind(from.millis())
                .push(" GROUP BY minute ORDER BY minute LIMIT ")
                .push_bind(i64::from(limit));
            let rows = select.build().fetch_all(self.readers()).await?;
            rows.iter().map(minute).collect()
        })
    }

    fn last_minute<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Option<Timestamp>> {
        promptly(async move {
            let last: Option<i64> = sqlx::query_scalar(
                "SELECT MAX(minute) FROM analytics_minutes WHERE room_id = $1 AND started_at =
                     (SELECT MAX(started_at) FROM analytics_events WHERE room_id = $1)",
            )
            .bind(room.as_str())
            .fetch_one(self.readers())
            .await?;
            Ok(last.map(Timestamp::from_millis))
        })
    }

    fn anonymise(&self, before: Timestamp, limit: u32) -> Stored<'_, u64> {
        Box::pin(async move {
            let mut due: QueryBuilder<Database> =
                QueryBuilder::new("SELECT room_id, started_at FROM analytics_events WHERE ");
            push_due(&mut due, before);
            due.push(" ORDER BY updated_at LIMIT ");
            due.push_bind(i64::from(limit));
            let due = due.build().fetch_all(self.readers()).await?;
            let mut done = 0;
            for row in due {
                let event = (row.try_get("room_id")?, row.try_get("started_at")?);
                match self.anonymise_event(event, before).await {
                    Ok(is_done) => done += u64::from(is_done),
                    Err(error) if error.is_away() => return Err(error),
                    Err(error) => {
                        let room: &str = event.0;
                        warn!(%error, room, "viewers of one event keep their names until the next look");
                    }
                }
            }
            Ok(done)
        })
    }
}

impl Store {
    /// Takes the names from the viewers of an event; returns whether it was to be done.
    async fn anonymise_event(
        &self,
        event: (&str, i64),
        before: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.writer().begin().await?;
        if !mark_anonymised(&mut transaction, event, before).await? {
            return Ok(false);
        }
        anonymise(&mut transaction, event).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Writes an event's row; returns whether the room is there.
async fn note_event(connection: &mut Connection, rollup: &RoomRollup) -> Result<bool, StoreError> {
    let there = sqlx::query(
        "INSERT INTO analytics_events (room_id, started_at, updated_at, watching)
         SELECT id, $2, $3, $4 FROM rooms WHERE id = $1
         ON CONFLICT (room_id, started_at) DO UPDATE SET
             updated_at = excluded.updated_at, watching = excluded.watching, anonymised = FALSE
         RETURNING room_id",
    )
    .bind(rollup.room.as_str())
    .bind(column(rollup.rollup.started_at))
    .bind(column(rollup.rollup.at))
    .bind(column(rollup.rollup.watching))
    .fetch_optional(connection)
    .await?;
    Ok(there.is_some())
}

/// Writes what of a room's row follows from a roll-up. What the room itself wrote later is not less.
async fn note_room(connection: &mut Connection, rollup: &RoomRollup) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE rooms SET
             peak_viewers = CASE WHEN peak_viewers < $2 THEN $2 ELSE peak_viewers END,
             total_viewers = CASE WHEN total_viewers < $3 THEN $3 ELSE total_viewers END,
             watch_ms = CASE WHEN watch_ms < $4 THEN $4 ELSE watch_ms END
         WHERE id = $1",
    )
    .bind(rollup.room.as_str())
    .bind(column(rollup.row.peak_viewers))
    .bind(column(rollup.row.total_viewers))
    .bind(column(rollup.row.watch_ms))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_minutes(
    connection: &mut Connection,
    RoomRollup { room, rollup, .. }: &RoomRollup,
) -> Result<(), StoreError> {
    for chunk in rollup.minutes.chunks(MINUTES_A_STATEMENT) {
        let mut insert: QueryBuilder<Database> = QueryBuilder::new(
            "INSERT INTO analytics_minutes (room_id, started_at, run, minute, peak, revenue",
        );
        for name in COLUMNS {
            insert.push(", ").push(name);
        }
        insert.push(") ");
        insert.push_values(chunk, |mut row, (begins, minute)| {
            let revenue = serde_json::to_string(&minute.revenue).unwrap_or_default();
            row.push_bind(room.as_str())
                .push_bind(column(rollup.started_at))
                .push_bind(rollup.run.as_str())
                .push_bind(column(*begins))
                .push_bind(column(minute.peak))
                .push_bind(revenue);
            for value in minute.counts.columns() {
                row.push_bind(column(value));
            }
        });
        insert.push(" ON CONFLICT (room_id, started_at, minute, run) DO UPDATE SET ");
        insert.push("peak = excluded.peak, revenue = excluded.revenue");
        for name in COLUMNS {
            insert.push(", ").push(name).push(" = excluded.").push(name);
        }
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_viewers(
    connection: &mut Connection,
    RoomRollup { room, rollup, .. }: &RoomRollup,
) -> Result<(), StoreError> {
    for chunk in rollup.viewers.chunks(VIEWERS_A_STATEMENT) {
        let mut insert: QueryBuilder<Database> = QueryBuilder::new(
            "INSERT INTO analytics_viewers
                 (room_id, started_at, run, viewer, watched_ms, device, region, engaged) ",
        );
        insert.push_values(chunk, |mut row, viewer| {
            row.push_bind(room.as_str())
                .push_bind(column(rollup.started_at))
                .push_bind(rollup.run.as_str())
                .push_bind(viewer.viewer.hex())
                .push_bind(column(viewer.watched_ms))
                .push_bind(viewer.origin.device.as_str())
                .push_bind(viewer.origin.region.as_str())
                .push_bind(i64::from(viewer.engaged));
        });
        insert.push(
            " ON CONFLICT (room_id, started_at, viewer, run) DO UPDATE SET
                  watched_ms = excluded.watched_ms, device = excluded.device,
                  region = excluded.region, engaged = excluded.engaged",
        );
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Says which events are to be anonymised. Not one that is on air, however long ago somebody watched it: its room knows
/// the viewers of this run by their names, and would write them down once more.
fn push_due(query: &mut QueryBuilder<Database>, before: Timestamp) {
    query
        .push("NOT anonymised AND updated_at < ")
        .push_bind(before.millis())
        .push(" AND NOT EXISTS (SELECT 1 FROM rooms WHERE rooms.id = analytics_events.room_id")
        .push(" AND rooms.started_at = analytics_events.started_at")
        .push(" AND rooms.status IN ('live', 'interrupted'))");
}

/// Marks an event, unless it is no longer to be anonymised. Until the end of the transaction nobody else writes of it.
async fn mark_anonymised(
    connection: &mut Connection,
    (room, started_at): (&str, i64),
    before: Timestamp,
) -> Result<bool, StoreError> {
    let mut update: QueryBuilder<Database> =
        QueryBuilder::new("UPDATE analytics_events SET anonymised = TRUE WHERE room_id = ");
    update.push_bind(room).push(" AND started_at = ");
    update.push_bind(started_at).push(" AND ");
    push_due(&mut update, before);
    let marked = update.build().execute(connection).await?;
    Ok(marked.rows_affected() > 0)
}

/// Makes one row of each viewer, without a name.
async fn anonymise(
    connection: &mut Connection,
    (room, started_at): (&str, i64),
) -> Result<(), StoreError> {
    for statement in [
        "INSERT INTO analytics_viewers
             (room_id, started_at, run, viewer, watched_ms, device, region, engaged)
         SELECT $1, $2, '',
                'n' || (ROW_NUMBER() OVER (ORDER BY SUM(watched_ms), MIN(device), MIN(region))
                        + (SELECT COUNT(*) FROM analytics_viewers AS before
                           WHERE before.room_id = $1 AND before.started_at = $2
                             AND before.run = '')),
                CAST(SUM(watched_ms) AS BIGINT) / 1000 * 1000, MIN(device), MIN(region),
                MAX(engaged)
         FROM analytics_viewers
         WHERE room_id = $1 AND started_at = $2 AND run <> '' GROUP BY viewer",
        "DELETE FROM analytics_viewers WHERE room_id = $1 AND started_at = $2 AND run <> ''",
    ] {
        sqlx::query(statement)
            .bind(room)
            .bind(started_at)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Databases take 32,766 values in a statement (`SQLite`), and long statements are slower than several.
const MINUTES_A_STATEMENT: usize = 64;

const VIEWERS_A_STATEMENT: usize = 256;
