//! What is known of audiences.

use sqlx::{QueryBuilder, Row as _};

use super::audiences::{minute, push_sums, push_viewers, sums, viewer_row, with_viewers};
use super::row::{column, count, room_id};
use super::{Connection, Database, Row, Store};
use crate::analytics::{COLUMNS, Earlier, MAX_VIEWERS, Minute};
use crate::id::RoomId;
use crate::store::{AnalyticsStore, EventFigures, Names, RoomRollup, StoreError, Stored, promptly};
use crate::time::Timestamp;

impl AnalyticsStore for Store {
    fn write<'a>(&'a self, rollups: &'a [RoomRollup]) -> Stored<'a, ()> {
        Box::pin(async move {
            let mut transaction = self.writer().begin().await?;
            for rollup in rollups {
                // The room's row before those that belong to it, as who removes a room does: they would wait for each
                // other. Viewers alone leave it to those who chat.
                if !rollup.is_of_viewers() {
                    note_room(&mut transaction, rollup).await?;
                }
                if note_event(&mut transaction, rollup).await? {
                    write_minutes(&mut transaction, rollup).await?;
                    write_viewers(&mut transaction, rollup).await?;
                }
            }
            transaction.commit().await?;
            Ok(())
        })
    }

    fn earlier<'a>(&'a self, room: &'a RoomId, started_at: u64) -> Stored<'a, Earlier> {
        // A hundred thousand viewers may take longer than somebody waits.
        Box::pin(async move {
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
                ..EventFigures::default()
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

    fn aged(&self, before: Timestamp, limit: u32) -> Stored<'_, Vec<(RoomId, u64)>> {
        promptly(async move {
            let mut due: QueryBuilder<Database> =
                QueryBuilder::new("SELECT room_id, started_at FROM analytics_events WHERE ");
            push_due(&mut due, before);
            due.push(" ORDER BY updated_at LIMIT ");
            due.push_bind(i64::from(limit));
            let due = due.build().fetch_all(self.readers()).await?;
            let event = |row: &Row| Ok((room_id(row, "room_id")?, count(row, "started_at")?));
            due.iter().map(event).collect()
        })
    }

    fn anonymise<'a>(
        &'a self,
        room: &'a RoomId,
        started_at: u64,
        before: Timestamp,
    ) -> Stored<'a, Names> {
        promptly(async move {
            let event = (room.as_str(), column(started_at));
            let mut transaction = self.writer().begin().await?;
            if !claim_aged(&mut transaction, event, before).await? {
                return Ok(Names::Kept);
            }
            let names = take_names(&mut transaction, event).await?;
            transaction.commit().await?;
            Ok(names)
        })
    }
}

/// Writes an event's row; returns whether the room is there. Viewers of a roll-up may come after the event of a later one.
async fn note_event(connection: &mut Connection, rollup: &RoomRollup) -> Result<bool, StoreError> {
    let there = sqlx::query(
        "INSERT INTO analytics_events (room_id, started_at, updated_at, watching)
         SELECT id, $2, $3, $4 FROM rooms WHERE id = $1
         ON CONFLICT (room_id, started_at) DO UPDATE SET
             updated_at = CASE WHEN excluded.updated_at > analytics_events.updated_at
                               THEN excluded.updated_at ELSE analytics_events.updated_at END,
             watching = CASE WHEN excluded.updated_at >= analytics_events.updated_at
                             THEN excluded.watching ELSE analytics_events.watching END,
             anonymised = FALSE
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
             total_viewers = CASE WHEN total_viewers < $3 THEN $3 ELSE total_viewers END
         WHERE id = $1",
    )
    .bind(rollup.room.as_str())
    .bind(column(rollup.row.peak_viewers))
    .bind(column(rollup.row.total_viewers))
    .execute(&mut *connection)
    .await?;
    let more = watched_more(&mut *connection, rollup).await?;
    if more != 0 {
        sqlx::query("UPDATE rooms SET watch_ms = watch_ms + $2 WHERE id = $1")
            .bind(rollup.room.as_str())
            .bind(more)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Returns by how much a run's minutes are more than they were written down: what is written twice adds nothing, and what
/// several servers write adds up. Only one task writes of a run.
async fn watched_more(
    connection: &mut Connection,
    RoomRollup { room, rollup, .. }: &RoomRollup,
) -> Result<i64, StoreError> {
    let mut more = 0_i64;
    for chunk in rollup.minutes.chunks(MINUTES_A_STATEMENT) {
        let mut select: QueryBuilder<Database> = QueryBuilder::new(
            "SELECT CAST(COALESCE(SUM(watched_ms), 0) AS BIGINT) FROM analytics_minutes WHERE room_id = ",
        );
        select.push_bind(room.as_str()).push(" AND started_at = ");
        select.push_bind(column(rollup.started_at));
        select.push(" AND run = ").push_bind(rollup.run.as_str());
        select.push(" AND minute IN (");
        let mut minutes = select.separated(", ");
        for (begins, _) in chunk {
            minutes.push_bind(column(*begins));
        }
        select.push(")");
        let select = select.build_query_scalar();
        let before: i64 = select.fetch_one(&mut *connection).await?;
        let now = chunk.iter().map(|(_, minute)| minute.counts.watched_ms);
        more = more.saturating_add(column(now.sum()).saturating_sub(before));
    }
    Ok(more)
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

/// Keeps others from writing of an event until the end of the transaction; returns whether it is to be anonymised.
async fn claim_aged(
    connection: &mut Connection,
    (room, started_at): (&str, i64),
    before: Timestamp,
) -> Result<bool, StoreError> {
    let mut update: QueryBuilder<Database> =
        QueryBuilder::new("UPDATE analytics_events SET anonymised = FALSE WHERE room_id = ");
    update.push_bind(room).push(" AND started_at = ");
    update.push_bind(started_at).push(" AND ");
    push_due(&mut update, before);
    let claimed = update.build().execute(connection).await?;
    Ok(claimed.rows_affected() > 0)
}

/// Makes one row of each of some viewers, without a name, and says so of the event when they were the last.
async fn take_names(
    connection: &mut Connection,
    (room, started_at): (&str, i64),
) -> Result<Names, StoreError> {
    // Names are hexadecimal numbers: those that stand in their place begin with a letter behind them.
    let named = sqlx::query(
        "SELECT viewer, CAST(SUM(watched_ms) AS BIGINT) AS watched_ms, MIN(device) AS device,
                MIN(region) AS region, MAX(engaged) AS engaged
         FROM analytics_viewers WHERE room_id = $1 AND started_at = $2 AND viewer < 'n'
         GROUP BY viewer ORDER BY viewer LIMIT $3",
    )
    .bind(room)
    .bind(started_at)
    .bind(i64::try_from(VIEWERS_A_STATEMENT).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    let Some(last) = named.last() else {
        sqlx::query(
            "UPDATE analytics_events SET anonymised = TRUE WHERE room_id = $1 AND started_at = $2",
        )
        .bind(room)
        .bind(started_at)
        .execute(connection)
        .await?;
        return Ok(Names::Gone);
    };
    write_nameless(&mut *connection, (room, started_at), &named).await?;
    sqlx::query(
        "DELETE FROM analytics_viewers WHERE room_id = $1 AND started_at = $2 AND viewer <= $3",
    )
    .bind(room)
    .bind(started_at)
    .bind(last.try_get::<&str, _>("viewer")?)
    .execute(connection)
    .await?;
    Ok(Names::More)
}

/// Writes viewers without their names, in an order that says nothing of who they were.
async fn write_nameless(
    connection: &mut Connection,
    (room, started_at): (&str, i64),
    viewers: &[Row],
) -> Result<(), StoreError> {
    let nameless = viewers.iter().map(|row| {
        let watched_sec = count(row, "watched_ms")? / 1000;
        let (device, region): (&str, &str) = (row.try_get("device")?, row.try_get("region")?);
        let engaged: i64 = row.try_get("engaged")?;
        let name = format!("n{}", crate::id::random());
        Ok::<_, StoreError>((name, watched_sec, device, region, engaged))
    });
    let mut nameless: Vec<_> = nameless.collect::<Result<_, _>>()?;
    nameless.sort_unstable();
    let mut insert: QueryBuilder<Database> = QueryBuilder::new(
        "INSERT INTO analytics_viewers
             (room_id, started_at, run, viewer, watched_ms, device, region, engaged) ",
    );
    insert.push_values(
        nameless,
        |mut row, (name, watched_sec, device, region, engaged)| {
            row.push_bind(room)
                .push_bind(started_at)
                .push_bind("")
                .push_bind(name)
                .push_bind(column(watched_sec * 1000))
                .push_bind(device)
                .push_bind(region)
                .push_bind(engaged);
        },
    );
    insert.build().execute(connection).await?;
    Ok(())
}

/// Databases take 32,766 values in a statement (`SQLite`), and long statements are slower than several.
const MINUTES_A_STATEMENT: usize = 64;

const VIEWERS_A_STATEMENT: usize = 256;
