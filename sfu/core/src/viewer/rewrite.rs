//! A viewer's own sequence numbers and timestamps: continuous, whatever source they come from.

use std::time::{Duration, Instant};

use crate::command::PeerId;
use crate::publisher::ticks;
use crate::relay::{Burst, MediaPacket, SourceId};
use crate::rtp::seq::SeqNo;

/// Sources remembered, so that what a viewer misses from before a switch can still be found.
const REMEMBERED: usize = 4;
/// The first sequence number is below half the range, so that a decoder never meets a wrap at once
/// (RFC 3711, section 3.3.1: losses around it could make the two ends disagree on the roll-over).
const FIRST_SEQ_RANGE: u64 = 0x7000;
/// From one source's last frame to the next one's first, at the least.
const MIN_STEP: Duration = Duration::from_millis(5);

/// The numbering of one track towards one viewer.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// The sources shown, the current one last; empty before the first packet.
    spans: Vec<Span>,
    /// The highest sequence number given out.
    highest: SeqNo,
    /// The latest timestamp given out, and when its packet arrived; `None` before the first.
    latest: Option<(u32, Instant)>,
}

/// The packets of one source.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The source.
    source: SourceId,
    /// Its first packet here, in its own numbers.
    first: SeqNo,
    /// The same packet in the viewer's numbers.
    sent_as: SeqNo,
    /// What is added to its timestamps, modulo 2^32.
    time_offset: u32,
}

impl Rewrite {
    /// Starts at roll-over 0, at a number that depends on the viewer.
    pub(super) fn new(peer: PeerId) -> Self {
        // Fibonacci hashing: any spread will do, the numbers are no secret.
        let spread = peer.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        Self {
            spans: Vec::new(),
            highest: SeqNo(1 + spread % FIRST_SEQ_RANGE),
            latest: None,
        }
    }

    /// Returns the source that is shown; `None` before the first packet.
    pub(super) fn source(&self) -> Option<SourceId> {
        self.spans.last().map(|span| span.source)
    }

    /// Goes over to the source of `burst`, starting with `packet`.
    pub(super) fn switch(&mut self, burst: &Burst, packet: &MediaPacket) {
        let shown = self.spans.last().filter(|span| span.source == burst.source);
        let after_latest = self.latest.map_or(0, |(latest, at)| {
            let gap = burst.arrived.saturating_duration_since(at).max(MIN_STEP);
            let step = ticks(gap, burst.format.codec.clock_rate_hz());
            latest
                .wrapping_add(lower(step))
                .wrapping_sub(lower(packet.timestamp))
        });
        // The same source from another packet on: shown again, at the same times.
        let time_offset = shown.map_or(after_latest, |span| span.time_offset);
        if self.spans.len() == REMEMBERED {
            self.spans.remove(0);
        }
        self.spans.push(Span {
            source: burst.source,
            first: packet.seq,
            sent_as: SeqNo(self.highest.0 + 1),
            time_offset,
        });
    }

    /// Numbers a packet of the current source; `None` for one from before its start here.
    pub(super) fn number(&mut self, burst: &Burst, packet: &MediaPacket) -> Option<(SeqNo, u32)> {
        let span = self
            .spans
            .last()
            .filter(|span| span.source == burst.source)?;
        let seq = SeqNo(span.sent_as.0 + packet.seq.0.checked_sub(span.first.0)?);
        let timestamp = span.timestamp(packet.timestamp);
        if seq > self.highest {
            self.highest = seq;
            self.latest = Some((timestamp, burst.arrived));
        }
        Some((seq, timestamp))
    }

    /// Finds where a number came from: the source, its number there, and ours extended.
    pub(super) fn origin(&self, wire: u16) -> Option<(SourceId, SeqNo, SeqNo)> {
        let behind = u64::from(self.highest.wire().wrapping_sub(wire));
        let sent_as = SeqNo(self.highest.0.checked_sub(behind)?);
        let span = self.span_of(sent_as)?;
        let seq = SeqNo(span.first.0 + (sent_as.0 - span.sent_as.0));
        Some((span.source, seq, sent_as))
    }

    /// Returns the timestamp that the packet of this number had: a number never goes with another,
    /// since the header is sealed with it.
    pub(super) fn timestamp_of(&self, sent_as: SeqNo, timestamp: u64) -> Option<u32> {
        Some(self.span_of(sent_as)?.timestamp(timestamp))
    }

    /// Returns the viewer's timestamp for one of `source`, if that is or was shown.
    pub(super) fn timestamp(&self, source: SourceId, timestamp: u64) -> Option<u32> {
        let span = self.spans.iter().rev().find(|span| span.source == source)?;
        Some(span.timestamp(timestamp))
    }

    fn span_of(&self, sent_as: SeqNo) -> Option<&Span> {
        let mut spans = self.spans.iter().rev();
        spans.find(|span| span.sent_as <= sent_as)
    }
}

impl Span {
    fn timestamp(&self, timestamp: u64) -> u32 {
        lower(timestamp).wrapping_add(self.time_offset)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the wire carries the lower 32 bits"
)]
fn lower(timestamp: u64) -> u32 {
    timestamp as u32
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
            payload: 0..0,
        }
    }

    #[test]
    fn numbers_stay_continuous_and_time_advances_by_the_real_gap_over_a_switch() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let first = burst(0, start);
        rewrite.switch(&first, &packet(70_000, 1_000));
        let (seq, time) = rewrite.number(&first, &packet(70_000, 1_000)).unwrap();
        let (last, _) = rewrite.number(&first, &packet(70_004, 1_000)).unwrap();
        assert_eq!(last.0, seq.0 + 4);

        let second = burst(1, start + Duration::from_secs(2));
        rewrite.switch(&second, &packet(90_000, 5));
        let (next, later) = rewrite.number(&second, &packet(90_000, 5)).unwrap();

        assert_eq!(next.0, last.0 + 1);
        assert_eq!(later.wrapping_sub(time), 180_000);
        assert_eq!(
            rewrite.number(&first, &packet(70_005, 1_000)),
            None,
            "the old source is over"
        );
    }

    #[test]
    fn a_packet_from_before_the_keyframe_is_not_sent() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let source = burst(0, start);
        rewrite.switch(&source, &packet(70_000, 0));
        assert_eq!(rewrite.number(&source, &packet(69_999, 0)), None);
    }

    #[test]
    fn the_origin_of_a_number_is_found_on_both_sides_of_a_switch() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(PeerId(7));
        let first = burst(0, start);
        rewrite.switch(&first, &packet(70_000, 0));
        let (before, _) = rewrite.number(&first, &packet(70_003, 0)).unwrap();
        let second = burst(1, start);
        rewrite.switch(&second, &packet(10, 0));
        let (after, _) = rewrite.number(&second, &packet(11, 0)).unwrap();

        assert_eq!(
            rewrite.origin(before.wire()),
            Some((first.source, SeqNo(70_003), before))
        );
        assert_eq!(
            rewrite.origin(after.wire()),
            Some((second.source, SeqNo(11), after))
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
        rewrite.switch(&first, &packet(70_000, 1_000));
        let (seq, time) = rewrite.number(&first, &packet(70_000, 1_000)).unwrap();
        let second = burst(1, start + Duration::from_secs(1));
        rewrite.switch(&second, &packet(10, 77));
        rewrite.number(&second, &packet(10, 77)).unwrap();
        let back = burst(0, start + Duration::from_secs(2));
        rewrite.switch(&back, &packet(70_001, 2_000));
        rewrite.number(&back, &packet(70_001, 2_000)).unwrap();

        assert_eq!(rewrite.timestamp_of(seq, 1_000), Some(time));
    }

    #[test]
    fn every_viewer_starts_at_roll_over_zero_far_from_a_wrap() {
        for peer in 0..10_000 {
            let rewrite = Rewrite::new(PeerId(peer));
            assert!((1..0x8000).contains(&rewrite.highest.0));
        }
    }
}
