//! Who was put out of rooms, by this server and by others on the same database, for as long as a token that they had for
//! them could hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::drain::Phase;
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
        // Of what others did one hears late, and perhaps after what was done here.
        let last = of_room.entry(identity.to_owned()).or_insert(at);
        *last = at.max(*last);
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

/// Learns once a second whom other servers put out, and ends their tokens here, until the server closes. Sockets that are
/// open here are not closed by it.
pub(crate) async fn watch_expelled(rooms: Arc<Rooms>, mut phase: watch::Receiver<Phase>) {
    let mut seen = Timestamp::now();
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
        }
        let stores = &rooms.context.stores;
        match stores.rooms.expelled_since(seen.minus(OVERLAP)).await {
            Ok(expelled) => {
                away = false;
                for (room, identity, at) in expelled {
                    // One whose clock is ahead must not hide what others write.
                    seen = seen.max(at.min(Timestamp::now()));
                    rooms.expelled.add(&room, &identity, at);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    warn!(%error, "whom others put out is not known while the database is away");
                }
            }
        }
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

/// As often as ended sign-ins are asked for.
const EVERY: Duration = Duration::from_secs(1);

/// Clocks differ, and what is written later may be dated earlier.
const OVERLAP: Duration = Duration::from_secs(60);

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
        expelled.add(&room, "nobody 1", at(0));
        assert_eq!(expelled.at(&room, "nobody 1"), Some(at(1)), "it came late");
        expelled.forget(&room);
        assert_eq!(expelled.at(&room, "nobody 1"), None);
    }
}
