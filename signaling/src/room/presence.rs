//! Who is in a room, and who of them watches. What counts is who is known to be there, each by a socket, and never a sum of
//! comings and goings: nothing that is lost, comes twice or comes late leaves a count that is wrong. No IO and no clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::id::SocketId;

/// Who is in a room, and who of them watches.
#[derive(Debug, Default)]
pub(super) struct Presence {
    sockets: HashMap<SocketId, Place>,
    /// Those who have a socket, by their ids.
    people: HashMap<Arc<str>, Count>,
    /// Those whose lease ends, and when, in that order.
    lapsed: BTreeSet<(Instant, SocketId)>,
    /// Sockets that watch.
    watching: u64,
    /// People who do, with however many sockets.
    unique: u64,
}

#[derive(Debug)]
struct Place {
    identity: Arc<str>,
    lease: Lease,
}

/// How long a socket counts as one that watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    /// It does not.
    None,
    /// As long as it has media, or negotiates it.
    Held,
    /// Its media was lost; it is believed to want it back until then.
    Until(Instant),
}

#[derive(Debug, Default)]
struct Count {
    sockets: u64,
    watching: u64,
}

impl Presence {
    /// Lets a socket in; returns whether it is the first of this person.
    pub(super) fn enter(&mut self, socket: SocketId, identity: &str) -> bool {
        self.leave(socket);
        let known = self.people.get_key_value(identity);
        let identity = known.map_or_else(|| Arc::from(identity), |(name, _)| Arc::clone(name));
        let count = self.people.entry(Arc::clone(&identity)).or_default();
        count.sockets += 1;
        let first = count.sockets == 1;
        let lease = Lease::None;
        self.sockets.insert(socket, Place { identity, lease });
        first
    }

    /// Takes a socket out; returns whether it was the last of this person.
    pub(super) fn leave(&mut self, socket: SocketId) -> bool {
        self.set(socket, Lease::None);
        let Some(place) = self.sockets.remove(&socket) else {
            return false;
        };
        let Some(count) = self.people.get_mut(&place.identity) else {
            return false;
        };
        count.sockets -= 1;
        let last = count.sockets == 0;
        if last {
            self.people.remove(&place.identity);
        }
        last
    }

    /// Counts a socket that has or wants media.
    pub(super) fn watch(&mut self, socket: SocketId) {
        self.set(socket, Lease::Held);
    }

    /// Takes note that a socket wants no media any more.
    pub(super) fn stop(&mut self, socket: SocketId) {
        self.set(socket, Lease::None);
    }

    /// Takes note that the media of a socket was lost: it comes back for it, or does not.
    pub(super) fn lapse(&mut self, socket: SocketId, now: Instant) {
        let lease = self.sockets.get(&socket).map(|place| place.lease);
        if lease == Some(Lease::Held) {
            self.set(socket, Lease::Until(now + BACK_WITHIN));
        }
    }

    /// Returns when the next lease ends; `None` while all are held.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lapsed.first().map(|(end, _)| *end)
    }

    /// Forgets those who did not come back for their media; returns whether there are any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.watching;
        while let Some((end, socket)) = self.lapsed.first().copied()
            && end <= now
        {
            self.lapsed.pop_first();
            self.set(socket, Lease::None);
        }
        before != self.watching
    }

    /// Returns how many sockets watch.
    pub(super) fn watching(&self) -> u64 {
        self.watching
    }

    /// Returns how many people do, each counted once.
    pub(super) fn unique(&self) -> u64 {
        self.unique
    }

    /// Returns how many people are here, watching or not.
    pub(super) fn people(&self) -> usize {
        self.people.len()
    }

    fn set(&mut self, socket: SocketId, lease: Lease) {
        let Some(place) = self.sockets.get_mut(&socket) else {
            return;
        };
        let earlier = std::mem::replace(&mut place.lease, lease);
        if let Lease::Until(end) = earlier {
            self.lapsed.remove(&(end, socket));
        }
        if let Lease::Until(end) = lease {
            self.lapsed.insert((end, socket));
        }
        let (before, after) = (earlier != Lease::None, lease != Lease::None);
        let Some(count) = self.people.get_mut(&place.identity) else {
            return;
        };
        if before == after {
            return;
        }
        if after {
            self.watching += 1;
            count.watching += 1;
            self.unique += u64::from(count.watching == 1);
        } else {
            self.watching -= 1;
            count.watching -= 1;
            self.unique -= u64::from(count.watching == 0);
        }
    }
}

/// A page that lost its media asks for it again within a second or two.
const BACK_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What may happen to one of a few sockets, or to all of them.
    #[derive(Clone, Debug)]
    enum Step {
        Enter {
            socket: u64,
            person: u8,
        },
        Watch(u64),
        Stop(u64),
        Lapse(u64),
        Leave(u64),
        /// A network goes away: every socket with an even number is lost, and others come for the same people.
        Wave,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let socket = || 0..12u64;
        prop_oneof![
            3 => (socket(), 0..5u8).prop_map(|(socket, person)| Step::Enter { socket, person }),
            4 => socket().prop_map(Step::Watch),
            1 => socket().prop_map(Step::Stop),
            2 => socket().prop_map(Step::Lapse),
            2 => socket().prop_map(Step::Leave),
            1 => Just(Step::Wave),
            2 => (0..7u64).prop_map(Step::Wait),
        ]
    }

    /// The same by looking at everybody each time.
    #[derive(Default)]
    struct Model {
        /// The person of each socket, and until when it watches, in seconds.
        sockets: BTreeMap<u64, (u8, Option<u64>)>,
        now: u64,
    }

    impl Model {
        fn watching(&self) -> impl Iterator<Item = u8> {
            let all = self.sockets.values();
            all.filter(|(_, until)| until.is_some_and(|until| until > self.now))
                .map(|(person, _)| *person)
        }
    }

    fn person(number: u8) -> String {
        format!("person-{number}")
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn who_watches_is_counted_once_whatever_comes_goes_breaks_and_returns(
            steps in proptest::collection::vec(step(), 0..60)
        ) {
            let epoch = Instant::now();
            let (mut presence, mut model) = (Presence::default(), Model::default());
            for step in steps {
                let now = |seconds: u64| epoch + Duration::from_secs(seconds);
                match step {
                    Step::Enter { socket, person: who } => {
                        model.sockets.remove(&socket);
                        let first = model.sockets.values().all(|(other, _)| *other != who);
                        model.sockets.insert(socket, (who, None));
                        prop_assert_eq!(presence.enter(SocketId(socket), &person(who)), first);
                    }
                    Step::Watch(socket) => {
                        presence.watch(SocketId(socket));
                        if let Some((_, until)) = model.sockets.get_mut(&socket) {
                            *until = Some(u64::MAX);
                        }
                    }
                    Step::Stop(socket) => {
                        presence.stop(SocketId(socket));
                        if let Some((_, until)) = model.sockets.get_mut(&socket) {
                            *until = None;
                        }
                    }
                    Step::Lapse(socket) => {
                        presence.lapse(SocketId(socket), now(model.now));
                        if let Some((_, until)) = model.sockets.get_mut(&socket)
                            && *until == Some(u64::MAX)
                        {
                            *until = Some(model.now + BACK_WITHIN.as_secs());
                        }
                    }
                    Step::Leave(socket) => {
                        let gone = model.sockets.remove(&socket);
                        let last = gone.is_some_and(|(who, _)| {
                            model.sockets.values().all(|(other, _)| *other != who)
                        });
                        prop_assert_eq!(presence.leave(SocketId(socket)), last);
                    }
                    Step::Wave => {
                        let lost: Vec<u64> =
                            model.sockets.keys().copied().filter(|it| it % 2 == 0).collect();
                        for socket in lost {
                            let (who, until) = model.sockets.remove(&socket).unwrap();
                            presence.leave(SocketId(socket));
                            presence.enter(SocketId(socket + 100), &person(who));
                            let watches = until.is_some_and(|until| until > model.now);
                            if watches {
                                presence.watch(SocketId(socket + 100));
                            }
                            model
                                .sockets
                                .insert(socket + 100, (who, watches.then_some(u64::MAX)));
                        }
                    }
                    Step::Wait(seconds) => {
                        model.now += seconds;
                        presence.expire(now(model.now));
                    }
                }
                let unique: BTreeSet<u8> = model.watching().collect();
                prop_assert_eq!(presence.watching(), model.watching().count() as u64);
                prop_assert_eq!(presence.unique(), unique.len() as u64);
                let people: BTreeSet<u8> = model.sockets.values().map(|(who, _)| *who).collect();
                prop_assert_eq!(presence.people(), people.len());
                let due = presence.due();
                prop_assert!(due.is_none_or(|due| due > now(model.now)));
            }
            let all: Vec<SocketId> = presence.sockets.keys().copied().collect();
            for socket in all {
                presence.leave(socket);
            }
            prop_assert_eq!((presence.watching(), presence.unique(), presence.people()), (0, 0, 0));
        }
    }
}
