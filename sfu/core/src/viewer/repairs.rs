//! Packets that wait for their turn to be sent again.

use std::collections::VecDeque;
use std::time::Instant;

use crate::congestion::meter::Meter;
use crate::congestion::rate::Bitrate;
use crate::viewer::pacer::{Pacer, STEP};
use crate::viewer::{Again, MAX_NACKED};

/// Assumed size of a packet that is sent again.
const ORDINARY_LEN: usize = 1200;

/// What one viewer is to get again.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// At most [`MAX_NACKED`]; what is more is refused. It has no memory while nothing waits.
    waiting: VecDeque<Again>,
    /// When a step of them is due; `None` when none waits.
    due: Option<Instant>,
    /// What was sent again.
    meter: Meter,
}

impl Repairs {
    /// Takes packets to be sent again; keeps those in `asked` that may leave now, and returns how many are too many.
    pub(super) fn queue(
        &mut self,
        now: Instant,
        pacer: &mut Pacer,
        asked: &mut Vec<Again>,
    ) -> usize {
        let at_once = if self.waiting.is_empty() {
            pacer.room(now, ORDINARY_LEN)
        } else {
            0
        };
        if asked.len() <= at_once {
            return 0;
        }
        let room = MAX_NACKED.saturating_sub(self.waiting.len());
        let refused = (asked.len() - at_once).saturating_sub(room);
        self.waiting.extend(asked.drain(at_once..).take(room));
        self.due.get_or_insert(now + STEP);
        refused
    }

    /// Takes the next packet of the step that is due.
    pub(super) fn take(&mut self, now: Instant, pacer: &mut Pacer) -> Option<Again> {
        self.due.filter(|due| *due <= now)?;
        if pacer.has_room(now)
            && let Some(again) = self.waiting.pop_front()
        {
            return Some(again);
        }
        self.due = Some(now + STEP);
        if self.waiting.is_empty() {
            self.forget();
        }
        None
    }

    /// Forgets what waits: there is no way to the viewer.
    pub(super) fn forget(&mut self) {
        (self.waiting, self.due) = (VecDeque::new(), None);
    }

    /// Returns when a step is due; `None` when nothing waits.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Notes what was sent again.
    pub(super) fn note_sent(&mut self, now: Instant, size_bytes: usize) {
        self.meter.note(now, size_bytes);
    }

    /// Returns what repairs take; `None` while that is not known.
    pub(super) fn rate(&self, now: Instant) -> Option<Bitrate> {
        self.meter.rate(now)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use std::time::Duration;

    use super::*;
    use crate::command::{Kind, PeerId};
    use crate::relay::SourceId;
    use crate::rtp::seq::SeqNo;

    fn again(number: u64) -> Again {
        Again {
            kind: Kind::Video,
            source: SourceId {
                peer: PeerId(1),
                number: 0,
            },
            layer: 0,
            seq: SeqNo(number),
            sent_as: SeqNo(number),
        }
    }

    #[test]
    fn what_is_too_much_at_once_waits_is_bounded_and_leaves_no_memory_behind() {
        let start = Instant::now();
        let (mut repairs, mut pacer) = (Repairs::default(), Pacer::new(start));
        pacer.tell(start, Bitrate::kbps(4800));
        let mut asked: Vec<_> = (0..200).map(again).collect();
        assert_eq!(repairs.queue(start, &mut pacer, &mut asked), 0);
        assert_eq!(asked.len(), 16);
        let mut asked: Vec<_> = (200..400).map(again).collect();
        let refused = repairs.queue(start, &mut pacer, &mut asked);
        assert_eq!((asked.len(), refused), (0, 400 - 16 - MAX_NACKED));
        let (mut left, mut now) = (Vec::new(), start);
        while let Some(due) = repairs.poll_timeout() {
            now = now.max(due);
            while let Some(again) = repairs.take(now, &mut pacer) {
                left.push(again.seq.0);
                pacer.add(1200);
            }
            assert!(now < start + Duration::from_secs(2), "it does not end");
        }
        assert_eq!(left, (16..16 + MAX_NACKED as u64).collect::<Vec<_>>());
        assert_eq!(repairs.waiting.capacity(), 0);
    }
}
