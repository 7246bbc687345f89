//! The numbers of a room, and what is said of it once it is over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use klieg_sfu::PeerId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::shop::Revenue;
use crate::store::RoomRecord;
use crate::time::Timestamp;

/// Who watched, and for how long. No clock.
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
    /// What the sessions that are over watched, together.
    watched: Duration,
    /// When those that are open began.
    open: HashMap<PeerId, Instant>,
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
            watched: Duration::from_millis(room.watch_ms),
            open: HashMap::new(),
        }
    }

    /// Takes note of a session that begins.
    pub(super) fn begin(&mut self, peer: PeerId, now: Instant) {
        if self.open.insert(peer, now).is_none() {
            self.total += 1;
        }
        let open = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        self.peak = self.peak.max(open);
    }

    /// Takes note of a session that is over.
    pub(super) fn end(&mut self, peer: PeerId, now: Instant) {
        if let Some(began) = self.open.remove(&peer) {
            self.watched += now.saturating_duration_since(began);
        }
    }

    /// Returns what all sessions watched until now, in milliseconds.
    pub(super) fn watch_ms(&self, now: Instant) -> u64 {
        let open = self.open.values();
        let open: Duration = open
            .map(|began| now.saturating_duration_since(*began))
            .sum();
        u64::try_from((self.watched + open).as_millis()).unwrap_or(u64::MAX)
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
    /// What all of them watched, together.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RoomId;
    use crate::store::User;

    #[test]
    fn a_scripted_audience_is_counted_to_the_second() {
        let owner = User {
            id: "ann".to_owned(),
            name: "Ann".to_owned(),
        };
        let id = RoomId::parse("r").unwrap();
        let room = RoomRecord::new(id, "R".to_owned(), owner, Timestamp::now());
        let (mut tally, epoch) = (Tally::restore(&room), Instant::now());
        let at = |second| epoch + Duration::from_secs(second);
        tally.begin(PeerId(1), at(0));
        tally.begin(PeerId(2), at(10));
        tally.end(PeerId(1), at(30));
        tally.begin(PeerId(3), at(40));
        tally.end(PeerId(3), at(41));
        // Who goes twice goes once.
        tally.end(PeerId(3), at(50));
        assert_eq!(tally.watch_ms(at(60)), (30 + 50 + 1) * 1000);
        assert_eq!((tally.total, tally.peak), (3, 2));
    }
}
