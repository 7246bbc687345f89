//! Figures as they are shown.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Troubles;
use super::minute::{Counts, LATENCY_UP_TO_MS, Lines};
use crate::shop::Revenue;
use crate::time::Timestamp;

/// An event at one moment, as its room knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) started_at: u64,
    pub(crate) watching: u64,
    pub(crate) peak: u64,
    pub(crate) unique: u64,
    pub(crate) engaged: u64,
    pub(crate) total: Counts,
    /// Sessions by what they are shown.
    pub(crate) shown: [u64; Lines::ALL.len()],
    /// Reports of the last minute by the age of the picture.
    pub(crate) latency: [u64; 8],
}

/// `analytics` on the socket.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveAnalytics)]
pub(crate) struct Live<'a> {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    watching: u64,
    peak_watching: u64,
    unique_viewers: u64,
    visits: u64,
    watch_time_sec: u64,
    average_watch_sec: u64,
    engaged_viewers: u64,
    messages: u64,
    reactions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stalls_per_hour: Option<f64>,
    /// Sessions by the size of the picture that they are shown.
    layers: BTreeMap<&'static str, u64>,
    /// Reports of the last minute by the age of the picture.
    latency: Vec<Classes>,
    /// Viewers whose clients said that something kept them from watching, by what it was; each once for each reason.
    troubles: &'a BTreeMap<&'static str, u64>,
    likes: u64,
    orders: u64,
    revenue: &'a Revenue,
}

/// What is said of a room beside its audience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    pub(crate) at: Timestamp,
    pub(crate) troubles: &'a Troubles,
    pub(crate) likes: u64,
    pub(crate) orders: u64,
    pub(crate) revenue: &'a Revenue,
}

/// Reports of pictures up to an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Classes {
    /// In milliseconds; left out: whatever is older.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    up_to_ms: Option<u16>,
    /// Reports that no class before this one has.
    reports: u64,
}

impl Classes {
    /// Names the classes of latency.
    pub(crate) fn of(latency: [u64; 8]) -> Vec<Self> {
        let bounds = LATENCY_UP_TO_MS.into_iter().map(Some);
        let all = bounds.chain([None]).zip(latency);
        all.map(|(up_to_ms, reports)| Self { up_to_ms, reports })
            .collect()
    }

    /// Returns its bound as it stands in a name.
    pub(crate) fn name(&self) -> String {
        self.up_to_ms
            .map_or_else(|| "more".to_owned(), |bound| bound.to_string())
    }
}

impl Current {
    /// Puts the figures into the words of the socket.
    pub(crate) fn view(self, beside: Beside<'_>) -> Live<'_> {
        let millis = i64::try_from(self.started_at).unwrap_or(i64::MAX);
        let watched_sec = self.total.watched_ms / 1000;
        let shown = Lines::ALL.into_iter().zip(self.shown);
        Live {
            at: beside.at,
            started_at: Timestamp::from_millis(millis),
            watching: self.watching,
            peak_watching: self.peak,
            unique_viewers: self.unique,
            visits: self.total.visits,
            watch_time_sec: watched_sec,
            average_watch_sec: average_sec(self.total.watched_ms, self.unique),
            engaged_viewers: self.engaged,
            messages: self.total.messages,
            reactions: self.total.reactions,
            stalls_per_hour: self.total.stalls_per_hour(),
            layers: shown
                .filter(|(_, sessions)| *sessions > 0)
                .map(|(lines, sessions)| (lines.as_str(), sessions))
                .collect(),
            latency: Classes::of(self.latency),
            troubles: beside.troubles.by_reason(),
            likes: beside.likes,
            orders: beside.orders,
            revenue: beside.revenue,
        }
    }
}

impl Counts {
    /// Returns freezes in an hour of those who report; `None` where nobody does.
    pub(crate) fn stalls_per_hour(&self) -> Option<f64> {
        ratio(self.stalls.saturating_mul(HOUR_MS), self.reported_ms)
    }

    /// Returns decoded frames a second of those who report; `None` where nobody does.
    pub(crate) fn frames_per_second(&self) -> Option<f64> {
        ratio(self.frames.saturating_mul(1000), self.reported_ms)
    }
}

/// Returns the mean of times in whole seconds, 0 of none.
pub(crate) fn average_sec(sum_ms: u64, count: u64) -> u64 {
    sum_ms.checked_div(count).unwrap_or_default() / 1000
}

/// Divides, to three digits behind the point; `None` by nothing.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    let thousandths = part as f64 * 1000.0 / whole as f64;
    (whole > 0).then(|| thousandths.round() / 1000.0)
}

const HOUR_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_those_who_report_and_nothing_is_divided_by_nobody() {
        let counts = Counts {
            stalls: 1,
            frames: 1_000,
            reported_ms: 40_000,
            ..Counts::default()
        };
        assert_eq!(counts.stalls_per_hour(), Some(90.0));
        assert_eq!(counts.frames_per_second(), Some(25.0));
        assert_eq!(Counts::default().stalls_per_hour(), None);
        assert_eq!((average_sec(5_999, 2), average_sec(7, 0)), (2, 0));
        assert_eq!(ratio(1, 3), Some(0.333));
        let classes = serde_json::to_string(&Classes::of([0, 0, 0, 0, 0, 0, 0, 2])).unwrap();
        assert!(classes.ends_with(r#"{"upToMs":5000,"reports":0},{"reports":2}]"#));
    }
}
