//! What is known of audiences, read and added up by the database.

use std::cmp::Reverse;

use sqlx::{QueryBuilder, Row as _};

use super::row::{count, json_value, named};
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

/// Adds what the viewers of an event come to. The database groups, and once, so that not every viewer has to come here.
pub(super) async fn with_viewers(
    connection: &mut Connection,
    room: &RoomId,
    mut event: EventFigures,
) -> Result<EventFigures, StoreError> {
    let mut select: QueryBuilder<Database> = QueryBuilder::new("WITH viewers AS MATERIALIZED (");
    push_viewers(&mut select, room, event.started_at.millis());
    // Behind the last minute that is shown one is as good as another.
    select.push(
        ") SELECT 'all' AS figure, '' AS name, CAST(COALESCE(SUM(watched_ms), 0) AS BIGINT) AS value,
                  COUNT(*) AS viewers FROM viewers
         UNION ALL
         SELECT 'engaged', '', 0, COUNT(*) FROM viewers WHERE engaged > 0
         UNION ALL
         SELECT 'median', '', watched_ms, 1 FROM (
             SELECT watched_ms FROM viewers ORDER BY watched_ms
             LIMIT 1 OFFSET (SELECT (COUNT(*) - 1) / 2 FROM viewers)) AS middle
         UNION ALL
         SELECT 'minutes', '', minutes, COUNT(*) FROM (
             SELECT CASE WHEN watched_ms < 86400000 THEN watched_ms / 60000 ELSE 1440 END AS minutes
             FROM viewers) AS stayed
         GROUP BY minutes
         UNION ALL
         SELECT 'region', region, 0, COUNT(*) FROM viewers GROUP BY region
         UNION ALL
         SELECT 'device', device, 0, COUNT(*) FROM viewers GROUP BY device",
    );
    for row in select.build().fetch_all(connection).await? {
        add_figure(&mut event, &row)?;
    }
    event.by_minutes.sort_unstable();
    event
        .regions
        .sort_unstable_by_key(|(region, viewers)| (Reverse(*viewers), *region));
    event.regions.truncate(MAX_REGIONS);
    event
        .devices
        .sort_unstable_by_key(|(device, viewers)| (Reverse(*viewers), *device));
    Ok(event)
}

fn add_figure(event: &mut EventFigures, row: &Row) -> Result<(), StoreError> {
    let (value, viewers) = (count(row, "value")?, count(row, "viewers")?);
    let figure: &str = row.try_get("figure")?;
    match figure {
        "all" => (event.watched_ms, event.unique) = (value, viewers),
        "engaged" => event.engaged = viewers,
        "median" => event.median_ms = value,
        "minutes" => event.by_minutes.push((value, viewers)),
        "region" => {
            let region = Region::parse(row.try_get("name")?);
            let region = region.ok_or(StoreError::Unreadable("region"))?;
            event.regions.push((region, viewers));
        }
        "device" => event.devices.push((named(row, "name")?, viewers)),
        _ => return Err(StoreError::Unreadable("figure")),
    }
    Ok(())
}
