//! The pairs of one peer, and which of them is selected (RFC 8445, sections 8.1.1 and 12.1).

use std::time::{Duration, Instant};

use super::ice::CONSENT;
use super::pair::Pair;
use crate::command::Path;

/// Pairs kept of one peer; the one heard least recently gives way, never the selected one.
pub const MAX_PAIRS: usize = 16;
/// Nominations closer than this are one aggressive nomination (RFC 5245, section 8.1.1.2): all of them count.
const AGGRESSIVE: Duration = Duration::from_secs(1);
/// A selected pair silent for this long gives way to one on which checks arrive.
const SILENCE: Duration = Duration::from_secs(2);

/// A bounded list of pairs.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// At most [`MAX_PAIRS`].
    list: Vec<Pair>,
    /// The path to send on: the first valid pair, then the nominated one. `None` before the first check.
    selected: Option<Path>,
    /// Pairs that gave way to others.
    evicted: u64,
}

impl Pairs {
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn forget_evicted(&mut self) {
        self.evicted = 0;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.list.iter()
    }

    pub(super) fn get(&self, path: Path) -> Option<&Pair> {
        self.list.iter().find(|pair| pair.path == path)
    }

    pub(super) fn get_mut(&mut self, path: Path) -> Option<&mut Pair> {
        self.list.iter_mut().find(|pair| pair.path == path)
    }

    /// Returns the pair to send on.
    pub(super) fn selected(&self) -> Option<&Pair> {
        self.selected.and_then(|path| self.get(path))
    }

    /// Returns whether DTLS and SRTP from a path count: it is checked, and nominated once any is.
    pub(super) fn accepts(&self, path: Path) -> bool {
        let Some(pair) = self.get(path) else {
            return false;
        };
        let mut same = self
            .list
            .iter()
            .filter(|other| other.generation == pair.generation);
        pair.nominated_at.is_some() || same.all(|other| other.nominated_at.is_none())
    }

    /// Notes that something counted from a path; where the peer speaks, it is spoken to.
    pub(super) fn heard(&mut self, now: Instant, path: Path) {
        let Some(pair) = self.get_mut(path) else {
            return;
        };
        pair.heard_at = now;
        let generation = pair.generation;
        // Without fresh consent nothing may be sent there, and the peer would be taken for gone.
        let consents = now.saturating_duration_since(pair.checked_at) < CONSENT;
        // While a restart is under way, the pair in use is left only for a validated one.
        let is_same = self
            .selected()
            .is_some_and(|selected| selected.generation == generation);
        if is_same && consents && self.accepts(path) {
            self.selected = Some(path);
        }
    }

    /// Makes or refreshes the pair of an authenticated check.
    pub(super) fn keep(&mut self, now: Instant, path: Path, priority: u32, generation: u32) {
        if let Some(pair) = self.get_mut(path) {
            pair.refresh(now, priority, generation);
            return;
        }
        if self.list.len() >= MAX_PAIRS {
            self.evict();
        }
        self.list.push(Pair::new(now, path, priority, generation));
    }

    /// Marks the pair of a path as nominated, and those nominated earlier as no longer.
    pub(super) fn nominate(&mut self, now: Instant, path: Path) {
        let Some(generation) = self.get(path).map(|pair| pair.generation) else {
            return;
        };
        for pair in self
            .list
            .iter_mut()
            .filter(|pair| pair.generation == generation)
        {
            let is_stale = |at: Instant| now.duration_since(at) > AGGRESSIVE;
            if pair.path == path {
                pair.nominated_at.get_or_insert(now);
            } else if pair.nominated_at.is_some_and(is_stale) {
                pair.nominated_at = None;
            }
        }
    }

    /// Chooses the path to send on after a check on `path`.
    pub(super) fn select(&mut self, now: Instant, path: Path, nominates: bool) {
        let Some(selected) = self.selected() else {
            self.selected = Some(path);
            return;
        };
        let preference = |pair: &Pair| (pair.nominated_at.is_some(), pair.priority);
        let is_preferred = |pair: &Pair| preference(pair) >= preference(selected);
        if nominates && self.get(path).is_some_and(is_preferred) {
            self.selected = Some(path);
        }
        self.give_way(now);
    }

    /// Selects a path and forgets the pairs of all other generations.
    pub(super) fn move_to(&mut self, path: Path, generation: u32) {
        self.list.retain(|pair| pair.generation == generation);
        self.selected = Some(path);
    }

    /// Returns when, and to which path, the selected pair gives way for being silent.
    pub(super) fn challenge(&self) -> Option<(Instant, Path)> {
        let selected = self.selected()?;
        let challenger = self
            .list
            .iter()
            .filter(|pair| pair.path != selected.path && pair.checked_at > selected.heard_at)
            .filter(|pair| pair.generation == selected.generation)
            .max_by_key(|pair| pair.checked_at)?;
        Some((selected.heard_at + SILENCE, challenger.path))
    }

    /// Lets a pair on which checks arrive take over from a silent one.
    pub(super) fn give_way(&mut self, now: Instant) {
        let Some((_, challenger)) = self.challenge().filter(|(at, _)| *at <= now) else {
            return;
        };
        // Nobody said which pair is meant: as before a nomination, the peer's packets decide.
        for pair in &mut self.list {
            pair.nominated_at = None;
        }
        self.selected = Some(challenger);
    }

    fn evict(&mut self) {
        let selected = self.selected;
        let others = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, pair)| Some(pair.path) != selected);
        if let Some((oldest, _)) = others.min_by_key(|(_, pair)| pair.heard_at) {
            self.list.swap_remove(oldest);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path {
            local: None,
            remote: ([10, 0, 0, 1], port).into(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test takes one epoch")]
    fn epoch() -> Instant {
        Instant::now()
    }

    /// Makes pairs of two paths, the second of higher priority, checked at `now`.
    fn two(now: Instant) -> Pairs {
        let mut pairs = Pairs::default();
        for port in [1, 2] {
            pairs.keep(now, path(port), u32::from(port), 0);
            pairs.select(now, path(port), false);
        }
        pairs
    }

    fn selected(pairs: &Pairs) -> Option<Path> {
        pairs.selected().map(|pair| pair.path)
    }

    #[test]
    fn the_first_valid_pair_is_used_until_one_is_nominated() {
        let now = epoch();
        let mut pairs = two(now);
        assert_eq!(selected(&pairs), Some(path(1)));
        assert!(pairs.accepts(path(1)) && pairs.accepts(path(2)) && !pairs.accepts(path(3)));
        pairs.nominate(now, path(2));
        pairs.select(now, path(2), true);
        assert_eq!(selected(&pairs), Some(path(2)));
        assert!(!pairs.accepts(path(1)) && pairs.accepts(path(2)));
    }

    #[test]
    fn of_an_aggressive_nomination_the_highest_priority_counts() {
        let now = epoch();
        let mut pairs = two(now);
        for port in [2, 1] {
            pairs.nominate(now, path(port));
            pairs.select(now, path(port), true);
        }
        assert_eq!(selected(&pairs), Some(path(2)));
        assert!(pairs.accepts(path(1)), "both are nominated");
        pairs.heard(now, path(1));
        assert_eq!(selected(&pairs), Some(path(1)), "the peer speaks there");
    }

    #[test]
    fn a_later_nomination_counts_whatever_its_priority() {
        let now = epoch();
        let mut pairs = two(now);
        pairs.nominate(now, path(2));
        pairs.select(now, path(2), true);
        let later = now + 2 * AGGRESSIVE;
        pairs.keep(later, path(1), 1, 0);
        pairs.nominate(later, path(1));
        pairs.select(later, path(1), true);
        assert_eq!(selected(&pairs), Some(path(1)));
        assert!(!pairs.accepts(path(2)));
    }

    #[test]
    fn a_silent_pair_gives_way_to_one_that_is_checked() {
        let now = epoch();
        let mut pairs = two(now);
        pairs.nominate(now, path(2));
        pairs.select(now, path(2), true);
        let later = now + SILENCE / 2;
        pairs.keep(later, path(1), 1, 0);
        pairs.select(later, path(1), false);
        assert_eq!(selected(&pairs), Some(path(2)));
        assert_eq!(pairs.challenge(), Some((now + SILENCE, path(1))));
        pairs.give_way(now + SILENCE);
        assert_eq!(selected(&pairs), Some(path(1)));
        assert_eq!(pairs.challenge(), None);
    }

    #[test]
    fn a_pair_that_is_heard_does_not_give_way() {
        let now = epoch();
        let mut pairs = two(now);
        pairs.nominate(now, path(2));
        pairs.select(now, path(2), true);
        let later = now + SILENCE;
        pairs.heard(later, path(2));
        pairs.keep(later, path(1), 1, 0);
        pairs.select(later, path(1), false);
        assert_eq!(selected(&pairs), Some(path(2)));
    }

    #[test]
    fn a_pair_without_consent_is_not_spoken_to() {
        let now = epoch();
        let mut pairs = two(now);
        let later = now + CONSENT;
        pairs.keep(later, path(1), 1, 0);
        pairs.heard(later, path(2));
        assert_eq!(selected(&pairs), Some(path(1)));
    }

    #[test]
    fn pairs_are_bounded_and_the_selected_one_stays() {
        let now = epoch();
        let mut pairs = two(now);
        for port in 3..1000 {
            pairs.keep(
                now + Duration::from_millis(u64::from(port)),
                path(port),
                0,
                0,
            );
        }
        assert_eq!(pairs.iter().count(), MAX_PAIRS);
        assert!(pairs.get(path(1)).is_some());
    }
}
