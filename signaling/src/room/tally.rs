//! The numbers of a room, and what is said of it once it is over.

use serde::Serialize;
use utoipa::ToSchema;

use crate::shop::Revenue;
use crate::store::RoomRecord;
use crate::time::Timestamp;

/// The numbers of a room, over all its events.
#[derive(Debug)]
pub(super) struct Tally {
    /// Viewing sessions that there were.
    pub(super) total: u64,
    /// The most that there were at once.
    pub(super) peak: u64,
    /// Chat messages that are stored.
    pub(super) messages: u64,
    /// Who like the room.
    pub(super) likes: u64,
    /// Orders that are stored.
    pub(super) orders: u64,
    /// What they came to.
    pub(super) revenue: Revenue,
}

impl Tally {
    /// Goes on from what is stored.
    pub(super) fn restore(room: &RoomRecord) -> Self {
        Self {
            total: room.total_viewers,
            peak: room.peak_viewers,
            messages: room.message_count,
            likes: room.like_count,
            orders: room.order_count,
            revenue: room.revenue.clone(),
        }
    }
}

/// What is said of a room once it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// From the first media to the end.
    duration_sec: u64,
    /// The most viewing sessions at once.
    peak_viewers: u64,
    /// Viewing sessions that there were.
    total_viewers: u64,
    /// How long media really came to viewers, together.
    watch_time_sec: u64,
    /// Who like the room.
    likes: u64,
    /// Chat messages, those about orders included.
    messages: u64,
    /// Orders.
    orders: u64,
    /// What they came to, by currency, in the smallest unit of each.
    revenue: Revenue,
}

impl Summary {
    /// Puts together what is known of a room.
    pub(crate) fn of(room: &RoomRecord, ended_at: Option<Timestamp>) -> Self {
        let lasted = room.started_at.zip(ended_at.or(room.ended_at));
        Self {
            duration_sec: lasted.map_or(0, |(start, end)| end.since(start).as_secs()),
            peak_viewers: room.peak_viewers,
            total_viewers: room.total_viewers,
            watch_time_sec: room.watch_ms / 1000,
            likes: room.like_count,
            messages: room.message_count,
            orders: room.order_count,
            revenue: room.revenue.clone(),
        }
    }
}
