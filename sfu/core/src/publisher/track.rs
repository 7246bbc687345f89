//! One m-line of a publisher: which stream is media, which repairs it, and when a new source begins.

use std::time::{Duration, Instant};

use crate::codec;
use crate::command::{ExtensionIds, Kind, PayloadFormat, ReceiveTrack, SsrcPair};
use crate::publisher::keyframe::KeyframeRequester;
use crate::publisher::layer::Layer;
use crate::publisher::{Arrived, FeedbackSent, Unforwarded};
use crate::relay::{SourceClock, SourceId};
use crate::rtp::packet::Header;
use crate::rtp::rtcp::{self, ReceptionReport, SenderInfo};
use crate::rtp::seq::SeqNo;

/// The state of one receiving m-line.
#[derive(Debug)]
pub(super) struct Track {
    /// What was negotiated; set once.
    negotiated: ReceiveTrack,
    /// The stream being received; `None` before its first packet. It is replaced when the peer
    /// changes its SSRC, which Firefox does on resume without saying so.
    layer: Option<Layer>,
    /// Streams that were replaced, the last [`MAX_RETIRED`]: what they still send is not forwarded
    /// while their successor sends, or two streams at once would take turns in front of the viewers.
    retired: Vec<u32>,
    /// When the last source began; `None` before the first.
    begun: Option<Instant>,
    /// Who waits for a keyframe.
    keyframes: KeyframeRequester,
    /// Counts full intra requests.
    fir_number: u8,
}

/// From one source to the next: every viewer has to go over to it.
const MIN_SOURCE: Duration = Duration::from_millis(200);
/// A stream silent for longer may be followed by one that it has replaced.
const SILENCE: Duration = Duration::from_secs(1);
/// Streams of one m-line that are remembered as replaced.
const MAX_RETIRED: usize = 8;

impl Track {
    pub(super) fn new(negotiated: ReceiveTrack) -> Self {
        Self {
            negotiated,
            layer: None,
            retired: Vec::new(),
            begun: None,
            keyframes: KeyframeRequester::default(),
            fir_number: 0,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.negotiated.kind
    }

    pub(super) fn mid(&self) -> &str {
        &self.negotiated.mid
    }

    pub(super) fn extension_ids(&self) -> &ExtensionIds {
        &self.negotiated.extensions
    }

    /// Returns whether `ssrc` is known to be of this m-line.
    pub(super) fn has_stream(&self, ssrc: u32) -> bool {
        let announced = |pair: &SsrcPair| pair.media == ssrc || pair.rtx == Some(ssrc);
        self.layer
            .as_ref()
            .is_some_and(|layer| layer.has_stream(ssrc))
            || self.negotiated.ssrcs.iter().any(announced)
    }

    /// Returns whether `payload_type` was negotiated here, for media or for retransmissions.
    pub(super) fn has_payload_type(&self, payload_type: u8) -> bool {
        self.media_format(payload_type).is_some() || self.repaired_format(payload_type).is_some()
    }

    /// Takes a packet of this m-line.
    pub(super) fn handle_rtp<'a>(
        &mut self,
        now: Instant,
        packet: &'a [u8],
        header: &Header,
        next_source: &mut SourceId,
    ) -> Result<Arrived<'a>, Unforwarded> {
        let payload = packet.get(header.payload.clone()).unwrap_or_default();
        if let Some(format) = self.repaired_format(header.payload_type) {
            return self.handle_retransmission(header, payload, format);
        }
        let format = self
            .media_format(header.payload_type)
            .ok_or(Unforwarded::UnknownStream)?;
        let goes_on = self
            .layer
            .as_ref()
            .is_some_and(|layer| layer.goes_on(header.ssrc, &format));
        if !goes_on {
            self.begin_source(now, header.ssrc, format, next_source)?;
        }
        let layer = self.layer.as_mut().ok_or(Unforwarded::UnknownStream)?;
        let (seq, timestamp) = layer.receive(now, header).ok_or(Unforwarded::Duplicate)?;
        let arrived = layer.arrived((seq, timestamp), header.marker, payload);
        self.note_keyframe(&arrived);
        Ok(Arrived {
            first: !goes_on,
            ..arrived
        })
    }

    /// Starts a new source for a stream or format not seen on this m-line.
    fn begin_source(
        &mut self,
        now: Instant,
        ssrc: u32,
        format: PayloadFormat,
        next_source: &mut SourceId,
    ) -> Result<(), Unforwarded> {
        let too_soon = |begun: Instant| now.saturating_duration_since(begun) < MIN_SOURCE;
        let goes_on = self
            .layer
            .as_ref()
            .is_some_and(|layer| !layer.is_silent(now, SILENCE));
        if (goes_on && self.retired.contains(&ssrc)) || self.begun.is_some_and(too_soon) {
            return Err(Unforwarded::UnknownStream);
        }
        self.begun = Some(now);
        self.retired.retain(|&retired| retired != ssrc);
        let source = *next_source;
        next_source.number = next_source.number.wrapping_add(1);
        let layer = Layer::new(source, ssrc, self.announced_rtx(ssrc), format);
        let replaced = self.layer.replace(layer).map(|layer| layer.ssrc());
        self.retired
            .extend(replaced.filter(|&replaced| replaced != ssrc));
        if self.retired.len() > MAX_RETIRED {
            self.retired.remove(0);
        }
        Ok(())
    }

    fn note_keyframe(&mut self, arrived: &Arrived<'_>) {
        if arrived.keyframe {
            self.keyframes.satisfy();
        }
    }

    /// Undoes a retransmission (RFC 4588, section 4): the original number stands before the payload.
    fn handle_retransmission<'a>(
        &mut self,
        header: &Header,
        payload: &'a [u8],
        format: PayloadFormat,
    ) -> Result<Arrived<'a>, Unforwarded> {
        let layer = self.layer.as_mut().ok_or(Unforwarded::UnknownStream)?;
        let Some((original, payload)) = payload.split_first_chunk::<2>() else {
            return Err(Unforwarded::Probe);
        };
        if !layer.repaired_by(header.ssrc) || !layer.has_format(&format) {
            return Err(Unforwarded::UnknownStream);
        }
        let original = u16::from_be_bytes(*original);
        let (seq, timestamp) = layer
            .recover(original, header.timestamp)
            .ok_or(Unforwarded::Duplicate)?;
        let arrived = layer.arrived((seq, timestamp), header.marker, payload);
        self.note_keyframe(&arrived);
        Ok(arrived)
    }

    /// Notes the clock of this m-line's stream, if the report is about it.
    pub(super) fn handle_sender_report(
        &mut self,
        now: Instant,
        info: &SenderInfo,
    ) -> Option<SourceClock> {
        let kind = self.kind();
        let layer = self.layer.as_mut()?;
        layer.handle_sender_report(now, info, kind)
    }

    /// Asks for a keyframe, at once or when the last request is a second old.
    pub(super) fn request_keyframe(&mut self) {
        self.keyframes.request();
    }

    pub(super) fn report(&mut self, now: Instant) -> Option<ReceptionReport> {
        self.layer.as_mut().map(|layer| layer.report(now))
    }

    /// Appends the keyframe request and the NACK that are due, as far as negotiated and there is room.
    pub(super) fn poll_feedback(
        &mut self,
        now: Instant,
        (sender, room): (u32, usize),
        out: &mut Vec<u8>,
    ) -> FeedbackSent {
        let Some(layer) = &mut self.layer else {
            return FeedbackSent::default();
        };
        let end = out.len() + room;
        let feedback = layer.feedback();
        let can_ask = (feedback.pli || feedback.fir) && room >= rtcp::KEYFRAME_REQUEST_LEN;
        let asks = can_ask && self.keyframes.poll(now);
        if asks && feedback.pli {
            rtcp::write_pli(out, sender, layer.ssrc());
        } else if asks {
            self.fir_number = self.fir_number.wrapping_add(1);
            rtcp::write_fir(out, sender, layer.ssrc(), self.fir_number);
        }
        let room = end.saturating_sub(out.len());
        let nacked = layer.poll_nack(now, (sender, room), out);
        FeedbackSent {
            nacked,
            keyframes: u32::from(asks),
        }
    }

    /// Returns when [`Self::poll_feedback`] has something next; a moment long past means at once.
    pub(super) fn poll_timeout(&self, past: Instant) -> Option<Instant> {
        let layer = self.layer.as_ref()?;
        let can_ask = layer.feedback().pli || layer.feedback().fir;
        let keyframe = self.keyframes.poll_timeout(past).filter(|_| can_ask);
        layer.poll_timeout().into_iter().chain(keyframe).min()
    }

    fn media_format(&self, payload_type: u8) -> Option<PayloadFormat> {
        let formats = &self.negotiated.formats;
        formats
            .iter()
            .find(|format| format.payload_type == payload_type)
            .copied()
    }

    fn repaired_format(&self, payload_type: u8) -> Option<PayloadFormat> {
        let formats = &self.negotiated.formats;
        formats
            .iter()
            .find(|format| format.rtx_payload_type == Some(payload_type))
            .copied()
    }

    fn announced_rtx(&self, media: u32) -> Option<u32> {
        self.negotiated
            .ssrcs
            .iter()
            .find(|pair| pair.media == media)
            .and_then(|pair| pair.rtx)
    }
}

impl Layer {
    /// Puts together what the room forwards.
    fn arrived<'a>(
        &self,
        (seq, timestamp): (SeqNo, u64),
        marker: bool,
        payload: &'a [u8],
    ) -> Arrived<'a> {
        let format = self.format();
        let keyframe = codec::starts_keyframe(format.codec, payload);
        Arrived {
            source: self.source,
            format,
            first: false,
            seq,
            timestamp,
            marker,
            keyframe,
            payload,
        }
    }
}
