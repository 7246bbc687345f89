//! Rooms of which too much waits, so that the trouble of one holds up no other. No IO and no clock.

use std::collections::{HashMap, HashSet};

use crate::id::RoomId;

/// What is known of rooms whose orders cannot be written.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// How many orders of each wait.
    waiting: HashMap<RoomId, usize>,
    /// Those of which orders were put off. At most [`MAX_ROOMS`]: what was put off of others comes again with these.
    put_off: HashSet<RoomId>,
    /// Those of which an order was left behind, and none was written since. At most [`MAX_ROOMS`]: orders of others are
    /// tried more often.
    given_up: HashSet<RoomId>,
}

impl Rooms {
    /// Takes note of an order that waits.
    pub(super) fn handle_waiting(&mut self, room: &RoomId) {
        *self.waiting.entry(room.clone()).or_default() += 1;
    }

    /// Takes note of one that waits no more.
    pub(super) fn handle_tried(&mut self, room: &RoomId) {
        if let Some(waiting) = self.waiting.get_mut(room) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(room);
            }
        }
    }

    /// Takes note of a new order that is on disk.
    pub(super) fn handle_written(&mut self, room: &RoomId) {
        self.given_up.remove(room);
    }

    /// Takes note of one that is left behind.
    pub(super) fn handle_left_behind(&mut self, room: &RoomId) {
        remember(&mut self.given_up, room);
    }

    /// Returns whether orders of a room were left behind, and none was written since: they need not be tried often.
    pub(super) fn is_given_up(&self, room: &RoomId) -> bool {
        self.given_up.contains(room)
    }

    /// Returns whether a room has its share of what waits, and remembers that this order is put off then. Where very many
    /// wait that is one order.
    pub(super) fn puts_off(&mut self, room: &RoomId, very_many_wait: bool) -> bool {
        let share = if very_many_wait { 1 } else { SHARE };
        let is_full = self.waiting.get(room).is_some_and(|it| *it >= share);
        if is_full {
            self.handle_put_off(room);
        }
        is_full
    }

    /// Takes note of a room of which an order was put off.
    pub(super) fn handle_put_off(&mut self, room: &RoomId) {
        remember(&mut self.put_off, room);
    }

    /// Returns whether some that were put off would find room.
    pub(super) fn may_come_again(&self) -> bool {
        let waiting = |room| self.waiting.get(room).copied().unwrap_or(0);
        self.put_off.iter().any(|room| waiting(room) < SHARE / 2)
    }

    /// Forgets what waits and what was put off.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.put_off.clear();
    }
}

fn remember(rooms: &mut HashSet<RoomId>, room: &RoomId) {
    if rooms.len() < MAX_ROOMS {
        rooms.insert(room.clone());
    }
}

/// Orders of one room that wait: two batches that fail as a whole, for one order in each, are not enough.
pub(super) const SHARE: usize = 192;

const MAX_ROOMS: usize = 1024;
