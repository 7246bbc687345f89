//! RTP header extensions: `a=extmap` (RFC 8285, section 5).

use klieg_sfu::{ExtensionIds, Kind};

use super::NegotiationError;
use super::accepted::Direction;
use super::parse::Section;

/// A header extension that the server reads, or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extension {
    Mid,
    Rid,
    RepairedRid,
    TransportCc,
    Descriptor,
    PlayoutDelay,
    CaptureTime,
}

impl Extension {
    fn from_uri(uri: &str) -> Option<Self> {
        let all = [
            Self::Mid,
            Self::Rid,
            Self::RepairedRid,
            Self::TransportCc,
            Self::Descriptor,
            Self::PlayoutDelay,
            Self::CaptureTime,
        ];
        all.into_iter().find(|extension| extension.uri() == uri)
    }

    fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::Descriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::CaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        }
    }
}

/// An identifier and the extension it stands for, as the server answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExtMap {
    pub(super) id: u8,
    pub(super) extension: Extension,
    /// The offer named the one direction in which it is used, so the answer says the other: `recvonly` where the
    /// server receives, `sendonly` where it sends.
    restricted: Option<Direction>,
}

impl ExtMap {
    /// Returns the extensions of an offered m-line that the server reads or writes there, with the offer's
    /// identifiers.
    ///
    /// One for the other direction alone is left out. So are the identifiers 4096 and above, with which a peer
    /// offers more than it has numbers for.
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] when one identifier stands for two of them.
    pub(super) fn offered(
        section: &Section<'_>,
        direction: Direction,
    ) -> Result<Vec<Self>, NegotiationError> {
        let mut found: Vec<Self> = Vec::new();
        for line in section.inherited("extmap") {
            let Some(offered) = Self::parse(line, direction) else {
                continue;
            };
            if !offered.is_used(section, direction) {
                continue;
            }
            if found
                .iter()
                .any(|known| known.extension == offered.extension)
            {
                continue;
            }
            if found.iter().any(|known| known.id == offered.id) {
                return Err(section.unusable(format!("a=extmap:{} is there twice", offered.id)));
            }
            found.push(offered);
        }
        Ok(found)
    }

    fn parse(line: &str, direction: Direction) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (id, offered) = match words.next()?.split_once('/') {
            Some((id, direction)) => (id, Some(direction)),
            None => (line.split_ascii_whitespace().next()?, None),
        };
        let restricted = match (offered, direction) {
            (None | Some("sendrecv"), _) => None,
            (Some("sendonly"), Direction::Receive) | (Some("recvonly"), Direction::Send) => {
                Some(direction)
            }
            (Some(_), _) => return None,
        };
        // 15 is reserved in headers of one byte and 0 is padding (RFC 8285, section 4.2).
        let id = id
            .parse()
            .ok()
            .filter(|id| matches!(id, 1..=14 | 16..=255))?;
        Some(Self {
            id,
            extension: Extension::from_uri(words.next()?)?,
            restricted,
        })
    }

    /// Returns whether the server reads or writes it on an m-line. Dependency descriptors are those of pictures, and from
    /// the server only where packets may have headers of both forms, since most are short and some are long
    /// (RFC 8285, section 6).
    fn is_used(&self, section: &Section<'_>, direction: Direction) -> bool {
        let is_sent = direction == Direction::Send;
        let is_video = section.kind() == Some(Kind::Video);
        match self.extension {
            // What the server sends is told apart by its streams.
            Extension::Mid | Extension::Rid | Extension::RepairedRid => !is_sent,
            Extension::TransportCc | Extension::CaptureTime => true,
            Extension::Descriptor => is_video && (!is_sent || section.allows_mixed()),
            Extension::PlayoutDelay => is_video && is_sent,
        }
    }

    /// Returns the transport-wide number as an offer of the server has it.
    pub(super) fn transport_cc(id: u8) -> Self {
        Self {
            id,
            extension: Extension::TransportCc,
            restricted: None,
        }
    }

    /// Returns the dependency descriptor as an offer of the server has it.
    pub(super) fn descriptor(id: u8) -> Self {
        Self {
            id,
            extension: Extension::Descriptor,
            restricted: None,
        }
    }

    /// Returns the play-out delay as an offer of the server has it.
    pub(super) fn playout_delay(id: u8) -> Self {
        Self {
            id,
            extension: Extension::PlayoutDelay,
            restricted: None,
        }
    }

    /// Returns the time of capture as an offer of the server has it.
    pub(super) fn capture_time(id: u8) -> Self {
        Self {
            id,
            extension: Extension::CaptureTime,
            restricted: None,
        }
    }

    /// Returns whether it is the transport-wide number.
    pub(super) fn is_number(&self) -> bool {
        self.extension == Extension::TransportCc
    }

    /// Returns the identifiers by extension.
    pub(super) fn ids(maps: &[Self]) -> ExtensionIds {
        let id = |wanted| {
            maps.iter()
                .find(|map| map.extension == wanted)
                .map(|map| map.id)
        };
        ExtensionIds {
            mid: id(Extension::Mid),
            rid: id(Extension::Rid),
            repaired_rid: id(Extension::RepairedRid),
            transport_cc: id(Extension::TransportCc),
            descriptor: id(Extension::Descriptor),
            playout_delay: id(Extension::PlayoutDelay),
            capture_time: id(Extension::CaptureTime),
        }
    }
}

impl std::fmt::Display for ExtMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let direction = match self.restricted {
            None => "",
            Some(Direction::Receive) => "/recvonly",
            Some(Direction::Send) => "/sendonly",
        };
        write!(f, "{}{direction} {}", self.id, self.extension.uri())
    }
}
