//! What a host learns of an audience, over REST (docs/analytics.md).

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::analytics::{Classes, Lines, Minute, average_sec, ratio};
use crate::app::App;
use crate::auth::Action;
use crate::error::ApiError;
use crate::http::query::{Parameters, bad_parameter};
use crate::http::{Bearer, RoomInPath};
use crate::shop::Revenue;
use crate::store::{EventFigures, RoomRecord};
use crate::time::Timestamp;

/// The figures of a room's last event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Analytics {
    /// When the event began; left out: there was none with an audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    started_at: Option<Timestamp>,
    /// How old the figures are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    updated_at: Option<Timestamp>,
    /// Viewers who watch now.
    watching: u64,
    /// The most who watched at once.
    peak_watching: u64,
    /// Times that a session began to receive media.
    visits: u64,
    /// Viewers, each once.
    unique_viewers: u64,
    /// What all of them watched, together.
    watch_time_sec: u64,
    /// The same divided by the viewers.
    average_watch_sec: u64,
    /// Of the viewer in the middle.
    median_watch_sec: u64,
    /// Viewers who watched at least so many minutes, minute by minute.
    retention: Vec<u64>,
    /// Viewers by country, the most first.
    regions: Vec<OfRegion>,
    /// Viewers by class of device, the most first.
    devices: Vec<OfDevice>,
    /// Time by the size of the picture.
    layers: Vec<OfLayer>,
    /// Reports by the age of the picture.
    latency: Vec<Classes>,
    /// Freezes in an hour of those who report; left out: nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stalls_per_hour: Option<f64>,
    /// Decoded frames a second of those who report; left out: nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    frames_per_second: Option<f64>,
    /// Viewers who did something.
    engaged_viewers: u64,
    /// The same divided by the viewers; left out: there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    engagement_rate: Option<f64>,
    /// Left out: no minute was written down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    messages_per_minute: Option<f64>,
    /// Left out: no minute was written down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reactions_per_minute: Option<f64>,
    /// Who like the room.
    likes: u64,
    /// Chat messages of the room, those about orders included.
    messages: u64,
    /// Orders of the room.
    orders: u64,
    /// What they came to, by currency, in the smallest unit of each.
    revenue: Revenue,
}

/// Viewers of one country.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfRegion {
    /// Two letters (ISO 3166-1); `ZZ`: unknown.
    region: String,
    viewers: u64,
}

/// Viewers with one class of device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfDevice {
    /// `phone`, `tablet`, `tv`, `desktop`, `player` or `other`.
    device: &'static str,
    viewers: u64,
}

/// Time with one size of picture.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfLayer {
    /// `audio`, `240p`, `360p`, `480p`, `720p`, `1080p`, `1440p` or `2160p`: up to so many lines.
    layer: &'static str,
    watch_time_sec: u64,
}

/// Minutes of a room's last event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TimeSeries {
    /// In their order. A minute in which nothing happened is left out.
    items: Vec<OfMinute>,
    /// The `from` of the next page; left out: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    next: Option<Timestamp>,
}

/// One minute.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfMinute {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The most viewers who watched at once.
    peak_watching: u64,
    /// Viewers who watched, on the average of its seconds.
    average_watching: f64,
    watch_time_sec: u64,
    visits: u64,
    /// Viewers who had not watched before.
    new_viewers: u64,
    messages: u64,
    reactions: u64,
    orders: u64,
    revenue: Revenue,
    stalls: u64,
    /// Freezes in an hour of those who report; left out: nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stalls_per_hour: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    frames_per_second: Option<f64>,
}

/// Which minutes.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Span {
    /// The first minute; left out: the first of the event.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// How many; left out: a day of them, which is also the most there can be.
    #[param(minimum = 1, maximum = 1440)]
    limit: Option<u32>,
}

/// From which minute on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Since {
    /// The first minute; left out: so that the last seven days of the event are there.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
}

/// Shows the figures of a room's last event, at most 20 seconds old while it is on.
#[utoipa::path(get, path = "/rooms/{id}/analytics", tag = "analytics", params(RoomInPath),
    responses((status = 200, body = Analytics)), security(("bearer" = [])))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
) -> Result<Json<Analytics>, ApiError> {
    let record = analyse(&app, bearer, &room).await?;
    let event = app.figures.event(&record.id).await?;
    let now = Timestamp::now();
    Ok(Json(Analytics::of(&record, event.as_deref(), now)))
}

/// Shows the minutes of a room's last event.
#[utoipa::path(get, path = "/rooms/{id}/analytics/timeseries", tag = "analytics", params(RoomInPath, Span),
    responses((status = 200, body = TimeSeries)), security(("bearer" = [])))]
pub(crate) async fn timeseries(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(span): Parameters<Span>,
) -> Result<Json<TimeSeries>, ApiError> {
    let record = analyse(&app, bearer, &room).await?;
    let limit = span.limit.unwrap_or(DAY);
    if !(1..=DAY).contains(&limit) {
        let expected = format!("a whole number from 1 to {DAY}");
        return Err(bad_parameter("limit", &expected));
    }
    let mut minutes = minutes(&app, &record, span.from, limit + 1).await?;
    let whole = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = minutes.get(whole).map(|(at, _)| *at);
    minutes.truncate(whole);
    let items = minutes.into_iter().map(OfMinute::of).collect();
    Ok(Json(TimeSeries { items, next }))
}

/// Returns the minutes of a room's last event as CSV (RFC 4180), those of seven days at most.
#[utoipa::path(get, path = "/rooms/{id}/analytics.csv", tag = "analytics", params(RoomInPath, Since),
    responses((status = 200, body = String, content_type = "text/csv")), security(("bearer" = [])))]
pub(crate) async fn csv(
    State(app): State<Arc<App>>,
    bearer: Bearer,
    RoomInPath(room): RoomInPath,
    Parameters(since): Parameters<Since>,
) -> Result<Response, ApiError> {
    let record = analyse(&app, bearer, &room).await?;
    let from = match since.from {
        Some(from) => Some(from),
        None => {
            let last = app.stores.analytics.last_minute(&record.id).await;
            last.map_err(ApiError::store)?.map(week_until)
        }
    };
    let minutes = minutes(&app, &record, from, WEEK).await?;
    let name = format!("attachment; filename=\"analytics-{}.csv\"", record.id);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, sheet(&minutes)).into_response())
}

/// Finds a room for who may see its figures.
async fn analyse(app: &App, bearer: Bearer, room: &str) -> Result<RoomRecord, ApiError> {
    let identity = bearer.required()?;
    let (record, role, _) = app.enter(&identity, room).await?;
    role.check(Action::Analyse, &record)?;
    Ok(record)
}

async fn minutes(
    app: &App,
    room: &RoomRecord,
    from: Option<Timestamp>,
    limit: u32,
) -> Result<Vec<(Timestamp, Minute)>, ApiError> {
    let from = from.unwrap_or(Timestamp::from_millis(0));
    app.figures.minutes(&room.id, from, limit).await
}

/// Returns the first of the minutes of a week.
fn week_until(last: Timestamp) -> Timestamp {
    last.minus(Duration::from_secs(60 * u64::from(WEEK - 1)))
}

impl Analytics {
    fn of(room: &RoomRecord, event: Option<&EventFigures>, now: Timestamp) -> Self {
        let known = event.is_some();
        let nothing = EventFigures::default();
        let event = event.unwrap_or(&nothing);
        let counts = event.counts;
        // What a server left behind that is gone says nothing of this moment.
        let is_fresh = room.status.is_on_air() && now.since(event.updated_at) < FRESH;
        let layers = Lines::ALL.into_iter().zip(counts.layers);
        let regions = event.regions.iter();
        let devices = event.devices.iter();
        Self {
            started_at: known.then_some(event.started_at),
            updated_at: known.then_some(event.updated_at),
            watching: if is_fresh { event.watching } else { 0 },
            peak_watching: event.peak,
            visits: counts.visits,
            unique_viewers: event.unique,
            watch_time_sec: event.watched_ms / 1000,
            average_watch_sec: average_sec(event.watched_ms, event.unique),
            median_watch_sec: event.median_ms / 1000,
            retention: retention(&event.by_minutes),
            regions: regions
                .map(|(region, viewers)| OfRegion {
                    region: region.as_str().to_owned(),
                    viewers: *viewers,
                })
                .collect(),
            devices: devices
                .map(|(device, viewers)| OfDevice {
                    device: device.as_str(),
                    viewers: *viewers,
                })
                .collect(),
            layers: layers
                .filter(|(_, ms)| *ms > 0)
                .map(|(lines, ms)| OfLayer {
                    layer: lines.as_str(),
                    watch_time_sec: ms / 1000,
                })
                .collect(),
            latency: Classes::of(counts.latency),
            stalls_per_hour: counts.stalls_per_hour(),
            frames_per_second: counts.frames_per_second(),
            engaged_viewers: event.engaged,
            engagement_rate: ratio(event.engaged, event.unique),
            messages_per_minute: ratio(counts.messages, event.minutes),
            reactions_per_minute: ratio(counts.reactions, event.minutes),
            likes: room.like_count,
            messages: room.message_count,
            orders: room.order_count,
            revenue: room.revenue.clone(),
        }
    }
}

/// Returns how many watched at least 0, 1, 2 … minutes, from how many watched so many.
fn retention(by_minutes: &[(u64, u64)]) -> Vec<u64> {
    let longest = by_minutes.iter().map(|(minutes, _)| *minutes).max();
    let Some(longest) = longest.map(|longest| longest.min(DAY.into())) else {
        return Vec::new();
    };
    let mut curve = vec![0; usize::try_from(longest).unwrap_or_default() + 1];
    for (minutes, viewers) in by_minutes {
        let place = usize::try_from((*minutes).min(longest)).unwrap_or_default();
        curve[place] += viewers;
    }
    let mut staying = 0;
    for viewers in curve.iter_mut().rev() {
        staying += *viewers;
        *viewers = staying;
    }
    curve
}

impl OfMinute {
    fn of((at, minute): (Timestamp, Minute)) -> Self {
        let counts = minute.counts;
        Self {
            at,
            peak_watching: minute.peak,
            average_watching: ratio(counts.watched_ms, 60_000).unwrap_or_default(),
            watch_time_sec: counts.watched_ms / 1000,
            visits: counts.visits,
            new_viewers: counts.came,
            messages: counts.messages,
            reactions: counts.reactions,
            orders: counts.orders,
            revenue: minute.revenue,
            stalls: counts.stalls,
            stalls_per_hour: counts.stalls_per_hour(),
            frames_per_second: counts.frames_per_second(),
        }
    }
}

/// Writes minutes as a sheet. There are numbers, moments and the letters of currencies in it: nothing that would have to
/// be quoted, or that a program could take for a formula.
fn sheet(minutes: &[(Timestamp, Minute)]) -> String {
    let mut sheet = String::from(
        "minute,peak_watching,watch_time_sec,visits,new_viewers,messages,reactions,orders,revenue,frames,stalls,\
         stalled_ms,reported_ms",
    );
    for bound in Classes::of([0; 8]) {
        let _ = write!(sheet, ",latency_{}", bound.name());
    }
    for lines in Lines::ALL {
        let _ = write!(sheet, ",layer_{}_ms", lines.as_str());
    }
    sheet.push_str("\r\n");
    for (at, minute) in minutes {
        let counts = &minute.counts;
        let revenue = minute.revenue.iter();
        let revenue: Vec<String> = revenue.map(|(name, sum)| format!("{name} {sum}")).collect();
        let _ = write!(
            sheet,
            "{at},{},{},{},{},{},{},{},{}",
            minute.peak,
            counts.watched_ms / 1000,
            counts.visits,
            counts.came,
            counts.messages,
            counts.reactions,
            counts.orders,
            revenue.join(";"),
        );
        let reported = [
            counts.frames,
            counts.stalls,
            counts.stalled_ms,
            counts.reported_ms,
        ];
        let rest = reported.into_iter().chain(counts.latency);
        for value in rest.chain(counts.layers) {
            let _ = write!(sheet, ",{value}");
        }
        sheet.push_str("\r\n");
    }
    sheet
}

/// Minutes of a day, and of a week.
const DAY: u32 = 24 * 60;

const WEEK: u32 = 7 * DAY;

/// A room that is in memory writes more often.
const FRESH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::Counts;

    #[test]
    fn retention_falls_from_all_to_those_who_stayed_longest() {
        assert_eq!(retention(&[]), Vec::<u64>::new());
        assert_eq!(retention(&[(0, 3), (2, 1), (4, 2)]), [6, 3, 3, 2, 2]);
        let long = retention(&[(0, 1), (1_000_000, 2)]);
        assert_eq!((long.len(), long[0], long[1_440]), (1_441, 3, 2));
    }

    #[test]
    fn a_week_is_as_many_minutes_as_a_sheet_may_have() {
        let first = Timestamp::parse("2026-11-15T03:01:00Z").unwrap();
        let last = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
        assert_eq!(week_until(last), first);
    }

    #[test]
    fn a_sheet_has_a_line_for_each_minute_and_as_many_fields_in_each() {
        let minute = Minute {
            peak: 7,
            counts: Counts {
                watched_ms: 61_999,
                ..Counts::default()
            },
            revenue: serde_json::from_str(r#"{"EUR":1999,"VND":5}"#).unwrap(),
        };
        let at = Timestamp::from_millis(1_800_000_000_000);
        let sheet = sheet(&[(at, minute)]);
        let lines: Vec<&str> = sheet.split("\r\n").collect();
        assert_eq!((lines.len(), lines[2]), (3, ""));
        let fields = |line: &str| line.split(',').count();
        assert_eq!(fields(lines[0]), fields(lines[1]));
        assert!(lines[0].contains(",latency_200,") && lines[0].ends_with(",layer_2160p_ms"));
        let begins = "2027-01-15T08:00:00Z,7,61,0,0,0,0,0,EUR 1999;VND 5,0,";
        assert!(lines[1].starts_with(begins), "{}", lines[1]);
    }
}
