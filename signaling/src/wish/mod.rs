//! Media by plain HTTP, for encoders and players that know nothing of Klieg: WHIP (RFC 9725) and WHEP
//! (draft-ietf-wish-whep-02). Both are envelopes around a [`Session`](crate::session::Session), like the socket.
//!
//! Server-sent events and the choice of layers are extensions that stand in section 4.10 of that draft; later
//! drafts of WHEP leave them to one of their own (webrtc-http-egress-events).

mod headers;

mod resources;

pub(crate) mod endpoint;

pub(crate) mod resource;

pub(crate) mod events;

pub(crate) mod layer;

mod feed;

pub(crate) use resources::{Resources, end_signed_out};

use axum::http::Uri;

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The client publishes.
    Whip,
    /// The client watches.
    Whep,
}

impl Protocol {
    /// Returns what is spoken at an address.
    fn of(uri: &Uri) -> Self {
        if uri.path().starts_with("/whip/") {
            Self::Whip
        } else {
            Self::Whep
        }
    }

    /// Returns the first part of its addresses.
    fn path(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }
}

/// The media type of session descriptions.
const SDP: &str = "application/sdp";

/// The media type of fragments of them (RFC 8840, section 9).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
