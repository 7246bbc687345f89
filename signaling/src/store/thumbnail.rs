//! The pictures that owners give their rooms.

use super::Stored;
use crate::id::RoomId;
use crate::time::Timestamp;

/// The pictures that owners give their rooms, apart from the rooms: lists do not read them.
pub(crate) trait ThumbnailStore: Send + Sync {
    /// Returns the picture of a room, as it was sent.
    fn find<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Option<Vec<u8>>>;

    /// Gives a room a picture in place of the one before, by which its version rises by one; `false` where there is no such
    /// room.
    fn replace<'a>(&'a self, room: &'a RoomId, image: &'a [u8], at: Timestamp) -> Stored<'a, bool>;
}
