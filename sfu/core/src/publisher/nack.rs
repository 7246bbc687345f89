//! Which packets of a stream are missing, and when to ask for each again (RFC 4585, section 6.2.1).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rtp::seq::SeqNo;

/// How long to wait for a packet that may just be late.
const REORDERING: Duration = Duration::from_millis(10);
/// Between the first requests for a packet; it doubles up to [`MAX_RETRY`].
const RETRY: Duration = Duration::from_millis(50);
/// Between later requests.
const MAX_RETRY: Duration = Duration::from_millis(200);
/// Requests for one packet.
const MAX_REQUESTS: u32 = 10;
/// Missing packets remembered; a larger hole is a new beginning, not a loss to repair.
const MAX_MISSING: usize = 512;
/// How far back a packet may still fill its hole, in sequence numbers.
const MAX_AGE: u64 = 2048;

/// Whether a packet is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next, or beyond.
    New,
    /// It fills a hole.
    Filled,
    /// It was here before, or is too old to tell.
    Duplicate,
}

/// The holes of one stream.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// The highest number seen; `None` before the first.
    highest: Option<SeqNo>,
    /// What is missing below it, at most [`MAX_MISSING`].
    holes: BTreeMap<SeqNo, Hole>,
}

/// One missing packet.
#[derive(Clone, Copy, Debug)]
struct Hole {
    /// How often it was asked for.
    requests: u32,
    /// When to ask next; `None` once given up.
    due: Option<Instant>,
}

impl Missing {
    /// Notes a packet and says whether it is news.
    pub(super) fn receive(&mut self, now: Instant, seq: SeqNo) -> Arrival {
        let Some(highest) = self.highest else {
            self.highest = Some(seq);
            return Arrival::New;
        };
        if seq <= highest {
            let filled = self.holes.remove(&seq).is_some();
            return if filled {
                Arrival::Filled
            } else {
                Arrival::Duplicate
            };
        }
        self.highest = Some(seq);
        let hole = Hole {
            requests: 0,
            due: Some(now + REORDERING),
        };
        let skipped = seq.0 - highest.0 - 1;
        if skipped > MAX_MISSING as u64 {
            self.holes.clear();
        } else {
            self.holes
                .extend((highest.0 + 1..seq.0).map(|seq| (SeqNo(seq), hole)));
        }
        self.forget_old(seq);
        Arrival::New
    }

    /// Returns whether a packet is missing.
    pub(super) fn contains(&self, seq: SeqNo) -> bool {
        self.holes.contains_key(&seq)
    }

    /// Appends the packets to ask for now, in ascending order and at most `max`; others stay due.
    pub(super) fn poll(&mut self, now: Instant, max: usize, wire: &mut Vec<u16>) {
        for (seq, hole) in &mut self.holes {
            if wire.len() >= max {
                return;
            }
            if hole.due.is_some_and(|due| due <= now) {
                wire.push(seq.wire());
                hole.requests += 1;
                let wait = MAX_RETRY.min(RETRY * (1 << hole.requests.min(3)) / 2);
                hole.due = (hole.requests < MAX_REQUESTS).then(|| now + wait);
            }
        }
    }

    /// Returns when [`Self::poll`] has something next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.holes.values().filter_map(|hole| hole.due).min()
    }

    fn forget_old(&mut self, highest: SeqNo) {
        let oldest = highest.0.saturating_sub(MAX_AGE);
        while let Some(first) = self.holes.first_entry() {
            let crowded = first.key().0 < oldest;
            if !crowded {
                break;
            }
            first.remove();
        }
        while self.holes.len() > MAX_MISSING {
            self.holes.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;
    use proptest::prelude::*;

    fn due(missing: &mut Missing, now: Instant) -> Vec<u16> {
        let mut wire = Vec::new();
        missing.poll(now, usize::MAX, &mut wire);
        wire
    }

    #[test]
    fn a_late_packet_is_not_asked_for() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.receive(start, SeqNo(100_000));
        missing.receive(start, SeqNo(100_002));
        assert_eq!(
            missing.receive(start + Duration::from_millis(5), SeqNo(100_001)),
            Arrival::Filled
        );
        assert_eq!(
            due(&mut missing, start + Duration::from_secs(1)),
            [0_u16; 0]
        );
    }

    #[test]
    fn a_lost_packet_is_asked_for_ten_times_and_then_given_up() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.receive(start, SeqNo(0x1_0000));
        missing.receive(start, SeqNo(0x1_0002));
        let mut times = Vec::new();
        for ms in 0..10_000 {
            if due(&mut missing, start + Duration::from_millis(ms)) == [1] {
                times.push(ms);
            }
        }
        assert_eq!(times.len(), 10);
        assert_eq!(times[0], 10);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 50));
        assert_eq!(missing.poll_timeout(), None);
        assert_eq!(
            missing.receive(start, SeqNo(0x1_0001)),
            Arrival::Filled,
            "still welcome"
        );
    }

    #[test]
    fn what_came_twice_is_told() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.receive(start, SeqNo(70_000));
        assert_eq!(missing.receive(start, SeqNo(70_000)), Arrival::Duplicate);
        assert_eq!(missing.receive(start, SeqNo(69_999)), Arrival::Duplicate);
    }

    proptest! {
        #[test]
        fn holes_stay_bounded_whatever_arrives(jumps in proptest::collection::vec(1_u64..2000, 1..200)) {
            let start = Instant::now();
            let mut missing = Missing::default();
            let mut seq = 1 << 16;
            for jump in jumps {
                seq += jump;
                missing.receive(start, SeqNo(seq));
                prop_assert!(missing.holes.len() <= MAX_MISSING);
            }
        }
    }
}
