//! Bursts on their way to every viewer of a room, one run of datagrams at a time.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::{Picture, Shift};
use crate::command::{Kind, Path, RoomKey};
use crate::node::peers::{PeerIndex, Peers};
use crate::relay::{Burst, MediaPacket, PacketDescriptor};
use crate::room::Room;
use crate::rtp::ext::Outgoing;
use crate::rtp::packet::HAS_EXTENSION;
use crate::rtp::red;
use crate::transport::{TAG_ROOM, Transport};
use crate::viewer::{DelayElement, Sendable};

/// Segments of one run handed to the kernel: what Chromium and Firefox took in one go without a loss.
pub const MAX_RUN: usize = 16;

/// Bursts of a room that go out together.
const MAX_BURSTS: usize = 8;

/// The flag `P` of the first byte (RFC 3550, section 5.1).
const HAS_PADDING: u8 = 0x20;

/// Viewers whose states are fetched together: few enough to stay in the first level of cache.
pub(crate) const AHEAD: usize = 8;

/// Bursts on their way to every viewer: a cursor, moved on by one run at a time, so that each run is
/// sealed just before it is sent.
#[derive(Debug)]
pub(crate) struct FanOut {
    /// What is sent, pictures before sound; all of one room, at most [`MAX_BURSTS`].
    bursts: Vec<Arc<Burst>>,
    /// The viewer that is next.
    viewer: usize,
    /// The burst that is next for it.
    burst: usize,
    /// The packet of it that is next.
    packet: usize,
    /// Viewers that were given too much at once; seldom any.
    behind: Vec<PeerIndex>,
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
    /// Of which kind it holds the first packet for this viewer, pictures before sound; `None` mostly.
    pub(crate) first: Option<Kind>,
    /// Whether the viewer goes over to another source with it.
    pub(crate) begins: bool,
}

impl FanOut {
    /// Starts at the first viewer.
    pub(crate) fn new(burst: Arc<Burst>) -> Self {
        Self {
            bursts: vec![burst],
            viewer: 0,
            burst: 0,
            packet: 0,
            behind: Vec::new(),
        }
    }

    /// Takes another burst along; returns whether it is of the same room and nothing has been sent.
    pub(crate) fn take_along(&mut self, burst: &Arc<Burst>) -> bool {
        let has_begun = (self.viewer, self.burst, self.packet) != (0, 0, 0);
        if has_begun || self.room() != Some(burst.room) || self.bursts.len() >= MAX_BURSTS {
            return false;
        }
        // A packet of sound is short: behind those of a picture it can be the last of their run.
        let is_before =
            |other: &Arc<Burst>| other.kind() == Kind::Video || burst.kind() == Kind::Audio;
        let place = self.bursts.iter().take_while(|it| is_before(it)).count();
        self.bursts.insert(place, Arc::clone(burst));
        true
    }

    /// Returns whose media it is.
    pub(crate) fn room(&self) -> Option<RoomKey> {
        self.bursts.first().map(|burst| burst.room)
    }

    /// Returns when the oldest of its packets arrived.
    pub(crate) fn arrived(&self) -> Option<Instant> {
        self.bursts.iter().map(|burst| burst.arrived).min()
    }

    /// Seals the next run into `out`, which it clears; `None` when every viewer has the burst.
    pub(crate) fn next_run(
        &mut self,
        now: Instant,
        room: &Room,
        peers: &mut Peers,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        while let Some(&viewer) = room.viewers.get(self.viewer) {
            let is_next = (self.burst, self.packet) == (0, 0);
            if is_next && self.viewer.is_multiple_of(AHEAD) {
                self.look_ahead(now, room, peers);
            }
            out.clear();
            let run = self.seal_run(now, (room, viewer), peers, out);
            if run.is_none() || self.burst >= self.bursts.len() {
                self.viewer += 1;
                (self.burst, self.packet) = (0, 0);
            }
            if run.is_some() {
                return run;
            }
        }
        None
    }

    /// Touches what the next viewers will need. Their states are scattered, and one after the other each
    /// would be waited for; asked together, the processor fetches them at once.
    pub(crate) fn look_ahead(&self, now: Instant, room: &Room, peers: &mut Peers) {
        for index in room.viewers.iter().skip(self.viewer).take(AHEAD) {
            if let Some((transport, viewer)) = peers.viewer(*index) {
                black_box((transport.is_keyed(), transport.media_path(now)));
                let burst = self.bursts.first();
                black_box(burst.is_some_and(|burst| viewer.takes(burst)));
                black_box(burst.map(|burst| viewer.look_ahead(burst.kind())));
            }
        }
    }

    /// Seals packets for one viewer while their sizes allow one run.
    fn seal_run(
        &mut self,
        now: Instant,
        (room, index): (&Room, PeerIndex),
        peers: &mut Peers,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        let (transport, viewer) = peers.viewer(index)?;
        let path = transport.media_path(now)?;
        let mut run: Option<Run> = None;
        let mut longest = 0;
        while let Some(burst) = self.bursts.get(self.burst) {
            let is_taken = self.packet > 0 || viewer.takes(burst);
            let Some(packet) = burst.packets.get(self.packet).filter(|_| is_taken) else {
                (self.burst, self.packet) = (self.burst + 1, 0);
                continue;
            };
            let added_len = viewer.added_len(burst.kind(), packet);
            let len = added_len + packet.payload.len() + usize::from(packet.padding);
            let is_tail = len < longest;
            let is_alone = packet.descriptor.is_some() && viewer.goes_alone(burst, packet);
            let is_over = |run: Run| run.segments >= MAX_RUN || len > longest || is_alone;
            if run.is_some_and(is_over) {
                break;
            }
            self.packet += 1;
            let Some(sendable) = viewer.prepare(now, room, burst, packet) else {
                continue;
            };
            let Some(sealed) = seal(
                &sendable,
                Body::of(&sendable, burst, packet),
                transport,
                out,
            ) else {
                continue;
            };
            viewer.note_sent(now, &sendable, sealed);
            let run = run.get_or_insert_with(|| {
                longest = len;
                Run {
                    path,
                    segment_size: sealed,
                    segments: 0,
                    viewer: index,
                    first: None,
                    begins: false,
                }
            });
            run.segments += 1;
            run.begins |= sendable.begins;
            if sendable.first {
                run.first.get_or_insert_with(|| burst.kind());
            }
            if is_tail || is_alone || sendable.is_blank {
                break;
            }
        }
        if viewer.take_fallen_behind() {
            self.behind.push(index);
        }
        self.skip_ends();
        run
    }

    /// Exchanges the viewers that get the rest from the cache, at the pace of their path, for an empty list.
    pub(crate) fn swap_behind(&mut self, behind: &mut Vec<PeerIndex>) {
        std::mem::swap(&mut self.behind, behind);
    }

    /// Goes on to the next burst where one is at its end, so that a viewer who has all is known to.
    fn skip_ends(&mut self) {
        let is_over = |burst: &Arc<Burst>| self.packet >= burst.packets.len();
        if self.bursts.get(self.burst).is_some_and(is_over) {
            (self.burst, self.packet) = (self.burst + 1, 0);
        }
    }
}

/// What of a packet is the same for all viewers that take it alike.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Body<'a> {
    /// With what makes redundant sound of it, where the viewer takes that.
    payload: &'a [u8],
    /// The numbers of its picture; `None` where it has none.
    picture: Option<&'a Picture>,
    /// Its dependency descriptor and what has to be known to send it; `None` without one.
    descriptor: Option<(&'a [u8], &'a PacketDescriptor)>,
    /// What it says of when it was captured; empty mostly.
    captured: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) fn of(sendable: &Sendable, burst: &'a Burst, packet: &'a MediaPacket) -> Self {
        let descriptor = packet.descriptor.as_ref();
        let payload = match sendable.block_type {
            None => burst.payload(packet),
            Some(_) => burst.redundant_payload(packet),
        };
        Self {
            payload,
            picture: packet.picture.as_ref(),
            descriptor: descriptor.map(|it| (burst.descriptor(packet), it)),
            captured: burst.captured(packet),
        }
    }

    /// Returns the numbers of its picture where they do not stay as they are.
    fn shifted(&self, sendable: &Sendable) -> Option<&'a Picture> {
        let stays = sendable.is_blank || sendable.shift == Shift::default();
        self.picture.filter(|_| !stays)
    }

    /// Appends the header extensions that a packet goes with.
    fn write_extensions(&self, sendable: &Sendable, out: &mut Vec<u8>) {
        let descriptor = sendable.descriptor.zip(self.descriptor);
        if descriptor.is_none() && sendable.delay.is_none() && sendable.captured.is_none() {
            if let Some(sequence) = sendable.transport_sequence {
                out.extend_from_slice(&sequence.to_bytes());
            }
            return;
        }
        let sequence = sendable.transport_sequence;
        let number = sequence.map(|it| (it.id, it.number.to_be_bytes()));
        let delay = sendable.delay.map(DelayElement::parts);
        let mut elements = Outgoing::default();
        if let Some((id, number)) = &number {
            elements.push(*id, number);
        }
        if let Some((id, delay)) = &delay {
            elements.push(*id, delay);
        }
        if let Some(id) = sendable.captured {
            elements.push(id.get(), self.captured);
        }
        let Some(((id, active), (bytes, known))) = descriptor else {
            elements.write(out);
            return;
        };
        let mut rewritten = Vec::new();
        let descriptor = match active {
            None => bytes,
            Some(active) => {
                known.active.write(bytes, active, &mut rewritten);
                &rewritten
            }
        };
        // Last, for it is changed where it stands.
        elements.push(id, descriptor);
        let at = elements.write(out);
        if let Some(picture) = self.shifted(sendable).filter(|it| it.is_frame()) {
            let place = out.get_mut(at..).unwrap_or_default();
            sendable.shift.apply(picture, place);
        }
    }
}

/// Appends a packet, sealed; returns its length on the wire.
pub(crate) fn seal(
    sendable: &Sendable,
    body: Body<'_>,
    transport: &mut Transport,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let start = out.len();
    out.extend_from_slice(&sendable.header.to_bytes());
    let extensions_at = out.len();
    body.write_extensions(sendable, out);
    if out.len() > extensions_at
        && let Some(first) = out.get_mut(start)
    {
        *first |= HAS_EXTENSION;
    }
    let header_len = out.len() - start;
    if let Some(original) = sendable.original {
        out.extend_from_slice(&original.to_be_bytes());
    }
    let payload_at = out.len();
    if !sendable.is_blank {
        out.extend_from_slice(body.payload);
    }
    if let Some(picture) = body.shifted(sendable).filter(|it| !it.is_frame()) {
        let place = out.get_mut(payload_at..).unwrap_or_default();
        sendable.shift.apply(picture, place);
    }
    if let Some(payload_type) = sendable.block_type {
        // The publisher's number of the coding may be another one than the viewer's.
        red::renumber(out.get_mut(payload_at..).unwrap_or_default(), payload_type);
    }
    if sendable.padding > 0 {
        out.resize(out.len() + usize::from(sendable.padding) - 1, 0);
        out.push(sendable.padding);
        if let Some(first) = out.get_mut(start) {
            *first |= HAS_PADDING;
        }
    }
    let plaintext_len = out.len() - start;
    out.resize(out.len() + TAG_ROOM, 0);
    let sealed = out.get_mut(start..).and_then(|packet| {
        transport.seal_rtp(packet, header_len, plaintext_len, sendable.roll_over)
    });
    out.truncate(start + sealed.unwrap_or(0));
    sealed
}
