//! The pairs of one peer, and which of them is selected (RFC 8445, sections 8.1.1 and 12.1).

use std::time::{Duration, Instant};

use super::pair::Pair;
use crate::command::Path;

/// Pairs kept of one peer; the one heard least recently gives way, never the selected one.
pub const MAX_PAIRS: usize = 16;
/// Nominations closer than this are one aggressive nomination (RFC 5245, section 8.1.1.2): all of them count.
const AGGRESSIVE: Duration = Duration::from_secs(1);
/// A check that comes so soon from a pair that media has left was on its way when the peer moved.
const LATE: Duration = Duration::from_secs(1);
/// A selected pair silent for this long gives way to one on which checks arrive.
const SILENCE: Duration = Duration::from_secs(2);

/// A bounded list of pairs.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// At most [`MAX_PAIRS`].
    list: Vec<Pair>,
    /// The path to send on: the first valid pair, then the nominated one. `None` before the first check.
    selected: Option<Path>,
    /// Where media goes as soon as that address has shown that it receives, and since when; `None`
    /// while media goes where it should.
    wanted: Option<(Path, Instant)>,
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

    /// Returns the pair that media waits to go to.
    pub(super) fn wanted(&self) -> Option<&Pair> {
        self.wanted.and_then(|(path, _)| self.get(path))
    }

    /// Returns whether a check on a path may have been overtaken by those on the selected one.
    pub(super) fn is_late(&self, now: Instant, path: Path) -> bool {
        let left_at = self.get(path).and_then(|pair| pair.left_at);
        self.selected != Some(path)
            && left_at.is_some_and(|at| now.saturating_duration_since(at) < LATE)
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

    /// Notes that something counted from a path; where the peer speaks, it is spoken to. Only its
    /// newest packet tells where it is: others may have been overtaken on the way.
    pub(super) fn heard(&mut self, now: Instant, path: Path, is_newest: bool) {
        let Some(pair) = self.get_mut(path) else {
            return;
        };
        pair.heard_at = now;
        let generation = pair.generation;
        // Without fresh consent nothing may be sent there, and the peer would be taken for gone.
        let consents = pair.consents(now);
        // While a restart is under way, the pair in use is left only for a validated one.
        let is_same = self
            .selected()
            .is_some_and(|selected| selected.generation == generation);
        if is_newest && is_same && consents && self.accepts(path) {
            self.go_over(now, path);
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
        // Most peers have one or two.
        self.list.reserve_exact(1);
        self.list.push(Pair::new(now, path, priority, generation));
    }

    /// Marks the pair of a path as nominated.
    pub(super) fn nominate(&mut self, now: Instant, path: Path) {
        if let Some(pair) = self.get_mut(path) {
            pair.nominated_at.get_or_insert(now);
        }
    }

    /// Chooses the path to send on after a check on `path`.
    pub(super) fn select(&mut self, now: Instant, path: Path, nominates: bool) {
        let Some(selected) = self.selected() else {
            self.selected = Some(path);
            return;
        };
        // An earlier nomination counts no more.
        let is_nominated = |pair: &Pair| {
            pair.nominated_at
                .is_some_and(|at| pair.path == path || !is_stale(now, at))
        };
        let preference = |pair: &Pair| (is_nominated(pair), pair.priority);
        let is_preferred = |pair: &Pair| preference(pair) >= preference(selected);
        if nominates && self.get(path).is_some_and(is_preferred) {
            self.go_over(now, path);
        }
        self.give_way(now);
    }

    /// Goes over to a path: at once where nothing is lost by it, else when its address has shown that
    /// it receives. A check proves who made it, not where it was sent from: whoever sees it can send
    /// it on from another address, but only the peer can answer a check of ours there.
    fn go_over(&mut self, now: Instant, path: Path) {
        if self.selected == Some(path) {
            self.wanted = self.wanted.filter(|(_, since)| {
                // The peer is still, or again, where it was.
                now.saturating_duration_since(*since) < LATE
            });
            return;
        }
        let is_lost = self
            .selected()
            .is_some_and(|pair| pair.validated && pair.consents(now));
        if is_lost && !self.get(path).is_some_and(|pair| pair.validated) {
            let since = self.wanted.filter(|(wanted, _)| *wanted == path);
            self.wanted = since.or(Some((path, now)));
            return;
        }
        if let Some(left) = self.selected.and_then(|left| self.get_mut(left)) {
            left.left_at = Some(now);
        }
        // One that has ended was kept for having been selected.
        self.list.retain(|pair| !pair.is_closed);
        self.selected = Some(path);
        self.wanted = None;
        self.forget_nominations(now, path);
    }

    /// Forgets the nominations of other pairs that the one of `path` has taken the place of. Where
    /// nobody said which pair is meant, the peer's packets decide as before a nomination.
    fn forget_nominations(&mut self, now: Instant, path: Path) {
        let Some(pair) = self.get(path) else {
            return;
        };
        let (is_nominated, generation) = (pair.nominated_at.is_some(), pair.generation);
        let others = self
            .list
            .iter_mut()
            .filter(|pair| pair.path != path && pair.generation == generation);
        for pair in others {
            pair.nominated_at = pair
                .nominated_at
                .filter(|&at| is_nominated && !is_stale(now, at));
        }
    }

    /// The address of a path has shown that it receives.
    pub(super) fn validate(&mut self, now: Instant, path: Path) {
        if let Some(pair) = self.get_mut(path) {
            pair.validate();
        }
        if self.wanted().is_some_and(|wanted| wanted.path == path) {
            self.go_over(now, path);
        }
    }

    /// Takes note that the connection of a path has ended. Its pair is forgotten; the selected one only when there is
    /// another to go over to, since by it the peer's consent goes on for a while, in which it may come back.
    pub(super) fn handle_closed(&mut self, now: Instant, path: Path) {
        self.wanted = self.wanted.filter(|(wanted, _)| *wanted != path);
        let Some(closed) = self.get_mut(path) else {
            return;
        };
        closed.is_closed = true;
        closed.validated = false;
        closed.nominated_at = None;
        // Whoever checks from elsewhere takes over at once.
        closed.heard_at = now.checked_sub(SILENCE).unwrap_or(now);
        let generation = closed.generation;
        if self.selected == Some(path) {
            let others = self.list.iter().filter(|pair| !pair.is_closed);
            let others = others.filter(|pair| pair.generation == generation && pair.consents(now));
            let next =
                others.max_by_key(|pair| (pair.validated, pair.nominated_at, pair.checked_at));
            let Some(next) = next.map(|pair| pair.path) else {
                return;
            };
            self.go_over(now, next);
        }
        self.list.retain(|pair| pair.path != path);
    }

    /// Selects a path and forgets the pairs of all other generations.
    pub(super) fn move_to(&mut self, path: Path, generation: u32) {
        self.list
            .retain(|pair| pair.generation == generation && !pair.is_closed);
        self.selected = Some(path);
        self.wanted = None;
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
        if self.wanted.is_some_and(|(path, _)| path == challenger.path) {
            return None;
        }
        Some((selected.heard_at + SILENCE, challenger.path))
    }

    /// Lets a pair on which checks arrive take over from a silent one.
    pub(super) fn give_way(&mut self, now: Instant) {
        let Some((_, challenger)) = self.challenge().filter(|(at, _)| *at <= now) else {
            return;
        };
        self.go_over(now, challenger);
    }

    fn evict(&mut self) {
        let kept = [self.selected, self.wanted.map(|(path, _)| path)];
        let others = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, pair)| !kept.contains(&Some(pair.path)));
        if let Some((oldest, _)) = others.min_by_key(|(_, pair)| pair.heard_at) {
            self.list.swap_remove(oldest);
            self.evicted += 1;
        }
    }
}

fn is_stale(now: Instant, nominated_at: Instant) -> bool {
    now.saturating_duration_since(nominated_at) > AGGRESSIVE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::ice::CONSENT;

    fn path(port: u16) -> Path {
        Path {
            local: None,
            remote: ([10, 0, 0, 1], port).into(),
            connection: None,
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
        pairs.heard(now, path(1), true);
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
        pairs.heard(later, path(2), true);
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
        pairs.heard(later, path(2), true);
        assert_eq!(selected(&pairs), Some(path(1)));
    }

    #[test]
    fn media_leaves_an_address_that_works_only_for_one_that_has_shown_that_it_receives() {
        let now = epoch();
        let mut pairs = two(now);
        pairs.validate(now, path(1));
        pairs.nominate(now, path(1));
        let later = now + 2 * AGGRESSIVE;
        pairs.keep(later, path(2), 2, 0);
        pairs.nominate(later, path(2));
        pairs.select(later, path(2), true);
        assert_eq!(selected(&pairs), Some(path(1)));
        assert!(pairs.accepts(path(1)), "its packets still count");
        pairs.validate(later, path(2));
        assert_eq!(selected(&pairs), Some(path(2)));
        assert!(!pairs.accepts(path(1)));

        let late = later + LATE / 2;
        assert!(pairs.is_late(late, path(1)));
        pairs.heard(late, path(1), true);
        assert_eq!(selected(&pairs), Some(path(2)));
        assert!(!pairs.is_late(later + LATE, path(1)));
    }

    #[test]
    fn a_move_that_was_never_proved_is_forgotten_when_the_peer_is_where_it_was() {
        let now = epoch();
        let mut pairs = two(now);
        pairs.validate(now, path(1));
        let later = now + 2 * AGGRESSIVE;
        pairs.nominate(later, path(2));
        pairs.select(later, path(2), true);
        assert_eq!(pairs.wanted().map(|pair| pair.path), Some(path(2)));
        pairs.heard(later + LATE / 2, path(1), true);
        assert!(pairs.wanted().is_some(), "it may have been on its way");
        pairs.keep(later + LATE, path(1), 1, 0);
        pairs.nominate(later + LATE, path(1));
        pairs.select(later + LATE, path(1), true);
        assert!(pairs.wanted().is_none());
        pairs.validate(later + LATE, path(2));
        assert_eq!(selected(&pairs), Some(path(1)));
    }

    #[test]
    fn a_pair_whose_connection_ended_gives_way_to_whichever_works() {
        let now = epoch();
        let mut pairs = two(now);
        pairs.nominate(now, path(2));
        pairs.select(now, path(2), true);
        for port in [1, 2] {
            pairs.validate(now, path(port));
        }
        pairs.handle_closed(now, path(2));
        assert_eq!(selected(&pairs), Some(path(1)));
        assert!(pairs.get(path(2)).is_none() && pairs.accepts(path(1)));

        pairs.handle_closed(now, path(1));
        assert!(pairs.selected().is_some_and(|pair| !pair.validated));
        let later = now + Duration::from_millis(50);
        pairs.keep(later, path(3), 3, 0);
        pairs.select(later, path(3), false);
        assert_eq!(
            selected(&pairs),
            Some(path(3)),
            "who comes back is heard at once"
        );
        assert!(pairs.get(path(1)).is_none(), "it is kept no longer");
        let end = now + CONSENT / 2;
        pairs.handle_closed(end, path(3));
        assert_eq!(
            selected(&pairs),
            Some(path(3)),
            "by the newest, consent goes on"
        );
        pairs.keep(end, path(4), 4, 0);
        pairs.select(end, path(4), false);
        assert_eq!(selected(&pairs), Some(path(4)));
        assert_eq!(pairs.iter().count(), 1);
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
