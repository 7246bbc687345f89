//! Compares what a publisher sent with what a server numbered.

use std::time::{Duration, Instant};

use crate::stamp::Stamp;

/// What comes later than this was shown of the past: a server may bring one who has just come forward to a newer keyframe.
const PAST: Duration = Duration::from_millis(300);

/// So long after a viewer has asked for a keyframe it may be brought forward to one.
const ASKED: Duration = Duration::from_secs(1);

/// Compares the publisher's count of packets with the numbers that the server gave them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The last stamp; `None` before the first, and while one who has just come is shown the past.
    last: Option<Entry>,
    /// Whether it was ever shown what is live: from then on whatever is missing was left out, however late it is.
    was_live: bool,
    /// Until when it may be brought forward, because it asked for that.
    asked_until: Option<Instant>,
    /// What the publisher sent in between, and for which there was not even a number.
    pub(super) left_out: u64,
}

/// What a publisher had sent of a stream, and the number that the server gave to the last of it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    stream: u32,
    count: u64,
    number: i64,
}

impl Ledger {
    /// The viewer asks for a keyframe, and may be shown one that is newer than what it misses.
    pub(super) fn ask(&mut self, now: Instant) {
        self.asked_until = Some(now + ASKED);
    }

    /// Takes a stamp that came now, and the number of the packet that it came in, extended by its wraps.
    pub(super) fn handle(&mut self, now: Instant, stamp: &Stamp, number: i64) {
        let entry = Entry {
            stream: stamp.stream,
            count: stamp.count,
            number,
        };
        let is_past = now.saturating_duration_since(stamp.packet_sent_at) > PAST;
        self.was_live |= !is_past;
        let before = std::mem::replace(&mut self.last, Some(entry).filter(|_| self.was_live));
        if let Some(before) = before.filter(|before| before.stream == stamp.stream) {
            // Fewer numbers than packets is what counts: what is sent once more from a cache has new numbers.
            let sent = i64::try_from(stamp.count.saturating_sub(before.count)).unwrap_or(0);
            let missing = u64::try_from(sent - (number - before.number).max(0)).unwrap_or(0);
            if self.asked_until.is_none_or(|until| now >= until) {
                self.left_out += missing;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_just_come_may_be_brought_forward() {
        let mut ledger = Ledger::default();
        let sent = Instant::now();
        let mut handle = |late_ms, count, number| {
            let stamp = Stamp {
                frame_sent_at: sent,
                packet_sent_at: sent,
                stream: 1,
                count,
            };
            ledger.handle(sent + Duration::from_millis(late_ms), &stamp, number);
            ledger.left_out
        };
        assert_eq!(handle(900, 100, 1), 0);
        assert_eq!(handle(700, 110, 11), 0);
        assert_eq!(handle(20, 300, 20), 0, "a newer keyframe");
        assert_eq!(
            handle(20, 320, 30),
            10,
            "one who is shown what is live misses it"
        );
        assert_eq!(handle(900, 400, 110), 10, "late, and whole");
        assert_eq!(handle(200, 500, 120), 100, "brought forward");
    }

    #[test]
    fn who_asks_for_a_keyframe_may_be_brought_forward_for_a_second() {
        let mut ledger = Ledger::default();
        let began = Instant::now();
        let handle = |ledger: &mut Ledger, at_ms, count, number| {
            let now = began + Duration::from_millis(at_ms);
            let stamp = Stamp {
                frame_sent_at: now,
                packet_sent_at: now,
                stream: 1,
                count,
            };
            ledger.handle(now, &stamp, number);
            ledger.left_out
        };
        assert_eq!(handle(&mut ledger, 0, 100, 1), 0);
        ledger.ask(began + Duration::from_millis(10));
        assert_eq!(handle(&mut ledger, 900, 200, 11), 0, "asked for");
        assert_eq!(handle(&mut ledger, 1_100, 300, 21), 90, "not asked for");
    }

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
            ledger.handle(now, &stamp, number);
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
