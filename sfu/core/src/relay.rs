//! A room's packets on their way to every viewer, on this shard and on others.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::{ActivePlace, Picture, Scale, Structure};
use crate::command::{Format, Kind, LayerInfo, Path, PeerId, RoomKey, ShardIndex};
use crate::rtp::seq::SeqNo;

/// Layers that one picture may have.
pub const MAX_LAYERS: usize = 4;

/// Bytes that levelling may add to a packet: a hundredth of a full one.
const MAX_PADDING: usize = 16;

/// One stream as it was published, from one format and numbering to the next.
///
/// A publisher that returns, changes its SSRC or its codec starts a new source; viewers are switched to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId {
    /// Who publishes.
    pub peer: PeerId,
    /// Counts the sources of this publisher.
    pub number: u32,
}

/// The packets of one stream that one receive brought. Shared by all viewers and shards, never changed.
#[derive(Debug)]
pub struct Burst {
    /// The room it belongs to.
    pub room: RoomKey,
    /// The stream.
    pub source: SourceId,
    /// Which layer of the picture it is; below [`MAX_LAYERS`], 0 for sound and without simulcast.
    pub layer: u8,
    /// What it is coded in.
    pub format: Format,
    /// When it arrived.
    pub arrived: Instant,
    /// The packets, in the order of arrival; at most [`Burst::MAX_PACKETS`].
    pub packets: Vec<MediaPacket>,
    /// The payloads, one behind the other, each with its redundancy before it, its dependency descriptor and its time of
    /// capture behind it.
    pub bytes: Vec<u8>,
}

impl Burst {
    /// Packets in one burst; what comes in one go beyond it makes another.
    pub const MAX_PACKETS: usize = 64;

    /// Returns audio or video.
    pub fn kind(&self) -> Kind {
        self.format.codec.kind()
    }

    /// Pads packets that are almost as long as their neighbours: the kernel takes datagrams of one length
    /// in one call, and encoders split a frame into parts that differ by a byte.
    pub(crate) fn level(&mut self) {
        let mut rest = self.packets.as_mut_slice();
        while let Some(first) = rest.first() {
            let (mut least, mut most) = (first.len(), first.len());
            let alike = rest.iter().take_while(|packet| {
                least = least.min(packet.len());
                most = most.max(packet.len());
                most - least <= MAX_PADDING
            });
            let (alike, others) = rest.split_at_mut(alike.count());
            let longest = alike.iter().map(MediaPacket::len).max();
            for packet in alike {
                let missing = longest.unwrap_or(0) - packet.len();
                packet.padding = u8::try_from(missing).unwrap_or(0);
            }
            rest = others;
        }
    }

    /// Returns the payload of a packet of this burst.
    pub fn payload(&self, packet: &MediaPacket) -> &[u8] {
        self.bytes.get(packet.payload.clone()).unwrap_or_default()
    }

    /// Returns the payload of a packet of this burst with the redundancy before it.
    pub(crate) fn redundant_payload(&self, packet: &MediaPacket) -> &[u8] {
        let Range { start, end } = packet.payload;
        let start = start.saturating_sub(usize::from(packet.redundancy));
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Returns the dependency descriptor of a packet of this burst; empty where it has none.
    pub(crate) fn descriptor(&self, packet: &MediaPacket) -> &[u8] {
        let len = packet.descriptor.as_ref().map_or(0, |it| it.len);
        let start = packet.payload.end;
        let range = start..start + usize::from(len);
        self.bytes.get(range).unwrap_or_default()
    }

    /// Returns what a packet of this burst says of when it was captured; empty where it says nothing.
    pub(crate) fn captured(&self, packet: &MediaPacket) -> &[u8] {
        if packet.captured_len == 0 {
            return &[];
        }
        let start = packet.payload.end + self.descriptor(packet).len();
        let range = start..start + usize::from(packet.captured_len);
        self.bytes.get(range).unwrap_or_default()
    }
}

/// One packet in the numbering of its source.
#[derive(Clone, Debug)]
pub struct MediaPacket {
    /// Extended sequence number.
    pub seq: SeqNo,
    /// Extended timestamp, in units of the codec's clock.
    pub timestamp: u64,
    /// Last packet of a video frame.
    pub marker: bool,
    /// A decoder can start here.
    pub keyframe: bool,
    /// Packets that follow it came before: to who gets packets as they come they have gone by.
    pub(crate) is_late: bool,
    /// The numbers of its picture, which go on for viewers when the stream changes.
    pub picture: Option<Picture>,
    /// Where it stands among the layers of its stream; `None` where that has none, or does not tell.
    pub scale: Option<Scale>,
    /// Bytes of padding with which it goes to viewers (RFC 3550, section 5.1), at most 16.
    pub padding: u8,
    /// The place of the payload in [`Burst::bytes`]; of redundant sound the primary block alone.
    pub payload: Range<usize>,
    /// Bytes right before that which make redundant sound of it (RFC 2198): headers and earlier blocks; 0 mostly.
    pub(crate) redundancy: u16,
    /// Its dependency descriptor, right behind the payload; `None` where it has none.
    pub(crate) descriptor: Option<PacketDescriptor>,
    /// Bytes behind that which say when it was captured; 0 mostly.
    pub(crate) captured_len: u8,
}

impl MediaPacket {
    /// Returns how many bytes it takes on the wire beside what each packet has.
    fn len(&self) -> usize {
        let descriptor = self.descriptor.as_ref();
        let descriptor = descriptor.map_or(0, |it| usize::from(it.len).next_multiple_of(4));
        self.payload.len() + descriptor
    }
}

/// What has to be known of a packet's dependency descriptor to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PacketDescriptor {
    /// Bytes of it.
    pub(crate) len: u8,
    /// Where it says which decode targets are active.
    pub(crate) active: ActivePlace,
    /// Whether it brings its structure.
    pub(crate) has_structure: bool,
    /// What it has to be read with.
    pub(crate) structure: Arc<Structure>,
}

/// Where a source's timestamps stand on the publisher's wall clock (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceClock {
    /// The stream.
    pub source: SourceId,
    /// Audio or video.
    pub kind: Kind,
    /// Which layer of the picture it is; 0 for sound.
    pub layer: u8,
    /// NTP format, 32.32 seconds since 1900, as the publisher says.
    pub ntp: u64,
    /// What is added to that to have the server's wall clock, modulo 2^64: the same for all streams of a publisher.
    pub to_server: u64,
    /// The same moment as an extended timestamp of the source.
    pub timestamp: u64,
    /// When the report arrived.
    pub received: Instant,
}

/// Who publishes in a room. Of several at once the one that took over last is heard, on every shard
/// the same; the others stay silent also when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch {
    /// When it took over.
    pub since: Instant,
    /// Who it is; of two that took over at one moment the higher number counts.
    pub peer: PeerId,
}

/// What the layers of a publisher's picture are.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Whose they are.
    pub publisher: PeerId,
    /// The best first, at most [`MAX_LAYERS`].
    pub ranked: Vec<LayerInfo>,
    /// The layer whose keyframe comes right behind this message, so that nobody has to ask for it.
    pub begins: Option<u8>,
}

/// What a publisher has sent so far.
#[derive(Clone, Debug)]
pub struct Past {
    /// Who publishes.
    pub epoch: Epoch,
    /// The layers of the picture, the best first.
    pub layers: Vec<LayerInfo>,
    /// What is cached of each layer since its last keyframe, oldest first; perhaps nothing.
    pub bursts: Vec<Arc<Burst>>,
}

/// What shards tell each other.
#[derive(Clone, Debug)]
pub enum ShardMessage {
    /// Datagrams of a peer that the receiving shard owns; at most one receive's worth.
    Datagrams(Vec<(Path, Vec<u8>)>),
    /// Media of a room in which the receiving shard has viewers.
    Burst(Arc<Burst>),
    /// The clock of a source, for sender reports.
    Clock(RoomKey, SourceClock),
    /// What the publisher's layers are from now on.
    Layers(RoomKey, Layers),
    /// The named shard now has the room's publisher: answer if you have viewers.
    Published(RoomKey, ShardIndex, Epoch),
    /// The named shard has viewers of the room and wants its media.
    Wanted(RoomKey, ShardIndex),
    /// The named shard has no viewers left.
    Unwanted(RoomKey, ShardIndex),
    /// The answer to `Wanted`.
    Past(RoomKey, Past),
    /// Some viewer needs a keyframe of a layer, or of any when there is none yet.
    KeyframeWanted(RoomKey, Option<u8>),
    /// The peer, which was on the sending shard, is gone.
    Gone(PeerId),
}
