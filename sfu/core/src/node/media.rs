//! Packets from a publisher into bursts, and the feedback of both sides.

use std::sync::Arc;
use std::time::Instant;

use crate::command::{Event, Format, Kind, RoomKey};
use crate::node::Node;
use crate::node::peers::{PeerIndex, Peers, Role};
use crate::publisher::{Arrived, CaptureTime, Unforwarded};
use crate::relay::{Burst, MediaPacket, ShardMessage, SourceClock};
use crate::room::{Begins, FanOut, Room};

/// The largest payload that fits an Ethernet frame with all headers, the tag and a retransmission's
/// number: 1500 − 40 (IPv6) − 8 (UDP) − 12 (RTP) − 8 (transport-wide number) − 16 (tag) − 2.
const MAX_PAYLOAD: usize = 1414;

/// Bursts, with those that leave with them, on their way to viewers at once: what 16,384 rooms send in one go.
pub(super) const MAX_SENDING: usize = 16_384;

/// Messages for other shards at which media finds no more room.
pub(super) const MAX_MESSAGES: usize = 65_536;

impl Node {
    /// Takes a decrypted RTP packet.
    pub(super) fn handle_rtp(&mut self, now: Instant, index: PeerIndex, packet: &[u8]) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let Role::Publisher(publisher) = &mut peer.role else {
            self.counters.dropped_unforwarded += 1;
            return;
        };
        self.counters.rtp_received += 1;
        match publisher.handle_rtp(now, packet) {
            Ok(arrived) if arrived.len() <= MAX_PAYLOAD => {
                let (room, format) = (peer.room, arrived.format);
                self.counters.undescribed += u64::from(arrived.is_undescribed);
                if arrived.first {
                    let peer = peer.id;
                    self.events
                        .push_back(Event::PublisherMedia { peer, room, format });
                }
                let begins = arrived.keyframe.then_some(arrived.layer);
                let has_changed = publisher.has_layer_news();
                if publisher.has_turn_with(&arrived) {
                    self.take_over(now, index);
                }
                self.gather(now, room, &arrived);
                if has_changed {
                    self.pass_layers(now, index, begins);
                }
            }
            Ok(_) => self.counters.dropped_oversized += 1,
            Err(Unforwarded::Duplicate) => self.counters.dropped_duplicate += 1,
            Err(Unforwarded::MalformedRedundancy) => {
                self.counters.dropped_malformed_redundancy += 1;
            }
            Err(Unforwarded::UnknownLayer) => self.counters.dropped_unknown_layer += 1,
            Err(Unforwarded::Probe) => self.counters.probes_received += 1,
            Err(Unforwarded::Malformed | Unforwarded::UnknownStream) => {
                self.counters.dropped_unforwarded += 1;
            }
        }
    }

    /// Adds a packet to the burst of its source.
    fn gather(&mut self, now: Instant, room: RoomKey, arrived: &Arrived<'_>) {
        let source = arrived.source;
        if let Some(full) = self.gathering.take_full(source) {
            self.close(full);
        }
        let burst = self.gathering.burst(now, source, |(packets, bytes)| Burst {
            room,
            source,
            layer: arrived.layer,
            format: arrived.format,
            arrived: now,
            packets,
            bytes,
        });
        burst.bytes.extend_from_slice(arrived.redundancy);
        let start = burst.bytes.len();
        burst.bytes.extend_from_slice(arrived.payload);
        let payload = start..burst.bytes.len();
        burst.bytes.extend_from_slice(arrived.descriptor_bytes());
        let fits = arrived.len() + CaptureTime::MAX_ADDED <= MAX_PAYLOAD;
        let captured = arrived.captured.filter(|_| fits);
        let captured_len = captured.map_or(0, |captured| captured.write(&mut burst.bytes));
        burst.packets.push(MediaPacket {
            seq: arrived.seq,
            timestamp: arrived.timestamp,
            marker: arrived.marker,
            keyframe: arrived.keyframe,
            is_late: arrived.is_late,
            picture: arrived.picture(),
            scale: arrived.scale,
            padding: 0,
            payload,
            redundancy: u16::try_from(arrived.redundancy.len()).unwrap_or(0),
            descriptor: arrived.descriptor.as_ref().map(|(_, it, _)| it.clone()),
            captured_len,
        });
        let room = self.rooms.get(&room);
        match arrived.format.codec.kind() {
            Kind::Video if arrived.marker => {
                let sound = room.and_then(Room::next_sound);
                self.gathering.finish_frame(now, source, sound);
            }
            Kind::Video => {}
            Kind::Audio => {
                for picture in room.into_iter().flat_map(Room::pictures) {
                    self.gathering.finish_with_sound(picture);
                }
            }
        }
    }

    /// Sends the bursts that have waited long enough on their way, and with a picture the sound that waits.
    pub(super) fn close_bursts(&mut self) {
        while let Some(burst) = self.relayed.pop_front() {
            self.deliver(&burst);
        }
        while let Some(burst) = self.gathering.take_ripe() {
            let (room, kind) = (burst.room, burst.kind());
            self.close(burst);
            let sound = self.rooms.get(&room).and_then(Room::sound);
            if kind == Kind::Video
                && let Some(sound) = sound.and_then(|source| self.gathering.take(source))
            {
                self.close(sound);
            }
        }
    }

    fn close(&mut self, mut burst: Burst) {
        let room = self.rooms.get(&burst.room);
        let counts = |room: &&Room| room.publisher.is_some() && room.hears(burst.source);
        let Some(room) = room.filter(counts) else {
            self.counters.dropped_unforwarded += burst.packets.len() as u64;
            return;
        };
        if self.levels {
            burst.level();
        }
        let burst = Arc::new(self.gathering.keep(burst));
        if self.messages.len() < MAX_MESSAGES {
            let message = |&shard| (shard, ShardMessage::Burst(Arc::clone(&burst)));
            self.messages.extend(room.wanted_by.iter().map(message));
        } else {
            let lost = burst.packets.len() * room.wanted_by.len();
            self.counters.dropped_forwarding += lost as u64;
        }
        self.deliver(&burst);
    }

    /// Starts the fan-out of a burst to this shard's viewers.
    fn deliver(&mut self, burst: &Arc<Burst>) {
        let room = self.rooms.get_mut(&burst.room);
        let Some(room) = room.filter(|room| room.hears(burst.source)) else {
            // The room is empty by now, or another publisher has come.
            self.counters.dropped_unforwarded += burst.packets.len() as u64;
            return;
        };
        match room.accept(burst) {
            Begins::Nothing => {}
            Begins::Layer => self.begin_source(burst),
            Begins::Coding => {
                self.name_mismatches(burst);
                self.begin_source(burst);
            }
        }
        let last = self.fan_out.back_mut();
        if last.is_some_and(|last| last.take_along(burst)) {
            return;
        }
        if self.fan_out.len() < MAX_SENDING {
            self.fan_out.push_back(FanOut::new(Arc::clone(burst)));
        } else {
            self.counters.dropped_backlog += burst.packets.len() as u64;
        }
    }

    /// Another source begins: the viewers that are to be shown it need its keyframe.
    fn begin_source(&mut self, burst: &Burst) {
        let has_keyframe = burst.packets.iter().any(|packet| packet.keyframe);
        if burst.kind() == Kind::Video && !has_keyframe && self.is_seen(burst.room, burst.layer) {
            self.request_keyframe(burst.arrived, burst.room, Some(burst.layer));
        }
    }

    /// Returns whether anybody on this shard is to be shown a layer of a room's picture.
    fn is_seen(&self, key: RoomKey, layer: u8) -> bool {
        let room = self.rooms.get(&key);
        let viewers = room.into_iter().flat_map(|room| &room.viewers);
        let mut peers = viewers.filter_map(|&index| self.peers.get(index));
        peers.any(|peer| match &peer.role {
            Role::Viewer(viewer) => {
                viewer.has(Kind::Video) && viewer.target().is_none_or(|target| target == layer)
            }
            Role::Publisher(_) | Role::Unknown => false,
        })
    }

    /// Names the viewers of this shard that cannot play a source that begins.
    pub(super) fn name_mismatches(&mut self, burst: &Burst) {
        let room = self.rooms.get(&burst.room);
        for &index in room.into_iter().flat_map(|room| &room.viewers) {
            self.events
                .extend(mismatch(&self.peers, index, burst.format));
        }
    }

    /// Asks the room's publisher for a keyframe, of one layer or of all, wherever it is. It is asked for
    /// each layer once a second at most.
    pub(super) fn request_keyframe(&mut self, now: Instant, key: RoomKey, layer: Option<u8>) {
        if !self.request_keyframe_here(now, key, layer) {
            self.keyframes_wanted.insert((key, layer));
        }
    }

    /// Asks the room's publisher for a keyframe if it is on this shard; returns whether it is.
    pub(super) fn request_keyframe_here(
        &mut self,
        now: Instant,
        key: RoomKey,
        layer: Option<u8>,
    ) -> bool {
        let Some(index) = self.rooms.get(&key).and_then(|room| room.publisher) else {
            return false;
        };
        if let Some(peer) = self.peers.get_mut(index)
            && let Role::Publisher(publisher) = &mut peer.role
        {
            publisher.request_keyframe(layer);
            self.send_due_reports(now, index);
            self.settle_peer(now, index);
        }
        true
    }

    /// Takes a decrypted compound of RTCP packets.
    pub(super) fn handle_rtcp(&mut self, now: Instant, index: PeerIndex, compound: &[u8]) {
        self.counters.rtcp_received += 1;
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let key = peer.room;
        match &mut peer.role {
            Role::Unknown => {}
            Role::Publisher(publisher) => {
                for clock in publisher.handle_rtcp(now, self.wall.as_ref(), compound) {
                    self.pass_clock(key, clock);
                }
            }
            Role::Viewer(viewer) => {
                let asked = viewer.handle_rtcp(now, compound);
                self.counters.note_asked(&asked);
                if let Some(mut outlet) = self.outlet(now, index) {
                    outlet.send_again(now, asked.again);
                }
                self.adapt(now, index);
                if asked.keyframe {
                    self.show_picture(now, index, key);
                }
                self.note_reception(now, index);
            }
        }
    }

    /// Passes on where a source's timestamps stand.
    pub(super) fn pass_clock(&mut self, key: RoomKey, clock: SourceClock) {
        if let Some(room) = self.rooms.get_mut(&key) {
            room.set_clock(clock);
            let wanted = room.wanted_by.iter();
            let message = ShardMessage::Clock(key, clock);
            self.messages
                .extend(wanted.map(|&shard| (shard, message.clone())));
        }
    }

    /// Tells whether what is sent to a viewer arrives, if that has changed.
    pub(super) fn note_reception(&mut self, now: Instant, index: PeerIndex) {
        let viewer = self.peers.viewer(index);
        if let Some((arrives, ago)) = viewer.and_then(|(_, viewer)| viewer.poll_reception(now)) {
            let peer = index.peer();
            let told = Event::ViewerReception { peer, arrives, ago };
            self.events.push_back(told);
        }
    }

    /// Sends a peer the reports and the feedback that are due.
    pub(super) fn send_due_reports(&mut self, now: Instant, index: PeerIndex) {
        self.note_reception(now, index);
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        if let Some(room) = self.rooms.get_mut(&peer.room) {
            room.sweep(now);
        }
        // Taken even where it cannot be sent, while an address proves itself say: what is due would
        // stay due, and the shard would spin on it.
        let compound = &mut self.compound;
        compound.clear();
        match &mut peer.role {
            Role::Unknown => {}
            Role::Publisher(publisher) => {
                if let Some(sent) = publisher.poll_rtcp(now, compound) {
                    self.counters.nacked_to_publishers += u64::from(sent.nacked);
                    self.counters.keyframes_requested += u64::from(sent.keyframes);
                }
            }
            Role::Viewer(viewer) => {
                viewer.poll_rtcp(now, self.rooms.get(&peer.room), compound);
            }
        }
        let path = peer.transport.media_path(now);
        let path = path.filter(|_| !compound.is_empty());
        if path.is_some() && !self.ready.has_room() {
            self.counters.dropped_backlog += 1;
        } else if let Some(path) = path {
            let transport = &mut peer.transport;
            let seal = |out: &mut Vec<u8>| {
                let start = out.len();
                let is_sealed = transport.seal_rtcp(compound, out);
                is_sealed.then(|| out.len() - start)
            };
            let sealed = self.ready.append(path, seal);
            self.counters.rtcp_sent += u64::from(sealed.is_some());
        }
    }
}

/// Returns the event that names a viewer if it cannot play what is sent.
pub(super) fn mismatch(peers: &Peers, index: PeerIndex, sent: Format) -> Option<Event> {
    let peer = peers.get(index)?;
    match &peer.role {
        Role::Viewer(viewer) if !viewer.plays(&sent) => Some(Event::CodecMismatch {
            peer: peer.id,
            sent,
        }),
        Role::Viewer(_) | Role::Publisher(_) | Role::Unknown => None,
    }
}
