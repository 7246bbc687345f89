//! What follows from the work on a handshake: the keys, and whether the certificate is one of those announced.

use std::time::{Duration, Instant};

use super::dtls::HandshakeDone;
use super::report::TransportEvent;
use super::{Phase, Transport};
use crate::command::DisconnectReason;

/// How long DTLS is kept after the handshake: the peer asks again for a lost last flight within this.
const DTLS_KEPT: Duration = Duration::from_secs(60);

impl Transport {
    /// Takes back what a helper did.
    pub fn handle_handshake(&mut self, now: Instant, mut done: HandshakeDone) {
        let goodbye = self.dtls.handle_done(&mut done);
        if self.phase == Phase::Over {
            self.outgoing.push_flight(goodbye);
            return;
        }
        self.certificate = self.certificate.or(done.certificate);
        if done.connected {
            self.finish_handshake(now, &mut done);
        }
        if done.failed && self.phase == Phase::Handshake && self.srtp.is_none() {
            self.fail(DisconnectReason::HandshakeFailed);
        }
        if done.closed && self.phase != Phase::Over {
            self.end(TransportEvent::Closed);
        }
        self.outgoing.push_flight(std::mem::take(&mut done.flight));
        self.compare_certificate(now);
        self.settle(now);
    }

    fn finish_handshake(&mut self, now: Instant, done: &mut HandshakeDone) {
        self.srtp = done.srtp.take();
        if self.srtp.is_none() {
            self.fail(DisconnectReason::HandshakeFailed);
            return;
        }
        self.retire_at = Some(now + DTLS_KEPT);
        if let Some(path) = self.outgoing.only_flight_path() {
            self.agent.validate(now, path);
        }
        self.agent.prove();
    }

    pub(super) fn compare_certificate(&mut self, now: Instant) {
        let Some(certificate) = self.certificate else {
            return;
        };
        if self.fingerprints.is_empty() || self.phase != Phase::Handshake {
            return;
        }
        if !self.fingerprints.contains(&certificate) {
            self.fail(DisconnectReason::FingerprintMismatch);
        } else if self.srtp.is_some() {
            self.phase = Phase::Connected;
            self.events.push_back(TransportEvent::Connected);
            self.announced = self.media_path(now);
        }
    }
}
