//! Who was put out of rooms, by this server and by others on the same database, for as long as a token that they had for
//! them could hold.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::drain::Phase;
use crate::error::ApiError;
use crate::id::RoomId;
use crate::store::{Limit, StoreError};
use crate::time::Timestamp;

use super::{Context, Outside, Rooms};

/// When somebody was put out of a room. Of each room at most [`MAX_KICKED`] and those who are banned.
#[derive(Debug, Default)]
pub(crate) struct Expelled(DashMap<RoomId, HashMap<String, Timestamp>>);

impl Expelled {
    /// Takes note of when somebody was put out, here or elsewhere. Returns whether that is news.
    pub(super) fn add(&self, room: &RoomId, identity: &str, at: Timestamp) -> bool {
        let mut of_room = self.0.entry(room.clone()).or_default();
        match of_room.entry(identity.to_owned()) {
            Entry::Vacant(slot) => {
                slot.insert(at);
                true
            }
            // Of what others did one hears late, and perhaps after what was done here.
            Entry::Occupied(mut last) => at > last.insert(at.max(*last.get())),
        }
    }

    /// Takes note that somebody is put out now. Returns when that is: later than every time before, whatever the clock
    /// says, so that no token knows of it that was minted before.
    fn add_now(&self, room: &RoomId, identity: &str, now: Timestamp) -> Timestamp {
        let mut of_room = self.0.entry(room.clone()).or_default();
        let last = of_room.get(identity);
        let at = last.map_or(now, |last| now.max(last.plus(Duration::from_millis(1))));
        of_room.insert(identity.to_owned(), at);
        at
    }

    /// Returns whether somebody is known to have been put out at this moment, or later.
    fn knows(&self, room: &RoomId, identity: &str, at: Timestamp) -> bool {
        self.at(room, identity).is_some_and(|last| last >= at)
    }

    /// Returns whether so many were put out of a room lately that another one would be too many.
    pub(super) fn is_full(&self, room: &RoomId, identity: &str) -> bool {
        let of_room = self.0.get(room);
        of_room.is_some_and(|it| it.len() >= MAX_KICKED && !it.contains_key(identity))
    }

    pub(super) fn at(&self, room: &RoomId, identity: &str) -> Option<Timestamp> {
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

/// Learns once a second whom other servers put out, and puts them out here, until the server closes.
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
        match rooms.learn_expelled(&mut seen).await {
            Ok(()) => away = false,
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
    pub(super) async fn expel(
        &self,
        id: &RoomId,
        identity: String,
        reason: Option<String>,
    ) -> Result<(), ApiError> {
        let expelled = &self.context.expelled;
        let at = expelled.add_now(id, &identity, Timestamp::now());
        self.tell_expelled(id, identity.clone(), (reason, None));
        let stores = &self.context.stores;
        let stored = stores.rooms.expel(id, &identity, at).await;
        // Later than was asked for, where another server put them out, too.
        expelled.add(id, &identity, stored.map_err(ApiError::store)?);
        // Such a one may have shut them out a moment before, of which nothing would be heard behind this.
        let standing = self.standing(id, &identity, &[]);
        if standing.is_some_and(|standing| !standing.banned) {
            let ban = stores.order.ban(id, &identity).await;
            if let Some(ban) = ban.map_err(ApiError::store)? {
                self.tell_expelled(id, identity, (ban.reason.clone(), Some(ban)));
            }
        }
        Ok(())
    }

    /// Returns when somebody was last put out of a room, as far as it is remembered.
    pub(crate) fn kicked_at(&self, id: &RoomId, identity: &str) -> Option<Timestamp> {
        self.context.expelled.at(id, identity)
    }

    /// Asks the database whom other servers put out since a moment, and puts them out here.
    async fn learn_expelled(&self, seen: &mut Timestamp) -> Result<(), StoreError> {
        let rooms = &self.context.stores.rooms;
        let expelled = rooms.expelled_since(seen.minus(OVERLAP)).await?;
        let mut learnt = Ok(());
        for (id, identity, at) in expelled {
            match self.learn(&id, identity, at).await {
                // One whose clock is ahead must not hide what others write.
                Ok(()) if learnt.is_ok() => *seen = (*seen).max(at.min(Timestamp::now())),
                Ok(()) => {}
                Err(error) if error.is_away() => return Err(error),
                // It is asked for again, and keeps no other waiting.
                Err(error) => learnt = Err(error),
            }
        }
        learnt
    }

    /// Puts somebody out whom another server put out at some moment, unless that is known.
    async fn learn(&self, id: &RoomId, identity: String, at: Timestamp) -> Result<(), StoreError> {
        let Context {
            expelled, stores, ..
        } = &self.context;
        if expelled.knows(id, &identity, at) {
            return Ok(());
        }
        // Before it is known, so that it is asked for again where it was not answered. A room that is opened from here on
        // reads it itself.
        let ban = match self.here(id) {
            Some(_) => stores.order.ban(id, &identity).await?,
            None => None,
        };
        if expelled.add(id, &identity, at) {
            let reason = ban.as_ref().and_then(|ban| ban.reason.clone());
            self.tell_expelled(id, identity, (reason, ban));
        }
        Ok(())
    }

    /// Tells a room, where it is in memory, that somebody is put out. It must be known before: who comes after that is
    /// not let in by the room itself.
    fn tell_expelled(
        &self,
        id: &RoomId,
        identity: String,
        (reason, ban): (Option<String>, Option<Limit>),
    ) {
        if let Some(room) = self.here(id) {
            let expel = Outside::Expel {
                identity,
                reason,
                ban: ban.map(Box::new),
            };
            room.tell_later(expel.into());
        }
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
    fn who_is_put_out_again_is_put_out_later_whatever_the_clock_says() {
        let (expelled, room) = (Expelled::default(), RoomId::random());
        let at = Timestamp::from_millis;
        let now = |millis| expelled.add_now(&room, "bob", at(millis));
        assert_eq!((now(7), now(7), now(3)), (at(7), at(8), at(9)));
        assert_eq!((now(20), expelled.at(&room, "bob")), (at(20), Some(at(20))));
        // What this server did is no news when the database tells of it.
        assert!(expelled.knows(&room, "bob", at(20)) && !expelled.add(&room, "bob", at(20)));
        assert!(!expelled.knows(&room, "bob", at(21)) && expelled.add(&room, "bob", at(21)));
        assert!(expelled.add(&room, "cy", at(1)));
    }

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
