//! One m-line of a publisher: which of its layers a packet belongs to (RFC 8852, RFC 8853).

use std::time::Instant;

use crate::command::{ExtensionIds, Format, Kind, PayloadFormat, ReceiveTrack, SsrcPair};
use crate::publisher::layer::Layer;
use crate::publisher::{Arrived, FeedbackSent, Unforwarded};
use crate::relay::{MAX_LAYERS, SourceClock, SourceId};
use crate::rtp::ext::Extensions;
use crate::rtp::packet::Header;
use crate::rtp::red;
use crate::rtp::rtcp::{ReceptionReport, SenderInfo};

/// The state of one receiving m-line.
#[derive(Debug)]
pub(super) struct Track {
    /// What was negotiated; set once.
    negotiated: ReceiveTrack,
    /// One for each RID in the order of the offer, at most [`MAX_LAYERS`]; one without simulcast; set once.
    layers: Vec<Layer>,
    /// What the last source was coded in; `None` before the first.
    format: Option<Format>,
}

/// A packet of an m-line, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming<'a, 'b> {
    pub(super) header: &'b Header,
    pub(super) extensions: &'b Extensions<'a>,
    pub(super) payload: &'a [u8],
    /// What stood before that in redundant sound; empty mostly.
    pub(super) redundancy: &'a [u8],
}

impl Track {
    pub(super) fn new(mut negotiated: ReceiveTrack) -> Self {
        negotiated.rids.truncate(MAX_LAYERS);
        let layers = negotiated.rids.len().max(1);
        Self {
            negotiated,
            layers: (0..).map(Layer::new).take(layers).collect(),
            format: None,
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

    /// Returns whether it was negotiated with layers by RID.
    pub(super) fn is_simulcast(&self) -> bool {
        !self.negotiated.rids.is_empty()
    }

    /// Returns whether `ssrc` is known to be of this m-line.
    pub(super) fn has_stream(&self, ssrc: u32) -> bool {
        let announced = |pair: &SsrcPair| pair.media == ssrc || pair.rtx == Some(ssrc);
        self.layers
            .iter()
            .filter_map(Layer::stream)
            .any(|stream| stream.has_ssrc(ssrc))
            || self.negotiated.ssrcs.iter().any(announced)
    }

    /// Returns whether `payload_type` was negotiated here, for media or for retransmissions.
    pub(super) fn has_payload_type(&self, payload_type: u8) -> bool {
        self.media_format(payload_type).is_some()
            || self.repaired_format(payload_type).is_some()
            || self.redundant_format(payload_type).is_some()
    }

    /// Takes a packet of this m-line.
    pub(super) fn handle_rtp<'a>(
        &mut self,
        now: Instant,
        packet: &Incoming<'a, '_>,
        next_source: &mut SourceId,
    ) -> Result<Arrived<'a>, Unforwarded> {
        let header = packet.header;
        if let Some(format) = self.repaired_format(header.payload_type) {
            let (index, is_settled) = self.repaired_layer(packet)?;
            let layer = self.layers.get_mut(index);
            let layer = layer.ok_or(Unforwarded::UnknownLayer)?;
            return layer.recover(packet, format, is_settled);
        }
        let (format, packet) = &self.unpack(packet)?;
        let index = self.media_layer(packet).ok_or(Unforwarded::UnknownLayer)?;
        let rtx = self.announced_rtx(header.ssrc);
        let layer = self.layers.get_mut(index);
        let layer = layer.ok_or(Unforwarded::UnknownLayer)?;
        let arrived = layer.receive(now, packet, (*format, rtx), next_source)?;
        // Layers begin one after the other: only the first of them is news.
        let is_news = !self.is_simulcast() || self.format != Some(arrived.format);
        self.format = Some(arrived.format);
        Ok(Arrived {
            first: arrived.first && is_news,
            ..arrived
        })
    }

    /// Takes redundant sound apart (RFC 2198). Browsers send sound as it is, too, where they have nothing to add: both
    /// are of one format, so that they make one source.
    fn unpack<'a, 'b>(
        &self,
        packet: &Incoming<'a, 'b>,
    ) -> Result<(PayloadFormat, Incoming<'a, 'b>), Unforwarded> {
        let payload_type = packet.header.payload_type;
        if let Some(format) = self.media_format(payload_type) {
            return Ok((format, *packet));
        }
        let format = self.redundant_format(payload_type);
        let format = format.ok_or(Unforwarded::UnknownStream)?;
        let (redundancy, payload) = red::split(packet.payload, format.payload_type)
            .ok_or(Unforwarded::MalformedRedundancy)?;
        let packet = Incoming {
            payload,
            redundancy,
            ..*packet
        };
        Ok((format, packet))
    }

    /// Finds the layer of a packet of media: by the RID it carries, else by a stream known from
    /// earlier packets or from the description.
    fn media_layer(&self, packet: &Incoming<'_, '_>) -> Option<usize> {
        if !self.is_simulcast() {
            return Some(0);
        }
        if let Some(rid) = packet.extensions.rid {
            return self.layer_named(rid);
        }
        let ssrc = packet.header.ssrc;
        let carries = |layer: &Layer| layer.stream().is_some_and(|stream| stream.ssrc() == ssrc);
        let known = self.layers.iter().position(carries);
        let known = known.or_else(|| {
            let mut layers = self.layers.iter();
            layers.position(|layer| layer.has_retired(ssrc))
        });
        known.or_else(|| self.announced_layer(ssrc)).or_else(|| {
            // Where packets cannot say which layer they are, the streams are taken as they come.
            let untold = self.extension_ids().rid.is_none() && self.negotiated.ssrcs.is_empty();
            let mut layers = self.layers.iter();
            layers.position(|layer| untold && layer.stream().is_none())
        })
    }

    /// Finds the layer that a retransmission repairs, and says whether the packet itself tells.
    fn repaired_layer(&self, packet: &Incoming<'_, '_>) -> Result<(usize, bool), Unforwarded> {
        if !self.is_simulcast() {
            return Ok((0, false));
        }
        if let Some(rid) = packet.extensions.repaired_rid.or(packet.extensions.rid) {
            let named = self.layer_named(rid).ok_or(Unforwarded::UnknownLayer)?;
            return Ok((named, true));
        }
        let Some(original) = packet.payload.first_chunk::<2>() else {
            return Err(Unforwarded::Probe);
        };
        let original = u16::from_be_bytes(*original);
        let rtx = |layer: &Layer| layer.stream().and_then(|stream| stream.rtx());
        let ssrc = packet.header.ssrc;
        let known = self
            .layers
            .iter()
            .position(|layer| rtx(layer) == Some(ssrc));
        let misses = |layer: &Layer| {
            rtx(layer).is_none() && layer.stream().is_some_and(|stream| stream.misses(original))
        };
        // Learnt only where the number leaves no choice: a wrong guess would stay.
        let mut missing = self.layers.iter().enumerate().filter(|(_, it)| misses(it));
        let learnt = missing.next().map(|(index, _)| index);
        let learnt = learnt.filter(|_| missing.next().is_none());
        let found = known.or(learnt).ok_or(Unforwarded::UnknownStream)?;
        Ok((found, false))
    }

    fn layer_named(&self, rid: &str) -> Option<usize> {
        self.negotiated.rids.iter().position(|known| known == rid)
    }

    /// Finds the layer of an announced stream: as many streams as layers are in the same order.
    fn announced_layer(&self, ssrc: u32) -> Option<usize> {
        let announced = &self.negotiated.ssrcs;
        let place = announced.iter().position(|pair| pair.media == ssrc)?;
        (announced.len() == self.layers.len()).then_some(place)
    }

    /// Notes the clock of a stream of this m-line, if the report is about it.
    pub(super) fn handle_sender_report(
        &mut self,
        now: Instant,
        info: &SenderInfo,
    ) -> Option<SourceClock> {
        let kind = self.kind();
        let told = |layer: &mut Layer| layer.handle_sender_report(now, info, kind);
        self.layers.iter_mut().find_map(told)
    }

    /// Returns one of its layers.
    pub(super) fn layer_mut(&mut self, index: u8) -> Option<&mut Layer> {
        self.layers.get_mut(usize::from(index))
    }

    /// Asks for a keyframe on all layers.
    pub(super) fn request_keyframes(&mut self) {
        for layer in &mut self.layers {
            layer.request_keyframe();
        }
    }

    pub(super) fn reports(&mut self, now: Instant) -> impl Iterator<Item = ReceptionReport> {
        self.layers
            .iter_mut()
            .filter_map(move |layer| layer.report(now))
    }

    /// Appends the keyframe requests and the NACKs that are due, as far as negotiated and there is room.
    pub(super) fn poll_feedback(
        &mut self,
        now: Instant,
        (sender, room): (u32, usize),
        out: &mut Vec<u8>,
    ) -> FeedbackSent {
        let end = out.len() + room;
        let mut sent = FeedbackSent::default();
        for layer in &mut self.layers {
            let room = end.saturating_sub(out.len());
            let FeedbackSent { nacked, keyframes } = layer.poll_feedback(now, (sender, room), out);
            sent.nacked += nacked;
            sent.keyframes += keyframes;
        }
        if sent.keyframes > 0 {
            for layer in &mut self.layers {
                layer.give_way(now);
            }
        }
        sent
    }

    /// Returns when [`Self::poll_feedback`] has something next; a moment long past means at once.
    pub(super) fn poll_timeout(&self, past: Instant) -> Option<Instant> {
        let layers = self.layers.iter();
        layers.filter_map(|layer| layer.poll_timeout(past)).min()
    }

    fn media_format(&self, payload_type: u8) -> Option<PayloadFormat> {
        self.format_where(|format| format.payload_type == payload_type)
    }

    fn repaired_format(&self, payload_type: u8) -> Option<PayloadFormat> {
        self.format_where(|format| format.rtx_payload_type == Some(payload_type))
    }

    fn redundant_format(&self, payload_type: u8) -> Option<PayloadFormat> {
        self.format_where(|format| format.red_payload_type == Some(payload_type))
    }

    fn format_where(&self, is_meant: impl Fn(&PayloadFormat) -> bool) -> Option<PayloadFormat> {
        let mut formats = self.negotiated.formats.iter().copied();
        formats.find(is_meant)
    }

    fn announced_rtx(&self, media: u32) -> Option<u32> {
        self.negotiated
            .ssrcs
            .iter()
            .find(|pair| pair.media == media)
            .and_then(|pair| pair.rtx)
    }
}
