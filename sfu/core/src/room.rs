//! One room on one shard: who watches here, what is being sent, and the fan-out of a burst to every viewer.

use std::sync::Arc;
use std::time::Instant;

use crate::command::{Format, Kind, Path, ShardIndex};
use crate::node::peers::{PeerIndex, Peers};
use crate::publisher::cache::Cache;
use crate::relay::{Burst, Epoch, MediaPacket, SourceClock, SourceId};
use crate::rtp::packet::FIXED_HEADER_LEN;
use crate::rtp::seq::SeqNo;
use crate::transport::{TAG_ROOM, Transport};
use crate::viewer::Sendable;

/// Segments of one run handed to the kernel: what Chromium and Firefox took in one go without a loss.
pub const MAX_RUN: usize = 16;

/// The state of one room on one shard.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The connected viewers on this shard.
    pub(crate) viewers: Vec<PeerIndex>,
    /// Whose media counts; `None` until this shard has heard of a publisher.
    epoch: Option<Epoch>,
    /// The publisher, when it is on this shard.
    pub(crate) publisher: Option<PeerIndex>,
    /// The shards that want the publisher's media; at most one entry for each.
    pub(crate) wanted_by: Vec<ShardIndex>,
    /// What is being sent: sound, then picture.
    streams: [Stream; 2],
}

/// What a room gets of one kind.
#[derive(Debug, Default)]
struct Stream {
    /// The source being sent and its coding; `None` before the first packet.
    source: Option<(SourceId, Format)>,
    /// The clock of this source, or of the next one while none of its packets came; `None` before the
    /// first sender report.
    clock: Option<SourceClock>,
    /// Its last packets. Only video is kept: no repair of sound is negotiated.
    cache: Cache,
}

impl Room {
    /// Returns whether nobody of the room is on this shard.
    pub(crate) fn is_empty(&self) -> bool {
        self.viewers.is_empty() && self.publisher.is_none()
    }

    /// Takes a publisher as the one that counts; `false` when one that connected later is known.
    pub(crate) fn begin_epoch(&mut self, epoch: Epoch) -> bool {
        let counts = self.epoch.is_none_or(|known| known <= epoch);
        if counts {
            self.epoch = Some(epoch);
        }
        counts
    }

    /// Returns whose media counts.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Returns whether a source is of the publisher that counts.
    pub(crate) fn hears(&self, source: SourceId) -> bool {
        self.epoch.is_some_and(|epoch| epoch.peer == source.peer)
    }

    /// Takes a burst as what is being sent now; returns whether it begins another source.
    pub(crate) fn accept(&mut self, burst: &Arc<Burst>) -> bool {
        let stream = self.stream_mut(burst.kind());
        let begins = !stream.shows(burst.source);
        if begins {
            stream.source = Some((burst.source, burst.format));
            stream.clock = stream.clock.filter(|clock| clock.source == burst.source);
        }
        if burst.kind() == Kind::Video {
            stream.cache.insert(burst);
        }
        begins
    }

    /// Notes where a source's timestamps stand. The report may come before the first packet: to a
    /// shard that wants the media late it does.
    pub(crate) fn set_clock(&mut self, clock: SourceClock) {
        let hears = self.hears(clock.source);
        let stream = self.stream_mut(clock.kind);
        let is_over =
            |shown: SourceId| shown.peer == clock.source.peer && shown.number > clock.source.number;
        if hears && !stream.source.is_some_and(|(shown, _)| is_over(shown)) {
            stream.clock = Some(clock);
        }
    }

    /// Returns the known clocks of what is being sent.
    pub(crate) fn clocks(&self) -> [Option<SourceClock>; 2] {
        self.streams.each_ref().map(|stream| stream.clock)
    }

    /// Returns what is being sent.
    pub(crate) fn formats(&self) -> impl Iterator<Item = Format> {
        self.streams
            .iter()
            .filter_map(|stream| stream.source)
            .map(|(_, format)| format)
    }

    /// Returns whether anything of this kind has been sent.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.stream(kind).source.is_some()
    }

    /// Returns whether this source is being sent.
    pub(crate) fn sends(&self, source: SourceId) -> bool {
        self.streams.iter().any(|stream| stream.shows(source))
    }

    /// Returns where a viewer can start in the cache.
    pub(crate) fn joinable(&self, now: Instant) -> Option<(SourceId, SeqNo)> {
        let video = self.stream(Kind::Video);
        video
            .cache
            .joinable(now)
            .filter(|(source, _)| video.shows(*source))
    }

    /// Returns the cache of one kind.
    pub(crate) fn cache(&self, kind: Kind) -> &Cache {
        &self.stream(kind).cache
    }

    fn stream(&self, kind: Kind) -> &Stream {
        let [audio, video] = &self.streams;
        match kind {
            Kind::Audio => audio,
            Kind::Video => video,
        }
    }

    fn stream_mut(&mut self, kind: Kind) -> &mut Stream {
        let [audio, video] = &mut self.streams;
        match kind {
            Kind::Audio => audio,
            Kind::Video => video,
        }
    }
}

impl Stream {
    fn shows(&self, source: SourceId) -> bool {
        self.source.is_some_and(|(shown, _)| shown == source)
    }
}

/// One burst on its way to every viewer: a cursor, moved on by one run at a time, so that each run is
/// sealed just before it is sent.
#[derive(Debug)]
pub(crate) struct FanOut {
    /// What is sent.
    pub(crate) burst: Arc<Burst>,
    /// The viewer that is next.
    viewer: usize,
    /// The packet that is next for it.
    packet: usize,
}

/// One run of datagrams of equal size to one viewer; the last may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// From where to where.
    pub(crate) path: Path,
    /// Bytes of each datagram but the last.
    pub(crate) segment_size: usize,
    /// Datagrams.
    pub(crate) segments: usize,
    /// The viewer.
    pub(crate) viewer: PeerIndex,
    /// Whether it holds the first packet of its kind for this viewer.
    pub(crate) first: bool,
}

impl FanOut {
    /// Starts at the first viewer.
    pub(crate) fn new(burst: Arc<Burst>) -> Self {
        Self {
            burst,
            viewer: 0,
            packet: 0,
        }
    }

    /// Seals the next run into `out`, which it clears; `None` when every viewer has the burst.
    pub(crate) fn next_run(
        &mut self,
        now: Instant,
        viewers: &[PeerIndex],
        peers: &mut Peers,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        while let Some(&viewer) = viewers.get(self.viewer) {
            out.clear();
            let run = self.seal_run(now, viewer, peers, out);
            if run.is_none() || self.packet >= self.burst.packets.len() {
                self.viewer += 1;
                self.packet = 0;
            }
            if run.is_some() {
                return run;
            }
        }
        None
    }

    /// Seals packets for one viewer while their sizes allow one run.
    fn seal_run(
        &mut self,
        now: Instant,
        index: PeerIndex,
        peers: &mut Peers,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        let (transport, viewer) = peers.viewer(index)?;
        let path = transport.media_path(now)?;
        let mut run: Option<Run> = None;
        let mut payload_len = 0;
        while let Some(packet) = self.burst.packets.get(self.packet) {
            let len = packet.payload.len();
            let is_tail = len < payload_len;
            if run.is_some_and(|run| run.segments >= MAX_RUN || len > payload_len) {
                break;
            }
            self.packet += 1;
            let Some(sendable) = viewer.prepare(&self.burst, packet) else {
                continue;
            };
            let Some(sealed) = seal(&sendable, self.burst.payload(packet), transport, out) else {
                continue;
            };
            let run = run.get_or_insert_with(|| {
                payload_len = len;
                Run {
                    path,
                    segment_size: sealed,
                    segments: 0,
                    viewer: index,
                    first: false,
                }
            });
            run.segments += 1;
            run.first |= sendable.first;
            if is_tail {
                break;
            }
        }
        run
    }
}

/// Appends a packet, sealed; returns its length on the wire.
pub(crate) fn seal(
    sendable: &Sendable,
    payload: &[u8],
    transport: &mut Transport,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let start = out.len();
    out.extend_from_slice(&sendable.header.to_bytes());
    out.extend(sendable.original.into_iter().flat_map(u16::to_be_bytes));
    out.extend_from_slice(payload);
    let plaintext_len = out.len() - start;
    out.resize(out.len() + TAG_ROOM, 0);
    let sealed = out.get_mut(start..).and_then(|packet| {
        transport.seal_rtp(packet, FIXED_HEADER_LEN, plaintext_len, sendable.roll_over)
    });
    out.truncate(start + sealed.unwrap_or(0));
    sealed
}

/// Finds a packet that a viewer asks for again.
pub(crate) fn find_again<'a>(
    room: &'a Room,
    again: &crate::viewer::Again,
) -> Option<(&'a Burst, &'a MediaPacket)> {
    room.cache(again.kind).find(again.source, again.seq)
}
