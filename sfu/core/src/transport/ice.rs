//! The lite ICE agent of one peer: it answers checks, keeps valid pairs and follows nominations
//! (RFC 8445, sections 2.5 and 7.3; consent by RFC 7675).

#![warn(clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::generation::Generation;
use super::pair::Pair;
use super::pairs::Pairs;
use super::stun::{self, Binding, Request};
use crate::command::{IceCredentials, Path};

/// Consent lasts this long after an authenticated check (RFC 7675, section 5.1).
pub const CONSENT: Duration = Duration::from_secs(30);
/// A peer whose checks stay away for longer is asked for its consent.
const UNCHECKED: Duration = Duration::from_secs(10);
/// Checks remembered, so that none counts twice: those of more than five minutes of consent.
const MAX_SEEN: usize = 128;
/// Checks that tell a peer of a conflict of roles; whoever does not change its role then never will.
const MAX_CONFLICTS: u8 = 3;
/// After such a goodbye a peer that has not checked by itself is asked.
const GOODBYE_DOUBTED: Duration = Duration::from_secs(3);

/// Finds the server's user name fragment in a Binding request, without proving anything.
pub fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    match stun::parse(datagram)? {
        Binding::Request(request) => Some(request.local_ufrag),
        Binding::Success(_) => None,
    }
}

/// Returns whether a datagram is a Binding request whose integrity and fingerprint hold under `pwd`.
///
/// For a shard that does not own the peer: what fails here is not worth handing over.
pub fn authentic(datagram: &[u8], pwd: &str) -> bool {
    matches!(stun::parse(datagram), Some(Binding::Request(_))) && stun::is_authentic(datagram, pwd)
}

/// What became of a STUN message.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Not a Binding request or success response, or broken.
    Malformed,
    /// Not proved by the credentials, or an answer to nothing we asked.
    Forged,
    /// Authentic, but it came before and from elsewhere.
    Replayed,
    /// Authentic, and answered with an error: no pair came of it.
    Refused(Vec<u8>),
    /// Authentic: the pair is valid, and this is the answer.
    Answered(Vec<u8>),
    /// The peer answered our check: its address receives.
    Validated,
}

/// The lite agent of one peer.
#[derive(Debug)]
pub(super) struct LiteAgent {
    current: Generation,
    /// The generation before a restart, until a pair of the current one is validated.
    previous: Option<Generation>,
    /// Empty before the first check.
    pub(super) pairs: Pairs,
    /// Transactions of the last checks, four bytes of each, at most [`MAX_SEEN`].
    seen: VecDeque<u32>,
    /// Whether the selected pair has to prove itself by answering: set once something waits for it.
    proving: bool,
    /// Checks refused because the peer took the role that is ours.
    conflicts: u8,
    /// When an unproved goodbye arrived; any later check, or answer to ours, takes it back.
    pub(super) leaving_at: Option<Instant>,
}

impl LiteAgent {
    /// Makes an agent that knows only its own side.
    pub(super) fn new(local: IceCredentials) -> Self {
        Self {
            current: Generation {
                number: 0,
                local,
                remote: None,
            },
            previous: None,
            pairs: Pairs::default(),
            seen: VecDeque::new(),
            proving: false,
            conflicts: 0,
            leaving_at: None,
        }
    }

    /// Completes the current generation with the peer's side.
    pub(super) fn set_remote(&mut self, remote: IceCredentials) {
        self.current.remote = Some(remote);
    }

    /// Begins another generation; the selected pair stays until one of the new generation is validated.
    pub(super) fn restart(&mut self, local: IceCredentials, remote: Option<IceCredentials>) {
        if local == self.current.local {
            if remote.is_some() {
                self.current.remote = remote;
            }
            return;
        }
        let number = self.current.number.wrapping_add(1);
        let old = std::mem::replace(
            &mut self.current,
            Generation {
                number,
                local,
                remote,
            },
        );
        // Restarted twice in a row: the pair in use still belongs to the oldest.
        self.previous.get_or_insert(old);
    }

    /// Returns the server's user name fragment of the current generation.
    pub(super) fn local_ufrag(&self) -> &str {
        &self.current.local.ufrag
    }

    /// Returns the path to send on, valid but perhaps not validated.
    pub(super) fn selected(&self) -> Option<Path> {
        self.pairs.selected().map(|pair| pair.path)
    }

    /// Returns how many pairs gave way to others.
    pub(super) fn evicted(&self) -> u64 {
        self.pairs.evicted()
    }

    /// Counts evicted pairs anew.
    pub(super) fn forget_evicted(&mut self) {
        self.pairs.forget_evicted();
    }

    /// Returns the selected path when its address has shown that it receives.
    pub(super) fn validated(&self) -> Option<Path> {
        self.pairs
            .selected()
            .filter(|pair| pair.validated)
            .map(|pair| pair.path)
    }

    /// Returns whether DTLS and SRTP from a path count: it is checked, and nominated once any is.
    pub(super) fn accepts(&self, path: Path) -> bool {
        self.pairs.accepts(path)
    }

    /// Returns whether the path is one of the pairs.
    pub(super) fn knows(&self, path: Path) -> bool {
        self.pairs.get(path).is_some()
    }

    /// Returns when the last check came from an address, as a datagram.
    pub(super) fn checked_at(&self, remote: SocketAddr) -> Option<Instant> {
        let pairs = self.pairs.iter();
        let is_there = |path: Path| path.remote == remote && path.connection.is_none();
        let there = pairs.filter(|pair| is_there(pair.path));
        there.map(|pair| pair.checked_at).max()
    }

    /// Asks the selected pair to prove that it receives, by checks of ours.
    pub(super) fn prove(&mut self) {
        self.proving = true;
    }

    /// Marks a path as one that has shown that it receives.
    pub(super) fn validate(&mut self, now: Instant, path: Path) {
        self.pairs.validate(now, path);
    }

    /// Takes note that nothing goes on a path any more.
    pub(super) fn handle_closed(&mut self, now: Instant, path: Path) {
        self.pairs.handle_closed(now, path);
    }

    /// Credits a path with what arrived from it; unknown ones get nothing.
    pub(super) fn received(&mut self, path: Path, size_bytes: usize) {
        if let Some(pair) = self.pairs.get_mut(path) {
            pair.receive(size_bytes);
        }
    }

    /// Takes leave to send, or returns `false` while the path's credit does not reach.
    pub(super) fn spend(&mut self, path: Path, size_bytes: usize) -> bool {
        self.pairs
            .get_mut(path)
            .is_some_and(|pair| pair.spend(size_bytes))
    }

    /// Notes that something counted from a path; where the peer speaks, it is spoken to.
    pub(super) fn heard(&mut self, now: Instant, path: Path, is_newest: bool) {
        self.pairs.heard(now, path, is_newest);
    }

    /// Takes a STUN message in.
    pub(super) fn handle(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Outcome {
        match stun::parse(datagram) {
            None => Outcome::Malformed,
            Some(Binding::Success(transaction)) => {
                self.handle_success(now, path, transaction, datagram)
            }
            Some(Binding::Request(request)) => self.handle_request(now, path, request, datagram),
        }
    }

    /// Returns when [`Self::poll_check`] or [`Self::handle_timeout`] have something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let checks = self.pairs.iter().filter_map(|pair| self.check_at(pair));
        checks.chain(self.pairs.challenge().map(|(at, _)| at)).min()
    }

    /// Lets a pair on which checks arrive take over from a silent one.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.pairs.give_way(now);
    }

    /// Returns a check of ours that is due.
    pub(super) fn poll_check(&mut self, now: Instant) -> Option<(Path, Vec<u8>)> {
        let due = |pair: &&Pair| self.check_at(pair).is_some_and(|at| at <= now);
        let pair = self.pairs.iter().find(due)?;
        let (path, generation) = (pair.path, self.generation_of(pair)?);
        let remote = generation.remote.as_ref()?;
        let (transaction, datagram) = stun::check(&generation.local, remote)?;
        self.pairs.get_mut(path)?.ask(now, transaction);
        Some((path, datagram))
    }

    fn handle_success(
        &mut self,
        now: Instant,
        path: Path,
        transaction: [u8; 12],
        datagram: &[u8],
    ) -> Outcome {
        let asked = |pair: &&Pair| pair.asked(transaction);
        let pwd = self
            .pairs
            .get(path)
            .filter(asked)
            .and_then(|pair| self.generation_of(pair)?.remote.as_ref())
            .map(|remote| remote.pwd.as_str());
        if !pwd.is_some_and(|pwd| stun::is_authentic(datagram, pwd)) {
            return Outcome::Forged;
        }
        let Some(pair) = self.pairs.get_mut(path) else {
            return Outcome::Forged;
        };
        pair.heard_at = now;
        pair.checked_at = now;
        let is_next = self.previous.is_some() && pair.generation == self.current.number;
        self.leaving_at = None;
        self.pairs.validate(now, path);
        if is_next {
            self.finish_restart(path);
        }
        Outcome::Validated
    }

    fn handle_request(
        &mut self,
        now: Instant,
        path: Path,
        request: Request<'_>,
        datagram: &[u8],
    ) -> Outcome {
        let (generation, answer) = match self.answer(path, &request, datagram) {
            Ok(answered) => answered,
            Err(outcome) => return outcome,
        };
        if self.seen.contains(&digest(request.transaction)) {
            // Sent again because our answer was lost: answered again, but it proves nothing new.
            self.received(path, datagram.len());
            let is_known = self.knows(path);
            return is_known
                .then_some(answer)
                .map_or(Outcome::Replayed, Outcome::Answered);
        }
        self.remember(request.transaction);
        self.pairs.keep(now, path, request.priority, generation);
        self.received(path, datagram.len());
        self.leaving_at = None;
        self.select(now, path, request.use_candidate, generation);
        Outcome::Answered(answer)
    }

    fn remember(&mut self, transaction: [u8; 12]) {
        if self.seen.len() >= MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(digest(transaction));
    }

    /// Proves a request and returns its generation and the success response, or why there is none.
    fn answer(
        &mut self,
        path: Path,
        request: &Request<'_>,
        datagram: &[u8],
    ) -> Result<(u32, Vec<u8>), Outcome> {
        let mut generations = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten();
        let generation = generations
            .find(|generation| generation.names(request))
            .ok_or(Outcome::Forged)?;
        let (number, pwd) = (generation.number, generation.local.pwd.as_str());
        if !stun::is_authentic(datagram, pwd) {
            return Err(Outcome::Forged);
        }
        let refused = |answer: Option<Vec<u8>>| answer.map_or(Outcome::Malformed, Outcome::Refused);
        if request.is_beyond_us() {
            return Err(refused(request.refuse_unknown(pwd)));
        }
        // One that stays in our role will nominate nothing, but its first valid pair is used all the same.
        if request.controlled && self.conflicts < MAX_CONFLICTS {
            let answer = refused(request.refuse_role(pwd));
            self.conflicts += 1;
            return Err(answer);
        }
        let answer = request.accept(pwd, path.remote).ok_or(Outcome::Malformed)?;
        Ok((number, answer))
    }

    /// Chooses the path to send on after a check on `path`.
    fn select(&mut self, now: Instant, path: Path, nominates: bool, generation: u32) {
        if nominates {
            self.pairs.nominate(now, path);
        }
        // Perhaps overtaken: the peer's packets will show whether it is back there.
        let nominates = nominates && !self.pairs.is_late(now, path);
        if self.previous.is_none() || generation != self.current.number {
            self.pairs.select(now, path, nominates);
            return;
        }
        // What works is left only for what is known to work.
        let nothing_to_lose = self.validated().is_none();
        if nothing_to_lose || self.pairs.get(path).is_some_and(|pair| pair.validated) {
            self.finish_restart(path);
        }
    }

    /// Moves to the current generation and forgets the one before.
    fn finish_restart(&mut self, path: Path) {
        self.previous = None;
        self.pairs.move_to(path, self.current.number);
    }

    /// Returns when a check of ours is due on a pair: where it has to show that it receives, and where
    /// media goes but the peer only answers checks and sends none (RFC 7675, section 5.1).
    fn check_at(&self, pair: &Pair) -> Option<Instant> {
        self.generation_of(pair)?.remote.as_ref()?;
        if pair.is_closed {
            return None;
        }
        let is_next = self.previous.is_some() && pair.generation == self.current.number;
        let goal = self.pairs.wanted().or_else(|| self.pairs.selected());
        let is_goal = self.proving && goal.is_some_and(|goal| goal.path == pair.path);
        if !pair.validated {
            return (is_next || is_goal).then(|| pair.check_at());
        }
        let is_used = self.proving && self.selected() == Some(pair.path);
        let unchecked = pair.checked_at + UNCHECKED;
        let left = self.leaving_at.map(|at| at + GOODBYE_DOUBTED);
        let from = left.map_or(unchecked, |at| at.min(unchecked));
        is_used.then(|| pair.check_again_at(from))
    }

    /// Returns the credentials under which a pair was checked.
    fn generation_of(&self, pair: &Pair) -> Option<&Generation> {
        let mut generations = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten();
        generations.find(|generation| generation.number == pair.generation)
    }
}

/// Returns four bytes in place of the twelve that a client chose at random: one of some thirty million other checks is
/// taken for one that came before, and answered like that.
fn digest(transaction: [u8; 12]) -> u32 {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = transaction;
    let words = [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3]];
    let words = words.map(u32::from_be_bytes).into_iter();
    words.fold(0, |digest: u32, word| {
        (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9)
    })
}
