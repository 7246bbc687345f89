//! What a room gets of its sound, or of one layer of its picture: its source, its clock, its rate, its last packets.

use crate::codec;
use crate::command::{Format, Still};
use crate::congestion::meter::Meter;
use crate::publisher::cache::Cache;
use crate::relay::{Burst, SourceClock, SourceId};
use crate::room::tiers::TierMeters;
use crate::rtp::packet::{FIXED_HEADER_LEN, TransportSequence};
use crate::rtp::seq::SeqNo;
use crate::transport::TAG_ROOM;
use crate::viewer::Start;

/// What a room gets of its sound, or of one layer of its picture.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The source being sent and its coding; `None` before the first packet.
    pub(super) source: Option<(SourceId, Format)>,
    /// The clock of this source, or of the next one while none of its packets came; `None` before the
    /// first sender report.
    pub(super) clock: Option<SourceClock>,
    /// What it takes on the way to a viewer, without redundancy.
    pub(super) meter: Meter,
    /// What redundancy takes beside that on the way to who gets it.
    pub(super) redundancy: Meter,
    /// What its tiers take; `None` where it has no layers within.
    pub(super) tiers: Option<Box<TierMeters>>,
    /// Its last packets. Only video is kept: no repair of sound is negotiated.
    pub(super) cache: Cache,
}

impl Stream {
    /// Notes what a burst takes on the way to a viewer.
    pub(super) fn note(&mut self, burst: &Burst) {
        let redundancy = burst.packets.iter().map(|it| usize::from(it.redundancy));
        let redundancy = redundancy.sum::<usize>();
        self.meter.note(burst.arrived, sent_len(burst) - redundancy);
        if redundancy > 0 {
            self.redundancy.note(burst.arrived, redundancy);
        }
        for packet in &burst.packets {
            if let Some(scale) = &packet.scale {
                let tiers = self.tiers.get_or_insert_default();
                tiers.note(burst.arrived, scale, packet.payload.len() + OVERHEAD);
            }
        }
    }

    /// Returns where a viewer starts at a keyframe of its cache, if that is of what is being sent.
    pub(super) fn start(&self, layer: u8, (source, keyframe): (SourceId, SeqNo)) -> Option<Start> {
        self.shows(source).then_some(Start {
            source,
            layer,
            keyframe,
        })
    }

    /// Returns a copy of its newest keyframe, if that is all there and a picture by itself.
    pub(super) fn still(&self) -> Option<Still> {
        let (source, format) = self.source?;
        let payloads = self.cache.keyframe(source)?;
        let (size, frame) = codec::still(format.codec, &payloads, Still::MAX_BYTES)?;
        Some(Still {
            codec: format.codec,
            size,
            frame,
        })
    }

    /// Returns whether a source is the one being sent.
    pub(super) fn shows(&self, source: SourceId) -> bool {
        self.source.is_some_and(|(shown, _)| shown == source)
    }
}

/// What header, extension and tag add to a payload.
const OVERHEAD: usize = FIXED_HEADER_LEN + TransportSequence::LEN + TAG_ROOM;

/// Returns how many bytes a burst is on the way to a viewer: payloads with headers and tags.
fn sent_len(burst: &Burst) -> usize {
    burst.bytes.len() + burst.packets.len() * OVERHEAD
}
