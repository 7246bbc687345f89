//! Session descriptions (RFC 8866) and the rules of offer and answer (JSEP, RFC 9429): SDP text stops here.
//!
//! Who offers is answered by [`Agreement`]: publishers, and viewers that come by WHEP. Other viewers are
//! offered what [`offer`] says, the same to everybody, and answer. What both come to is told in the words
//! of the forwarding unit.

mod limits;

mod parse;

mod codecs;

mod extensions;

mod transport;

mod accepted;

mod answer;

mod fragment;

pub mod offer;

mod write;

use std::net::SocketAddr;

use klieg_sfu::{Fingerprint, Kind};

pub use accepted::Direction;
pub use answer::Agreement;
pub(crate) use fragment::Fragment;
pub use parse::Description;
pub(crate) use parse::is_rid;
pub use transport::RemoteTransport;
pub use write::{Local, Origin};

/// What every description of the server says.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Hash of the server's certificate.
    pub fingerprint: Fingerprint,
    /// Where the server's UDP socket is reached, the preferred address first.
    pub candidates: Vec<SocketAddr>,
    /// Where it accepts connections for media (RFC 6544), the preferred address first; empty where it does not.
    pub tcp_candidates: Vec<SocketAddr>,
}

/// Why a session description cannot be used. The text is meant for the peer that sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// The description has more bytes than the server reads.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// There is more of something than the server reads.
    #[error("line {line}: more than {limit} {what}")]
    Limit {
        /// The line that went over, from 1.
        line: usize,
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// A line breaks the syntax of RFC 8866, section 5.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The lines do not make a session description together.
    #[error("not a session description: {0}")]
    Grammar(String),
    /// Something the negotiation needs is missing or wrong.
    #[error("{place}: {problem}")]
    Unusable {
        /// Where.
        place: Place,
        /// What is wrong there, in words.
        problem: String,
    },
    /// No m-line offers or accepts a coding that the server forwards.
    #[error("no codec in common: the server forwards Opus, VP8, VP9, H.264 and AV1")]
    NoCommonCodec,
    /// An answer came and no offer is waiting for one.
    #[error("no offer is waiting for an answer")]
    NoOffer,
    /// A publisher offers and a viewer answers, never the other way round.
    #[error("{0}")]
    WrongSide(&'static str),
}

impl NegotiationError {
    /// Returns the error code of the signaling protocol.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCommonCodec => "no_common_codec",
            Self::TooLarge(_)
            | Self::Limit { .. }
            | Self::Line { .. }
            | Self::Grammar(_)
            | Self::Unusable { .. }
            | Self::NoOffer
            | Self::WrongSide(_) => "bad_sdp",
        }
    }

    fn unusable(place: impl Into<Place>, problem: impl Into<String>) -> Self {
        Self::Unusable {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

/// The part of a description that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// What stands before the first m-line, or holds for all.
    Session,
    /// An m-line and what follows it.
    Section {
        /// Its number, from 1.
        number: usize,
        /// What the m-line is of.
        media: String,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session => f.write_str("session"),
            Self::Section { number, media } => write!(f, "m-line {number} ({media})"),
        }
    }
}

/// Checks the form of a candidate as `RTCIceCandidate` has it (RFC 8839, section 5.1).
///
/// The server is ICE-lite and learns addresses from checks alone, so nothing else is done with it. The
/// empty string is the end of candidates.
///
/// # Errors
/// [`NegotiationError::Line`] when it is no candidate, [`NegotiationError::TooLarge`] when it is too long.
pub fn check_candidate(candidate: &str) -> Result<(), NegotiationError> {
    if candidate.len() > limits::MAX_LINE_BYTES {
        return Err(NegotiationError::TooLarge(limits::MAX_LINE_BYTES));
    }
    if candidate.is_empty() {
        return Ok(());
    }
    let fields = candidate
        .strip_prefix("a=")
        .unwrap_or(candidate)
        .strip_prefix("candidate:");
    let mut fields = fields.unwrap_or_default().split_ascii_whitespace();
    let well_formed = fields
        .next()
        .is_some_and(|foundation| foundation.len() <= 32)
        && fields
            .next()
            .is_some_and(|component| component.parse::<u16>().is_ok())
        && fields.next().is_some()
        && fields
            .next()
            .is_some_and(|priority| priority.parse::<u32>().is_ok())
        && fields.next().is_some()
        && fields
            .next()
            .is_some_and(|port| port.parse::<u16>().is_ok())
        && fields.next() == Some("typ")
        && fields.next().is_some();
    if well_formed {
        Ok(())
    } else {
        Err(NegotiationError::Line {
            line: 1,
            problem: "not a candidate",
        })
    }
}

/// Returns whether a text is of ice-chars, and of so many (RFC 8839, section 5.4).
fn is_ice_text(text: &str, range: std::ops::RangeInclusive<usize>) -> bool {
    let ice_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    range.contains(&text.len()) && text.bytes().all(ice_char)
}

/// Returns the word that an m-line starts with.
fn media_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "audio",
        Kind::Video => "video",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_browsers_have_form_and_noise_has_not() {
        for good in [
            "",
            "candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host generation 0 ufrag abcd",
            "candidate:0 1 UDP 2122187007 3f0e9a34-7f5d-4f0c-8c8f-cf3fd1d5ef17.local 40123 typ host",
            "candidate:2 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active",
        ] {
            assert_eq!(check_candidate(good), Ok(()), "{good}");
        }
        let long = format!("candidate:{}", "1 ".repeat(4000));
        for bad in [
            "x",
            "candidate:",
            "candidate:1 1 udp x 192.0.2.1 1 typ host",
            long.as_str(),
        ] {
            assert_eq!(check_candidate(bad).unwrap_err().code(), "bad_sdp", "{bad}");
        }
    }

    #[test]
    fn a_description_that_ends_too_early_is_said_to() {
        let error = Description::parse("v=0\r\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a session description: it ends too early"
        );
    }
}
