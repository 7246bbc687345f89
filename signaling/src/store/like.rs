//! Who likes a room.

use super::Stored;
use crate::id::RoomId;

/// Who likes a room. That changes with the room's events, see [`Entry`](super::Entry).
pub(crate) trait LikeStore: Send + Sync {
    /// Returns whether somebody likes a room.
    fn likes<'a>(&'a self, room: &'a RoomId, identity: &'a str) -> Stored<'a, bool>;
}

/// What somebody says of whether they like a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liking {
    /// They do.
    Yes,
    /// They do not.
    No,
    /// The other of the two.
    Toggle,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Liked {
    /// Whether they like it now.
    pub liked: bool,
    /// How many do.
    pub likes: u64,
}
