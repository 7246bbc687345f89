//! What a transport does with a datagram of each protocol.

use std::time::Instant;

use super::cipher::Refusal;
use super::ice::Outcome;
use super::outgoing::To;
use super::srtp::Srtp;
use super::{Phase, Received, Transport, dtls};
use crate::command::Path;

impl Transport {
    pub(super) fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        match self.agent.handle(now, path, datagram) {
            Outcome::Malformed => self.counters.stun_malformed += 1,
            Outcome::Forged => self.counters.stun_forged += 1,
            Outcome::Replayed => self.counters.stun_replayed += 1,
            Outcome::Refused(answer) => {
                self.counters.stun_refused += 1;
                self.outgoing.push(To::Asker(path), answer);
            }
            Outcome::Answered(answer) => {
                self.outgoing.push(To::Pair(path), answer);
                if !self.fingerprints.is_empty() {
                    self.dtls.begin();
                }
            }
            Outcome::Validated => {}
        }
        self.settle(now);
    }

    pub(super) fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if !self.agent.accepts(path) {
            self.counters.dtls_unchecked += 1;
            return;
        }
        self.agent.received(path, datagram.len());
        if self.phase == Phase::Handshake {
            // Unproved, so it moves nothing once media flows.
            self.agent.heard(now, path, true);
        }
        if self.dtls.is_gone() {
            let again = self.dtls.last_flight.again(now, datagram);
            self.counters.dtls_late += u64::from(again.is_empty());
            self.outgoing.push_flight(again);
            if dtls::is_sealed_alert(datagram) {
                self.agent.leave(now);
            }
        } else if !self.dtls.handle_datagram(datagram) {
            self.counters.dtls_queue_full += 1;
        }
        self.settle(now);
    }

    pub(super) fn open(
        &mut self,
        now: Instant,
        path: Path,
        open: impl FnOnce(&mut Srtp) -> Result<Received, Refusal>,
    ) -> Received {
        if !self.agent.accepts(path) {
            self.counters.srtp_unchecked += 1;
            return Received::Nothing;
        }
        let Some(srtp) = self
            .srtp
            .as_mut()
            .filter(|_| self.phase == Phase::Connected)
        else {
            self.counters.srtp_early += 1;
            return Received::Nothing;
        };
        match open(srtp) {
            Ok(received) => {
                let is_newest = srtp.is_newest();
                self.agent.heard(now, path, is_newest);
                self.dtls.last_flight.confirm();
                if received == Received::Rtp {
                    self.media_at = Some(now);
                }
                self.announce();
                return received;
            }
            Err(Refusal::Malformed) => self.counters.srtp_malformed += 1,
            Err(Refusal::Replayed) => self.counters.srtp_replayed += 1,
            Err(Refusal::Forged) => self.counters.srtp_forged += 1,
        }
        Received::Nothing
    }
}
