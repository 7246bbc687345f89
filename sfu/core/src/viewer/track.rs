//! One m-line towards one viewer.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use crate::codec::{Shift, Tier};
use crate::command::{Format, Kind, PayloadFormat, PeerId, PlayoutDelay, SendTrack};
use crate::publisher::{middle, ntp_units, ticks};
use crate::relay::{Burst, MediaPacket, SourceClock, SourceId};
use crate::room::Room;
use crate::rtp::ext;
use crate::rtp::packet::{OutgoingHeader, TransportSequence};
use crate::rtp::rtcp::{self, ReceptionReport, SenderInfo};
use crate::rtp::seq::SeqNo;
use crate::viewer::Again;
use crate::viewer::playout::Playout;
use crate::viewer::reception::Acknowledged;
use crate::viewer::resend::Resend;
use crate::viewer::rewrite::{Numbers, Origin, Rewrite};
use crate::viewer::sendable::{DelayElement, Sendable, number_id};
use crate::viewer::stamps::Past;

/// The state of one sending m-line.
#[derive(Debug)]
pub(super) struct Track {
    /// What was negotiated; set once.
    negotiated: SendTrack,
    /// Identifier of the transport-wide number; `None` where that was not negotiated.
    number_id: Option<u8>,
    /// Identifier of the time of capture; `None` where that was not negotiated.
    captured_id: Option<NonZeroU8>,
    /// What it is still to be told of how long pictures wait.
    playout: Playout,
    /// Its numbering.
    rewrite: Rewrite,
    /// What was sent again.
    resend: Resend,
    /// The payload type in use; `None` until a source is shown.
    format: Option<PayloadFormat>,
    /// The timestamp of the frame with which the source that is shown began here; `None` before the first.
    opening: Option<u64>,
    /// Packets and payload bytes sent, modulo 2^32, for sender reports.
    sent_packets: u32,
    sent_bytes: u32,
    /// Middle of the NTP time in the last sender report, and when it left.
    last_report: Option<(u32, Instant)>,
    /// What of it has come.
    acknowledged: Acknowledged,
    /// Number of the last full intra request; `None` before the first.
    commanded: Option<u8>,
}

impl Track {
    pub(super) fn new(peer: PeerId, negotiated: SendTrack) -> Self {
        let rewrite = Rewrite::new(peer);
        Self {
            number_id: number_id(&negotiated),
            captured_id: negotiated.extensions.capture_time.and_then(NonZeroU8::new),
            playout: Playout::new(&negotiated),
            negotiated,
            acknowledged: Acknowledged::new(rewrite.highest()),
            rewrite,
            resend: Resend::new(SeqNo(0)),
            format: None,
            opening: None,
            sent_packets: 0,
            sent_bytes: 0,
            last_report: None,
            commanded: None,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.negotiated.kind
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.negotiated.ssrc.media
    }

    pub(super) fn plays(&self, format: &Format) -> bool {
        self.payload_format(format).is_some()
    }

    /// Returns the source that is shown; `None` before the first packet.
    pub(super) fn source(&self) -> Option<SourceId> {
        self.rewrite.source()
    }

    /// Returns the layer that is shown; `None` before the first packet.
    pub(super) fn layer(&self) -> Option<u8> {
        self.rewrite.layer()
    }

    /// Touches what the next packet needs.
    pub(super) fn look_ahead(&self) -> u64 {
        self.rewrite.look_ahead()
    }

    /// Returns whether the dependency descriptor of a packet may have to say what is left out.
    pub(super) fn tells_active(&self, packet: &MediaPacket) -> bool {
        self.negotiated.extensions.descriptor.is_some() && self.rewrite.tells_active(packet)
    }

    /// Returns how much header extensions and redundancy add to a packet, in bytes.
    pub(super) fn added_len(&self, packet: &MediaPacket) -> usize {
        self.extension_len(packet) + self.redundancy_len(packet)
    }

    /// Returns whether it takes redundant sound as that.
    pub(super) fn takes_redundancy(&self) -> bool {
        self.red_payload_type().is_some()
    }

    fn redundancy_len(&self, packet: &MediaPacket) -> usize {
        let redundancy = usize::from(packet.redundancy);
        if redundancy > 0 && self.takes_redundancy() {
            redundancy
        } else {
            0
        }
    }

    /// Returns how much the header extensions add to a packet, in bytes.
    fn extension_len(&self, packet: &MediaPacket) -> usize {
        let descriptor = packet.descriptor.as_ref();
        let descriptor = self.negotiated.extensions.descriptor.zip(descriptor);
        let delay = self.playout.element();
        let captured = self.captured(packet);
        if descriptor.is_none() && delay.is_none() && captured.is_none() {
            return self.number_id.map_or(0, |_| TransportSequence::LEN);
        }
        let number = self.number_id.map(|id| (id, 2));
        let delay = delay.map(|delay| (delay.parts().0, DelayElement::LEN));
        let captured = captured.map(|id| (id.get(), usize::from(packet.captured_len)));
        let descriptor = descriptor.map(|(id, it)| (id, usize::from(it.len)));
        let others = captured.into_iter().chain(descriptor);
        ext::block_len(number.into_iter().chain(delay).chain(others))
    }

    /// Takes how long its pictures are to wait at the viewer.
    pub(super) fn set_playout_delay(&mut self, delay: PlayoutDelay) {
        self.playout.set(delay);
    }

    /// Takes the tier that is to be shown of a source with layers within.
    pub(super) fn want(&mut self, tier: Tier) {
        self.rewrite.want(tier);
    }

    /// Returns the tier that is shown; `None` before the first packet.
    pub(super) fn tier(&self) -> Option<Tier> {
        self.rewrite.tier()
    }

    /// Returns the spatial layer that is shown; `None` before the first packet.
    pub(super) fn spatial(&self) -> Option<u8> {
        self.rewrite.tier().map(Tier::spatial)
    }

    /// Notes a packet that comes next; returns whether it is of layers that are not shown.
    pub(super) fn leaves_out(&mut self, burst: &Burst, packet: &MediaPacket) -> bool {
        packet.scale.is_some() && self.rewrite.leaves_out(burst, packet)
    }

    /// Returns whether a packet of the source that is shown comes behind all that were sent.
    pub(super) fn is_next(&self, burst: &Burst, packet: &MediaPacket) -> bool {
        self.rewrite.is_next(burst, packet)
    }

    /// Prepares a packet of the source that is shown. `number` is its transport-wide number, `past` where the source
    /// is by now if it goes with that time, `begins` whether the viewer goes over to the source with it.
    #[expect(
        clippy::inline_always,
        reason = "copied from call to call, a packet's numbers cost 20 ns more"
    )]
    #[inline(always)]
    pub(super) fn prepare(
        &mut self,
        (burst, packet): (&Burst, &MediaPacket),
        (number, past): (u16, Option<Past>),
        begins: bool,
    ) -> Option<Sendable> {
        let first = self.sent_packets == 0;
        let format = self.format?;
        let numbers = self.rewrite.number(burst, packet, past)?;
        let bytes = packet.payload.len() + self.redundancy_len(packet);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sent_packets = self.sent_packets.wrapping_add(1);
        self.sent_bytes = self.sent_bytes.wrapping_add(bytes);
        if self.opening == Some(packet.timestamp) {
            self.resend.earn_whole(bytes);
        } else {
            self.resend.earn(bytes);
        }
        let delay = self.playout.element();
        if delay.is_some() {
            self.playout.note_sent(numbers.marker);
        }
        Some(Sendable {
            first,
            begins,
            delay,
            transport_sequence: self.transport_sequence(number),
            ..self.sendable(packet, self.payload_types(packet, &format), numbers)
        })
    }

    /// Goes over to the source of `burst` at `packet`; `None` when a decoder cannot start there, or not play it.
    pub(super) fn begin(
        &mut self,
        room: &Room,
        burst: &Burst,
        packet: &MediaPacket,
        past: Option<Past>,
    ) -> Option<()> {
        let format = self.payload_format(&burst.format)?;
        if !packet.keyframe {
            return None;
        }
        let meeting = self.meeting(room, burst);
        (self.format, self.opening) = (Some(format), Some(packet.timestamp));
        self.rewrite.switch(burst, packet, meeting, past);
        Some(())
    }

    /// Sends nothing again of what was sent until now: it is over.
    pub(super) fn forsake(&mut self) {
        self.resend.forsake(SeqNo(self.rewrite.highest().0 + 1));
    }

    /// Forgets what nobody asks for any more.
    pub(super) fn forget_old(&mut self, now: Instant) {
        self.rewrite.forget_old(now);
    }

    /// Returns whether it can go over to a packet in the cache and time goes on, as it does for another publisher
    /// whenever that began.
    pub(super) fn follows(&self, room: &Room, burst: &Burst, packet: &MediaPacket) -> bool {
        let meeting = self.meeting(room, burst);
        let is_another = |shown: SourceId| shown.peer != burst.source.peer;
        let follows =
            self.source().is_some_and(is_another) || self.rewrite.follows(burst, packet, meeting);
        follows && self.plays(&burst.format)
    }

    /// Finds how the times of the source that is shown and of another layer meet, if both have told.
    fn meeting(&self, room: &Room, burst: &Burst) -> Option<u32> {
        let shown = room.clock(self.source()?)?;
        let next = room.clock(burst.source)?;
        let rate_hz = burst.format.codec.clock_rate_hz();
        let is_same = shown.source.peer == next.source.peer
            && self.format?.format.codec.clock_rate_hz() == rate_hz;
        self.rewrite
            .meeting(shown, next, rate_hz)
            .filter(|_| is_same)
    }

    /// Returns whether nothing was sent.
    pub(super) fn waits(&self) -> bool {
        self.rewrite.source().is_none()
    }

    /// Prepares a packet to go again: on the stream of retransmissions where there is one, else
    /// exactly as it went before.
    pub(super) fn prepare_again(
        &mut self,
        now: Instant,
        round_trip: Duration,
        (again, number): (&Again, u16),
        (burst, packet): (&Burst, &MediaPacket),
    ) -> Option<Sendable> {
        let format = self
            .payload_format(&burst.format)
            .filter(|format| format.feedback.nack)?;
        let numbers = self.rewrite.numbers_of(again.sent_as, packet)?;
        let bytes = u32::try_from(packet.payload.len()).unwrap_or(u32::MAX);
        if !self.resend.allow(now, round_trip, again.sent_as, bytes) {
            return None;
        }
        if self.repair_stream(&format).is_none() {
            if self.rewrite.is_thinned(again.sent_as) {
                return None;
            }
            let payload_types = self.payload_types(packet, &format);
            return Some(self.sendable(packet, payload_types, numbers));
        }
        self.repetition(packet, (&format, again, number))
    }

    /// Prepares a packet to go once more, to see whether the path carries it; `None` where there is no stream for it.
    pub(super) fn prepare_probe(
        &mut self,
        (again, number): (&Again, u16),
        (burst, packet): (&Burst, &MediaPacket),
    ) -> Option<Sendable> {
        let format = self.payload_format(&burst.format)?;
        self.repetition(packet, (&format, again, number))
    }

    /// Prepares a packet of nothing but padding on the stream of retransmissions; `None` where there is none.
    pub(super) fn prepare_padding(&mut self, number: u16) -> Option<Sendable> {
        let first = || self.negotiated.formats.first().copied();
        let format = self.format.or_else(first)?;
        let (ssrc, payload_type) = self.repair_stream(&format)?;
        let seq = self.resend.next();
        Some(Sendable {
            header: OutgoingHeader {
                marker: false,
                payload_type,
                sequence_number: seq.wire(),
                timestamp: self.rewrite.latest_timestamp(),
                ssrc,
            },
            roll_over: seq.roll_over(),
            transport_sequence: self.transport_sequence(number),
            descriptor: None,
            delay: None,
            captured: None,
            original: None,
            block_type: None,
            shift: Shift::default(),
            padding: u8::MAX,
            is_blank: false,
            first: false,
            begins: false,
        })
    }

    /// Returns what stands for one of the last packets sent: `back` from the very last.
    pub(super) fn recent(&self, back: u16) -> Option<Again> {
        self.origin(self.rewrite.highest().wire().wrapping_sub(back))
    }

    fn repetition(
        &mut self,
        packet: &MediaPacket,
        (format, again, number): (&PayloadFormat, &Again, u16),
    ) -> Option<Sendable> {
        let (ssrc, payload_type) = self.repair_stream(format)?;
        let numbers = self.rewrite.numbers_of(again.sent_as, packet)?;
        let seq = self.resend.next();
        let numbers = Numbers { seq, ..numbers };
        // What repairs a payload type repeats that, and never redundancy (RFC 4588, section 8.6).
        let sendable = self.sendable(packet, (payload_type, None), numbers);
        Some(Sendable {
            header: OutgoingHeader {
                ssrc,
                ..sendable.header
            },
            transport_sequence: self.transport_sequence(number),
            original: Some(again.sent_as.wire()),
            padding: 0,
            ..sendable
        })
    }

    /// Returns SSRC and payload type of retransmissions, where they were negotiated.
    fn repair_stream(&self, format: &PayloadFormat) -> Option<(u32, u8)> {
        self.negotiated.ssrc.rtx.zip(format.rtx_payload_type)
    }

    /// Returns how a packet's dependency descriptor goes, where it has one and the viewer takes it.
    fn descriptor(&self, packet: &MediaPacket, tier: Option<Tier>) -> Option<(u8, Option<u32>)> {
        let id = self.negotiated.extensions.descriptor?;
        let descriptor = packet.descriptor.as_ref()?;
        let active = tier.map(|tier| descriptor.structure.active(tier));
        Some((id, active))
    }

    /// Returns under which identifier a packet says when it was captured, where it does and the viewer takes it.
    fn captured(&self, packet: &MediaPacket) -> Option<NonZeroU8> {
        self.captured_id.filter(|_| packet.captured_len > 0)
    }

    fn transport_sequence(&self, number: u16) -> Option<TransportSequence> {
        self.number_id.map(|id| TransportSequence { id, number })
    }

    /// Finds what the viewer means by one of its sequence numbers.
    pub(super) fn origin(&self, wire: u16) -> Option<Again> {
        let Origin {
            source,
            layer,
            seq,
            sent_as,
        } = self.rewrite.origin(wire)?;
        Some(Again {
            kind: self.kind(),
            source,
            layer,
            seq,
            sent_as,
        })
    }

    /// Appends a sender report and the canonical name, once the source's clock is known: with the
    /// publisher's wall clock, moved to the server's, so that sound and picture stay together and players can tell
    /// how old they are.
    pub(super) fn write_report(&mut self, now: Instant, clock: &SourceClock, out: &mut Vec<u8>) {
        if self.rewrite.source() != Some(clock.source) {
            return;
        }
        let elapsed = now.saturating_duration_since(clock.received);
        let clock_rate_hz = self
            .format
            .map_or(0, |format| format.format.codec.clock_rate_hz());
        let timestamp = clock.timestamp + ticks(elapsed, clock_rate_hz);
        let Some(rtp_timestamp) = self.rewrite.timestamp(clock.source, timestamp) else {
            return;
        };
        let ntp = clock.ntp.wrapping_add(clock.to_server);
        let ntp = ntp.wrapping_add(ntp_units(elapsed));
        let info = SenderInfo {
            ssrc: self.ssrc(),
            ntp,
            rtp_timestamp,
        };
        rtcp::write_sender_report(out, &info, self.sent_packets, self.sent_bytes);
        rtcp::write_source_description(out, self.ssrc(), &self.negotiated.cname);
        self.last_report = Some((middle(ntp), now));
    }

    /// Measures the round trip from a report about this stream (RFC 3550, section 6.4.1).
    pub(super) fn round_trip(&self, now: Instant, report: &ReceptionReport) -> Option<Duration> {
        let (ntp, at) = self.last_report?;
        if report.ssrc != self.ssrc() || report.last_sender_report != ntp {
            return None;
        }
        let held = Duration::from_secs(u64::from(report.delay_since_last)) / 65_536;
        now.saturating_duration_since(at).checked_sub(held)
    }

    /// Takes note of a report; returns whether it acknowledges packets that none before it did.
    pub(super) fn acknowledges(&mut self, report: &ReceptionReport) -> bool {
        let sent = self.rewrite.highest();
        report.ssrc == self.ssrc() && self.acknowledged.take(sent, report.highest_sequence)
    }

    /// Takes a full intra request; returns whether it is another than the last one, which is repeated until a keyframe
    /// has come (RFC 5104, section 4.3.1.1).
    pub(super) fn is_commanded(&mut self, number: u8) -> bool {
        self.commanded.replace(number) != Some(number)
    }

    /// Returns under which payload type it takes redundant sound. It takes no other sound than Opus, so that the first
    /// format is the one in use.
    fn red_payload_type(&self) -> Option<u8> {
        self.negotiated.formats.first()?.red_payload_type
    }

    /// Returns under which payload type a packet goes, and its blocks where it goes as redundant sound.
    fn payload_types(&self, packet: &MediaPacket, format: &PayloadFormat) -> (u8, Option<u8>) {
        let (own, redundancy) = (format.payload_type, packet.redundancy);
        let red = (redundancy > 0).then(|| self.red_payload_type()).flatten();
        red.map_or((own, None), |red| (red, Some(own)))
    }

    fn payload_format(&self, sent: &Format) -> Option<PayloadFormat> {
        let formats = &self.negotiated.formats;
        let exact = formats.iter().find(|format| format.format == *sent);
        exact
            .or_else(|| formats.iter().find(|format| format.format.plays(sent)))
            .copied()
    }

    #[expect(
        clippy::inline_always,
        reason = "copied from call to call, a packet's numbers cost 20 ns more"
    )]
    #[inline(always)]
    fn sendable(
        &self,
        packet: &MediaPacket,
        (payload_type, block_type): (u8, Option<u8>),
        numbers: Numbers,
    ) -> Sendable {
        let header = OutgoingHeader {
            marker: numbers.marker,
            payload_type,
            sequence_number: numbers.seq.wire(),
            timestamp: numbers.timestamp,
            ssrc: self.ssrc(),
        };
        let Numbers {
            shift, is_blank, ..
        } = numbers;
        Sendable {
            header,
            roll_over: numbers.seq.roll_over(),
            transport_sequence: None,
            descriptor: self
                .descriptor(packet, numbers.active)
                .filter(|_| !is_blank),
            delay: None,
            captured: self.captured(packet).filter(|_| !is_blank),
            original: None,
            block_type,
            shift,
            padding: if is_blank { 1 } else { packet.padding },
            is_blank,
            first: false,
            begins: false,
        }
    }
}
