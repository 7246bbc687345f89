//! What has had its time.

use super::{RoomStatus, Stored};
use crate::id::RoomId;
use crate::time::Timestamp;

/// What has had its time.
pub(crate) trait UpkeepStore: Send + Sync {
    /// Returns rooms in a status whose last change, and planned begin, lie before a moment; the oldest first. A
    /// reusable room that is not on air may wait as long as its owner likes.
    fn due<'a>(
        &'a self,
        status: RoomStatus,
        before: Timestamp,
        limit: u32,
    ) -> Stored<'a, Vec<RoomId>>;
    /// Forgets keys of creations and who was put out, older than a moment; returns how many.
    fn forget(&self, before: Timestamp) -> Stored<'_, u64>;
    /// Forgets the addresses of bans that are over; returns of how many.
    fn forget_addresses(&self, now: Timestamp) -> Stored<'_, u64>;
    /// Lets go of the database: of `SQLite` one file is left, which can be copied. Nothing can be asked afterwards.
    fn close(&self) -> Stored<'_, ()>;
}
