//! One peer's 5-tuple: ICE-lite, DTLS and SRTP, the same for publishers and viewers
//! (RFC 8445, 7675, 5764, 3711).

mod consent;
mod generation;
mod ice;
mod pair;
mod pairs;
mod stun;

mod dtls;
mod handshake;
mod identity;
mod last_flight;

mod cipher;
mod replay;
mod srtp;

mod outgoing;
mod receive;
mod report;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use cipher::TAG_ROOM;
pub use dtls::{HANDSHAKE, HandshakeDone, HandshakeJob, MAX_WAITING};
pub use ice::{CONSENT, authentic, local_ufrag};
pub use identity::{Identity, IdentityError};
pub use pairs::MAX_PAIRS;
pub use report::{Counters, Received, TransportEvent};

use crate::command::{DisconnectReason, DtlsRole, Fingerprint, IceCredentials, Path};
use crate::demux::{Protocol, protocol};
use dtls::Dtls;
use ice::LiteAgent;
use outgoing::{Outgoing, To};
use srtp::Srtp;

/// The wait for a helper that has the state when it is to be dropped.
const DTLS_AWAY: Duration = Duration::from_secs(1);
/// Certificates a peer may announce; more are not looked at.
const MAX_FINGERPRINTS: usize = 8;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// ICE, DTLS or the peer's description is missing.
    Handshake,
    /// Media may flow while a path is valid and consent fresh.
    Connected,
    /// Nothing is looked at any more.
    Over,
}

/// One peer's transport.
pub struct Transport {
    agent: LiteAgent,
    dtls: Dtls,
    /// What the peer announced; empty until it did.
    fingerprints: Vec<Fingerprint>,
    /// What the peer showed, `None` until it did.
    certificate: Option<Fingerprint>,
    /// The keys, `None` before DTLS is done and after the end.
    srtp: Option<Box<Srtp>>,
    phase: Phase,
    /// When its last RTP came; `None` before the first.
    media_at: Option<Instant>,
    /// When a handshake that is not finished is over.
    handshake_until: Instant,
    /// When the DTLS state is dropped, `None` before the handshake is finished and after the drop.
    retire_at: Option<Instant>,
    /// The media path that the caller knows of.
    announced: Option<Path>,
    outgoing: Outgoing,
    /// A handful: one for each change of state or path, taken after each input.
    events: VecDeque<TransportEvent>,
    counters: Counters,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("phase", &self.phase)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Makes the transport of a peer that was told `local`. It has [`HANDSHAKE`] to connect.
    pub fn new(now: Instant, local: IceCredentials, identity: Arc<Identity>) -> Self {
        Self {
            agent: LiteAgent::new(local),
            dtls: Dtls::new(identity),
            fingerprints: Vec::new(),
            certificate: None,
            srtp: None,
            phase: Phase::Handshake,
            media_at: None,
            handshake_until: now + HANDSHAKE,
            retire_at: None,
            announced: None,
            outgoing: Outgoing::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes the peer's description: it may come after ICE and DTLS began. Applied once.
    pub fn set_remote(
        &mut self,
        now: Instant,
        ice: IceCredentials,
        fingerprints: &[Fingerprint],
        role: DtlsRole,
    ) {
        if !self.fingerprints.is_empty() || self.phase != Phase::Handshake {
            return;
        }
        self.fingerprints = fingerprints
            .iter()
            .take(MAX_FINGERPRINTS)
            .copied()
            .collect();
        self.agent.set_remote(ice);
        self.dtls.set_role(role);
        if self.agent.selected().is_some() {
            self.dtls.begin();
        }
        self.compare_certificate(now);
        self.settle(now);
    }

    /// Has the state of DTLS dropped as soon as the handshake is finished, for peers of which there are many. A
    /// goodbye of theirs is not proved then, and heard only when nothing else is for some seconds.
    pub fn be_lean(&mut self) {
        self.dtls.be_lean();
        if self.srtp.is_some() {
            self.dtls.retire();
        }
    }

    /// Begins an ICE restart: the path in use stays until one under the new credentials is proved.
    ///
    /// Called again with the same `local` it completes the restart with the peer's side.
    pub fn restart_ice(
        &mut self,
        now: Instant,
        local: IceCredentials,
        remote: Option<IceCredentials>,
    ) {
        self.agent.restart(local, remote);
        self.settle(now);
    }

    /// Takes a datagram in; a packet for the caller is left in `plaintext`.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Received {
        if self.phase == Phase::Over {
            self.counters.after_end += 1;
            return Received::Nothing;
        }
        match protocol(datagram) {
            None => self.counters.unknown_protocol += 1,
            Some(Protocol::Stun) => self.handle_stun(now, path, datagram),
            Some(Protocol::Dtls) => self.handle_dtls(now, path, datagram),
            Some(Protocol::Rtp) => {
                return self.open(now, path, |srtp| {
                    srtp.open_rtp(datagram, plaintext).map(|()| Received::Rtp)
                });
            }
            Some(Protocol::Rtcp) => {
                return self.open(now, path, |srtp| {
                    srtp.open_rtcp(datagram, plaintext).map(|()| Received::Rtcp)
                });
            }
        }
        Received::Nothing
    }

    /// Writes the next datagram to send into `out`, replacing what was there, and returns where it goes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Path> {
        self.outgoing.poll(&mut self.agent, out)
    }

    /// Returns whether [`Self::poll_event`] has something.
    pub(crate) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    /// Returns handshake work for a helper thread; there is at most one job of a peer at a time.
    pub fn poll_handshake(&mut self) -> Option<HandshakeJob> {
        if self.phase == Phase::Over {
            return None;
        }
        self.dtls.poll_job()
    }

    /// Returns when [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match self.phase {
            Phase::Handshake => Some(self.handshake_until),
            Phase::Connected => self.alive_until(),
            Phase::Over => return None,
        };
        let others = [
            self.retire_at,
            self.dtls.poll_timeout(),
            self.agent.poll_timeout(),
        ];
        others.into_iter().chain([own]).flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Handshake if now >= self.handshake_until => {
                self.fail(DisconnectReason::HandshakeTimeout);
            }
            Phase::Connected if self.alive_until().is_none_or(|until| until <= now) => {
                if self.agent.is_leaving() {
                    self.end(TransportEvent::Closed);
                } else {
                    self.fail(DisconnectReason::ConsentLost);
                }
            }
            Phase::Handshake | Phase::Connected | Phase::Over => {}
        }
        if self.phase == Phase::Over {
            return;
        }
        if self.retire_at.is_some_and(|at| at <= now) {
            self.retire_at = (!self.dtls.retire()).then_some(now + DTLS_AWAY);
        }
        self.dtls.handle_timeout(now);
        self.agent.handle_timeout(now);
        self.settle(now);
    }

    /// Takes note that the connection of a path has ended: media goes on by another one, as soon as there is one.
    pub(crate) fn handle_closed(&mut self, now: Instant, path: Path) {
        self.agent.handle_closed(now, path);
        self.settle(now);
    }

    /// Returns where media goes; `None` while it must not: before the handshake is done and the
    /// certificate matches, while the address has not proved itself, and without fresh consent.
    pub fn media_path(&self, now: Instant) -> Option<Path> {
        if self.phase != Phase::Connected || !self.agent.may_send(now) {
            return None;
        }
        self.agent.validated()
    }

    /// Returns whether there are keys to seal with.
    pub(crate) fn is_keyed(&self) -> bool {
        self.srtp.as_ref().is_some_and(|srtp| srtp.is_fresh())
    }

    /// Seals an RTP packet in place and returns its length; `None` when it must not be sent.
    ///
    /// The packet needs [`TAG_ROOM`] bytes behind `plaintext_len`. The caller never gives the same
    /// SSRC, `roc` and sequence number to two packets of different bytes.
    pub fn seal_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        plaintext_len: usize,
        roc: u32,
    ) -> Option<usize> {
        if self.phase != Phase::Connected {
            return None;
        }
        self.srtp
            .as_mut()?
            .seal_rtp(packet, header_len, plaintext_len, roc)
    }

    /// Appends a sealed RTCP compound to `out`; `false` when it must not be sent.
    pub fn seal_rtcp(&mut self, compound: &[u8], out: &mut Vec<u8>) -> bool {
        self.phase == Phase::Connected
            && self
                .srtp
                .as_mut()
                .is_some_and(|srtp| srtp.seal_rtcp(compound, out))
    }

    /// Says goodbye to the peer; nothing is looked at or sent after that. There is no event.
    pub fn close(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        let goodbye = self.dtls.close();
        self.outgoing.clear();
        self.outgoing.push_flight(goodbye);
        self.phase = Phase::Over;
        self.srtp = None;
    }

    /// Returns the user name fragment by which the peer's checks find this transport.
    pub fn local_ufrag(&self) -> &str {
        self.agent.local_ufrag()
    }

    /// Returns whether a check from this path was authenticated and the path is still remembered.
    pub fn knows(&self, path: Path) -> bool {
        self.agent.knows(path)
    }

    /// Returns the path that is sent on; `None` before the first check.
    pub fn selected(&self) -> Option<Path> {
        self.agent.selected()
    }

    /// Returns when the last authenticated check came from an address; `None` when none has, or it is
    /// no longer remembered.
    pub fn checked_at(&self, remote: SocketAddr) -> Option<Instant> {
        self.agent.checked_at(remote)
    }

    /// Returns when the peer is taken for gone: without consent nothing is sent to it, but what a
    /// publisher sends that never checks is taken as long as it comes.
    fn alive_until(&self) -> Option<Instant> {
        let consent = self.agent.consent_until();
        if self.agent.is_leaving() {
            return consent;
        }
        self.media_at.map(|at| at + CONSENT).max(consent)
    }

    /// Queues checks that are due and tells the caller of a new path.
    fn settle(&mut self, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        while let Some((path, datagram)) = self.agent.poll_check(now) {
            self.outgoing.push(To::Pair(path), datagram);
        }
        self.announce();
    }

    fn announce(&mut self) {
        if self.phase != Phase::Connected {
            return;
        }
        if let Some(path) = self
            .agent
            .validated()
            .filter(|path| self.announced != Some(*path))
        {
            self.announced = Some(path);
            self.events.push_back(TransportEvent::PathChanged(path));
        }
    }

    fn fail(&mut self, reason: DisconnectReason) {
        self.end(TransportEvent::Failed(reason));
    }

    fn end(&mut self, event: TransportEvent) {
        self.phase = Phase::Over;
        self.srtp = None;
        self.outgoing.clear();
        self.dtls.retire();
        self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(now: Instant) -> Transport {
        let local = IceCredentials {
            ufrag: "ufrag".to_owned(),
            pwd: "p".repeat(22),
        };
        Transport::new(now, local, Arc::new(Identity::generate().unwrap()))
    }

    #[expect(clippy::disallowed_methods, reason = "a test takes one epoch")]
    fn epoch() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_handshake_without_use_srtp_has_failed() {
        let now = epoch();
        let mut transport = transport(now);
        let mut done = HandshakeDone::default();
        done.connected = true;
        transport.handle_handshake(now, done);
        let failed = TransportEvent::Failed(DisconnectReason::HandshakeFailed);
        assert_eq!(transport.poll_event(), Some(failed));
        assert_eq!(transport.poll_event(), None);
        assert_eq!(transport.poll_timeout(), None);
    }

    #[test]
    fn nothing_is_sealed_before_the_certificate_matches() {
        let now = epoch();
        let mut transport = transport(now);
        let srtp = Srtp::new(
            dimpl::SrtpProfile::AEAD_AES_128_GCM,
            &[7; 56],
            DtlsRole::Server,
        );
        let mut done = HandshakeDone::default();
        done.connected = true;
        done.srtp = srtp.map(Box::new);
        done.certificate = Some(Fingerprint([1; 32]));
        transport.handle_handshake(now, done);
        let mut packet = [0x80; 60];
        assert_eq!(transport.seal_rtp(&mut packet, 12, 40, 0), None);
        assert!(!transport.seal_rtcp(&[0x80; 8], &mut Vec::new()));
        assert_eq!(transport.media_path(now), None);
    }

    #[test]
    fn jobs_may_go_to_other_threads() {
        fn goes<T: Send>() {}
        goes::<HandshakeJob>();
        goes::<HandshakeDone>();
        goes::<Transport>();
    }

    #[test]
    fn a_transport_is_small() {
        assert!(size_of::<Transport>() <= 1024, "{}", size_of::<Transport>());
        assert!(size_of::<Srtp>() <= 4096, "{}", size_of::<Srtp>());
    }
}
