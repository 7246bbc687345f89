//! The last packets of a room's video, kept once for all viewers that ask for one again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::relay::{Burst, MediaPacket, SourceId};
use crate::rtp::seq::SeqNo;

/// Packets kept of one layer: about three seconds at 3 Mb/s. With 1200 bytes each, at most 1.2 MB.
const CAPACITY: usize = 1024;

/// What a viewer is given at once when it joins, at the most: packets, and age of the keyframe.
const MAX_REPLAY: u64 = 600;
const MAX_REPLAY_AGE: Duration = Duration::from_secs(6);
/// A stream silent for longer has ended: nobody is shown its last seconds.
const MAX_SILENCE: Duration = Duration::from_secs(1);

/// A ring of packets, each held through the burst it came in.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Slot `seq % CAPACITY`; empty until the first packet.
    slots: Vec<Option<(Arc<Burst>, u16)>>,
    /// The first packet of the newest keyframe; `None` until one came.
    keyframe: Option<Mark>,
    /// The newest packet; `None` until one came.
    newest: Option<Mark>,
}

/// One packet of note.
#[derive(Clone, Copy, Debug)]
struct Mark {
    source: SourceId,
    seq: SeqNo,
    timestamp: u64,
    arrived: Instant,
}

impl Cache {
    /// Keeps the packets of a burst.
    pub(crate) fn insert(&mut self, burst: &Arc<Burst>) {
        if self.slots.is_empty() {
            self.slots.resize(CAPACITY, None);
        }
        for (index, packet) in (0_u16..).zip(&burst.packets) {
            if let Some(slot) = self.slots.get_mut(place(packet.seq)) {
                *slot = Some((Arc::clone(burst), index));
            }
            self.note(burst, packet);
        }
    }

    /// Returns whose packet is the newest.
    pub(crate) fn source(&self) -> Option<SourceId> {
        self.newest.map(|newest| newest.source)
    }

    /// Returns where a viewer can start now: at the newest keyframe, if that is not too far back and
    /// the stream still goes on.
    pub(crate) fn joinable(&self, now: Instant) -> Option<(SourceId, SeqNo)> {
        let keyframe = self.keyframe?;
        let newest = self
            .newest
            .filter(|newest| newest.source == keyframe.source)?;
        let fits = newest.seq.0.checked_sub(keyframe.seq.0)? < MAX_REPLAY
            && now.saturating_duration_since(keyframe.arrived) < MAX_REPLAY_AGE
            && now.saturating_duration_since(newest.arrived) < MAX_SILENCE;
        fits.then_some((keyframe.source, keyframe.seq))
    }

    /// Returns whether the source has come as far as `seq`.
    pub(crate) fn reaches(&self, source: SourceId, seq: SeqNo) -> bool {
        self.newest
            .is_some_and(|newest| newest.source == source && newest.seq >= seq)
    }

    /// Returns the bursts since the newest keyframe, in the order of their numbers.
    pub(crate) fn since_keyframe(&self, now: Instant) -> Vec<Arc<Burst>> {
        let Some(((source, first), newest)) = self.joinable(now).zip(self.newest) else {
            return Vec::new();
        };
        let mut bursts: Vec<Arc<Burst>> = Vec::new();
        for seq in (first.0..=newest.seq.0).map(SeqNo) {
            let slot = self.slots.get(place(seq)).and_then(Option::as_ref);
            let burst = slot
                .map(|(burst, _)| burst)
                .filter(|burst| burst.source == source);
            bursts.extend(
                burst
                    .filter(|it| bursts.last().is_none_or(|last| !Arc::ptr_eq(last, it)))
                    .cloned(),
            );
        }
        bursts
    }

    fn note(&mut self, burst: &Burst, packet: &MediaPacket) {
        let mark = Mark {
            source: burst.source,
            seq: packet.seq,
            timestamp: packet.timestamp,
            arrived: burst.arrived,
        };
        let is_late = |newest: &Mark| newest.source == burst.source && newest.seq > packet.seq;
        if !self.newest.as_ref().is_some_and(is_late) {
            self.newest = Some(mark);
        }
        // An H.264 keyframe has several packets in which a decoder could start: the first counts.
        let is_known =
            |known: &Mark| known.source == burst.source && known.timestamp >= packet.timestamp;
        if packet.keyframe && !self.keyframe.as_ref().is_some_and(is_known) {
            self.keyframe = Some(mark);
        }
    }

    /// Finds a packet of a source, unless it has been overwritten.
    pub(crate) fn find(&self, source: SourceId, seq: SeqNo) -> Option<(&Burst, &MediaPacket)> {
        let (burst, index) = self.slots.get(place(seq))?.as_ref()?;
        let packet = burst.packets.get(usize::from(*index))?;
        (burst.source == source && packet.seq == seq).then_some((burst, packet))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below the capacity"
)]
fn place(seq: SeqNo) -> usize {
    (seq.0 % CAPACITY as u64) as usize
}
