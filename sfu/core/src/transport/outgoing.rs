//! What waits to be sent, and the rule that an address which has not proved itself gets at most three
//! bytes for one (as RFC 9000, section 8, has it for QUIC).

use std::collections::VecDeque;

use super::ice::LiteAgent;
use crate::command::Path;

/// Datagrams that wait to be sent; when there are more the oldest is dropped.
const MAX_OUTGOING: usize = 32;

/// Where a datagram goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    /// To a pair, as far as its credit reaches.
    Pair(Path),
    /// To where a request came from: shorter than three times the request, and no pair was made.
    Asker(Path),
    /// To the pair selected when it leaves. DTLS only.
    Selected,
}

/// Where the flights of the handshake went.
#[derive(Clone, Copy, Debug, Default)]
enum Flights {
    #[default]
    None,
    Only(Path),
    Several,
}

/// A bounded queue of datagrams.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// At most [`MAX_OUTGOING`].
    queue: VecDeque<(To, Vec<u8>)>,
    /// Which addresses got flights: a finished handshake proves one that got them all.
    flights: Flights,
    /// Datagrams dropped because too many waited.
    dropped: u64,
}

impl Outgoing {
    pub(super) fn push(&mut self, to: To, datagram: Vec<u8>) {
        if self.queue.len() >= MAX_OUTGOING {
            self.queue.pop_front();
            self.dropped += 1;
        }
        self.queue.push_back((to, datagram));
    }

    /// Queues datagrams of DTLS.
    pub(super) fn push_flight(&mut self, flight: Vec<Vec<u8>>) {
        for datagram in flight {
            self.push(To::Selected, datagram);
        }
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn forget_dropped(&mut self) {
        self.dropped = 0;
    }

    /// Returns the path that got all flights, if it was one.
    pub(super) fn only_flight_path(&self) -> Option<Path> {
        match self.flights {
            Flights::Only(path) => Some(path),
            Flights::None | Flights::Several => None,
        }
    }

    /// Writes the first datagram that may leave into `out` and returns where it goes.
    pub(super) fn poll(&mut self, agent: &mut LiteAgent, out: &mut Vec<u8>) -> Option<Path> {
        let mut waiting = self.queue.iter().enumerate();
        let (place, to, path) = waiting.find_map(|(place, (to, datagram))| {
            let path = leave(agent, *to, datagram.len())?;
            Some((place, *to, path))
        })?;
        let (_, datagram) = self.queue.remove(place)?;
        if matches!(to, To::Selected) {
            self.flights = match self.flights {
                Flights::None => Flights::Only(path),
                Flights::Only(only) if only == path => Flights::Only(path),
                Flights::Only(_) | Flights::Several => Flights::Several,
            };
        }
        out.clear();
        out.extend_from_slice(&datagram);
        Some(path)
    }
}

/// Takes leave to send, or returns `None` while it has to wait.
fn leave(agent: &mut LiteAgent, to: To, size_bytes: usize) -> Option<Path> {
    let path = match to {
        To::Asker(path) => return Some(path),
        To::Pair(path) => path,
        To::Selected => agent.selected()?,
    };
    if !agent.spend(path, size_bytes) {
        // The peer's answer to a check of ours will lift the limit.
        agent.prove();
        return None;
    }
    Some(path)
}
