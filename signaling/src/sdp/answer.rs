//! Answers to publishers (RFC 9429, section 5.3): every m-line of the offer, in order, taken or refused.

use std::collections::{BTreeMap, BTreeSet};

use klieg_sfu::{DtlsRole, Kind, ReceiveTrack, SsrcPair};

use super::codecs::{Forwarded, Payloads};
use super::extensions::{ExtMap, Extension};
use super::parse::{Section, Setup};
use super::write::{LocalSetup, Writer, payload_types};
use super::{Description, Local, NegotiationError, Place, RemoteTransport, media_name};

/// What a publisher and the server agreed on; later offers of the session may not contradict it.
#[derive(Clone, Debug)]
pub struct Agreement {
    lines: Vec<Line>,
    remote: RemoteTransport,
    allow_mixed: bool,
}

/// An m-line of the offer.
#[derive(Clone, Debug)]
struct Line {
    media: String,
    proto: String,
    format: String,
    mid: Option<String>,
    /// `None` when the server refused the m-line or the publisher switched it off: for good.
    accepted: Option<Accepted>,
}

/// What was agreed on for an m-line on which the server receives.
#[derive(Clone, Debug)]
struct Accepted {
    kind: Kind,
    formats: Vec<Forwarded>,
    extensions: Vec<ExtMap>,
    ssrcs: Vec<SsrcPair>,
    /// Whether the publisher sends at present.
    sends: bool,
    rtcp_rsize: bool,
    allow_mixed: bool,
}

impl Agreement {
    /// Agrees to the first m-line of audio and the first of video on which the peer sends.
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] when the offer lacks or contradicts what a session needs,
    /// [`NegotiationError::NoCommonCodec`] when media is offered in foreign codings alone.
    pub fn new(offer: &Description) -> Result<Self, NegotiationError> {
        let mut taken = BTreeSet::new();
        let mut has_foreign_media = false;
        let mut lines = Vec::new();
        for section in offer.sections() {
            let mut line = Line::of(&section);
            let kind = section
                .kind()
                .filter(|_| section.sends() && !section.is_off());
            if let Some(kind) = kind.filter(|kind| !taken.contains(kind)) {
                line.accepted = Accepted::offered(&section, kind)?;
                if line.accepted.is_some() {
                    taken.insert(kind);
                } else {
                    has_foreign_media = true;
                }
            }
            lines.push(line);
        }
        if taken.is_empty() && has_foreign_media {
            return Err(NegotiationError::NoCommonCodec);
        }
        if taken.is_empty() {
            let problem = "no m-line sends audio or video";
            return Err(NegotiationError::unusable(Place::Session, problem));
        }
        let remote = remote_transport(offer, &lines)?;
        let agreement = Self {
            lines,
            remote,
            allow_mixed: offer.flag("extmap-allow-mixed"),
        };
        agreement.check_bundle_numbers()?;
        Ok(agreement)
    }

    /// Agrees to a later offer, which may pause or switch off media, drop formats and restart ICE.
    ///
    /// The forwarding unit keeps what it was told at first, so nothing is added: new m-lines are refused
    /// and new payload types and extensions left out.
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] when the offer contradicts what was agreed on.
    pub fn renegotiate(&self, offer: &Description) -> Result<Self, NegotiationError> {
        let sections: Vec<_> = offer.sections().collect();
        if sections.len() < self.lines.len() {
            let problem = format!("there were {} m-lines before", self.lines.len());
            return Err(NegotiationError::unusable(Place::Session, problem));
        }
        let mut lines = Vec::new();
        for (index, section) in sections.iter().enumerate() {
            let before = self.lines.get(index).and_then(|line| {
                let accepted = line.accepted.as_ref()?;
                Some((line.mid.as_deref(), accepted))
            });
            let mut line = Line::of(section);
            line.accepted = match before {
                Some((mid, accepted)) => accepted.renegotiate(mid, section)?,
                None => None,
            };
            lines.push(line);
        }
        let remote = if lines.iter().any(|line| line.accepted.is_some()) {
            remote_transport(offer, &lines)?
        } else {
            self.remote.clone()
        };
        remote.check_continues(&self.remote)?;
        Ok(Self {
            lines,
            remote,
            allow_mixed: offer.flag("extmap-allow-mixed"),
        })
    }

    /// Returns the publisher's end of the transport.
    pub fn remote(&self) -> &RemoteTransport {
        &self.remote
    }

    /// Returns the m-lines on which the server receives.
    pub fn tracks(&self) -> Vec<ReceiveTrack> {
        let accepted = self.lines.iter().enumerate().filter_map(|(index, line)| {
            let accepted = line.accepted.as_ref()?;
            // Without a=mid there is no bundle, and the one m-line needs only some name.
            let mid = line.mid.clone().unwrap_or_else(|| index.to_string());
            Some(accepted.track(mid))
        });
        accepted.collect()
    }

    /// Returns whether the publisher sends media of a kind at present.
    pub fn sends(&self, kind: Kind) -> bool {
        let accepted = self.lines.iter().filter_map(|line| line.accepted.as_ref());
        accepted
            .filter(|accepted| accepted.kind == kind)
            .any(|accepted| accepted.sends)
    }

    /// Writes the answer.
    pub fn answer(&self, local: &Local<'_>) -> String {
        let accepted = self.lines.iter().filter(|line| line.accepted.is_some());
        let bundle: Vec<_> = accepted.filter_map(|line| line.mid.as_deref()).collect();
        let mut writer = Writer::start(local.origin, &bundle);
        writer.flag("extmap-allow-mixed", self.allow_mixed);
        let mut is_first = true;
        for line in &self.lines {
            match &line.accepted {
                Some(accepted) => {
                    let setup = LocalSetup::Answer(self.remote.dtls_role);
                    let payloads = accepted.formats.iter().map(|format| &format.payload);
                    let m_line = format_args!(
                        "m={} 9 {} {}",
                        line.media,
                        line.proto,
                        payload_types(payloads)
                    );
                    writer.accepted(m_line, local, setup, is_first);
                    accepted.write(&mut writer, line.mid.as_deref());
                    is_first = false;
                }
                None => {
                    writer.rejected(&line.media, &line.proto, &line.format, line.mid.as_deref());
                }
            }
        }
        writer.finish()
    }

    /// Refuses a payload type or an extension id with two meanings on one transport (RFC 9143, 9.1).
    fn check_bundle_numbers(&self) -> Result<(), NegotiationError> {
        let mut payload_types = BTreeSet::new();
        let mut extensions = BTreeMap::<u8, Extension>::new();
        for accepted in self.lines.iter().filter_map(|line| line.accepted.as_ref()) {
            let payloads = accepted.formats.iter().map(|format| &format.payload);
            for number in payloads.flat_map(|payload| {
                [Some(payload.payload_type), payload.rtx_payload_type]
                    .into_iter()
                    .flatten()
            }) {
                if !payload_types.insert(number) {
                    let problem = format!("payload type {number} has two meanings");
                    return Err(NegotiationError::unusable(Place::Session, problem));
                }
            }
            for map in &accepted.extensions {
                if *extensions.entry(map.id).or_insert(map.extension) != map.extension {
                    let problem = format!("a=extmap:{} has two meanings", map.id);
                    return Err(NegotiationError::unusable(Place::Session, problem));
                }
            }
        }
        Ok(())
    }
}

impl Line {
    fn of(section: &Section<'_>) -> Self {
        Self {
            media: section.media().to_owned(),
            proto: section.proto(),
            format: section
                .formats()
                .first()
                .map_or("0", String::as_str)
                .to_owned(),
            mid: section.mid().map(str::to_owned),
            accepted: None,
        }
    }
}

impl Accepted {
    /// Returns what the server takes of an m-line, or `None` when it forwards nothing of it.
    fn offered(section: &Section<'_>, kind: Kind) -> Result<Option<Self>, NegotiationError> {
        let mut formats = Payloads::of(section).forwarded(kind);
        if formats.is_empty() {
            return Ok(None);
        }
        let extensions = ExtMap::offered(section)?;
        if ExtMap::ids(&extensions).transport_cc.is_none() {
            // Without the number in the packets there is nothing to report.
            formats
                .iter_mut()
                .for_each(|format| format.payload.feedback.transport_cc = false);
        }
        Ok(Some(Self {
            kind,
            formats,
            extensions,
            ssrcs: section.ssrcs()?,
            sends: true,
            rtcp_rsize: section.flag("rtcp-rsize"),
            allow_mixed: section.flag("extmap-allow-mixed"),
        }))
    }

    /// Returns what is left of it in a later offer, or `None` when the publisher switched it off.
    fn renegotiate(
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
        let Some(mut now) = Self::offered(section, self.kind)? else {
            return Err(section.unusable("offers none of the formats agreed on"));
        };
        now.sends = section.sends();
        now.retain_formats(&self.formats, section)?;
        for map in &now.extensions {
            let contradicts =
                |known: &ExtMap| (known.id == map.id) != (known.extension == map.extension);
            if self.extensions.iter().any(contradicts) {
                return Err(section.unusable(format!("a=extmap:{} changed its meaning", map.id)));
            }
        }
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
            let feedback = &mut now.payload.feedback;
            feedback.nack &= before.feedback.nack;
            feedback.pli &= before.feedback.pli;
            feedback.fir &= before.feedback.fir;
            feedback.transport_cc &= before.feedback.transport_cc;
            kept.push(now);
        }
        if kept.is_empty() {
            return Err(section.unusable("offers none of the formats agreed on"));
        }
        self.formats = kept;
        Ok(())
    }

    fn track(&self, mid: String) -> ReceiveTrack {
        ReceiveTrack {
            kind: self.kind,
            mid,
            formats: self.formats.iter().map(|format| format.payload).collect(),
            extensions: ExtMap::ids(&self.extensions),
            ssrcs: self.ssrcs.clone(),
            // The answer has neither a=simulcast nor a=rid, so one encoding comes (RFC 8853, 5.3.2).
            rids: Vec::new(),
        }
    }

    fn write(&self, writer: &mut Writer, mid: Option<&str>) {
        if let Some(mid) = mid {
            writer.line(format_args!("a=mid:{mid}"));
        }
        writer.flag("extmap-allow-mixed", self.allow_mixed);
        for map in &self.extensions {
            writer.line(format_args!("a=extmap:{map}"));
        }
        writer.flag(if self.sends { "recvonly" } else { "inactive" }, true);
        writer.flag("rtcp-mux", true);
        writer.flag("rtcp-rsize", self.rtcp_rsize);
        for Forwarded {
            payload,
            parameters,
        } in &self.formats
        {
            writer.payload(payload, parameters);
        }
    }
}

/// Returns the publisher's end of the transport that all accepted m-lines share.
fn remote_transport(
    offer: &Description,
    lines: &[Line],
) -> Result<RemoteTransport, NegotiationError> {
    let zipped = offer
        .sections()
        .zip(lines)
        .filter(|(_, line)| line.accepted.is_some());
    let accepted: Vec<Section<'_>> = zipped.map(|(section, _)| section).collect();
    let Some((first, others)) = accepted.split_first() else {
        return Err(NegotiationError::unusable(
            Place::Session,
            "no m-line is in use",
        ));
    };
    let bundle = first
        .mid()
        .map(|mid| offer.bundled_with(mid))
        .unwrap_or_default();
    for other in others {
        if !other.mid().is_some_and(|mid| bundle.contains(&mid)) {
            let problem = "is not in one a=group:BUNDLE with the m-lines before: all media shares a transport";
            return Err(other.unusable(problem));
        }
    }
    if offer.flag("ice-lite") {
        let problem = "a=ice-lite: the server is lite too, and one end has to check";
        return Err(NegotiationError::unusable(Place::Session, problem));
    }
    // The transport is that of the first m-line of the group that is in use; m-lines that are bundled
    // from the start need not repeat it (RFC 9143, sections 7.1.3 and 7.3.1).
    let in_bundle = |section: &Section<'_>| section.mid().is_some_and(|mid| bundle.contains(&mid));
    let with_ice = |section: &Section<'_>| !section.inherited("ice-ufrag").is_empty();
    let mut candidates = accepted
        .iter()
        .copied()
        .chain(offer.sections().filter(in_bundle));
    let tagged = candidates.find(with_ice).unwrap_or(*first);
    if !tagged.flag("rtcp-mux") && !first.flag("rtcp-mux") {
        return Err(first.unusable("a=rtcp-mux is missing: RTP and RTCP share a port"));
    }
    let dtls_role = match tagged.setup()? {
        // Active is the default of offers (RFC 4145, section 4).
        Some(Setup::ActPass | Setup::Active) | None => DtlsRole::Server,
        Some(Setup::Passive) => DtlsRole::Client,
    };
    Ok(RemoteTransport {
        ice: tagged.ice()?,
        fingerprints: tagged.fingerprints()?,
        dtls_role,
    })
}
