//! What a transport tells its caller: packets, events, and what was dropped by reason.

use super::Transport;
use crate::command::{DisconnectReason, Path};

/// What a datagram brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// An RTP packet is in `plaintext`.
    Rtp,
    /// An RTCP compound is in `plaintext`.
    Rtcp,
    /// Nothing for the caller: consumed, or dropped and counted.
    Nothing,
}

/// What the caller has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// DTLS is done and the certificate matches.
    Connected,
    /// Media goes this way from now on.
    PathChanged(Path),
    /// The peer left.
    Closed,
    /// It is over.
    Failed(DisconnectReason),
}

/// Dropped datagrams, and what had to give way. All grow only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams of no known protocol, or shorter than its header.
    pub unknown_protocol: u64,
    /// Datagrams after the end.
    pub after_end: u64,
    /// STUN messages that are broken, or neither Binding request nor success response.
    pub stun_malformed: u64,
    /// STUN messages not proved by the credentials.
    pub stun_forged: u64,
    /// Proved Binding requests that came before, from elsewhere.
    pub stun_replayed: u64,
    /// Proved Binding requests answered with an error.
    pub stun_refused: u64,
    /// DTLS from an address without a check, or beside the nominated pair.
    pub dtls_unchecked: u64,
    /// DTLS that came while too much waited for a helper.
    pub dtls_queue_full: u64,
    /// DTLS after its state was dropped.
    pub dtls_late: u64,
    /// SRTP and SRTCP from an address without a check, or beside the nominated pair.
    pub srtp_unchecked: u64,
    /// SRTP and SRTCP before the handshake was done and the certificate matched.
    pub srtp_early: u64,
    /// SRTP and SRTCP whose form is wrong.
    pub srtp_malformed: u64,
    /// SRTP and SRTCP that came before, or are too old to know.
    pub srtp_replayed: u64,
    /// SRTP and SRTCP not made with the key.
    pub srtp_forged: u64,
    /// Pairs that gave way to newer ones.
    pub pairs_evicted: u64,
    /// Datagrams dropped because too many waited to be sent.
    pub transmit_queue_full: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.unknown_protocol += other.unknown_protocol;
        self.after_end += other.after_end;
        self.stun_malformed += other.stun_malformed;
        self.stun_forged += other.stun_forged;
        self.stun_replayed += other.stun_replayed;
        self.stun_refused += other.stun_refused;
        self.dtls_unchecked += other.dtls_unchecked;
        self.dtls_queue_full += other.dtls_queue_full;
        self.dtls_late += other.dtls_late;
        self.srtp_unchecked += other.srtp_unchecked;
        self.srtp_early += other.srtp_early;
        self.srtp_malformed += other.srtp_malformed;
        self.srtp_replayed += other.srtp_replayed;
        self.srtp_forged += other.srtp_forged;
        self.pairs_evicted += other.pairs_evicted;
        self.transmit_queue_full += other.transmit_queue_full;
    }
}

impl Transport {
    /// Returns what was dropped since the last call, by reason, and begins to count anew.
    pub fn take_counters(&mut self) -> Counters {
        let taken = self.counters();
        self.counters = Counters::default();
        self.agent.forget_evicted();
        self.outgoing.forget_dropped();
        taken
    }

    /// Returns what was dropped, by reason.
    pub fn counters(&self) -> Counters {
        Counters {
            pairs_evicted: self.agent.evicted(),
            transmit_queue_full: self.outgoing.dropped(),
            ..self.counters
        }
    }
}
