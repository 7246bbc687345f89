//! One layer of an m-line: the stream that carries it, those it has replaced, and who waits for a keyframe.

use std::time::{Duration, Instant};

use crate::codec::{self, Descriptors, Scaling};
use crate::command::{Codec, Kind, PayloadFormat};
use crate::publisher::keyframe::KeyframeRequester;
use crate::publisher::stream::Stream;
use crate::publisher::track::Incoming;
use crate::publisher::{Arrived, FeedbackSent, Unforwarded};
use crate::relay::{PacketDescriptor, SourceClock, SourceId};
use crate::rtp::rtcp::{self, ReceptionReport, SenderInfo};
use crate::rtp::seq::SeqNo;

/// The state of one layer. Without simulcast an m-line has one.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// Its place among the layers of its m-line; set once.
    index: u8,
    /// The stream being received; `None` before its first packet. It is replaced when the peer
    /// changes its SSRC, which Firefox does on resume without saying so.
    stream: Option<Stream>,
    /// Streams that were replaced, the last [`MAX_RETIRED`]: what they still send is not forwarded
    /// while their successor sends, or two streams at once would take turns in front of the viewers.
    retired: Vec<u32>,
    /// When the last source began; `None` before the first.
    begun: Option<Instant>,
    /// Who waits for a keyframe.
    keyframes: KeyframeRequester,
    /// Counts full intra requests.
    fir_number: u8,
    /// What is known of the layers within the stream.
    scaling: Scaling,
    /// Its dependency descriptors.
    descriptors: Descriptors,
}

/// From one source to the next: every viewer has to go over to it.
const MIN_SOURCE: Duration = Duration::from_millis(200);
/// A stream silent for longer may be followed by one that it has replaced.
const SILENCE: Duration = Duration::from_secs(1);
/// Streams of one layer that are remembered as replaced.
const MAX_RETIRED: usize = 8;

impl Layer {
    pub(super) fn new(index: u8) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }

    /// Returns the stream being received.
    pub(super) fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref()
    }

    /// Returns whether it was replaced.
    pub(super) fn has_retired(&self, ssrc: u32) -> bool {
        self.retired.contains(&ssrc)
    }

    /// Takes a packet of media. `rtx` is who was announced to repair its stream.
    pub(super) fn receive<'a>(
        &mut self,
        now: Instant,
        packet: &Incoming<'a, '_>,
        (format, rtx): (PayloadFormat, Option<u32>),
        next_source: &mut SourceId,
    ) -> Result<Arrived<'a>, Unforwarded> {
        let header = packet.header;
        let goes_on = self
            .stream
            .as_ref()
            .is_some_and(|stream| stream.goes_on(header.ssrc, &format));
        if !goes_on {
            self.check_source(now, header.ssrc)?;
            let source = *next_source;
            next_source.number = next_source.number.wrapping_add(1);
            self.begin_source(now, Stream::new(source, header.ssrc, rtx, format));
        }
        let stream = self.stream.as_mut().ok_or(Unforwarded::UnknownStream)?;
        let (seq, timestamp) = stream.receive(now, header).ok_or(Unforwarded::Duplicate)?;
        let arrived = stream.arrived((seq, timestamp), packet, packet.payload);
        let arrived = Arrived {
            first: !goes_on,
            ..arrived
        };
        Ok(self.note(arrived, packet.extensions.descriptor))
    }

    /// Returns whether a stream or format not seen on this layer may start a new source.
    fn check_source(&self, now: Instant, ssrc: u32) -> Result<(), Unforwarded> {
        let too_soon = |begun: Instant| now.saturating_duration_since(begun) < MIN_SOURCE;
        let goes_on = self
            .stream
            .as_ref()
            .is_some_and(|stream| !stream.is_silent(now, SILENCE));
        if (goes_on && self.has_retired(ssrc)) || self.begun.is_some_and(too_soon) {
            return Err(Unforwarded::UnknownStream);
        }
        Ok(())
    }

    fn begin_source(&mut self, now: Instant, stream: Stream) {
        let ssrc = stream.ssrc();
        self.begun = Some(now);
        // Of the one before, one may have been asked for that never came: it cannot come any more.
        self.keyframes.begin_anew();
        (self.scaling, self.descriptors) = Default::default();
        self.retired.retain(|&retired| retired != ssrc);
        let replaced = self.stream.replace(stream).map(|stream| stream.ssrc());
        self.retired
            .extend(replaced.filter(|&replaced| replaced != ssrc));
        if self.retired.len() > MAX_RETIRED {
            self.retired.remove(0);
        }
    }

    /// Undoes a retransmission (RFC 4588, section 4): the original number stands before the payload.
    /// Whether the stream of retransmissions is this layer's is settled, or to be learnt.
    pub(super) fn recover<'a>(
        &mut self,
        packet: &Incoming<'a, '_>,
        format: PayloadFormat,
        is_settled: bool,
    ) -> Result<Arrived<'a>, Unforwarded> {
        let stream = self.stream.as_mut().ok_or(Unforwarded::UnknownStream)?;
        let header = packet.header;
        let Some((original, payload)) = packet.payload.split_first_chunk::<2>() else {
            return Err(Unforwarded::Probe);
        };
        if is_settled {
            stream.set_rtx(header.ssrc);
        }
        if !stream.repaired_by(header.ssrc) || !stream.has_format(&format) {
            return Err(Unforwarded::UnknownStream);
        }
        let original = u16::from_be_bytes(*original);
        let (seq, timestamp) = stream
            .recover(original, header.timestamp)
            .ok_or(Unforwarded::Duplicate)?;
        let arrived = stream.arrived((seq, timestamp), packet, payload);
        Ok(self.note(arrived, packet.extensions.descriptor))
    }

    fn note<'a>(&mut self, arrived: Arrived<'a>, descriptor: Option<&'a [u8]>) -> Arrived<'a> {
        if arrived.keyframe {
            self.keyframes.satisfy();
        }
        let arrived = Arrived {
            layer: self.index,
            scale: codec::scale(arrived.format.codec, arrived.payload, &mut self.scaling),
            ..arrived
        };
        match descriptor {
            // Chromium leaves the layers out of the payload descriptors of VP8 where it sends these.
            Some(bytes) if arrived.scale.is_none() => self.describe(arrived, bytes),
            Some(_) | None => arrived,
        }
    }

    /// Reads the dependency descriptor of a packet whose coding does not tell its layers.
    fn describe<'a>(&mut self, arrived: Arrived<'a>, bytes: &'a [u8]) -> Arrived<'a> {
        let Some((read, structure)) = self.descriptors.read(bytes) else {
            return Arrived {
                is_undescribed: true,
                ..arrived
            };
        };
        // Decoders of the others have no use for it.
        let is_passed_on = arrived.format.codec == Codec::Av1;
        let len = u8::try_from(bytes.len()).ok().filter(|_| is_passed_on);
        let descriptor = len.map(|len| PacketDescriptor {
            len,
            active: read.active,
            has_structure: read.has_structure,
            structure,
        });
        Arrived {
            scale: Some(read.scale),
            descriptor: descriptor.map(|it| (bytes, it, read.frame)),
            ..arrived
        }
    }

    /// Notes the clock of this layer's stream, if the report is about it.
    pub(super) fn handle_sender_report(
        &mut self,
        now: Instant,
        info: &SenderInfo,
        kind: Kind,
    ) -> Option<SourceClock> {
        let stream = self.stream.as_mut()?;
        let clock = stream.handle_sender_report(now, info, kind)?;
        Some(SourceClock {
            layer: self.index,
            ..clock
        })
    }

    /// Asks for a keyframe, at once or when the last request is a second old.
    pub(super) fn request_keyframe(&mut self) {
        self.keyframes.request();
    }

    /// A keyframe of some layer of the picture is asked for now.
    pub(super) fn give_way(&mut self, now: Instant) {
        self.keyframes.give_way(now);
    }

    /// Nobody waits for a keyframe any more.
    pub(super) fn forget_keyframe(&mut self) {
        self.keyframes.satisfy();
    }

    pub(super) fn report(&mut self, now: Instant) -> Option<ReceptionReport> {
        self.stream.as_mut().map(|stream| stream.report(now))
    }

    /// Appends the keyframe request and the NACK that are due, as far as negotiated and there is room.
    pub(super) fn poll_feedback(
        &mut self,
        now: Instant,
        (sender, room): (u32, usize),
        out: &mut Vec<u8>,
    ) -> FeedbackSent {
        let Some(stream) = &mut self.stream else {
            return FeedbackSent::default();
        };
        let end = out.len() + room;
        let feedback = stream.feedback();
        let can_ask = (feedback.pli || feedback.fir) && room >= rtcp::KEYFRAME_REQUEST_LEN;
        let asks = can_ask && self.keyframes.poll(now);
        if asks && feedback.pli {
            rtcp::write_pli(out, sender, stream.ssrc());
        } else if asks {
            self.fir_number = self.fir_number.wrapping_add(1);
            rtcp::write_fir(out, sender, stream.ssrc(), self.fir_number);
        }
        let room = end.saturating_sub(out.len());
        let nacked = stream.poll_nack(now, (sender, room), out);
        FeedbackSent {
            nacked,
            keyframes: u32::from(asks),
        }
    }

    /// Returns when [`Self::poll_feedback`] has something next; a moment long past means at once.
    pub(super) fn poll_timeout(&self, past: Instant) -> Option<Instant> {
        let stream = self.stream.as_ref()?;
        let can_ask = stream.feedback().pli || stream.feedback().fir;
        let keyframe = self.keyframes.poll_timeout(past).filter(|_| can_ask);
        stream.poll_timeout().into_iter().chain(keyframe).min()
    }
}

impl Stream {
    /// Puts together what the room forwards.
    fn arrived<'a>(
        &mut self,
        (seq, timestamp): (SeqNo, u64),
        packet: &Incoming<'a, '_>,
        payload: &'a [u8],
    ) -> Arrived<'a> {
        let format = self.format();
        let keyframe = codec::starts_keyframe(format.codec, payload);
        let told = packet.extensions.capture_time;
        Arrived {
            source: self.source,
            layer: 0,
            format,
            first: false,
            seq,
            timestamp,
            marker: packet.header.marker,
            keyframe,
            is_late: self.is_late(seq),
            scale: None,
            payload,
            redundancy: packet.redundancy,
            descriptor: None,
            is_undescribed: false,
            captured: self.captured((timestamp, keyframe), told),
        }
    }
}
