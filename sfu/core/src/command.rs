//! What goes into the forwarding unit and what comes out of it: the vocabulary shared with signaling.
//!
//! Nothing here knows SDP, tokens or user names; signaling translates.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub use crate::codec::Resolution;
pub use crate::event::{DisconnectReason, Event, RECEPTION_LAPSES, Still, StillWish};
pub use crate::framed::ConnectionId;

/// Names a peer for as long as the process lives; chosen by the caller, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// Names a room for as long as the process lives; chosen by the caller, never reused.
///
/// It is a number and not the room id of the API, so that the packet path never hashes a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey(pub u64);

/// Names one worker: a thread with its own socket, peers and timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(pub u16);

/// ICE user name fragment and password (RFC 8839, section 5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// 4 to 256 ice-chars.
    pub ufrag: String,
    /// 22 to 256 ice-chars.
    pub pwd: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials")
            .field("ufrag", &self.ufrag)
            .field("pwd", &"…")
            .finish()
    }
}

/// Hash of a certificate as `a=fingerprint` carries it (RFC 8122). Only SHA-256 is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// Which side of the DTLS handshake the server takes (RFC 5763, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// `a=setup:passive`: the peer sends the `ClientHello`.
    Server,
    /// `a=setup:active`: we send it. For peers that only offer `passive`.
    Client,
}

/// Lets exactly one shard own a peer: the one on which its first authenticated check lands.
#[derive(Debug)]
pub struct Claim(AtomicU32);

impl Default for Claim {
    fn default() -> Self {
        Self(AtomicU32::new(u32::MAX))
    }
}

impl Claim {
    /// Takes the peer for `shard`, or says who has it.
    ///
    /// # Errors
    /// The shard that claimed the peer before.
    pub fn take(&self, shard: ShardIndex) -> Result<(), ShardIndex> {
        let wanted = u32::from(shard.0);
        match self
            .0
            .compare_exchange(u32::MAX, wanted, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Ok(()),
            Err(owner) if owner == wanted => Ok(()),
            Err(owner) => Err(ShardIndex(u16::try_from(owner).unwrap_or(u16::MAX))),
        }
    }
}

/// A peer that may connect: what the server told it about itself.
#[derive(Debug)]
pub struct PeerSpec {
    /// Who it is.
    pub peer: PeerId,
    /// The room whose media it publishes or watches.
    pub room: RoomKey,
    /// The server's side of ICE for this peer.
    pub local: IceCredentials,
    /// Which shard owns the peer, once one does.
    pub claim: Claim,
}

/// What the peer told the server about itself, and what the two agreed on.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The peer's side of ICE.
    pub ice: IceCredentials,
    /// The certificates the peer may show, at least one.
    pub fingerprints: Vec<Fingerprint>,
    /// The server's role.
    pub dtls_role: DtlsRole,
    /// Whether it decrypts what follows the last flight of the handshake at once. A peer that does not drops media
    /// which comes before its SRTP is set up, and is given time for that.
    pub is_prompt: bool,
    /// What is sent or received.
    pub media: Media,
}

/// What a peer is here for.
#[derive(Clone, Debug)]
pub enum Media {
    /// It sends; the room forwards.
    Publish(Vec<ReceiveTrack>),
    /// It watches.
    View(Vec<SendTrack>),
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
}

/// A coding that the server forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// AV1 RTP payload format 1.0.
    Av1,
}

impl Codec {
    /// Returns whether it is sound or picture.
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus => Kind::Audio,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => Kind::Video,
        }
    }

    /// Returns the RTP clock rate, in Hz.
    pub fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => 90_000,
        }
    }
}

/// A coding with the parameters that decide whether two ends understand each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// The coding.
    pub codec: Codec,
    /// VP9 `profile-id`, AV1 `profile`, H.264 `profile-level-id` without the level
    /// (`profile_idc << 8 | profile-iop`); 0 where the codec has none.
    pub profile: u16,
    /// H.264 `packetization-mode`; 0 for all others.
    pub packetization_mode: u8,
}

impl Format {
    /// Returns whether a decoder negotiated as `self` is expected to play a stream sent as `sent`.
    ///
    /// H.264 profiles are not compared: what browsers send as constrained baseline their decoders
    /// of any profile play, and a mismatch of names would be a black picture for nothing.
    pub fn plays(&self, sent: &Self) -> bool {
        self.codec == sent.codec
            && match self.codec {
                Codec::H264 => self.packetization_mode >= sent.packetization_mode,
                Codec::Vp9 | Codec::Av1 => self.profile == sent.profile,
                Codec::Opus | Codec::Vp8 => true,
            }
    }
}

/// One negotiated payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadFormat {
    /// 0 to 127.
    pub payload_type: u8,
    /// Its retransmission payload type (`apt`, RFC 4588), where one was negotiated.
    pub rtx_payload_type: Option<u8>,
    /// The payload type under which it comes with what was sent before (RFC 2198), where one was negotiated; of
    /// sound alone.
    pub red_payload_type: Option<u8>,
    /// What it carries.
    pub format: Format,
    /// The feedback negotiated for it.
    pub feedback: Feedback,
}

/// RTCP feedback that both ends agreed to (`a=rtcp-fb`, RFC 4585 and 5104).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one line of the session description"
)]
pub struct Feedback {
    /// `nack`.
    pub nack: bool,
    /// `nack pli`.
    pub pli: bool,
    /// `ccm fir`.
    pub fir: bool,
    /// `transport-cc`.
    pub transport_cc: bool,
    /// `goog-remb`.
    pub remb: bool,
}

/// Identifiers of the header extensions in use (RFC 8285); `None` where not negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`.
    pub mid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`.
    pub rid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`.
    pub repaired_rid: Option<u8>,
    /// `draft-holmer-rmcat-transport-wide-cc-extensions-01`.
    pub transport_cc: Option<u8>,
    /// The dependency descriptor of AV1 RTP 1.0, appendix A.
    pub descriptor: Option<u8>,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/playout-delay`.
    pub playout_delay: Option<u8>,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time`.
    pub capture_time: Option<u8>,
}

/// One m-line on which the server receives.
#[derive(Clone, Debug)]
pub struct ReceiveTrack {
    /// Audio or video.
    pub kind: Kind,
    /// `a=mid`, at most 16 bytes.
    pub mid: String,
    /// The payload types, in the order of preference.
    pub formats: Vec<PayloadFormat>,
    /// Identifiers of header extensions on this m-line.
    pub extensions: ExtensionIds,
    /// Streams announced by `a=ssrc`, at most 8: media and, paired by FID, its retransmissions.
    pub ssrcs: Vec<SsrcPair>,
    /// `a=rid` in the order of the offer, at most 4; empty without simulcast.
    pub rids: Vec<String>,
}

/// A media stream and the stream that repairs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SsrcPair {
    /// The media stream.
    pub media: u32,
    /// Its retransmissions (`a=ssrc-group:FID`), where announced.
    pub rtx: Option<u32>,
}

/// One m-line on which the server sends.
#[derive(Clone, Debug)]
pub struct SendTrack {
    /// Audio or video.
    pub kind: Kind,
    /// The payload types the viewer accepted, in its order of preference.
    pub formats: Vec<PayloadFormat>,
    /// Identifiers of header extensions on this m-line, of which the transport-wide number, the dependency
    /// descriptor, the play-out delay and the time of capture are sent.
    pub extensions: ExtensionIds,
    /// The streams that the server announced.
    pub ssrc: SsrcPair,
    /// RTCP canonical name, at most 64 bytes; the same on all tracks of a room.
    pub cname: String,
    /// Whether the viewer draws nothing for many seconds once pictures are to be shown at once that had to wait before,
    /// so that it must never be told so; what Firefox does.
    pub stalls_at_once: bool,
}

/// Which layer of a picture a viewer wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LayerChoice {
    /// The best there is.
    #[default]
    Auto,
    /// The one of this [`LayerInfo::index`]. While it is not there or paused: the best below it, else the
    /// best there is.
    Layer(u8),
    /// The same, of no higher temporal layer than this.
    Reduced(u8, u8),
}

/// What a viewer's path makes of its choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Limit {
    /// It gets what it chose.
    #[default]
    None,
    /// It gets the best layer that its path carries, and there is a better one.
    Lower,
    /// Not even the least layer fits: it gets no picture until its path carries one again.
    Paused,
}

/// How long a viewer lets pictures wait before it shows them, from and to, as the header extension
/// `playout-delay` carries it: in steps of 10 ms, at most 40.95 s. Sound follows, to stay with its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayoutDelay {
    least: u16,
    most: u16,
}

impl PlayoutDelay {
    /// What viewers do by themselves: as little as their network allows.
    pub const AUTOMATIC: Self = Self {
        least: 0,
        most: 1000,
    };

    /// Makes one of milliseconds, rounded down to steps; `most` is `least` at least.
    pub fn new(least_ms: u16, most_ms: u16) -> Self {
        let steps = |ms: u16| (ms / 10).min(0x0fff);
        Self {
            least: steps(least_ms),
            most: steps(most_ms.max(least_ms)),
        }
    }

    /// Returns the same, but that pictures wait for a step at least.
    pub(crate) fn after_a_step(self) -> Self {
        Self {
            least: self.least.max(1),
            most: self.most.max(1),
        }
    }

    /// Returns the value of the extension: twelve bits each.
    pub(crate) fn to_bytes(self) -> [u8; 3] {
        let [least_high, least_low] = (self.least << 4).to_be_bytes();
        let [most_high, most_low] = self.most.to_be_bytes();
        [least_high, least_low | most_high, most_low]
    }
}

/// What one layer of a published picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Its place in the publisher's [`ReceiveTrack::rids`]; without simulcast the spatial layer, 0 where
    /// there is one.
    pub index: u8,
    /// The stream that carries it, by its place among the RIDs.
    pub stream: u8,
    /// The spatial layer of that stream.
    pub spatial: u8,
    /// Whether packets came within the last second or so.
    pub active: bool,
    /// Pixels from left to right, as the last keyframe says; 0 until one did.
    pub width: u16,
    /// Pixels from top to bottom, as the last keyframe says; 0 until one did.
    pub height: u16,
    /// Measured over the last second, RTP headers included.
    pub bitrate_bps: u32,
}

/// What signaling asks of the forwarding unit. Unknown peers and rooms are ignored.
#[derive(Clone, Debug)]
pub enum Command {
    /// Lets a peer in. It has 30 s to finish its handshake.
    AddPeer(Arc<PeerSpec>),
    /// Completes a peer; media starts once its certificate matches. Applied once, later ones ignored.
    SetRemote(PeerId, Arc<Remote>),
    /// Restarts ICE: new credentials of both sides; DTLS and media go on (RFC 8445, section 9).
    RestartIce {
        /// Which peer.
        peer: PeerId,
        /// The server's new side.
        local: IceCredentials,
        /// The peer's new side; `None` until its answer came.
        remote: Option<IceCredentials>,
    },
    /// Shows a viewer another layer, from its handshake on and for all publishers to come.
    SelectLayer(PeerId, LayerChoice),
    /// Tells a viewer how long to let pictures wait, where it negotiated that; from its handshake on.
    SetPlayoutDelay(PeerId, PlayoutDelay),
    /// Shows a viewer a keyframe, as a Picture Loss Indication of its own would (RFC 4585, section 6.3.1).
    RequestKeyframe(PeerId),
    /// Makes a connected publisher the one whose media counts. Without it a publisher takes over by itself with its
    /// first keyframe, or with its first packet if it negotiated sound alone.
    TakeOver(PeerId),
    /// Shows the peer out: DTLS `close_notify`, then silence.
    RemovePeer(PeerId),
}

/// A pair of addresses a datagram travels between, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The server's address, where the socket tells; replies leave from it.
    pub local: Option<IpAddr>,
    /// The peer's address.
    pub remote: std::net::SocketAddr,
    /// The TCP connection that carries it, framed; `None`: UDP.
    pub connection: Option<ConnectionId>,
}
