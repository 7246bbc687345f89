//! When peers have something to do next. Viewers in the middle of a join have their turn every few milliseconds, so
//! nothing here takes memory once there was room for all of them.

use std::time::Instant;

use crate::node::PeerIndex;

/// One timer a peer: a binary heap that knows where in it each peer is. At most as many as there are peers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// The next one first; each is due no sooner than the one at half its place.
    heap: Vec<(Instant, PeerIndex)>,
    /// Where each slot's peer is in the heap; [`NOWHERE`] without a timer. As long as the peers' slots.
    places: Vec<usize>,
}

impl Timers {
    /// Returns who is next, and when.
    pub(super) fn first(&self) -> Option<(Instant, PeerIndex)> {
        self.heap.first().copied()
    }

    /// Sets when a peer's turn is; `None`: it has none any more. What was set before no longer counts.
    pub(super) fn set(&mut self, index: PeerIndex, due: Option<Instant>) {
        let place = self.places.get(index.slot()).copied();
        match (place.filter(|place| *place != NOWHERE), due) {
            (None, None) => {}
            (None, Some(due)) => self.insert(index, due),
            (Some(place), None) => self.remove(place),
            (Some(place), Some(due)) => {
                if let Some(timer) = self.heap.get_mut(place).filter(|timer| timer.0 != due) {
                    *timer = (due, index);
                    self.mend(place);
                }
            }
        }
    }

    fn insert(&mut self, index: PeerIndex, due: Instant) {
        if self.places.len() <= index.slot() {
            self.places.resize(index.slot() + 1, NOWHERE);
        }
        self.heap.push((due, index));
        let last = self.heap.len() - 1;
        self.note(last);
        self.mend(last);
    }

    fn remove(&mut self, place: usize) {
        let last = self.heap.len() - 1;
        self.swap(place, last);
        if let Some((_, gone)) = self.heap.pop()
            && let Some(place) = self.places.get_mut(gone.slot())
        {
            *place = NOWHERE;
        }
        self.mend(place);
    }

    /// Moves a timer to where it belongs.
    fn mend(&mut self, mut place: usize) {
        while place > 0 && self.is_before(place, (place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        loop {
            let [one, other] = [2 * place + 1, 2 * place + 2];
            let next = if self.is_before(other, one) {
                other
            } else {
                one
            };
            if !self.is_before(next, place) {
                return;
            }
            self.swap(next, place);
            place = next;
        }
    }

    /// Returns whether the timer at one place is due before that at another; not where there is none.
    fn is_before(&self, one: usize, other: usize) -> bool {
        let timers = self.heap.get(one).zip(self.heap.get(other));
        timers.is_some_and(|(one, other)| one < other)
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.note(one);
        self.note(other);
    }

    /// Writes down who is at a place.
    fn note(&mut self, place: usize) {
        if let Some((_, index)) = self.heap.get(place)
            && let Some(noted) = self.places.get_mut(index.slot())
        {
            *noted = place;
        }
    }
}

const NOWHERE: usize = usize::MAX;

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::command::PeerId;

    proptest! {
        #[test]
        fn peers_have_their_turn_in_order_whatever_was_set_before(
            steps in prop::collection::vec((0..40_usize, prop::option::of(0..50_u64)), 0..400),
        ) {
            let epoch = Instant::now();
            let mut timers = Timers::default();
            let mut expected: BTreeSet<(Instant, PeerIndex)> = BTreeSet::new();
            for (slot, due) in steps {
                let index = PeerIndex::new(slot, PeerId(u64::try_from(slot).unwrap()));
                let due = due.map(|due| epoch + Duration::from_millis(due));
                timers.set(index, due);
                expected.retain(|(_, other)| *other != index);
                expected.extend(due.map(|due| (due, index)));
                prop_assert_eq!(timers.first(), expected.first().copied());
                prop_assert_eq!(timers.heap.len(), expected.len());
            }
            while let Some(next) = timers.first() {
                prop_assert_eq!(expected.pop_first(), Some(next));
                timers.set(next.1, None);
            }
            prop_assert!(expected.is_empty());
        }
    }

    #[test]
    fn a_slot_that_was_given_to_another_has_the_timer_of_that_one() {
        let epoch = Instant::now();
        let mut timers = Timers::default();
        let [one, other] = [1, 2].map(|peer| PeerIndex::new(0, PeerId(peer)));
        timers.set(one, Some(epoch));
        timers.set(one, None);
        timers.set(other, Some(epoch + Duration::from_secs(1)));
        assert_eq!(
            timers.first(),
            Some((epoch + Duration::from_secs(1), other))
        );
    }
}
