//! Compares what a publisher sent with what a server numbered.

use crate::stamp::Stamp;

/// Compares the publisher's count of packets with the numbers that the server gave them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The stream, its count, and the number of the last stamp.
    last: Option<(u32, u64, i64)>,
    /// What the publisher sent in between, and for which there was not even a number.
    pub(super) left_out: u64,
}

impl Ledger {
    /// Takes a stamp, and the number of the packet that it came in, extended by its wraps.
    pub(super) fn handle(&mut self, stamp: &Stamp, number: i64) {
        let now = (stamp.stream, stamp.count, number);
        if let Some((stream, count, before)) = self.last.replace(now)
            && stream == stamp.stream
        {
            // Fewer numbers than packets is what counts: what is sent once more from a cache has new numbers.
            let sent = i64::try_from(stamp.count.saturating_sub(count)).unwrap_or(0);
            let missing = u64::try_from(sent - (number - before).max(0)).unwrap_or(0);
            self.left_out += missing;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn packets_without_a_number_are_missed_and_numbers_without_a_packet_are_not() {
        let mut ledger = Ledger::default();
        let mut handle = |stream, count, number| {
            let now = Instant::now();
            let stamp = Stamp {
                frame_sent_at: now,
                packet_sent_at: now,
                stream,
                count,
            };
            ledger.handle(&stamp, number);
            ledger.left_out
        };
        assert_eq!(handle(1, 100, 7), 0);
        assert_eq!(handle(1, 110, 17), 0);
        assert_eq!(handle(1, 120, 24), 3, "of ten seven have a number");
        assert_eq!(handle(1, 121, 30), 3, "padding has numbers, too");
        assert_eq!(handle(1, 90, 40), 3, "sent once more from a cache");
        assert_eq!(handle(2, 500, 41), 3, "another layer");
        assert_eq!(handle(2, 502, 42), 4);
    }
}
