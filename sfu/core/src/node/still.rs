//! A copy of the last keyframe of a room's picture, for who shows it as one that stands still.

use std::time::Instant;

use crate::command::{RoomKey, Still, StillWish};
use crate::node::Node;

impl Node {
    /// Returns a copy of the newest keyframe of a room's smallest layer; `None` where the publisher is not on this shard, where
    /// its coding is no picture without a decoder, and while the keyframe is not all there.
    pub fn still(&mut self, now: Instant, key: RoomKey, wish: StillWish) -> Option<Still> {
        let room = self.rooms.get(&key).filter(|it| it.publisher.is_some())?;
        let (layer, still) = room.still();
        if still.is_none() && wish == StillWish::Asked {
            self.request_keyframe_here(now, key, Some(layer));
        }
        still
    }
}
