//! The server's last flight, sent again without the state that made it (RFC 6347, section 4.2.4).

use std::time::{Duration, Instant};

/// Between two repetitions, and how many there are.
const AGAIN_WAIT: Duration = Duration::from_millis(100);
const MAX_AGAIN: u8 = 20;

/// Datagrams as they were sent. The same records may come twice: a client knows them by their numbers.
#[derive(Debug, Default)]
pub(super) struct LastFlight {
    /// One flight: what came of one job. Empty before the handshake is finished, and once the client has shown that it
    /// has them.
    datagrams: Vec<Vec<u8>>,
    /// When they may be sent again and how many times they may still be; `None` before the first.
    again: Option<(Instant, u8)>,
}

impl LastFlight {
    /// Keeps what the server sent at the end of the handshake.
    pub(super) fn keep(&mut self, datagrams: &[Vec<u8>]) {
        self.datagrams = datagrams.to_vec();
    }

    /// Returns what to send again for a datagram of the client, which asks for it by repeating its own.
    pub(super) fn again(&mut self, now: Instant, datagram: &[u8]) -> Vec<Vec<u8>> {
        let (due, times) = self.again.unwrap_or((now, MAX_AGAIN));
        if self.datagrams.is_empty() || !is_last_of_client(datagram) || now < due || times == 0 {
            return Vec::new();
        }
        self.again = Some((now + AGAIN_WAIT, times - 1));
        self.datagrams.clone()
    }

    /// Notes that the client has it.
    pub(super) fn confirm(&mut self) {
        if !self.datagrams.is_empty() {
            self.datagrams = Vec::new();
        }
    }
}

/// Returns whether a datagram begins as the client's last flight does: with its certificate, its key or the
/// proof of the former (RFC 5246, section 7.4), not encrypted.
fn is_last_of_client(datagram: &[u8]) -> bool {
    let Some((record, message)) = datagram.split_first_chunk::<13>() else {
        return false;
    };
    let is_whole = message.len() >= 12;
    matches!(record, [22, 254, _, 0, 0, ..]) && is_whole && matches!(message, [11 | 15 | 16, ..])
}
