//! What the forwarding unit reports to signaling.

use std::time::Duration;

use crate::codec::Resolution;
use crate::command::{Codec, Format, LayerInfo, Limit, PeerId, RoomKey};

/// What the forwarding unit reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// ICE has a valid pair, DTLS is done and the certificate matches.
    Connected {
        /// Which peer.
        peer: PeerId,
        /// From its announcement to now.
        took: Duration,
    },
    /// The first packet of a kind arrived from a publisher, or its format changed.
    PublisherMedia {
        /// Which peer.
        peer: PeerId,
        /// Which room.
        room: RoomKey,
        /// What is coming.
        format: Format,
    },
    /// A publisher's media counts from now on, and that of no other of its room does: it had its first keyframe, its
    /// first packet if it negotiated sound alone, or was told to ([`Command::TakeOver`](crate::Command::TakeOver)).
    TookOver {
        /// Which peer.
        peer: PeerId,
        /// Which room.
        room: RoomKey,
    },
    /// The layers of a publisher's picture, one without simulcast: when one comes, pauses, returns or
    /// changes its size, at most once a second; when rates move by a tenth, every 5 s.
    PublisherLayers {
        /// Which peer.
        peer: PeerId,
        /// Which room.
        room: RoomKey,
        /// By their index, from one to four, each from its first packet on.
        layers: Vec<LayerInfo>,
    },
    /// A viewer is shown a layer for the first time, or another one than before.
    ViewerLayer {
        /// Which peer.
        peer: PeerId,
        /// Which layer; see [`LayerInfo::index`].
        layer: u8,
    },
    /// What a viewer's path lets it see has changed.
    ViewerLimit {
        /// Which peer.
        peer: PeerId,
        /// What it lets it see from now on; [`Limit::None`] before the first of these.
        limit: Limit,
    },
    /// A viewer's receiver reports say that media arrives, or none has said so for
    /// [`RECEPTION_LAPSES`](crate::RECEPTION_LAPSES). Told when that changes.
    ViewerReception {
        /// Which peer.
        peer: PeerId,
        /// Whether media arrives.
        arrives: bool,
        /// How long ago the last report came that acknowledged media.
        ago: Duration,
    },
    /// The first packet of a video keyframe (or of audio, in a room without video) went to a viewer.
    ViewerMedia {
        /// Which peer.
        peer: PeerId,
        /// From `Connected` to now.
        took: Duration,
    },
    /// The viewer negotiated no payload type for what the room sends.
    CodecMismatch {
        /// Which peer.
        peer: PeerId,
        /// What the publisher sends.
        sent: Format,
    },
    /// The peer is gone; its id is forgotten.
    Disconnected {
        /// Which peer.
        peer: PeerId,
        /// Why.
        reason: DisconnectReason,
    },
}

/// After so long without a report that acknowledges more, media counts as not arriving. Browsers report on sound alone
/// every 5 s, give or take half (RFC 3550, section 6.2).
pub const RECEPTION_LAPSES: Duration = Duration::from_secs(10);

/// Why a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DisconnectReason {
    /// `RemovePeer`.
    Removed,
    /// The peer sent DTLS `close_notify`.
    Closed,
    /// No authenticated check within 30 s (RFC 7675, section 5.1).
    ConsentLost,
    /// The handshake did not finish within 30 s.
    HandshakeTimeout,
    /// The handshake failed.
    HandshakeFailed,
    /// The certificate is not one of those announced.
    FingerprintMismatch,
}

/// A copy of one keyframe, for who shows it as a picture that stands still.
#[derive(Clone, PartialEq, Eq)]
pub struct Still {
    /// What it is coded in; only codings of which a whole keyframe is a picture by itself.
    pub codec: Codec,
    /// How large it says that it is.
    pub size: Resolution,
    /// The whole frame, as an encoder hands it out; at most [`Still::MAX_BYTES`].
    pub frame: Vec<u8>,
}

impl Still {
    /// A keyframe with more bytes is not copied: what waits for it is a small picture.
    pub const MAX_BYTES: usize = 256 * 1024;
}

impl std::fmt::Debug for Still {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Still")
            .field("codec", &self.codec)
            .field("size", &self.size)
            .field("frame_bytes", &self.frame.len())
            .finish()
    }
}

/// Which keyframe is wanted as a still picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillWish {
    /// One that is cached; where there is none the publisher is left in peace.
    Cached,
    /// The same; where there is none the publisher is asked, so that there is one soon.
    Asked,
}
