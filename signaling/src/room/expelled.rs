//! Who was put out of rooms, for as long as a token that they had for them could hold.

use std::collections::HashMap;

use dashmap::DashMap;

use crate::error::ApiError;
use crate::id::RoomId;
use crate::time::Timestamp;

use super::{Outside, Rooms};

/// When somebody was put out of a room. Of each room at most [`MAX_KICKED`] and those who are banned.
#[derive(Debug, Default)]
pub(super) struct Expelled(DashMap<RoomId, HashMap<String, Timestamp>>);

impl Expelled {
    pub(super) fn add(&self, room: &RoomId, identity: &str, at: Timestamp) {
        let mut of_room = self.0.entry(room.clone()).or_default();
        of_room.insert(identity.to_owned(), at);
    }

    /// Returns whether so many were put out of a room lately that another one would be too many.
    pub(super) fn is_full(&self, room: &RoomId, identity: &str) -> bool {
        let of_room = self.0.get(room);
        of_room.is_some_and(|it| it.len() >= MAX_KICKED && !it.contains_key(identity))
    }

    fn at(&self, room: &RoomId, identity: &str) -> Option<Timestamp> {
        self.0.get(room)?.get(identity).copied()
    }

    /// Forgets those of a room that there is no more.
    pub(super) fn forget(&self, room: &RoomId) {
        self.0.remove(room);
    }

    /// Forgets those that were put out at this moment or before.
    pub(super) fn forget_until(&self, old: Timestamp) {
        self.0.retain(|_, of_room| {
            of_room.retain(|_, at| *at > old);
            !of_room.is_empty()
        });
    }
}

impl Rooms {
    /// Puts somebody out of a room, and ends the tokens that they have for it.
    ///
    /// # Errors
    /// `unavailable`: the tokens end nevertheless, but would hold again after a restart.
    pub(crate) async fn expel(
        &self,
        id: &RoomId,
        identity: String,
        reason: Option<String>,
    ) -> Result<(), ApiError> {
        let now = Timestamp::now();
        self.expelled.add(id, &identity, now);
        if let Some(room) = self.here(id) {
            let identity = identity.clone();
            room.tell_surely(Outside::Expel { identity, reason }.into())
                .await;
        }
        let rooms = &self.context.stores.rooms;
        let stored = rooms.expel(id, &identity, now).await;
        stored.map_err(ApiError::store)
    }

    /// Returns whether somebody was put out of a room since their token was minted, in seconds since 1970.
    pub(crate) fn is_expelled(&self, id: &RoomId, identity: &str, minted_at: u64) -> bool {
        let at = self.expelled.at(id, identity);
        at.is_some_and(|at| minted_at <= at.seconds())
    }
}

/// Who may be kicked out of one room within the time for which that is remembered.
const MAX_KICKED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_remembers_so_many_and_forgets_them_in_time() {
        let (expelled, room) = (Expelled::default(), RoomId::random());
        let at = Timestamp::from_millis;
        for number in 0..MAX_KICKED {
            assert!(!expelled.is_full(&room, "one more"));
            let moment = i64::try_from(number).unwrap();
            expelled.add(&room, &format!("nobody {number}"), at(moment));
        }
        assert!(expelled.is_full(&room, "one more"));
        assert!(!expelled.is_full(&room, "nobody 1"), "once more");
        assert!(!expelled.is_full(&RoomId::random(), "one more"));
        expelled.forget_until(at(0));
        assert!(!expelled.is_full(&room, "one more"));
        assert_eq!(expelled.at(&room, "nobody 0"), None);
        assert_eq!(expelled.at(&room, "nobody 1"), Some(at(1)));
        expelled.forget(&room);
        assert_eq!(expelled.at(&room, "nobody 1"), None);
    }
}
