//! RTP header extensions: `a=extmap` (RFC 8285, section 5).

use klieg_sfu::ExtensionIds;

use super::NegotiationError;
use super::parse::Section;

/// A header extension that the server reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extension {
    Mid,
    Rid,
    RepairedRid,
    TransportCc,
}

impl Extension {
    fn from_uri(uri: &str) -> Option<Self> {
        let all = [Self::Mid, Self::Rid, Self::RepairedRid, Self::TransportCc];
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
        }
    }
}

/// An identifier and the extension it stands for, as the server answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExtMap {
    pub(super) id: u8,
    pub(super) extension: Extension,
    /// The offer said `sendonly`, so the answer says `recvonly`.
    restricted: bool,
}

impl ExtMap {
    /// Returns the extensions of an offered m-line that the server reads, with the offer's identifiers.
    ///
    /// One that the peer wants to receive alone is left out, as the server sends it nothing. So are the
    /// identifiers 4096 and above, with which a peer offers more than it has numbers for.
    ///
    /// # Errors
    /// [`NegotiationError::Unusable`] when one identifier stands for two of them.
    pub(super) fn offered(section: &Section<'_>) -> Result<Vec<Self>, NegotiationError> {
        let mut found: Vec<Self> = Vec::new();
        for line in section.inherited("extmap") {
            let Some(offered) = Self::parse(line) else {
                continue;
            };
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

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (id, direction) = match words.next()?.split_once('/') {
            Some((id, direction)) => (id, Some(direction)),
            None => (line.split_ascii_whitespace().next()?, None),
        };
        let restricted = match direction {
            None | Some("sendrecv") => false,
            Some("sendonly") => true,
            Some(_) => return None,
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
        }
    }
}

impl std::fmt::Display for ExtMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let direction = if self.restricted { "/recvonly" } else { "" };
        write!(f, "{}{direction} {}", self.id, self.extension.uri())
    }
}
