//! The packets of one source as one viewer gets them: from which one on, which of its layers, and with which numbers.

use std::time::Instant;

use crate::codec::{Picture, Shift, Tier};
use crate::relay::{Burst, MediaPacket, SourceId};
use crate::rtp::seq::SeqNo;
use crate::viewer::rewrite::Numbers;
use crate::viewer::stamps::{Past, Stamps};
use crate::viewer::thin::Thin;

/// Tiers shown one after the other that are remembered, for packets that come late.
const REMEMBERED: usize = 4;
/// Packets behind a change that say what is left out.
const TOLD: u64 = 64;
/// Numbers remembered under which padding went.
const MAX_BLANKS: usize = 32;

/// The packets of one source.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// The source.
    pub(super) source: SourceId,
    /// Which layer of the picture it is.
    pub(super) layer: u8,
    /// Its first packet here, in its own numbers.
    pub(super) first: SeqNo,
    /// The same packet in the viewer's numbers.
    pub(super) sent_as: SeqNo,
    /// What is added to its timestamps, modulo 2^32.
    pub(super) time_offset: u32,
    /// The timestamp of its first packet here, or that with which this goes from the past.
    pub(super) begin: u64,
    /// How much later than that its first packet goes, because the source before it was ahead. From
    /// there time runs at half its speed until it is right again.
    pub(super) lead: u32,
    /// What is added to the numbers of its pictures.
    pub(super) shift: Shift,
    /// The tier that is shown of it.
    pub(super) tier: Tier,
    /// What is left out of it; `None` as long as nothing is.
    pub(super) thinned: Option<Box<Thinned>>,
    /// The times of what was shown from the past; `None` where it began live.
    pub(super) stamps: Option<Box<Stamps>>,
}

/// What is left out of a source.
#[derive(Clone, Debug)]
pub(super) struct Thinned {
    /// Packets.
    seqs: Thin,
    /// Pictures, where each has to have the number behind that of the one before; `None` where not.
    pictures: Option<Thin>,
    /// The tiers shown before, each with the first packet behind it; the latest last, at most [`REMEMBERED`].
    before: Vec<(Tier, SeqNo)>,
    /// Numbers under which padding went, because what had them came late and was not for this viewer; at most
    /// [`MAX_BLANKS`].
    blanks: Vec<SeqNo>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// It goes under this number.
    Whole(SeqNo),
    /// It came late and the viewer is not to have it: padding goes in its place.
    Blank(SeqNo),
}

impl Span {
    /// Returns whether a packet is behind all that went, the last of which was `highest`.
    pub(super) fn is_next(&self, packet: &MediaPacket, highest: SeqNo) -> bool {
        match &self.thinned {
            Some(thinned) => packet.seq.0 > thinned.seqs.top(),
            None => self.linear(packet.seq).is_some_and(|seq| seq > highest),
        }
    }

    /// Notes a packet that comes next; returns whether the viewer does not get it. `wanted` is the tier that it is to
    /// be shown, `highest` the last number that went.
    pub(super) fn leaves_out(
        &mut self,
        packet: &MediaPacket,
        wanted: Tier,
        highest: SeqNo,
    ) -> bool {
        let Some(scale) = &packet.scale else {
            return false;
        };
        if !self.is_next(packet, highest) {
            return false;
        }
        let tier = if packet.keyframe {
            wanted
        } else {
            scale.step(self.tier, wanted)
        };
        self.go_to(tier, packet);
        let is_left_out = !scale.needed.contains(tier);
        if is_left_out {
            let thinned = self.thinned_from(packet);
            thinned.seqs.advance(packet.seq.0, true);
            thinned.note_picture(packet, true);
        }
        is_left_out
    }

    fn go_to(&mut self, tier: Tier, packet: &MediaPacket) {
        let before = std::mem::replace(&mut self.tier, tier);
        // From a lower tier on packets may end pictures that did not.
        let is_lower = tier.spatial() < before.spatial() || tier.temporal() < before.temporal();
        if before == tier || (self.thinned.is_none() && !is_lower) {
            return;
        }
        let thinned = self.thinned_from(packet);
        if thinned
            .before
            .last()
            .is_none_or(|(_, end)| *end < packet.seq)
        {
            if thinned.before.len() == REMEMBERED {
                thinned.before.remove(0);
            }
            thinned.before.push((before, packet.seq));
        }
    }

    /// Returns what is left out, from a packet that comes next on.
    fn thinned_from(&mut self, packet: &MediaPacket) -> &mut Thinned {
        let behind = packet.seq.0 - 1;
        let sent_as = self.linear(SeqNo(behind));
        // Nothing went before what begins a source.
        let sent_as = sent_as.map_or(self.sent_as.0 - 1, |sent_as| sent_as.0);
        self.thinned.get_or_insert_with(|| {
            // VP9 and AV1 tell by the numbers of pictures what needs which: those stay.
            let pictures = packet.picture.filter(Picture::is_counted);
            Box::new(Thinned {
                seqs: Thin::new(behind, sent_as),
                pictures: pictures.map(|picture| {
                    let before = picture.extended(0) - 1;
                    Thin::new(before, before)
                }),
                // What came before is whole.
                before: vec![(Tier::BEST, packet.seq)],
                blanks: Vec::new(),
            })
        })
    }

    /// Numbers a packet that the viewer is to get, as far as is known; `None` for one from before the start here, and
    /// for one that was left out.
    #[expect(
        clippy::inline_always,
        reason = "copied from call to call, a packet's numbers cost 20 ns more"
    )]
    #[inline(always)]
    pub(super) fn pass(&mut self, packet: &MediaPacket) -> Option<Passed> {
        let Some(thinned) = &mut self.thinned else {
            return Some(Passed::Whole(self.linear(packet.seq)?));
        };
        if packet.seq.0 > thinned.seqs.top() {
            thinned.seqs.advance(packet.seq.0, false);
            thinned.note_picture(packet, false);
            let seq = thinned.seqs.number_of(packet.seq.0)?;
            return Some(Passed::Whole(SeqNo(seq)));
        }
        let seq = SeqNo(thinned.seqs.number_of(packet.seq.0)?);
        if packet.seq < self.first {
            return None;
        }
        let needed = packet.scale.map(|scale| scale.needed);
        let tier = thinned.tier_at(packet.seq).unwrap_or(self.tier);
        if needed.is_none_or(|needed| needed.contains(tier)) {
            return Some(Passed::Whole(seq));
        }
        thinned.blanks.retain(|it| it.0 + 1024 > seq.0);
        if thinned.blanks.len() == MAX_BLANKS || thinned.blanks.contains(&seq) {
            return None;
        }
        thinned.blanks.push(seq);
        Some(Passed::Blank(seq))
    }

    /// Decides with which time a packet goes that comes next.
    pub(super) fn stamp(&mut self, burst: &Burst, packet: &MediaPacket, past: Option<Past>) {
        let own = self.timestamp(packet.timestamp);
        let Some(stamps) = &self.stamps else {
            return;
        };
        let time = match past {
            Some(past) => {
                let rate_hz = burst.format.codec.clock_rate_hz();
                Some(self.timestamp(past.time_for(packet.timestamp, rate_hz)))
            }
            // Live again, and the one before was not quite as far back as it should have been.
            None => Some(own).filter(|_| stamps.are_ahead(packet.timestamp, own)),
        };
        let now = past.map_or(burst.arrived, |past| past.now);
        if let Some(stamps) = &mut self.stamps {
            if let Some(time) = time {
                stamps.push(now, (packet.timestamp, time));
            }
            stamps.note_shown(past.map(|_| (packet.timestamp, burst.arrived)));
        }
    }

    /// Returns the viewer's time of what was sent last had it gone when it came, and when that was; `None` where
    /// it did.
    pub(super) fn shown_from_past(&self) -> Option<(u32, Instant)> {
        let (timestamp, at) = self.stamps.as_ref()?.shown()?;
        Some((self.timestamp(timestamp), at))
    }

    /// Forgets what nobody asks for any more.
    pub(super) fn forget_old(&mut self, now: Instant) {
        if let Some(stamps) = &mut self.stamps {
            stamps.forget_old(now);
        }
    }

    /// Returns what a packet goes with under one of the viewer's numbers; `None` when that is not known any more.
    #[expect(
        clippy::inline_always,
        reason = "copied from call to call, a packet's numbers cost 20 ns more"
    )]
    #[inline(always)]
    pub(super) fn numbers(&self, seq: SeqNo, packet: &MediaPacket) -> Option<Numbers> {
        let thinned = self.thinned.as_deref();
        let tier = thinned.and_then(|thinned| thinned.tier_at(packet.seq));
        let tier = tier.unwrap_or(self.tier);
        // Where higher spatial layers are left out, the picture ends with the highest that is shown.
        let ends =
            |scale: crate::codec::Scale| scale.ends && scale.tier.spatial() == tier.spatial();
        let is_last = thinned.is_some() && packet.scale.is_some_and(ends);
        let delta = thinned.and_then(|thinned| thinned.picture_delta(packet));
        Some(Numbers {
            seq,
            timestamp: self.time_of(packet)?,
            marker: packet.marker || is_last,
            is_blank: false,
            active: thinned.filter(|it| it.tells_active(packet)).map(|_| tier),
            shift: delta.map_or(self.shift, |delta| self.shift.and(delta)),
        })
    }

    /// Returns which packet the viewer has under a number, `None` for padding and for what is not known any more.
    pub(super) fn source_of(&self, sent_as: SeqNo) -> Option<SeqNo> {
        let Some(thinned) = &self.thinned else {
            return Some(SeqNo(self.first.0 + (sent_as.0 - self.sent_as.0)));
        };
        if thinned.blanks.contains(&sent_as) {
            return None;
        }
        let seq = SeqNo(thinned.seqs.source_of(sent_as.0)?);
        (seq >= self.first).then_some(seq)
    }

    /// Returns whether the dependency descriptor of a packet may have to say what is left out: what is left out may
    /// also change with it.
    pub(super) fn tells_active(&self, packet: &MediaPacket, wanted: Tier) -> bool {
        let thinned = self.thinned.as_ref();
        thinned.is_some_and(|it| it.tells_active(packet)) || self.tier != wanted
    }

    fn linear(&self, seq: SeqNo) -> Option<SeqNo> {
        let behind = seq.0.checked_sub(self.first.0)?;
        Some(SeqNo(self.sent_as.0 + behind))
    }

    fn time_of(&self, packet: &MediaPacket) -> Option<u32> {
        let stamps = self.stamps.as_ref();
        match stamps.filter(|stamps| !stamps.are_before(packet.timestamp)) {
            Some(stamps) => stamps.time_of(packet.timestamp),
            None => Some(self.timestamp(packet.timestamp)),
        }
    }

    /// Returns the viewer's time for one of the source.
    pub(super) fn timestamp(&self, timestamp: u64) -> u32 {
        let passed = timestamp.saturating_sub(self.begin) / 2;
        let lead = u64::from(self.lead).saturating_sub(passed);
        lower(timestamp)
            .wrapping_add(self.time_offset)
            .wrapping_add(lower(lead))
    }
}

impl Thinned {
    /// Returns whether the dependency descriptor of a packet has to say what is left out: where it brings its
    /// structure, and for a while behind a change.
    fn tells_active(&self, packet: &MediaPacket) -> bool {
        packet
            .descriptor
            .as_ref()
            .is_some_and(|it| it.has_structure)
            || self
                .before
                .iter()
                .any(|(_, end)| (end.0..end.0 + TOLD).contains(&packet.seq.0))
    }

    fn note_picture(&mut self, packet: &MediaPacket, is_left_out: bool) {
        if let (Some(pictures), Some(picture)) = (&mut self.pictures, &packet.picture) {
            let id = picture.extended(pictures.top());
            pictures.advance(id, is_left_out);
        }
    }

    /// Returns what is added to the number of a packet's picture, because pictures before it were left out.
    fn picture_delta(&self, packet: &MediaPacket) -> Option<u16> {
        let (pictures, picture) = (self.pictures.as_ref()?, packet.picture.as_ref()?);
        let id = picture.extended(pictures.top());
        let sent_as = pictures.number_of(id)?;
        u16::try_from(sent_as.wrapping_sub(id) & 0xffff).ok()
    }

    /// Returns the tier that was shown at a packet, if that is not the one that is shown now.
    fn tier_at(&self, seq: SeqNo) -> Option<Tier> {
        let mut before = self.before.iter();
        before.find(|(_, end)| seq < *end).map(|(tier, _)| *tier)
    }
}

/// Returns the lower 32 bits, which the wire carries.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the wire carries the lower 32 bits"
)]
pub(super) fn lower(timestamp: u64) -> u32 {
    timestamp as u32
}
