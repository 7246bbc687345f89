//! What has had its time.

use super::{RoomStatus, Stored};
use crate::id::RoomId;
use crate::time::Timestamp;

/// What has had its time.
pub(crate) trait UpkeepStore: Send + Sync {
    /// Returns rooms in a status whose last change, and planned begin, lie before a moment; the oldest first.
    fn due<'a>(&'a self, status: RoomStatus, before: Timestamp, limit: u32)
    -> Stored<'a, Vec<Due>>;
    /// Forgets keys of creations and messages to others that are older than a moment; returns how many.
    fn forget(&self, before: Timestamp) -> Stored<'_, u64>;
}

/// A room that something may have to be done about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Which.
    pub room: RoomId,
    /// Whether it waits for another event when one has ended.
    pub reusable: bool,
}
