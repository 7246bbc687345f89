//! What is known of audiences, read and added up by the database.

use sqlx::{QueryBuilder, Row as _};

use super::row::{column, count, json_value, named};
use super::{Connection, Database, Row};
use crate::analytics::{COLUMNS, Counts, Minute, Origin, Region, Viewer, ViewerRow};
use crate::id::RoomId;
use crate::store::{EventFigures, MAX_REGIONS, StoreError};
use crate::time::Timestamp;

/// Adds up the minutes of an event: how many there are from the first to the last, the most who watched at once, and the
/// counts.
pub(super) async fn sums(
    connection: &mut Connection,
    room: &RoomId,
    started_at: i64,
) -> Result<(u64, u64, Counts), StoreError> {
    let mut select: QueryBuilder<Database> = QueryBuilder::new("SELECT ");
    push_sums(&mut select);
    select
        .push(", COALESCE((MAX(minute) - MIN(minute)) / 60000 + 1, 0) AS minutes")
        .push(" FROM analytics_minutes WHERE room_id = ")
        .push_bind(room.as_str())
        .push(" AND started_at = ")
        .push_bind(started_at);
    let row = select.build().fetch_one(connection).await?;
    let (peak, counts) = counts(&row)?;
    Ok((count(&row, "minutes")?, peak, counts))
}

pub(super) fn push_sums(select: &mut QueryBuilder<Database>) {
    select.push("COALESCE(MAX(peak), 0) AS peak");
    for name in COLUMNS {
        // The sum of such columns has another type in PostgreSQL.
        select
            .push(", CAST(COALESCE(SUM(")
            .push(name)
            .push("), 0) AS BIGINT) AS ")
            .push(name);
    }
}

fn counts(row: &Row) -> Result<(u64, Counts), StoreError> {
    let mut values = [0; COLUMNS.len()];
    for (value, name) in values.iter_mut().zip(COLUMNS) {
        *value = count(row, name)?;
    }
    Ok((count(row, "peak")?, Counts::of_columns(values)))
}

pub(super) fn minute(row: &Row) -> Result<(Timestamp, Minute), StoreError> {
    let (peak, counts) = counts(row)?;
    let mut minute = Minute {
        peak,
        counts,
        ..Minute::default()
    };
    // Those of several runs, one behind the other.
    let revenues: String = row.try_get("revenues")?;
    let revenues: Vec<_> = json_value("analytics_minutes.revenue", &format!("[{revenues}]"))?;
    for revenue in &revenues {
        minute.revenue.add_all(revenue);
    }
    Ok((Timestamp::from_millis(row.try_get("minute")?), minute))
}

/// Lists the viewers of an event, those of all runs added up.
pub(super) fn push_viewers(select: &mut QueryBuilder<Database>, room: &RoomId, started_at: i64) {
    select
        .push("SELECT viewer, CAST(SUM(watched_ms) AS BIGINT) AS watched_ms,")
        .push(" MIN(device) AS device, MIN(region) AS region, MAX(engaged) AS engaged")
        .push(" FROM analytics_viewers WHERE room_id = ")
        .push_bind(room.as_str().to_owned())
        .push(" AND started_at = ")
        .push_bind(started_at)
        .push(" GROUP BY viewer");
}

/// Reads a viewer; `None` for one without a name.
pub(super) fn viewer_row(row: &Row) -> Result<Option<ViewerRow>, StoreError> {
    let Some(viewer) = Viewer::parse(row.try_get("viewer")?) else {
        return Ok(None);
    };
    Ok(Some(ViewerRow {
        viewer,
        watched_ms: count(row, "watched_ms")?,
        origin: Origin {
            device: named(row, "device")?,
            region: region(row)?,
        },
        engaged: count(row, "engaged")? > 0,
    }))
}

fn region(row: &Row) -> Result<Region, StoreError> {
    let region = Region::parse(row.try_get("region")?);
    region.ok_or(StoreError::Unreadable("region"))
}

/// Adds what the viewers of an event come to.
pub(super) async fn with_viewers(
    connection: &mut Connection,
    room: &RoomId,
    event: EventFigures,
) -> Result<EventFigures, StoreError> {
    let started_at = event.started_at.millis();
    // Each list is of one figure; the database groups, so that not every viewer has to come here.
    let within = |before: &str, after: &str| {
        let mut select: QueryBuilder<Database> = QueryBuilder::new("WITH viewers AS (");
        push_viewers(&mut select, room, started_at);
        select.push(") SELECT ").push(before);
        select.push(" FROM viewers ").push(after);
        select
    };
    let all = "COUNT(*) AS viewers, CAST(COALESCE(SUM(engaged), 0) AS BIGINT) AS engaged,
               CAST(COALESCE(SUM(watched_ms), 0) AS BIGINT) AS watched_ms";
    let row = within(all, "").build().fetch_one(&mut *connection).await?;
    let (unique, engaged) = (count(&row, "viewers")?, count(&row, "engaged")?);
    let watched_ms = count(&row, "watched_ms")?;
    let mut median = within("watched_ms", "ORDER BY watched_ms LIMIT 1 OFFSET ");
    median.push_bind(column(unique.saturating_sub(1) / 2));
    let median = median.build().fetch_optional(&mut *connection).await?;
    let median = median.map(|row| count(&row, "watched_ms")).transpose()?;
    let minutes = within(
        "watched_ms / 60000 AS minutes, COUNT(*) AS viewers",
        "GROUP BY watched_ms / 60000 ORDER BY watched_ms / 60000",
    );
    let by_minutes = grouped(&mut *connection, minutes, |row| count(row, "minutes")).await?;
    let mut regions = within(
        "region, COUNT(*) AS viewers",
        "GROUP BY region ORDER BY COUNT(*) DESC, region LIMIT ",
    );
    regions.push_bind(i64::from(MAX_REGIONS));
    let regions = grouped(&mut *connection, regions, region).await?;
    let devices = within(
        "device, COUNT(*) AS viewers",
        "GROUP BY device ORDER BY COUNT(*) DESC, device",
    );
    let devices = grouped(connection, devices, |row| named(row, "device")).await?;
    Ok(EventFigures {
        unique,
        engaged,
        watched_ms,
        median_ms: median.unwrap_or_default(),
        by_minutes,
        regions,
        devices,
        ..event
    })
}

async fn grouped<T>(
    connection: &mut Connection,
    mut select: QueryBuilder<Database>,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<(T, u64)>, StoreError> {
    let rows = select.build().fetch_all(connection).await?;
    let rows = rows.iter();
    rows.map(|row| Ok((read(row)?, count(row, "viewers")?)))
        .collect()
}
