//! Answers to peers that offer (RFC 9429, section 5.3): every m-line of the offer, in order, taken or refused.

use std::collections::{BTreeMap, BTreeSet};

use klieg_sfu::{Format, IceCredentials, Kind, Media};

use super::accepted::{Accepted, Direction};
use super::extensions::Extension;
use super::parse::Section;
use super::transport::{self, Author};
use super::write::{LocalSetup, Writer, payload_types};
use super::{Description, Local, NegotiationError, Place, RemoteTransport, media_name};

/// What a peer that offers and the server agreed on; later offers of the session may not contradict it.
#[derive(Clone, Debug)]
pub struct Agreement {
    direction: Direction,
    lines: Vec<Line>,
    remote: RemoteTransport,
    allow_mixed: bool,
    /// See [`klieg_sfu::SendTrack::stalls_at_once`].
    stalls_at_once: bool,
}

/// An m-line of the offer.
#[derive(Clone, Debug)]
struct Line {
    media: String,
    proto: String,
    format: String,
    mid: Option<String>,
    /// `None` when the server refused the m-line or the peer switched it off: for good.
    accepted: Option<Accepted>,
    /// What was to flow on it when the server refused it; `None` where nothing was.
    refused: Option<Kind>,
}

impl Agreement {
    /// Agrees to the first m-line of audio and the first of video on which media may go that way.
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] when the offer lacks or contradicts what a session needs,
    /// [`NegotiationError::NoCommonCodec`] when media is offered in foreign codings alone.
    pub fn new(offer: &Description, direction: Direction) -> Result<Self, NegotiationError> {
        let mut taken = BTreeSet::new();
        let mut lines = Vec::new();
        for section in offer.sections() {
            let mut line = Line::of(&section);
            let kind = section
                .kind()
                .filter(|_| direction.wanted_by(&section) && !section.is_off());
            if let Some(kind) = kind.filter(|kind| !taken.contains(kind)) {
                line.accepted = Accepted::offered(&section, kind, direction)?;
                taken.extend(line.accepted.as_ref().map(|accepted| accepted.kind));
            }
            line.refused = kind.filter(|_| line.accepted.is_none());
            lines.push(line);
        }
        if taken.is_empty() && lines.iter().any(|line| line.refused.is_some()) {
            return Err(NegotiationError::NoCommonCodec);
        }
        if taken.is_empty() {
            let problem = match direction {
                Direction::Receive => "no m-line sends audio or video",
                Direction::Send => "no m-line receives audio or video",
            };
            return Err(NegotiationError::unusable(Place::Session, problem));
        }
        let remote = transport::of(offer, &Self::in_use(offer, &lines), Author::Offerer)?;
        let agreement = Self {
            direction,
            lines,
            remote,
            allow_mixed: offer.flag("extmap-allow-mixed"),
            stalls_at_once: offer.is_of_firefox(),
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
            line.refused = self.lines.get(index).and_then(|line| line.refused);
            line.accepted = match before {
                Some((mid, accepted)) => accepted.renegotiate(mid, section)?,
                None => None,
            };
            lines.push(line);
        }
        let remote = if lines.iter().any(|line| line.accepted.is_some()) {
            transport::of(offer, &Self::in_use(offer, &lines), Author::Offerer)?
        } else {
            self.remote.clone()
        };
        remote.check_continues(&self.remote)?;
        Ok(Self {
            direction: self.direction,
            lines,
            remote,
            allow_mixed: offer.flag("extmap-allow-mixed"),
            stalls_at_once: self.stalls_at_once,
        })
    }

    /// Returns the peer's end of the transport.
    pub fn remote(&self) -> &RemoteTransport {
        &self.remote
    }

    /// Puts the peer on other ICE credentials, as a restart by fragment does (RFC 8840, section 4.4).
    pub(crate) fn restart(&mut self, ice: IceCredentials) {
        self.remote.ice = ice;
    }

    /// Returns what media goes over it.
    pub fn media(&self) -> Media {
        let accepted = self.lines.iter().enumerate().filter_map(|(index, line)| {
            let accepted = line.accepted.as_ref()?;
            // Without a=mid there is no bundle, and the one m-line needs only some name.
            let mid = line.mid.clone().unwrap_or_else(|| index.to_string());
            Some((mid, accepted))
        });
        match self.direction {
            Direction::Receive => Media::Publish(
                accepted
                    .map(|(mid, accepted)| accepted.receive_track(mid))
                    .collect(),
            ),
            Direction::Send => Media::View(
                accepted
                    .map(|(_, accepted)| accepted.send_track(self.stalls_at_once))
                    .collect(),
            ),
        }
    }

    /// Returns whether media of a kind flows at present.
    pub fn flows(&self, kind: Kind) -> bool {
        let accepted = self.lines.iter().filter_map(|line| line.accepted.as_ref());
        accepted
            .filter(|accepted| accepted.kind == kind)
            .any(|accepted| accepted.flows)
    }

    /// Says no where an m-line on which media was to flow was refused. Whoever offers by HTTP gets all or nothing
    /// (RFC 9725, section 4.4): half of it would be a black picture that nobody explains.
    ///
    /// # Errors
    /// [`NegotiationError::NoCommonCodec`] for foreign codings, [`NegotiationError::Unusable`] for a second m-line
    /// of a kind.
    pub fn check_whole(&self) -> Result<(), NegotiationError> {
        let mut taken = BTreeSet::new();
        for (index, line) in self.lines.iter().enumerate() {
            taken.extend(line.accepted.as_ref().map(|accepted| accepted.kind));
            match line.refused {
                Some(kind) if taken.contains(&kind) => {
                    let media = media_name(kind);
                    let place = Place::Section {
                        number: index + 1,
                        media: media.to_owned(),
                    };
                    let problem = format!("is a second m={media}, and one of a kind is taken");
                    return Err(NegotiationError::unusable(place, problem));
                }
                Some(_) => return Err(NegotiationError::NoCommonCodec),
                None => {}
            }
        }
        Ok(())
    }

    /// Returns whether a format can be played, or nothing of its kind was asked for.
    pub fn plays(&self, format: &Format) -> bool {
        let kind = format.codec.kind();
        let accepted = self.lines.iter().filter_map(|line| line.accepted.as_ref());
        let mut formats = accepted
            .filter(|accepted| accepted.kind == kind)
            .flat_map(|accepted| &accepted.formats)
            .map(|format| &format.payload.format)
            .peekable();
        if formats.peek().is_none() {
            return self.lines.iter().all(|line| line.refused != Some(kind));
        }
        formats.any(|known| known.plays(format))
    }

    /// Returns the RIDs of the video's layers in the order of the first offer; `None` without video.
    pub fn rids(&self) -> Option<&[String]> {
        let (_, video) = self.video()?;
        Some(&video.rids)
    }

    /// Returns the place of the video's m-line in the offer, from 0.
    pub fn video_index(&self) -> Option<usize> {
        self.video().map(|(index, _)| index)
    }

    fn video(&self) -> Option<(usize, &Accepted)> {
        let mut accepted = self
            .lines
            .iter()
            .enumerate()
            .filter_map(|(index, line)| Some((index, line.accepted.as_ref()?)));
        accepted.find(|(_, accepted)| accepted.kind == Kind::Video)
    }

    /// Returns which way media goes.
    pub fn direction(&self) -> Direction {
        self.direction
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
                    let formats = accepted.formats.iter();
                    let payloads = formats.map(|format| (&format.payload, format.prefers_red));
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

    /// Writes the server's end of the transport alone, after ICE restarted (RFC 8840, section 4.4).
    pub(crate) fn fragment(&self, local: &Local<'_>) -> String {
        let accepted = self.lines.iter().filter(|line| line.accepted.is_some());
        let mids: Vec<_> = accepted
            .clone()
            .filter_map(|line| line.mid.as_deref())
            .collect();
        // Stands for the whole bundle: its first m-line (RFC 9725, section 4.3.2).
        let first = accepted.map(|line| {
            let m_line = format!("{} 9 {} {}", line.media, line.proto, line.format);
            (m_line, line.mid.as_deref())
        });
        Writer::fragment(local, first.take(1), &mids)
    }

    /// Returns the m-lines of an offer that were taken.
    fn in_use<'a>(offer: &'a Description, lines: &[Line]) -> Vec<Section<'a>> {
        let zipped = offer.sections().zip(lines);
        let taken = zipped.filter(|(_, line)| line.accepted.is_some());
        taken.map(|(section, _)| section).collect()
    }

    /// Refuses a payload type or an extension id with two meanings on one transport (RFC 9143, 9.1).
    fn check_bundle_numbers(&self) -> Result<(), NegotiationError> {
        let mut payload_types = BTreeSet::new();
        let mut extensions = BTreeMap::<u8, Extension>::new();
        for accepted in self.lines.iter().filter_map(|line| line.accepted.as_ref()) {
            let payloads = accepted.formats.iter().map(|format| &format.payload);
            for number in payloads.flat_map(|payload| {
                [
                    Some(payload.payload_type),
                    payload.red_payload_type,
                    payload.rtx_payload_type,
                ]
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
            refused: None,
        }
    }
}
