//! What is known of audiences.

use super::{RoomUpdate, Stored};
use crate::analytics::{Counts, Device, Earlier, Minute, Region, Rollup, ViewerRow};
use crate::id::RoomId;
use crate::time::Timestamp;

/// What is known of audiences, written by one task of each server and read by whoever asks.
pub(crate) trait AnalyticsStore: Send + Sync {
    /// Writes roll-ups in one transaction; those of rooms that were removed are left out. Writing one twice changes nothing.
    fn write<'a>(&'a self, rollups: &'a [RoomRollup]) -> Stored<'a, ()>;

    /// Returns what was written down of an event before.
    fn earlier<'a>(&'a self, room: &'a RoomId, started_at: u64) -> Stored<'a, Earlier>;

    /// Returns what there is of a room's last event; `None` where there is nothing.
    fn event<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Option<EventFigures>>;

    /// Returns the minutes of a room's last event, from one on, those of all runs added up.
    fn minutes<'a>(
        &'a self,
        room: &'a RoomId,
        from: Timestamp,
        limit: u32,
    ) -> Stored<'a, Vec<(Timestamp, Minute)>>;

    /// Returns the last minute of a room's last event; `None` where there is none.
    fn last_minute<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Option<Timestamp>>;

    /// Returns events of which nothing was written since a moment, and whose viewers have names; the oldest first.
    fn aged(&self, before: Timestamp, limit: u32) -> Stored<'_, Vec<(RoomId, u64)>>;

    /// Takes the names from some viewers of an event, where nothing was written of it since a moment.
    fn anonymise<'a>(
        &'a self,
        room: &'a RoomId,
        started_at: u64,
        before: Timestamp,
    ) -> Stored<'a, Names>;
}

/// What became of the names of an event's viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// There may be more to be taken.
    More,
    /// There are none any more.
    Gone,
    /// They are not to be taken.
    Kept,
}

/// What is to be written down of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomRollup {
    pub(crate) room: RoomId,
    pub(crate) rollup: Rollup,
    /// What of the room's row follows from it.
    pub(crate) row: RoomUpdate,
}

impl RoomRollup {
    /// Returns whether there is nothing in it but viewers.
    pub(crate) fn is_of_viewers(&self) -> bool {
        self.rollup.minutes.is_empty() && !self.rollup.viewers.is_empty()
    }

    /// Cuts it: what is said of the event itself first, then its viewers, so many at once. Written one after the other
    /// the parts are the same as the whole.
    pub(crate) fn cut(mut self, viewers_at_once: usize) -> (Self, Vec<Self>) {
        let viewers = std::mem::take(&mut self.rollup.viewers);
        let part = |viewers: &[ViewerRow]| Self {
            room: self.room.clone(),
            rollup: Rollup {
                minutes: Vec::new(),
                viewers: viewers.to_vec(),
                run: self.rollup.run.clone(),
                ..self.rollup
            },
            row: self.row,
        };
        let parts = viewers.chunks(viewers_at_once).map(part).collect();
        (self, parts)
    }
}

/// What there is of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventFigures {
    pub(crate) started_at: Timestamp,
    /// When something was written last.
    pub(crate) updated_at: Timestamp,
    /// Viewers who watched then.
    pub(crate) watching: u64,
    /// The most viewers who watched at once.
    pub(crate) peak: u64,
    /// Minutes from the first that was written down to the last.
    pub(crate) minutes: u64,
    pub(crate) counts: Counts,
    /// Viewers of the whole event.
    pub(crate) unique: u64,
    pub(crate) engaged: u64,
    /// What they watched, together, and the one in the middle.
    pub(crate) watched_ms: u64,
    pub(crate) median_ms: u64,
    /// Viewers by the whole minutes that they watched.
    pub(crate) by_minutes: Vec<(u64, u64)>,
    /// The largest first, at most [`MAX_REGIONS`].
    pub(crate) regions: Vec<(Region, u64)>,
    /// The largest first.
    pub(crate) devices: Vec<(Device, u64)>,
}

/// Regions that are told apart.
pub(crate) const MAX_REGIONS: usize = 50;
