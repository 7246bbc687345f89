//! The transport of one light peer: ICE as the controlling agent, DTLS, SRTP (RFC 8445, RFC 7675, RFC 5764).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dtls::{Dtls, Identity, Progress};
use super::sdp::Remote;
use super::srtp::Keys;
use super::stun::{self, Credentials, Incoming, Transaction};

/// What a datagram was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input<'a> {
    /// Dealt with.
    Nothing,
    /// RTP, still sealed.
    Rtp(&'a [u8]),
    /// RTCP in the clear.
    Rtcp(Vec<u8>),
}

/// One connection; candidates are tried one after the other, and the first that answers is used.
pub(crate) struct Link {
    identity: Arc<Identity>,
    local: Credentials,
    remote: Credentials,
    fingerprint: String,
    /// Where the server may be, the likeliest first; a *path* is the place of one.
    candidates: Vec<SocketAddr>,
    /// How many of them have a socket.
    opened: usize,
    /// When the next one is tried, should none have answered.
    next_path_at: Instant,
    /// The path to send on: that of the last check or datagram, and for good that of the first answer.
    pub(crate) path: usize,
    is_dtls_client: bool,
    tie_breaker: u64,
    /// Those that may still be answered, the newest last; at most [`MAX_CHECKS`].
    checks: Vec<Check>,
    next_check_at: Instant,
    began: Instant,
    /// When a check was answered last; `None` before.
    answered_at: Option<Instant>,
    /// Of the last check; zero before.
    pub(crate) round_trip: Duration,
    dtls: Option<Dtls>,
    /// `None` until the handshake is done.
    pub(crate) keys: Option<Keys>,
    pub(crate) connected_at: Option<Instant>,
    /// Why it is over, since when.
    pub(crate) over: Option<(&'static str, Instant)>,
}

struct Check {
    transaction: Transaction,
    path: usize,
    sent_at: Instant,
}

impl Link {
    /// Begins when the first path is open.
    pub(crate) fn new(
        identity: Arc<Identity>,
        local: Credentials,
        remote: &Remote,
        now: Instant,
    ) -> Self {
        Self {
            identity,
            local,
            remote: remote.ice.clone(),
            fingerprint: remote.fingerprint.clone(),
            candidates: remote.candidates.clone(),
            opened: 0,
            next_path_at: now,
            path: 0,
            is_dtls_client: !remote.is_active,
            tie_breaker: rand::random(),
            checks: Vec::new(),
            next_check_at: now,
            began: now,
            answered_at: None,
            round_trip: Duration::ZERO,
            dtls: None,
            keys: None,
            connected_at: None,
            over: None,
        }
    }

    /// Returns where to open the next path to, if it is time for one.
    pub(crate) fn wanted_path(&self, now: Instant) -> Option<SocketAddr> {
        let waits = self.answered_at.is_none() && self.over.is_none() && now >= self.next_path_at;
        let next = self.candidates.get(self.opened);
        next.copied().filter(|_| waits)
    }

    /// Takes note that the path wanted is open.
    pub(crate) fn handle_open_path(&mut self, now: Instant) {
        let here = |at: &SocketAddr| at.ip().is_loopback();
        let is_here = self.candidates.get(self.opened).is_some_and(here);
        // Beyond loopback every path costs a socket.
        self.next_path_at = now + if is_here { PATIENCE_HERE } else { PATIENCE };
        self.path = self.opened;
        self.opened += 1;
        self.next_check_at = now;
    }

    /// Takes a datagram that came on this path; what is to be sent goes to `out`.
    pub(crate) fn handle<'a>(
        &mut self,
        datagram: &'a [u8],
        path: usize,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Input<'a> {
        if self.answered_at.is_none() {
            self.path = path;
        }
        // RFC 7983, section 7.
        match datagram.first() {
            Some(0..=3) => self.handle_check(datagram, now, out),
            Some(20..=63) => {
                if self.dtls.is_none() && !self.is_dtls_client {
                    self.begin(now, out);
                }
                if let Some(dtls) = &mut self.dtls {
                    let progress = dtls.handle(Some(datagram), now);
                    self.take(progress, now, out);
                }
            }
            Some(128..=191) if super::rtp::is_rtcp(datagram) => {
                let opened = self.keys.as_mut().and_then(|keys| keys.open_rtcp(datagram));
                return opened.map_or(Input::Nothing, Input::Rtcp);
            }
            Some(128..=191) if self.keys.is_some() => return Input::Rtp(datagram),
            Some(_) | None => {}
        }
        Input::Nothing
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.opened == 0 || self.over.is_some() {
            return;
        }
        let heard_at = self.answered_at.unwrap_or(self.began);
        if now > heard_at + CONSENT_LOST {
            self.over = Some((self.stage(), now));
            return;
        }
        if now >= self.next_check_at {
            self.check(now, out);
        }
        if let Some(dtls) = self.dtls.as_mut().filter(|dtls| dtls.is_due(now)) {
            let progress = dtls.handle(None, now);
            self.take(progress, now, out);
        }
    }

    /// Seals RTCP and queues it.
    pub(crate) fn send_rtcp(&mut self, compound: &[u8], out: &mut Vec<Vec<u8>>) {
        out.extend(self.keys.as_mut().and_then(|keys| keys.seal_rtcp(compound)));
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, out: &mut Vec<Vec<u8>>) {
        if let Some(dtls) = &mut self.dtls {
            out.extend(dtls.close());
        }
    }

    /// Says what it waits for, or what it would have to live without.
    pub(crate) fn stage(&self) -> &'static str {
        if self.keys.is_some() {
            "the server answered no more checks"
        } else if self.answered_at.is_some() {
            "the DTLS handshake did not end"
        } else {
            "the server answered no check on any candidate"
        }
    }

    fn check(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        let is_valid = self.answered_at.is_some();
        if !is_valid {
            self.path = (self.path + 1) % self.opened;
        }
        let check = Check {
            transaction: rand::random(),
            path: self.path,
            sent_at: now,
        };
        // With one pair there is nothing to choose (RFC 8445, section 8.1.1).
        let nominates = is_valid || self.candidates.len() == 1;
        let (local, remote) = (&self.local, &self.remote);
        out.push(stun::request(
            check.transaction,
            local,
            remote,
            self.tie_breaker,
            nominates,
        ));
        if self.checks.len() == MAX_CHECKS {
            self.checks.remove(0);
        }
        self.checks.push(check);
        self.next_check_at = now
            + if is_valid {
                // RFC 7675, section 5.1: 5 s, give or take a fifth.
                CONSENT.mul_f64(rand::random_range(0.8..1.2))
            } else {
                FIRST_CHECKS / u32::try_from(self.opened).unwrap_or(1)
            };
    }

    fn handle_check(&mut self, datagram: &[u8], now: Instant, out: &mut Vec<Vec<u8>>) {
        match stun::parse(datagram, &self.local.pwd, &self.remote.pwd) {
            Some(Incoming::Request(transaction)) => {
                let to = self.candidates.get(self.path);
                out.extend(to.map(|to| stun::success(transaction, &self.local, *to)));
            }
            Some(Incoming::Success(transaction)) => self.handle_answer(transaction, now, out),
            Some(Incoming::Refused(_)) => {
                self.over = self.over.or(Some(("the server refused a check", now)));
            }
            None => {}
        }
    }

    fn handle_answer(&mut self, transaction: Transaction, now: Instant, out: &mut Vec<Vec<u8>>) {
        let mut checks = self.checks.iter();
        let place = checks.position(|check| check.transaction == transaction);
        let Some(place) = place else { return };
        let check = self.checks.remove(place);
        self.round_trip = now.saturating_duration_since(check.sent_at);
        if self.answered_at.replace(now).is_none() {
            self.path = check.path;
            // As browsers do, check again to nominate. A server that has not seen us answer a check may
            // send no more than three times what it got, and our first flight is smaller than theirs.
            self.check(now, out);
        }
        if self.dtls.is_none() && self.is_dtls_client {
            self.begin(now, out);
        }
    }

    fn begin(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        let expected = self.fingerprint.clone();
        let mut dtls = Dtls::new(&self.identity, self.is_dtls_client, expected, now);
        let progress = dtls.handle(None, now);
        self.dtls = Some(dtls);
        self.take(progress, now, out);
    }

    fn take(&mut self, progress: Progress, now: Instant, out: &mut Vec<Vec<u8>>) {
        out.extend(progress.flight);
        if progress.keys.is_some() {
            self.keys = progress.keys;
            self.connected_at = Some(now);
        }
        if progress.closed {
            self.over = self.over.or(Some(("the server said goodbye", now)));
        }
        let failed = progress.failed.map(|reason| (reason, now));
        self.over = self.over.or(failed);
    }
}

/// Between checks that were not answered yet.
const FIRST_CHECKS: Duration = Duration::from_millis(100);
/// Between checks of a path in use.
const CONSENT: Duration = Duration::from_secs(5);
/// Without an answer for so long it is over (RFC 7675, section 5.1).
const CONSENT_LOST: Duration = Duration::from_secs(30);
/// Until the next candidate is tried, too: on this machine, and elsewhere (RFC 8445, section 14.2).
const PATIENCE_HERE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(50);
/// Three seconds of checks, on a path of any delay that media could be of use on.
const MAX_CHECKS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::sdp::{Local, Protocol, parse};

    /// A link to a server with these candidates, and that server's credentials.
    fn link(candidates: &[&str], now: Instant) -> (Link, Credentials) {
        let theirs = Credentials::random();
        let identity = Arc::new(Identity::generate().unwrap());
        let local = Local {
            ice: &theirs,
            fingerprint: &identity.fingerprint,
        };
        let lines = candidates.iter();
        let lines: String = lines
            .map(|at| format!("a=candidate:1 1 udp 9 {at} typ host\r\n"))
            .collect();
        let remote = parse(&(local.offer_to_watch() + &lines), Protocol::Udp).unwrap();
        (
            Link::new(identity, Credentials::random(), &remote, now),
            theirs,
        )
    }

    fn opened(link: &mut Link, now: Instant) -> Option<String> {
        let at = link.wanted_path(now)?;
        link.handle_open_path(now);
        Some(at.to_string())
    }

    /// What the server answers to a check.
    fn answer(check: &[u8], theirs: &Credentials) -> Vec<u8> {
        let transaction = check[8..20].try_into().unwrap();
        stun::success(transaction, theirs, SocketAddr::from(([127, 0, 0, 1], 9)))
    }

    #[test]
    fn candidates_are_tried_in_turn_until_one_answers() {
        let mut now = Instant::now();
        let (mut link, theirs) = link(&["192.0.2.1 5000", "192.0.2.2 5000"], now);
        let (mut out, mut used) = (Vec::new(), Vec::new());
        assert_eq!(opened(&mut link, now).as_deref(), Some("192.0.2.1:5000"));
        assert_eq!(opened(&mut link, now), None, "the first has its time");
        now += PATIENCE;
        assert_eq!(opened(&mut link, now).as_deref(), Some("192.0.2.2:5000"));
        for _ in 0..4 {
            link.handle_timeout(now, &mut out);
            used.push(link.path);
            now += FIRST_CHECKS;
        }
        assert_eq!(used, [0, 1, 0, 1]);
        let answer = answer(&out[1], &theirs);
        link.handle(&answer, 1, now, &mut out);
        assert_eq!(
            (link.path, link.stage()),
            (1, "the DTLS handshake did not end")
        );
        link.handle(&[0; 20], 0, now, &mut out);
        assert_eq!(link.path, 1, "which answered first is used for good");
    }

    #[test]
    fn an_answer_that_comes_after_later_checks_still_counts() {
        let mut now = Instant::now();
        let (mut link, theirs) = link(&["192.0.2.1 5000"], now);
        let mut out = Vec::new();
        opened(&mut link, now);
        for _ in 0..5 {
            link.handle_timeout(now, &mut out);
            now += FIRST_CHECKS;
        }
        let answer = answer(&out[0], &theirs);
        link.handle(&answer, 0, now, &mut out);
        assert_eq!(link.round_trip, FIRST_CHECKS * 5);
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up() {
        let mut now = Instant::now();
        let (mut link, _) = link(&["192.0.2.1 5000"], now);
        opened(&mut link, now);
        now += CONSENT_LOST + Duration::from_millis(1);
        link.handle_timeout(now, &mut Vec::new());
        let (reason, _) = link.over.unwrap();
        assert_eq!(reason, "the server answered no check on any candidate");
    }
}
