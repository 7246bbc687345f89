//! A viewer's own numbers of packets and pictures, and its timestamps: continuous, whatever source they come
//! from.

use std::time::{Duration, Instant};

use crate::codec::{Picture, Shift, Tier};
use crate::command::PeerId;
use crate::publisher::ticks;
use crate::relay::{Burst, MediaPacket, SourceClock, SourceId};
use crate::rtp::seq::SeqNo;
use crate::viewer::span::{Passed, Span, lower};
use crate::viewer::stamps::{Past, Stamps};

/// Sources remembered, so that what a viewer misses from before a switch can still be found.
const REMEMBERED: usize = 4;
/// The first sequence number is below half the range, so that a decoder never meets a wrap at once
/// (RFC 3711, section 3.3.1: losses around it could make the two ends disagree on the roll-over).
const FIRST_SEQ_RANGE: u64 = 0x7000;
/// From one source's last frame to the next one's first, at the least, where only arrival tells.
const MIN_STEP: Duration = Duration::from_millis(5);
/// Numbers of which is remembered whether they were given out, by 64: as many as the cache has packets.
const GIVEN_WORDS: usize = 24;
/// Two layers of one picture do not arrive further apart: clocks that say so are not believed.
const MAX_APART: Duration = Duration::from_millis(500);

/// The numbering of one track towards one viewer.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// The source that is shown; `None` before the first packet. In here and not behind a pointer: every
    /// packet needs it.
    current: Option<Span>,
    /// Those shown before, the latest last; with the current one at most [`REMEMBERED`].
    earlier: Vec<Span>,
    /// The highest sequence number given out.
    highest: SeqNo,
    /// The latest timestamp given out, and when its packet arrived, or what was live then; `None` before the first.
    latest: Option<(u32, Instant)>,
    /// Which of the last numbers were given out. A number that went twice would be a nonce used twice.
    given: Given,
    /// The tier that is to be shown of a source that has layers within.
    wanted: Tier,
    /// The picture of the highest number and how it was shifted; `None` before the first that has one.
    picture: Option<(Picture, Shift)>,
}

/// What a packet is to a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Its sequence number.
    pub(super) seq: SeqNo,
    /// Its timestamp.
    pub(super) timestamp: u32,
    /// Whether its picture ends with it.
    pub(super) marker: bool,
    /// Whether padding is to go in its place, for it came late and the viewer is not to have it.
    pub(super) is_blank: bool,
    /// What is added to the numbers of its picture.
    pub(super) shift: Shift,
    /// The tier whose decode targets its dependency descriptor is to name as active; `None` where it stays as it is.
    pub(super) active: Option<Tier>,
}

/// Where a number came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The source.
    pub(super) source: SourceId,
    /// Which layer of the picture it is.
    pub(super) layer: u8,
    /// The number there.
    pub(super) seq: SeqNo,
    /// Our number, extended.
    pub(super) sent_as: SeqNo,
}

impl Rewrite {
    /// Starts at roll-over 0, at a number that depends on the viewer.
    pub(super) fn new(peer: PeerId) -> Self {
        // Fibonacci hashing: any spread will do, the numbers are no secret.
        let spread = peer.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        Self {
            current: None,
            earlier: Vec::new(),
            highest: SeqNo(1 + spread % FIRST_SEQ_RANGE),
            latest: None,
            given: Given::default(),
            wanted: Tier::BEST,
            picture: None,
        }
    }

    /// Takes the tier that is to be shown from where that may begin.
    pub(super) fn want(&mut self, tier: Tier) {
        self.wanted = tier;
    }

    /// Returns the tier that is shown; `None` before the first packet.
    pub(super) fn tier(&self) -> Option<Tier> {
        self.current.as_ref().map(|span| span.tier)
    }

    /// Notes a packet that comes next; returns whether the viewer does not get it, nor a number for it.
    pub(super) fn leaves_out(&mut self, burst: &Burst, packet: &MediaPacket) -> bool {
        let (wanted, highest) = (self.wanted, self.highest);
        let span = self.current.as_mut();
        span.filter(|span| span.source == burst.source)
            .is_some_and(|span| span.leaves_out(packet, wanted, highest))
    }

    /// Returns the highest sequence number given out.
    pub(super) fn highest(&self) -> SeqNo {
        self.highest
    }

    /// Touches what the next packet needs.
    pub(super) fn look_ahead(&self) -> u64 {
        self.given.0[Given::place(self.highest.0)]
    }

    /// Returns the latest timestamp given out; 0 before the first.
    pub(super) fn latest_timestamp(&self) -> u32 {
        self.latest.map_or(0, |(latest, _)| latest)
    }

    /// Returns whether a packet of the current source comes behind all that were sent.
    pub(super) fn is_next(&self, burst: &Burst, packet: &MediaPacket) -> bool {
        let span = self.current.as_ref();
        span.filter(|span| span.source == burst.source)
            .is_some_and(|span| span.is_next(packet, self.highest))
    }

    /// Returns the source that is shown; `None` before the first packet.
    pub(super) fn source(&self) -> Option<SourceId> {
        self.current.as_ref().map(|span| span.source)
    }

    /// Returns the layer that is shown; `None` before the first packet.
    pub(super) fn layer(&self) -> Option<u8> {
        self.current.as_ref().map(|span| span.layer)
    }

    /// Returns what has to be added to the timestamps of another source of the same publisher, so that
    /// what was captured at one moment has one time; `None` when the clocks do not tell.
    pub(super) fn meeting(
        &self,
        shown: &SourceClock,
        next: &SourceClock,
        rate_hz: u32,
    ) -> Option<u32> {
        let span = self.current.as_ref();
        let span = span.filter(|span| span.source == shown.source)?;
        let apart = i128::from(next.ntp.wrapping_sub(shown.ntp).cast_signed());
        let apart = (apart * i128::from(rate_hz)) >> 32;
        let apart = u32::try_from(apart & 0xffff_ffff).ok()?;
        let same = lower(shown.timestamp).wrapping_add(span.time_offset);
        Some(same.wrapping_add(apart).wrapping_sub(lower(next.timestamp)))
    }

    /// Returns whether `packet` would go later than all that was sent.
    pub(super) fn follows(
        &self,
        burst: &Burst,
        packet: &MediaPacket,
        meeting: Option<u32>,
    ) -> bool {
        let shown = self.current.as_ref().and_then(Span::shown_from_past);
        shown.or(self.latest).is_none_or(|(latest, at)| {
            let meeting = meeting.map(|offset| lower(packet.timestamp).wrapping_add(offset));
            burst.arrived > at && meeting.is_none_or(|time| ahead(time, latest) > 0)
        })
    }

    /// Goes over to the source of `burst`, starting with `packet`. `meeting` is what
    /// [`Self::meeting`] says of the two sources, where it is known. `past` is where the source is by now if the
    /// packet is so old that it goes with that time.
    pub(super) fn switch(
        &mut self,
        burst: &Burst,
        packet: &MediaPacket,
        meeting: Option<u32>,
        past: Option<Past>,
    ) {
        let rate_hz = burst.format.codec.clock_rate_hz();
        let begin = past.map_or(packet.timestamp, |past| {
            past.time_for(packet.timestamp, rate_hz)
        });
        let shown = self.current.as_ref();
        let shown = shown.filter(|span| span.source == burst.source);
        let next = Span {
            source: burst.source,
            layer: burst.layer,
            first: packet.seq,
            sent_as: SeqNo(self.highest.0 + 1),
            time_offset: 0,
            begin,
            lead: 0,
            shift: self.next_shift(packet),
            tier: self.wanted,
            thinned: None,
            stamps: None,
        };
        let mut span = match shown {
            // The same source from another packet on: what is live keeps its times.
            Some(shown) => Span {
                first: next.first,
                sent_as: next.sent_as,
                shift: next.shift,
                tier: next.tier,
                thinned: None,
                stamps: None,
                ..*shown
            },
            None => {
                let live = past.map_or((packet.timestamp, burst.arrived), |past| past.newest);
                self.follow(next, (live, rate_hz), meeting)
            }
        };
        span.stamps = past.map(|past| {
            let time = self.later(span.timestamp(begin));
            Box::new(Stamps::new(past.now, (packet.timestamp, time)))
        });
        if let Some(before) = self.current.replace(span) {
            if self.earlier.len() + 1 == REMEMBERED {
                self.earlier.remove(0);
            }
            self.earlier.push(before);
        }
    }

    /// Returns a time, or the first one behind what was given out where that is later.
    fn later(&self, time: u32) -> u32 {
        let next = self.latest.map(|(latest, _)| latest.wrapping_add(1));
        next.filter(|next| ahead(*next, time) > 0).unwrap_or(time)
    }

    /// Lets the time of a source go on from what was sent before. `live` is a timestamp of it and when that came.
    fn follow(
        &self,
        next: Span,
        (live, rate_hz): ((u64, Instant), u32),
        meeting: Option<u32>,
    ) -> Span {
        let Some((latest, at)) = self.latest else {
            return next;
        };
        let gap = live.1.saturating_duration_since(at).max(MIN_STEP);
        let by_arrival = latest
            .wrapping_add(lower(ticks(gap, rate_hz)))
            .wrapping_sub(lower(live.0));
        let max_apart = ticks(MAX_APART, rate_hz);
        let believed = meeting
            .filter(|offset| u64::from(ahead(*offset, by_arrival).unsigned_abs()) <= max_apart);
        let time_offset = believed.unwrap_or(by_arrival);
        let begin = lower(next.begin).wrapping_add(time_offset);
        let lead = u32::try_from(ahead(latest, begin).saturating_add(1)).unwrap_or(0);
        Span {
            time_offset,
            lead,
            ..next
        }
    }

    fn next_shift(&self, packet: &MediaPacket) -> Shift {
        match (&self.picture, &packet.picture) {
            (Some((latest, shift)), Some(next)) => Shift::after(*shift, latest, next),
            (None, _) | (_, None) => Shift::default(),
        }
    }

    /// Numbers a packet of the current source; `None` for one from before its start here, and for one that was
    /// numbered before or left out. `past` is where the source is by now if the packet goes with that time.
    #[expect(
        clippy::inline_always,
        reason = "copied from call to call, a packet's numbers cost 20 ns more"
    )]
    #[inline(always)]
    pub(super) fn number(
        &mut self,
        burst: &Burst,
        packet: &MediaPacket,
        past: Option<Past>,
    ) -> Option<Numbers> {
        let span = self.current.as_mut();
        let span = span.filter(|span| span.source == burst.source)?;
        let passed = span.pass(packet)?;
        let (Passed::Whole(seq) | Passed::Blank(seq)) = passed;
        if !self.given.give(seq, self.highest) {
            return None;
        }
        if seq > self.highest {
            span.stamp(burst, packet, past);
        }
        let mut numbers = span.numbers(seq, packet)?;
        numbers.is_blank = passed == Passed::Blank(seq);
        if seq > self.highest {
            self.highest = seq;
            let at = past.map_or(burst.arrived, |past| past.at());
            self.latest = Some((numbers.timestamp, at));
            if let Some(picture) = packet.picture {
                self.picture = Some((picture, numbers.shift));
            }
        }
        Some(numbers)
    }

    /// Finds where a number came from.
    pub(super) fn origin(&self, wire: u16) -> Option<Origin> {
        let behind = u64::from(self.highest.wire().wrapping_sub(wire));
        let sent_as = SeqNo(self.highest.0.checked_sub(behind)?);
        let span = self.span_of(sent_as)?;
        Some(Origin {
            source: span.source,
            layer: span.layer,
            seq: span.source_of(sent_as)?,
            sent_as,
        })
    }

    /// Returns what the packet of this number was sent with: a number never goes with anything else,
    /// since all of it is sealed with the number.
    pub(super) fn numbers_of(&self, sent_as: SeqNo, packet: &MediaPacket) -> Option<Numbers> {
        self.span_of(sent_as)?.numbers(sent_as, packet)
    }

    /// Forgets what nobody asks for any more.
    pub(super) fn forget_old(&mut self, now: Instant) {
        for span in self.current.iter_mut().chain(&mut self.earlier) {
            span.forget_old(now);
        }
    }

    /// Returns whether the dependency descriptor of a packet of the current source may have to say what is left out.
    pub(super) fn tells_active(&self, packet: &MediaPacket) -> bool {
        let span = self.current.as_ref();
        span.is_some_and(|span| span.tells_active(packet, self.wanted))
    }

    /// Returns whether something of the source that has a number was left out: the packet cannot be made again to
    /// the byte.
    pub(super) fn is_thinned(&self, sent_as: SeqNo) -> bool {
        let span = self.span_of(sent_as);
        span.is_some_and(|span| span.thinned.is_some())
    }

    /// Returns the viewer's time for one of `source`, if that is or was shown: where its packets are
    /// once they have lost their lead.
    pub(super) fn timestamp(&self, source: SourceId, timestamp: u64) -> Option<u32> {
        let span = self.spans().find(|span| span.source == source)?;
        Some(lower(timestamp).wrapping_add(span.time_offset))
    }

    fn span_of(&self, sent_as: SeqNo) -> Option<&Span> {
        self.spans().find(|span| span.sent_as <= sent_as)
    }

    /// Returns the sources shown, the current one first.
    fn spans(&self) -> impl Iterator<Item = &Span> {
        self.current.iter().chain(self.earlier.iter().rev())
    }
}

/// The last numbers given out, a bit each.
#[derive(Debug, Default)]
struct Given([u64; GIVEN_WORDS]);

impl Given {
    /// Gives a number out; `false` when it was before, or is too old to tell.
    fn give(&mut self, seq: SeqNo, highest: SeqNo) -> bool {
        if seq > highest {
            for between in (highest.0 + 1..seq.0).rev().take(GIVEN_WORDS * 64) {
                *self.word(between) &= !(1 << (between % 64));
            }
            *self.word(seq.0) |= 1 << (seq.0 % 64);
            return true;
        }
        if (highest.0 - seq.0) / 64 >= GIVEN_WORDS as u64 {
            return false;
        }
        let (bit, word) = (1 << (seq.0 % 64), self.word(seq.0));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn place(seq: u64) -> usize {
        (seq / 64 % GIVEN_WORDS as u64) as usize
    }

    fn word(&mut self, seq: u64) -> &mut u64 {
        &mut self.0[Self::place(seq)]
    }
}

/// Returns how far one timestamp is ahead of another.
pub(super) fn ahead(time: u32, other: u32) -> i32 {
    time.wrapping_sub(other).cast_signed()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;
    use crate::command::{Codec, Format, RoomKey};

    fn burst(number: u32, arrived: Instant) -> Burst {
        Burst {
            room: RoomKey(1),
            source: SourceId {
                peer: PeerId(1),
                number,
            },
            layer: 0,
            format: Format {
                codec: Codec::Vp8,
                profile: 0,
                packetization_mode: 0,
            },
            arrived,
            packets: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn packet(seq: u64, timestamp: u64) -> MediaPacket {
        MediaPacket {
            seq: SeqNo(seq),
            timestamp,
            marker: false,
            keyframe: true,
            is_late: false,
            picture: None,
            scale: None,
            padding: 0,
            payload: 0..0,
            redundancy: 0,
            descriptor: None,
            captured_len: 0,
        }
    }

    #[test]
    fn numbers_stay_continuous_and_time_advances_by_the_real_gap_over_a_switch() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let first = burst(0, start);
        rewrite.switch(&first, &packet(70_000, 1_000), None, None);
        let Numbers {
            seq,
            timestamp: time,
            ..
        } = rewrite
            .number(&first, &packet(70_000, 1_000), None)
            .unwrap();
        let last = rewrite
            .number(&first, &packet(70_004, 1_000), None)
            .unwrap()
            .seq;
        assert_eq!(last.0, seq.0 + 4);

        let second = burst(1, start + Duration::from_secs(2));
        rewrite.switch(&second, &packet(90_000, 5), None, None);
        let Numbers {
            seq: next,
            timestamp: later,
            ..
        } = rewrite.number(&second, &packet(90_000, 5), None).unwrap();

        assert_eq!(next.0, last.0 + 1);
        assert_eq!(later.wrapping_sub(time), 180_000);
        assert_eq!(
            rewrite.number(&first, &packet(70_005, 1_000), None),
            None,
            "the old source is over"
        );
    }

    #[test]
    fn a_packet_from_before_the_keyframe_is_not_sent() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let source = burst(0, start);
        rewrite.switch(&source, &packet(70_000, 0), None, None);
        assert_eq!(rewrite.number(&source, &packet(69_999, 0), None), None);
    }

    #[test]
    fn the_origin_of_a_number_is_found_on_both_sides_of_a_switch() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let first = burst(0, start);
        rewrite.switch(&first, &packet(70_000, 0), None, None);
        let before = rewrite
            .number(&first, &packet(70_003, 0), None)
            .unwrap()
            .seq;
        let second = burst(1, start);
        rewrite.switch(&second, &packet(10, 0), None, None);
        let after = rewrite.number(&second, &packet(11, 0), None).unwrap().seq;

        assert_eq!(
            rewrite.origin(before.wire()),
            Some(Origin {
                source: first.source,
                layer: 0,
                seq: SeqNo(70_003),
                sent_as: before
            })
        );
        assert_eq!(
            rewrite.origin(after.wire()),
            Some(Origin {
                source: second.source,
                layer: 0,
                seq: SeqNo(11),
                sent_as: after
            })
        );
        assert_eq!(
            rewrite.origin(after.wire().wrapping_add(1)),
            None,
            "never sent"
        );
    }

    #[test]
    fn a_number_keeps_its_timestamp_when_its_source_comes_back_at_another_time() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let first = burst(0, start);
        rewrite.switch(&first, &packet(70_000, 1_000), None, None);
        let Numbers {
            seq,
            timestamp: time,
            ..
        } = rewrite
            .number(&first, &packet(70_000, 1_000), None)
            .unwrap();
        let second = burst(1, start + Duration::from_secs(1));
        rewrite.switch(&second, &packet(10, 77), None, None);
        rewrite.number(&second, &packet(10, 77), None).unwrap();
        let back = burst(0, start + Duration::from_secs(2));
        rewrite.switch(&back, &packet(70_001, 2_000), None, None);
        rewrite.number(&back, &packet(70_001, 2_000), None).unwrap();

        let again = rewrite.numbers_of(seq, &packet(70_000, 1_000)).unwrap();
        assert_eq!((again.seq, again.timestamp), (seq, time));
    }

    #[test]
    fn the_numbers_of_pictures_have_no_gap_where_a_source_is_begun_anew_further_on() {
        let mut rewrite = Rewrite::new(PeerId(7));
        let source = burst(0, Instant::now());
        let mut begin = |seq, id| {
            let packet = MediaPacket {
                picture: Some(Picture::frame(id)),
                ..packet(seq, u64::from(id) * 3000)
            };
            rewrite.switch(&source, &packet, None, None);
            rewrite.number(&source, &packet, None).unwrap().shift
        };
        let shift = begin(70_000, 5);
        let behind = begin(70_040, 10);
        assert_eq!(behind.and(4), shift, "6 to 9 went to nobody");
    }

    #[test]
    fn every_viewer_starts_at_roll_over_zero_far_from_a_wrap() {
        for peer in 0..10_000 {
            let rewrite = Rewrite::new(PeerId(peer));
            assert!((1..0x8000).contains(&rewrite.highest.0));
        }
    }

    fn clock(number: u32, ntp_ms: u64, timestamp: u64, received: Instant) -> SourceClock {
        SourceClock {
            source: burst(number, received).source,
            kind: crate::command::Kind::Video,
            layer: 0,
            ntp: (9 << 32) + (ntp_ms << 32) / 1000,
            to_server: 0,
            timestamp,
            received,
        }
    }

    #[test]
    fn no_number_is_given_out_twice() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let burst = burst(0, start);
        let first = packet(70_000, 90_000);
        rewrite.switch(&burst, &first, None, None);
        let order = [0, 3, 1, 1, 3, 2000, 1500, 1500, 1, 1999, 2063, 2000, 1040];
        let given = order.map(|step| {
            let packet = packet(70_000 + step, 90_000);
            rewrite.number(&burst, &packet, None).is_some()
        });
        assert_eq!(
            given,
            [
                true, true, true, false, false, true, true, false, false, true, true, false, true
            ]
        );
    }

    #[test]
    fn what_was_captured_at_one_moment_has_one_time_on_both_layers() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let first = burst(0, start);
        rewrite.switch(&first, &packet(70_000, 90_000), None, None);
        let shown = rewrite
            .number(&first, &packet(70_000, 90_000), None)
            .unwrap();
        // The second source's 450 000 is the first one's 90 000, and it arrives 20 ms later.
        let (one, other) = (
            clock(0, 500, 135_000, start),
            clock(1, 1_000, 540_000, start),
        );
        let meeting = rewrite.meeting(&one, &other, 90_000);
        let second = burst(1, start + Duration::from_millis(53));
        rewrite.switch(&second, &packet(10, 453_000), meeting, None);
        let next = rewrite.number(&second, &packet(10, 453_000), None).unwrap();
        assert_eq!(next.timestamp.wrapping_sub(shown.timestamp), 3_000);
        // And back.
        let meeting = rewrite.meeting(&other, &one, 90_000);
        let back = burst(0, start + Duration::from_millis(66));
        rewrite.switch(&back, &packet(70_010, 96_000), meeting, None);
        let last = rewrite
            .number(&back, &packet(70_010, 96_000), None)
            .unwrap();
        assert_eq!(last.timestamp.wrapping_sub(shown.timestamp), 6_000);
    }

    #[test]
    fn a_layer_that_is_behind_loses_its_lead_without_going_back() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let first = burst(0, start);
        rewrite.switch(&first, &packet(70_000, 90_000), None, None);
        let shown = rewrite
            .number(&first, &packet(70_000, 90_000), None)
            .unwrap();
        // The other layer's keyframe is 100 ms older than what was shown.
        let second = burst(1, start + Duration::from_millis(1));
        rewrite.switch(&second, &packet(10, 81_000), Some(0), None);
        let mut latest = shown.timestamp;
        for frame in 0..20 {
            let packet = packet(10 + frame, 81_000 + frame * 3_000);
            let numbers = rewrite.number(&second, &packet, None).unwrap();
            assert!(ahead(numbers.timestamp, latest) > 0, "frame {frame}");
            assert_eq!(rewrite.numbers_of(numbers.seq, &packet), Some(numbers));
            latest = numbers.timestamp;
        }
        assert_eq!(latest, 81_000 + 19 * 3_000, "right again");
    }

    #[test]
    fn clocks_that_disagree_with_arrival_are_not_believed() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let first = burst(0, start);
        rewrite.switch(&first, &packet(70_000, 90_000), None, None);
        rewrite
            .number(&first, &packet(70_000, 90_000), None)
            .unwrap();
        for meeting in [1_000_000, 0x8000_0000, u32::MAX / 4 * 3] {
            let second = burst(1, start + Duration::from_millis(10));
            rewrite.switch(&second, &packet(10, 90_000), Some(meeting), None);
            let next = rewrite.number(&second, &packet(10, 90_000), None).unwrap();
            assert_eq!(next.timestamp, 90_900);
            rewrite.current = rewrite.earlier.pop();
            rewrite.latest = Some((90_000, start));
        }
    }
}
