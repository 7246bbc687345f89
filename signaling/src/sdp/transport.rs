//! The peer's end of the one transport that carries all its media.

use klieg_sfu::{DtlsRole, Fingerprint, IceCredentials};

use super::parse::{Section, Setup};
use super::{Description, NegotiationError, Place};

/// The peer's end of the one transport that carries all its media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTransport {
    /// The peer's side of ICE.
    pub ice: IceCredentials,
    /// The SHA-256 hashes of the certificates it may show, at least one.
    pub fingerprints: Vec<Fingerprint>,
    /// The role that is left to the server.
    pub dtls_role: DtlsRole,
    /// Whether it decrypts what follows the last flight of the handshake at once.
    pub is_prompt: bool,
}

impl RemoteTransport {
    /// Refuses a transport that would need a new DTLS association: ICE alone can restart.
    pub(crate) fn check_continues(&self, before: &Self) -> Result<(), NegotiationError> {
        let problem = if self.dtls_role != before.dtls_role {
            "a=setup would turn the DTLS roles round"
        } else if self
            .fingerprints
            .iter()
            .any(|hash| !before.fingerprints.contains(hash))
        {
            "a=fingerprint changed: a new certificate needs a new session"
        } else {
            return Ok(());
        };
        Err(NegotiationError::unusable(Place::Session, problem))
    }
}

/// Who wrote a description: what is left out means something else to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    Offerer,
    Answerer,
}

/// Reads it from the m-lines of a peer's description that are in use.
///
/// # Errors
/// [`NegotiationError::Unusable`] when they do not share one transport, or lack a part of it.
pub(super) fn of(
    description: &Description,
    in_use: &[Section<'_>],
    author: Author,
) -> Result<RemoteTransport, NegotiationError> {
    let Some((first, others)) = in_use.split_first() else {
        return Err(NegotiationError::unusable(
            Place::Session,
            "no m-line is in use",
        ));
    };
    let bundle = first
        .mid()
        .map(|mid| description.bundled_with(mid))
        .unwrap_or_default();
    for other in others {
        if !other.mid().is_some_and(|mid| bundle.contains(&mid)) {
            let problem =
                "is not in the a=group:BUNDLE of the m-lines before: all media shares a transport";
            return Err(other.unusable(problem));
        }
    }
    if description.flag("ice-lite") {
        let problem = "a=ice-lite: the server is lite too, and one end has to check";
        return Err(NegotiationError::unusable(Place::Session, problem));
    }
    // The transport is that of the first m-line of the group that is in use; m-lines that are bundled
    // from the start need not repeat it (RFC 9143, sections 7.1.3 and 7.3.1).
    let in_bundle = |section: &Section<'_>| section.mid().is_some_and(|mid| bundle.contains(&mid));
    let with_ice = |section: &Section<'_>| !section.inherited("ice-ufrag").is_empty();
    let mut candidates = in_use
        .iter()
        .copied()
        .chain(description.sections().filter(in_bundle));
    let tagged = candidates.find(with_ice).unwrap_or(*first);
    if !tagged.flag("rtcp-mux") && !first.flag("rtcp-mux") {
        return Err(first.unusable("a=rtcp-mux is missing: RTP and RTCP share a port"));
    }
    Ok(RemoteTransport {
        ice: tagged.ice()?,
        fingerprints: tagged.fingerprints()?,
        dtls_role: author.leaves_role(&tagged)?,
        is_prompt: description.is_of_libwebrtc(),
    })
}

impl Author {
    /// Returns the role in the DTLS handshake that the author leaves to the server (RFC 4145, section 4).
    fn leaves_role(self, tagged: &Section<'_>) -> Result<DtlsRole, NegotiationError> {
        match (tagged.setup()?, self) {
            (Some(Setup::Active), _) => Ok(DtlsRole::Server),
            (Some(Setup::Passive), _) => Ok(DtlsRole::Client),
            // Active is the default of offers, and passive that of answers.
            (Some(Setup::ActPass) | None, Self::Offerer) => Ok(DtlsRole::Server),
            (None, Self::Answerer) => Ok(DtlsRole::Client),
            (Some(Setup::ActPass), Self::Answerer) => {
                Err(tagged.unusable("a=setup:actpass is for offers"))
            }
        }
    }
}
