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

/// One 5-tuple.
pub(crate) struct Link {
    identity: Arc<Identity>,
    local: Credentials,
    remote: Credentials,
    fingerprint: String,
    /// Where the server is.
    pub(crate) candidate: SocketAddr,
    is_dtls_client: bool,
    tie_breaker: u64,
    /// The check under way, and when it was sent.
    check: Option<(Transaction, Instant)>,
    next_check_at: Instant,
    /// Whether a check was answered.
    is_valid: bool,
    /// Of the last check; zero before.
    pub(crate) round_trip: Duration,
    dtls: Option<Dtls>,
    /// `None` until the handshake is done.
    pub(crate) keys: Option<Keys>,
    pub(crate) connected_at: Option<Instant>,
    /// Why it is over, since when.
    pub(crate) over: Option<(&'static str, Instant)>,
}

impl Link {
    /// Begins with the next call of [`Self::handle_timeout`].
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
            candidate: remote.candidate,
            is_dtls_client: !remote.is_active,
            tie_breaker: rand::random(),
            check: None,
            next_check_at: now,
            is_valid: false,
            round_trip: Duration::ZERO,
            dtls: None,
            keys: None,
            connected_at: None,
            over: None,
        }
    }

    /// Takes a datagram; what is to be sent goes to `out`.
    pub(crate) fn handle<'a>(
        &mut self,
        datagram: &'a [u8],
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Input<'a> {
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
        if now >= self.next_check_at && self.over.is_none() {
            let transaction = rand::random();
            self.check = Some((transaction, now));
            let check = stun::request(transaction, &self.local, &self.remote, self.tie_breaker);
            out.push(check);
            self.next_check_at = now
                + if self.is_valid {
                    // RFC 7675, section 5.1: 5 s, give or take a fifth.
                    CONSENT.mul_f64(rand::random_range(0.8..1.2))
                } else {
                    FIRST_CHECKS
                };
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

    fn handle_check(&mut self, datagram: &[u8], now: Instant, out: &mut Vec<Vec<u8>>) {
        match stun::parse(datagram, &self.local.pwd, &self.remote.pwd) {
            Some(Incoming::Request(transaction)) => {
                out.push(stun::success(transaction, &self.local, self.candidate));
            }
            Some(Incoming::Success(transaction)) => {
                let Some((_, sent)) = self.check.take_if(|(own, _)| *own == transaction) else {
                    return;
                };
                self.round_trip = now.saturating_duration_since(sent);
                if !self.is_valid {
                    self.is_valid = true;
                    // As browsers do, check again to nominate. A server that has not seen us answer a check may
                    // send no more than three times what it got, and our first flight is smaller than theirs.
                    self.next_check_at = now;
                    self.handle_timeout(now, out);
                }
                if self.dtls.is_none() && self.is_dtls_client {
                    self.begin(now, out);
                }
            }
            Some(Incoming::Refused(_)) => {
                self.over = self.over.or(Some(("the server refused a check", now)));
            }
            None => {}
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
