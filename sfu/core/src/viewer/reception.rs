//! Whether what is sent to a viewer arrives, as its receiver reports say (RFC 3550, section 6.4.1).

use std::time::{Duration, Instant};

use crate::command::RECEPTION_LAPSES;
use crate::rtp::seq::SeqNo;

/// Whether media arrives.
#[derive(Debug, Default)]
pub(super) struct Reception {
    /// When a report last acknowledged what none before it had; `None` before the first, and once that was too long ago.
    acknowledged: Option<Instant>,
    /// Whether it was told that media arrives.
    told: bool,
}

impl Reception {
    /// Takes note of a report that acknowledges more.
    pub(super) fn note(&mut self, now: Instant) {
        self.acknowledged = Some(now);
    }

    /// Returns whether media arrives and how long ago that was last acknowledged, where that was not told yet.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(bool, Duration)> {
        let ago = now.saturating_duration_since(self.acknowledged?);
        let arrives = ago < RECEPTION_LAPSES;
        if !arrives {
            self.acknowledged = None;
        }
        let changed = self.told != arrives;
        self.told = arrives;
        changed.then_some((arrives, ago))
    }
}

/// What a viewer has acknowledged of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged {
    /// The highest number; before the first report, the one before the first packet.
    highest: SeqNo,
}

impl Acknowledged {
    /// Begins before the packet behind this one.
    pub(super) fn new(before: SeqNo) -> Self {
        Self { highest: before }
    }

    /// Takes note of the highest number that came, of which a report tells (RFC 3550, section 6.4.1); returns whether that
    /// is new. What was never sent cannot have come.
    pub(super) fn take(&mut self, sent: SeqNo, reported: u32) -> bool {
        // The upper half counts cycles as the viewer does, who may have begun later.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower half is the number on the wire"
        )]
        let behind = sent.wire().wrapping_sub(reported as u16);
        let came = SeqNo(sent.0.saturating_sub(u64::from(behind)));
        let is_new = behind < 0x8000 && came > self.highest;
        if is_new {
            self.highest = came;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    #[test]
    fn media_arrives_from_the_first_report_until_none_came_for_ten_seconds() {
        let epoch = Instant::now();
        let at = |second| epoch + Duration::from_secs(second);
        let mut reception = Reception::default();
        assert_eq!(reception.poll(at(0)), None);
        reception.note(at(1));
        assert_eq!(reception.poll(at(1)), Some((true, Duration::ZERO)));
        assert_eq!(reception.poll(at(5)), None);
        reception.note(at(6));
        assert_eq!(reception.poll(at(15)), None);
        let lapsed = Some((false, Duration::from_secs(10)));
        assert_eq!(reception.poll(at(16)), lapsed);
        assert_eq!(reception.poll(at(17)), None);
        reception.note(at(20));
        assert_eq!(reception.poll(at(20)), Some((true, Duration::ZERO)));
    }
}
