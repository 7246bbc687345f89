//! A description that was read (RFC 8866), and what its attributes mean to WebRTC.

use std::io::Cursor;

use ::sdp::SessionDescription;
use ::sdp::description::common::Attribute;
use ::sdp::description::media::MediaDescription;
use klieg_sfu::{Fingerprint, IceCredentials, Kind, SsrcPair};

use super::{NegotiationError, Place, is_ice_text, limits};

/// A session description whose lines are in order.
#[derive(Clone, Debug)]
pub struct Description(SessionDescription);

impl Description {
    /// Reads a description, however hostile: in time linear to its size, and within the limits of one.
    ///
    /// # Errors
    /// [`NegotiationError`], which says what is too much, or where the text is no description.
    pub fn parse(text: &str) -> Result<Self, NegotiationError> {
        limits::check(text)?;
        let description = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
            .map_err(|error| NegotiationError::Grammar(shorten(&error.to_string())))?;
        if description.media_descriptions.is_empty() {
            return Err(NegotiationError::unusable(
                Place::Session,
                "there is no m-line",
            ));
        }
        let description = Self(description);
        description.check_mids()?;
        Ok(description)
    }

    /// Returns the m-lines with what belongs to them, in order.
    pub(super) fn sections(&self) -> impl Iterator<Item = Section<'_>> {
        let session = self.0.attributes.as_slice();
        let media = self.0.media_descriptions.iter().enumerate();
        media.map(move |(index, media)| Section {
            number: index + 1,
            session,
            media,
        })
    }

    /// Returns the mids bundled with `mid`, in the order of their BUNDLE group (RFC 9143).
    pub(super) fn bundled_with(&self, mid: &str) -> Vec<&str> {
        values(&self.0.attributes, "group")
            .filter_map(|group| group.strip_prefix("BUNDLE "))
            .map(|mids| mids.split_ascii_whitespace().collect::<Vec<_>>())
            .find(|mids| mids.contains(&mid))
            .unwrap_or_default()
    }

    /// Returns whether the session part has an attribute without a value, such as `ice-lite`.
    pub(super) fn flag(&self, key: &str) -> bool {
        has(&self.0.attributes, key)
    }

    /// Returns whether Firefox wrote it, as it says itself.
    pub(super) fn is_of_firefox(&self) -> bool {
        self.0.origin.username.starts_with("mozilla")
    }

    /// Returns whether libwebrtc wrote it (Chromium, Safari), as far as its look tells: nobody is named as the origin, and the streams
    /// of `a=msid-semantic` stand behind a space.
    pub(super) fn is_of_libwebrtc(&self) -> bool {
        let mut semantics = values(&self.0.attributes, "msid-semantic");
        self.0.origin.username == "-" && semantics.any(|value| value.starts_with(" WMS"))
    }

    /// Refuses mids that are no tokens of 1 to 16 bytes, or that are there twice.
    fn check_mids(&self) -> Result<(), NegotiationError> {
        let mut seen = Vec::new();
        for section in self.sections() {
            let Some(mid) = section.mid() else { continue };
            if mid.is_empty() || mid.len() > MAX_MID_BYTES || !mid.bytes().all(is_token_byte) {
                return Err(section.unusable("a=mid is not a token of 1 to 16 characters"));
            }
            if seen.contains(&mid) {
                return Err(section.unusable(format!("a=mid:{mid} is there twice")));
            }
            seen.push(mid);
        }
        Ok(())
    }
}

/// The mid extension's one-byte header leaves 16 bytes (RFC 8285, section 4.2).
const MAX_MID_BYTES: usize = 16;

/// The role in the DTLS handshake that a peer asks for (RFC 8842, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    Active,
    Passive,
    ActPass,
}

/// An m-line and the attributes below it; the session's attributes hold where it has none of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    number: usize,
    session: &'a [Attribute],
    media: &'a MediaDescription,
}

impl<'a> Section<'a> {
    /// Returns what the m-line starts with: `audio`, `video`, `application`, …
    pub(super) fn media(&self) -> &'a str {
        &self.media.media_name.media
    }

    /// Returns the transport protocol as the m-line names it.
    pub(super) fn proto(&self) -> String {
        self.media.media_name.protos.join("/")
    }

    /// Returns the formats of the m-line: payload types for RTP.
    pub(super) fn formats(&self) -> &'a [String] {
        &self.media.media_name.formats
    }

    /// Returns audio or video when the m-line is one of RTP (RFC 9429, section 5.1.2).
    pub(super) fn kind(&self) -> Option<Kind> {
        let profile = self.media.media_name.protos.last().map(String::as_str);
        if !matches!(profile, Some("SAVPF" | "SAVP" | "AVPF" | "AVP")) {
            return None;
        }
        match self.media() {
            "audio" => Some(Kind::Audio),
            "video" => Some(Kind::Video),
            _ => None,
        }
    }

    /// Returns whether the m-line was switched off: port 0 without `a=bundle-only` (RFC 9143, section 6).
    pub(super) fn is_off(&self) -> bool {
        self.media.media_name.port.value == 0 && !has(&self.media.attributes, "bundle-only")
    }

    pub(super) fn mid(&self) -> Option<&'a str> {
        values(&self.media.attributes, "mid").next()
    }

    /// Returns whether the sender of the description sends on this m-line.
    pub(super) fn sends(&self) -> bool {
        matches!(self.direction(), "sendrecv" | "sendonly")
    }

    /// Returns whether the sender of the description wants to receive on this m-line.
    pub(super) fn receives(&self) -> bool {
        matches!(self.direction(), "sendrecv" | "recvonly")
    }

    fn direction(&self) -> &'a str {
        let levels = [self.media.attributes.as_slice(), self.session];
        let mut found = levels.into_iter().flat_map(|level| {
            level
                .iter()
                .map(|attribute| attribute.key.as_str())
                .find(|key| matches!(*key, "sendrecv" | "sendonly" | "recvonly" | "inactive"))
        });
        found.next().unwrap_or("sendrecv")
    }

    /// Returns whether the m-line, or the session, has an attribute without a value.
    pub(super) fn flag(&self, key: &str) -> bool {
        has(&self.media.attributes, key)
    }

    /// Returns whether packets may have header extensions of both forms (RFC 8285, section 6).
    pub(super) fn allows_mixed(&self) -> bool {
        let name = "extmap-allow-mixed";
        self.flag(name) || has(self.session, name)
    }

    /// Returns the values of an attribute of the m-line alone.
    pub(super) fn values(&self, key: &str) -> impl Iterator<Item = &'a str> {
        values(&self.media.attributes, key)
    }

    /// Returns the values of an attribute of the m-line, or the session's when it has none.
    pub(super) fn inherited(&self, key: &str) -> Vec<&'a str> {
        let own: Vec<_> = self.values(key).collect();
        if own.is_empty() {
            values(self.session, key).collect()
        } else {
            own
        }
    }

    /// Returns the peer's side of ICE (RFC 8839, section 5.4).
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] naming what is missing or malformed.
    pub(super) fn ice(&self) -> Result<IceCredentials, NegotiationError> {
        let text = |key: &str, range: std::ops::RangeInclusive<usize>| {
            let values = self.inherited(key);
            let Some(value) = values.first() else {
                return Err(self.unusable(format!("a={key} is missing")));
            };
            if !is_ice_text(value, range.clone()) {
                let (least, most) = range.into_inner();
                return Err(self.unusable(format!("a={key} is not {least} to {most} ice-chars")));
            }
            Ok((*value).to_owned())
        };
        Ok(IceCredentials {
            ufrag: text("ice-ufrag", 4..=256)?,
            pwd: text("ice-pwd", 22..=256)?,
        })
    }

    /// Returns the SHA-256 hashes of the peer's certificates; other hashes are skipped (RFC 8122).
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] when there is none, more than eight, or a malformed one.
    pub(super) fn fingerprints(&self) -> Result<Vec<Fingerprint>, NegotiationError> {
        let mut found = Vec::new();
        let mut foreign = None;
        for value in self.inherited("fingerprint") {
            let (algorithm, digits) = value.split_once(' ').unwrap_or((value, ""));
            if !algorithm.eq_ignore_ascii_case("sha-256") {
                foreign = Some(shorten(algorithm));
                continue;
            }
            let hash = parse_hash(digits.trim()).ok_or_else(|| {
                self.unusable("a=fingerprint:sha-256 is not 32 bytes in hexadecimal")
            })?;
            if !found.contains(&Fingerprint(hash)) {
                found.push(Fingerprint(hash));
            }
        }
        match (found.is_empty(), foreign) {
            (false, _) if found.len() > MAX_FINGERPRINTS => {
                Err(self.unusable("there are more than 8 fingerprints"))
            }
            (false, _) => Ok(found),
            (true, Some(algorithm)) => Err(self.unusable(format!(
                "a=fingerprint is there with {algorithm} only, sha-256 is needed"
            ))),
            (true, None) => Err(self.unusable("a=fingerprint is missing")),
        }
    }

    /// Returns the DTLS role that the peer asks for; `None` when it leaves that to the default.
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] for a value other than `active`, `passive` and `actpass`.
    pub(super) fn setup(&self) -> Result<Option<Setup>, NegotiationError> {
        match self.inherited("setup").first() {
            None => Ok(None),
            Some(&"active") => Ok(Some(Setup::Active)),
            Some(&"passive") => Ok(Some(Setup::Passive)),
            Some(&"actpass") => Ok(Some(Setup::ActPass)),
            Some(other) => Err(self.unusable(format!("a=setup:{} cannot be used", shorten(other)))),
        }
    }

    /// Returns the streams announced by `a=ssrc` and `a=ssrc-group` (RFC 5576), in order of appearance.
    ///
    /// Some peers (ffmpeg) name the SSRC of retransmissions in the FID group only. Streams of forward error
    /// correction are left out.
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] when an SSRC is not a 32-bit number.
    pub(super) fn ssrcs(&self) -> Result<Vec<SsrcPair>, NegotiationError> {
        let mut media = Vec::new();
        let mut repairs = Vec::new();
        let mut pairs = Vec::new();
        for group in self.values("ssrc-group") {
            let (semantics, members) = group.split_once(' ').unwrap_or((group, ""));
            let members = members.split_ascii_whitespace().map(|ssrc| self.ssrc(ssrc));
            let members = members.collect::<Result<Vec<_>, _>>()?;
            if let ("FID", &[first, second]) = (semantics, members.as_slice()) {
                pairs.push((first, second));
            }
            if matches!(semantics, "FID" | "FEC" | "FEC-FR") {
                repairs.extend(members.get(1..).unwrap_or_default());
                media.extend(members.first());
            } else {
                media.extend(members);
            }
        }
        for source in self.values("ssrc") {
            media.push(self.ssrc(source.split_ascii_whitespace().next().unwrap_or_default())?);
        }
        let mut found: Vec<SsrcPair> = Vec::new();
        for ssrc in media {
            if repairs.contains(&ssrc) || found.iter().any(|pair| pair.media == ssrc) {
                continue;
            }
            let rtx = pairs
                .iter()
                .find(|(first, _)| *first == ssrc)
                .map(|(_, second)| *second);
            found.push(SsrcPair { media: ssrc, rtx });
        }
        Ok(found)
    }

    /// Returns the RIDs of the streams offered by `a=simulcast:send`, in order, at most four (RFC 8853, section
    /// 5.1; RFC 8851, section 4); empty without simulcast.
    ///
    /// Of alternatives the first that can be taken counts; a RID needs its `a=rid` line, and may be paused at first
    /// (`~`).
    pub(super) fn rids(&self) -> Vec<&'a str> {
        let described: Vec<_> = self
            .values("rid")
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                words.next().zip(words.next())
            })
            .filter(|(_, direction)| *direction == "send")
            .map(|(rid, _)| rid)
            .take(MAX_RIDS)
            .collect();
        let mut lists = self.values("simulcast").filter_map(|line| {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            let mut pairs = words.chunks_exact(2);
            pairs.find_map(|pair| match pair {
                ["send", streams] => Some(*streams),
                _ => None,
            })
        });
        let mut rids: Vec<&str> = Vec::new();
        let streams = lists.next().unwrap_or_default().split(';');
        for stream in streams.take(MAX_RIDS) {
            let alternatives = stream.split(',').take(MAX_RIDS);
            let fits = |rid: &&str| is_rid(rid) && described.contains(rid) && !rids.contains(rid);
            let mut named = alternatives.map(|rid| rid.trim_start_matches('~'));
            rids.extend(named.find(fits));
        }
        rids.truncate(MAX_LAYERS);
        rids
    }

    fn ssrc(&self, digits: &str) -> Result<u32, NegotiationError> {
        let message = || self.unusable(format!("`{}` is not an SSRC", shorten(digits)));
        digits.parse().map_err(|_| message())
    }

    /// Returns where this m-line is, for an error.
    pub(super) fn place(&self) -> Place {
        Place::Section {
            number: self.number,
            media: shorten(self.media()),
        }
    }

    pub(super) fn unusable(&self, problem: impl Into<String>) -> NegotiationError {
        NegotiationError::unusable(self.place(), problem)
    }
}

/// Layers of one m-line that are taken.
const MAX_LAYERS: usize = 4;

/// RIDs of one m-line that are looked at.
const MAX_RIDS: usize = 16;

/// Returns whether a text is a RID that fits a header extension (RFC 8851, section 10; RFC 8852, section 3.1).
pub(crate) fn is_rid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_MID_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// Certificates one peer may announce; browsers announce one.
const MAX_FINGERPRINTS: usize = 8;

fn has(attributes: &[Attribute], key: &str) -> bool {
    attributes.iter().any(|attribute| attribute.key == key)
}

fn values<'a>(attributes: &'a [Attribute], key: &str) -> impl Iterator<Item = &'a str> {
    attributes
        .iter()
        .filter(move |attribute| attribute.key == key)
        .filter_map(|attribute| attribute.value.as_deref())
}

/// Reads 32 bytes written as `AB:CD:…`.
fn parse_hash(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let mut bytes = digits.split(':');
    for byte in &mut hash {
        let pair = bytes.next()?;
        if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    bytes.next().is_none().then_some(hash)
}

/// Returns whether a byte may stand in a token (RFC 8866, section 9).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte)
}

/// Cuts what a peer wrote to a length that fits into an error message.
fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    // The parser names what it stumbled over: where the text ends too early that is nothing.
    if text.ends_with(": ") {
        return "it ends too early".to_owned();
    }
    if text.chars().nth(MAX_CHARS).is_none() {
        return text.to_owned();
    }
    text.chars().take(MAX_CHARS).chain(['…']).collect()
}
