//! The lite ICE agent of one peer: it answers checks, keeps valid pairs and follows nominations
//! (RFC 8445, sections 2.5 and 7.3; consent by RFC 7675).

#![warn(clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use super::stun::{self, Binding, Request};
use crate::command::{IceCredentials, Path};

/// Consent lasts this long after an authenticated check (RFC 7675, section 5.1).
pub const CONSENT: Duration = Duration::from_secs(30);
/// Pairs kept of one peer; the one heard least recently gives way, never the selected one.
pub const MAX_PAIRS: usize = 16;
/// Bytes sent per byte received until an address has shown that it receives.
const AMPLIFICATION: u64 = 3;
/// Nominations closer than this are one aggressive nomination (RFC 5245, section 8.1.1.2): all of them count.
const AGGRESSIVE: Duration = Duration::from_secs(1);
/// A selected pair silent for this long gives way to one on which checks arrive.
const SILENCE: Duration = Duration::from_secs(2);
/// The peer said goodbye, unproved: it has this long to show that it is still there.
const LEAVING: Duration = Duration::from_secs(12);
/// First wait for the answer to a check of ours; doubles up to [`CHECK_CEILING`].
const CHECK_WAIT: Duration = Duration::from_millis(100);
/// The longest wait for the answer to a check of ours.
const CHECK_CEILING: Duration = Duration::from_secs(2);

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
    /// Authentic, and answered with an error: no pair came of it.
    Refused(Vec<u8>),
    /// Authentic: the pair is valid, and this is the answer.
    Answered(Vec<u8>),
    /// The peer answered our check: its address receives.
    Validated,
}

/// Both sides' credentials; a restart begins another generation.
#[derive(Debug)]
struct Generation {
    /// Counts restarts.
    number: u32,
    local: IceCredentials,
    /// `None` until the peer's description came.
    remote: Option<IceCredentials>,
}

impl Generation {
    /// Returns whether a check carries these names. The peer's half counts once it is known.
    fn names(&self, request: &Request<'_>) -> bool {
        request.local_ufrag == self.local.ufrag
            && self
                .remote
                .as_ref()
                .is_none_or(|remote| request.remote_ufrag == remote.ufrag)
    }
}

/// Addresses between which an authenticated check arrived.
#[derive(Debug)]
struct Pair {
    path: Path,
    /// Which generation's credentials the last check carried.
    generation: u32,
    /// PRIORITY of the last check.
    priority: u32,
    /// When the last authenticated check arrived.
    checked_at: Instant,
    /// When anything proved, or DTLS, arrived last.
    heard_at: Instant,
    /// When USE-CANDIDATE came first; `None` while the pair is not nominated.
    nominated_at: Option<Instant>,
    /// Whether the address has shown that it receives what we send.
    validated: bool,
    /// Bytes that arrived, counted until validated.
    received: u64,
    /// Bytes that left, counted until validated.
    sent: u64,
    /// Our check under way, `None` before the first.
    check: Option<OwnCheck>,
}

/// A check of ours that waits for its answer.
#[derive(Debug)]
struct OwnCheck {
    transaction: [u8; 12],
    /// When to ask again.
    again_at: Instant,
    wait: Duration,
}

/// The lite agent of one peer.
#[derive(Debug)]
pub(super) struct LiteAgent {
    current: Generation,
    /// The generation before a restart, until a pair of the current one is validated.
    previous: Option<Generation>,
    /// At most [`MAX_PAIRS`].
    pairs: Vec<Pair>,
    /// The path to send on: the first valid pair, then the nominated one. `None` before the first check.
    selected: Option<Path>,
    /// Whether the selected pair has to prove itself by answering: set once something waits for it.
    proving: bool,
    /// When an unproved goodbye arrived; any later check takes it back.
    leaving_at: Option<Instant>,
    /// Pairs that gave way to others.
    evicted: u64,
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
            pairs: Vec::new(),
            selected: None,
            proving: false,
            leaving_at: None,
            evicted: 0,
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
        self.selected
    }

    /// Returns how many pairs gave way to others.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Returns when consent on the selected pair ends, `None` before the first check.
    pub(super) fn consent_until(&self) -> Option<Instant> {
        let consent = self.selected_pair()?.checked_at + CONSENT;
        Some(
            self.leaving_at
                .map_or(consent, |since| consent.min(since + LEAVING)),
        )
    }

    /// Returns whether the peer said goodbye without proof and was not heard since.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving_at.is_some()
    }

    /// Notes an unproved goodbye: consent ends soon unless the peer checks again.
    pub(super) fn leave(&mut self, now: Instant) {
        self.leaving_at.get_or_insert(now);
    }

    /// Returns the selected path when its address has shown that it receives.
    pub(super) fn validated(&self) -> Option<Path> {
        self.selected_pair()
            .filter(|pair| pair.validated)
            .map(|pair| pair.path)
    }

    /// Returns whether DTLS and SRTP from a path count: it is checked, and nominated once any is.
    pub(super) fn accepts(&self, path: Path) -> bool {
        self.pair(path).is_some_and(|pair| self.may_carry(pair))
    }

    /// Returns whether the path is one of the pairs.
    pub(super) fn knows(&self, path: Path) -> bool {
        self.pair(path).is_some()
    }

    /// Asks the selected pair to prove that it receives, by checks of ours.
    pub(super) fn prove(&mut self) {
        self.proving = true;
    }

    /// Marks a path as one that has shown that it receives.
    pub(super) fn validate(&mut self, path: Path) {
        if let Some(pair) = self.pair_mut(path) {
            pair.validated = true;
            pair.check = None;
        }
    }

    /// Credits a path with what arrived from it; unknown ones get nothing.
    pub(super) fn received(&mut self, path: Path, size_bytes: usize) {
        if let Some(pair) = self.pair_mut(path) {
            pair.received = pair.received.saturating_add(size_bytes as u64);
        }
    }

    /// Takes leave to send, or returns `false` while the path's credit does not reach.
    pub(super) fn spend(&mut self, path: Path, size_bytes: usize) -> bool {
        let Some(pair) = self.pair_mut(path) else {
            return false;
        };
        let sent = pair.sent.saturating_add(size_bytes as u64);
        if !pair.validated && sent > pair.received.saturating_mul(AMPLIFICATION) {
            return false;
        }
        pair.sent = sent;
        true
    }

    /// Notes that something counted from a path; where the peer speaks, it is spoken to.
    pub(super) fn heard(&mut self, now: Instant, path: Path) {
        let Some(pair) = self.pair_mut(path) else {
            return;
        };
        pair.heard_at = now;
        let generation = pair.generation;
        // While a restart is under way, the pair in use is left only for a validated one.
        let is_same = self
            .selected_pair()
            .is_some_and(|selected| selected.generation == generation);
        if is_same && self.accepts(path) {
            self.selected = Some(path);
        }
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
        let checks = self.pairs.iter().filter(|pair| self.must_prove(pair));
        let checks = checks.map(|pair| pair.check.as_ref().map_or(pair.checked_at, |c| c.again_at));
        checks.chain(self.challenge().map(|(at, _)| at)).min()
    }

    /// Lets a pair on which checks arrive take over from a silent one.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Some((at, challenger)) = self.challenge() else {
            return;
        };
        if now < at {
            return;
        }
        // Nobody said which pair is meant: as before a nomination, the peer's packets decide.
        for pair in &mut self.pairs {
            pair.nominated_at = None;
        }
        self.selected = Some(challenger);
    }

    /// Returns a check of ours that is due.
    pub(super) fn poll_check(&mut self, now: Instant) -> Option<(Path, Vec<u8>)> {
        let remote = self.current.remote.as_ref()?;
        let due = self.pairs.iter().position(|pair| {
            self.must_prove(pair)
                && pair
                    .check
                    .as_ref()
                    .is_none_or(|check| check.again_at <= now)
        })?;
        let pair = self.pairs.get_mut(due)?;
        let wait = pair
            .check
            .as_ref()
            .map_or(CHECK_WAIT, |c| (c.wait * 2).min(CHECK_CEILING));
        let (transaction, datagram) = stun::check(&self.current.local, remote)?;
        pair.check = Some(OwnCheck {
            transaction,
            again_at: now + wait,
            wait,
        });
        Some((pair.path, datagram))
    }

    fn handle_success(
        &mut self,
        now: Instant,
        path: Path,
        transaction: [u8; 12],
        datagram: &[u8],
    ) -> Outcome {
        let asked = |pair: &&mut Pair| {
            pair.path == path
                && pair
                    .check
                    .as_ref()
                    .is_some_and(|c| c.transaction == transaction)
        };
        let Some(remote) = self.current.remote.as_ref() else {
            return Outcome::Forged;
        };
        let Some(pair) = self.pairs.iter_mut().find(asked) else {
            return Outcome::Forged;
        };
        if !stun::is_authentic(datagram, &remote.pwd) {
            return Outcome::Forged;
        }
        pair.validated = true;
        pair.check = None;
        pair.heard_at = now;
        let is_next = self.previous.is_some() && pair.generation == self.current.number;
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
        self.keep(now, path, &request, generation);
        self.received(path, datagram.len());
        self.leaving_at = None;
        self.select(now, path, request.use_candidate, generation);
        Outcome::Answered(answer)
    }

    /// Proves a request and returns its generation and the success response, or why there is none.
    fn answer(
        &self,
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
        let pwd = generation.local.pwd.as_str();
        if !stun::is_authentic(datagram, pwd) {
            return Err(Outcome::Forged);
        }
        let refused = |answer: Option<Vec<u8>>| answer.map_or(Outcome::Malformed, Outcome::Refused);
        if request.is_beyond_us() {
            return Err(refused(request.refuse_unknown(pwd)));
        }
        if request.controlled {
            return Err(refused(request.refuse_role(pwd)));
        }
        let answer = request.accept(pwd, path.remote).ok_or(Outcome::Malformed)?;
        Ok((generation.number, answer))
    }

    /// Makes or refreshes the pair of an authenticated check.
    fn keep(&mut self, now: Instant, path: Path, request: &Request<'_>, generation: u32) {
        if let Some(pair) = self.pair_mut(path) {
            if pair.generation < generation {
                pair.generation = generation;
                pair.nominated_at = None;
            }
            pair.checked_at = now;
            pair.heard_at = now;
            pair.priority = request.priority;
            return;
        }
        if self.pairs.len() >= MAX_PAIRS {
            self.evict();
        }
        self.pairs.push(Pair {
            path,
            generation,
            priority: request.priority,
            checked_at: now,
            heard_at: now,
            nominated_at: None,
            validated: false,
            received: 0,
            sent: 0,
            check: None,
        });
    }

    fn evict(&mut self) {
        let selected = self.selected;
        let others = self
            .pairs
            .iter()
            .enumerate()
            .filter(|(_, pair)| Some(pair.path) != selected);
        if let Some((oldest, _)) = others.min_by_key(|(_, pair)| pair.heard_at) {
            self.pairs.swap_remove(oldest);
            self.evicted += 1;
        }
    }

    /// Chooses the path to send on after a check on `path`.
    fn select(&mut self, now: Instant, path: Path, nominates: bool, generation: u32) {
        if nominates {
            self.nominate(now, path);
        }
        if self.previous.is_some() && generation == self.current.number {
            // What works is left only for what is known to work.
            let nothing_to_lose = self.validated().is_none();
            if nothing_to_lose || self.pair(path).is_some_and(|pair| pair.validated) {
                self.finish_restart(path);
            }
            return;
        }
        let Some(selected) = self.selected_pair() else {
            self.selected = Some(path);
            return;
        };
        let preferred = |pair: &Pair| (pair.nominated_at.is_some(), pair.priority);
        if nominates
            && self
                .pair(path)
                .is_some_and(|pair| preferred(pair) >= preferred(selected))
        {
            self.selected = Some(path);
        }
        self.handle_timeout(now);
    }

    fn nominate(&mut self, now: Instant, path: Path) {
        let Some(generation) = self.pair(path).map(|pair| pair.generation) else {
            return;
        };
        for pair in self
            .pairs
            .iter_mut()
            .filter(|pair| pair.generation == generation)
        {
            if pair.path == path {
                pair.nominated_at.get_or_insert(now);
            } else if pair
                .nominated_at
                .is_some_and(|at| now.duration_since(at) > AGGRESSIVE)
            {
                pair.nominated_at = None;
            }
        }
    }

    /// Moves to the current generation and forgets the one before.
    fn finish_restart(&mut self, path: Path) {
        let generation = self.current.number;
        self.pairs.retain(|pair| pair.generation == generation);
        self.previous = None;
        self.selected = Some(path);
    }

    /// Returns when, and to which path, the selected pair gives way for being silent.
    fn challenge(&self) -> Option<(Instant, Path)> {
        let selected = self.selected_pair()?;
        let challenger = self
            .pairs
            .iter()
            .filter(|pair| pair.path != selected.path && pair.checked_at > selected.heard_at)
            .filter(|pair| pair.generation == selected.generation)
            .max_by_key(|pair| pair.checked_at)?;
        Some((selected.heard_at + SILENCE, challenger.path))
    }

    fn must_prove(&self, pair: &Pair) -> bool {
        let is_next = self.previous.is_some() && pair.generation == self.current.number;
        let is_selected = self.proving && self.selected == Some(pair.path);
        !pair.validated && (is_next || is_selected) && self.current.remote.is_some()
    }

    fn may_carry(&self, pair: &Pair) -> bool {
        let mut same = self
            .pairs
            .iter()
            .filter(|other| other.generation == pair.generation);
        pair.nominated_at.is_some() || same.all(|other| other.nominated_at.is_none())
    }

    fn pair(&self, path: Path) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.path == path)
    }

    fn pair_mut(&mut self, path: Path) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.path == path)
    }

    fn selected_pair(&self) -> Option<&Pair> {
        self.selected.and_then(|path| self.pair(path))
    }
}
