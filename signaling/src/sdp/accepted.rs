//! One m-line of a peer's offer that the server takes: what both agreed on for it.

use klieg_sfu::{Kind, ReceiveTrack, SendTrack, SsrcPair};

use super::codecs::{Forwarded, Payloads};
use super::extensions::ExtMap;
use super::parse::Section;
use super::write::Writer;
use super::{NegotiationError, media_name, offer};

/// Which way media goes, as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer publishes.
    Receive,
    /// The peer watches.
    Send,
}

impl Direction {
    /// Returns whether the peer wants media to flow on an m-line that it offers.
    pub(super) fn wanted_by(self, section: &Section<'_>) -> bool {
        match self {
            Self::Receive => section.sends(),
            Self::Send => section.receives(),
        }
    }

    /// Returns what the server answers (RFC 9429, section 5.3.1).
    fn attribute(self) -> &'static str {
        match self {
            Self::Receive => "recvonly",
            Self::Send => "sendonly",
        }
    }
}

/// What was agreed on for an m-line of the peer's offer.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) kind: Kind,
    direction: Direction,
    pub(super) formats: Vec<Forwarded>,
    /// Where the server sends, the transport-wide number, the dependency descriptor, the play-out delay and the time of
    /// capture at most.
    pub(super) extensions: Vec<ExtMap>,
    /// What the peer announced; empty where it watches.
    ssrcs: Vec<SsrcPair>,
    /// The layers of a simulcast, in the order of the offer; empty without.
    pub(super) rids: Vec<String>,
    /// Whether media flows at present, as far as the peer wants it.
    pub(super) flows: bool,
    rtcp_rsize: bool,
    allow_mixed: bool,
}

impl Accepted {
    /// Returns what the server takes of an m-line, or `None` when it forwards nothing of it.
    pub(super) fn offered(
        section: &Section<'_>,
        kind: Kind,
        direction: Direction,
    ) -> Result<Option<Self>, NegotiationError> {
        let mut formats = Payloads::of(section).forwarded(kind);
        if formats.is_empty() {
            return Ok(None);
        }
        let mut extensions = ExtMap::offered(section, direction)?;
        let ssrcs = match direction {
            Direction::Receive => section.ssrcs()?,
            Direction::Send => Vec::new(),
        };
        let has_number = ExtMap::ids(&extensions).transport_cc.is_some();
        let reports = |format: &Forwarded| format.payload.feedback.transport_cc;
        if direction == Direction::Send && !formats.iter().any(reports) {
            // A number that nobody reports on is eight bytes for nothing.
            extensions.retain(|map| !map.is_number());
        }
        for format in &mut formats {
            let feedback = &mut format.payload.feedback;
            // Without the number in the packets there is nothing to report.
            feedback.transport_cc &= has_number;
            // A viewer's own estimate is asked for only where it reports nothing that one could be made from.
            feedback.remb &= direction == Direction::Send && !feedback.transport_cc;
        }
        // Without the header extension nothing tells the layers apart.
        let named = direction == Direction::Receive && ExtMap::ids(&extensions).rid.is_some();
        let rids = if named { section.rids() } else { Vec::new() };
        Ok(Some(Self {
            kind,
            direction,
            formats,
            extensions,
            ssrcs,
            rids: rids.into_iter().map(str::to_owned).collect(),
            flows: true,
            rtcp_rsize: section.flag("rtcp-rsize"),
            allow_mixed: section.flag("extmap-allow-mixed"),
        }))
    }

    /// Returns what is left of it in a later offer, or `None` when the peer switched it off.
    pub(super) fn renegotiate(
        &self,
        mid: Option<&str>,
        section: &Section<'_>,
    ) -> Result<Option<Self>, NegotiationError> {
        if section.is_off() {
            return Ok(None);
        }
        if section.kind() != Some(self.kind) || section.mid() != mid {
            let (media, mid) = (media_name(self.kind), mid.unwrap_or("none"));
            return Err(section.unusable(format!("was m={media} with the mid {mid}")));
        }
        let Some(mut now) = Self::offered(section, self.kind, self.direction)? else {
            return Err(section.unusable("offers none of the formats agreed on"));
        };
        now.flows = self.direction.wanted_by(section);
        now.retain_formats(&self.formats, section)?;
        for map in &now.extensions {
            let contradicts =
                |known: &ExtMap| (known.id == map.id) != (known.extension == map.extension);
            if self.extensions.iter().any(contradicts) {
                return Err(section.unusable(format!("a=extmap:{} changed its meaning", map.id)));
            }
        }
        now.rids.retain(|rid| self.rids.contains(rid));
        now.extensions
            .retain(|map| self.extensions.iter().any(|known| known.id == map.id));
        Ok(Some(now))
    }

    /// Keeps the formats that were agreed on before, and of their feedback what was.
    fn retain_formats(
        &mut self,
        agreed: &[Forwarded],
        section: &Section<'_>,
    ) -> Result<(), NegotiationError> {
        let mut kept = Vec::new();
        for mut now in std::mem::take(&mut self.formats) {
            let number = now.payload.payload_type;
            let mut known = agreed.iter().map(|format| &format.payload);
            let Some(before) = known.find(|before| before.payload_type == number) else {
                continue;
            };
            if before.format != now.payload.format {
                return Err(section.unusable(format!("payload type {number} changed its meaning")));
            }
            if now.payload.rtx_payload_type != before.rtx_payload_type {
                now.payload.rtx_payload_type = None;
            }
            if now.payload.red_payload_type != before.red_payload_type {
                now.payload.red_payload_type = None;
            }
            let feedback = &mut now.payload.feedback;
            feedback.nack &= before.feedback.nack;
            feedback.pli &= before.feedback.pli;
            feedback.fir &= before.feedback.fir;
            feedback.transport_cc &= before.feedback.transport_cc;
            feedback.remb &= before.feedback.remb;
            kept.push(now);
        }
        if kept.is_empty() {
            return Err(section.unusable("offers none of the formats agreed on"));
        }
        self.formats = kept;
        Ok(())
    }

    /// Returns the m-line as one on which the server receives.
    pub(super) fn receive_track(&self, mid: String) -> ReceiveTrack {
        ReceiveTrack {
            kind: self.kind,
            mid,
            formats: self.formats.iter().map(|format| format.payload).collect(),
            extensions: ExtMap::ids(&self.extensions),
            ssrcs: self.ssrcs.clone(),
            rids: self.rids.clone(),
        }
    }

    /// Returns the m-line as one on which the server sends.
    pub(super) fn send_track(&self, stalls_at_once: bool) -> SendTrack {
        SendTrack {
            kind: self.kind,
            formats: self.formats.iter().map(|format| format.payload).collect(),
            extensions: ExtMap::ids(&self.extensions),
            ssrc: self.sent_ssrcs(),
            cname: offer::CNAME.to_owned(),
            stalls_at_once,
        }
    }

    /// Writes what stands below the m-line, its transport aside.
    pub(super) fn write(&self, writer: &mut Writer, mid: Option<&str>) {
        if let Some(mid) = mid {
            writer.line(format_args!("a=mid:{mid}"));
        }
        writer.flag("extmap-allow-mixed", self.allow_mixed);
        for map in &self.extensions {
            writer.line(format_args!("a=extmap:{map}"));
        }
        if self.direction == Direction::Send {
            let (cname, media) = (offer::CNAME, media_name(self.kind));
            writer.line(format_args!("a=msid:{cname} {media}"));
        }
        let direction = self.direction.attribute();
        writer.flag(if self.flows { direction } else { "inactive" }, true);
        // Without `a=rtcp-mux-only`: RFC 9725, section 4.4, asks for it of both ends by RFC 8858, whose section 4
        // forbids it in answers. It says that the offerer can do nothing else; an answer has settled that.
        writer.flag("rtcp-mux", true);
        writer.flag("rtcp-rsize", self.rtcp_rsize);
        for Forwarded {
            payload,
            prefers_red,
            parameters,
        } in &self.formats
        {
            writer.payload(payload, *prefers_red, parameters);
        }
        if self.direction == Direction::Send {
            writer.ssrcs(self.sent_ssrcs());
        }
        for rid in &self.rids {
            writer.line(format_args!("a=rid:{rid} recv"));
        }
        if !self.rids.is_empty() {
            let layers = self.rids.join(";");
            writer.line(format_args!("a=simulcast:recv {layers}"));
        }
    }

    /// Returns the streams that the server sends, without that of retransmissions where none were agreed on.
    fn sent_ssrcs(&self) -> SsrcPair {
        let pair = offer::ssrcs(self.kind);
        let mut formats = self.formats.iter();
        let has_rtx = formats.any(|format| format.payload.rtx_payload_type.is_some());
        SsrcPair {
            rtx: pair.rtx.filter(|_| has_rtx),
            ..pair
        }
    }
}
