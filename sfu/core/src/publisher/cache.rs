//! The last packets of a room's video, kept once for all viewers that ask for one again.

use std::sync::Arc;

use crate::relay::{Burst, MediaPacket, SourceId};
use crate::rtp::seq::SeqNo;

/// Packets kept: about three seconds at 3 Mb/s. With 1200 bytes each, at most 1.2 MB.
const CAPACITY: usize = 1024;

/// A ring of packets, each held through the burst it came in.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Slot `seq % CAPACITY`; empty until the first packet.
    slots: Vec<Option<(Arc<Burst>, u16)>>,
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
