//! A viewer's first picture: from the cache where the room has one, else by asking for a keyframe.

use std::time::Instant;

use crate::command::{Kind, PeerId, RoomKey};
use crate::node::Node;
use crate::node::peers::{PeerIndex, Role};
use crate::relay::{Layers, Past, ShardMessage};
use crate::room::{self, Begins, Room};
use crate::viewer::Start;

/// Packets of one step of a catch-up, at the most.
const MAX_STEP: usize = 16;

impl Node {
    /// Lets a connected viewer into its room.
    pub(super) fn enter_viewer(&mut self, now: Instant, index: PeerIndex, key: RoomKey) {
        let room = self.rooms.entry(key).or_default();
        room.viewers.push(index);
        let formats = room.formats().into_iter();
        self.events
            .extend(formats.filter_map(|sent| super::media::mismatch(&self.peers, index, sent)));
        if let Some((_, viewer)) = self.peers.viewer(index) {
            viewer.select(now, room);
        }
        if room.viewers.len() == 1 && room.publisher.is_none() {
            // The publisher's shard, if there is one, answers with what it has cached
            // (`ShardMessage::Past`), and only then is it known whether a keyframe is needed.
            self.broadcast(&ShardMessage::Wanted(key, self.config.shard));
        } else {
            self.show_picture(now, index, key);
        }
    }

    /// Gives a viewer a keyframe because whoever watches sees nothing new, though the decoder may not know.
    pub(super) fn show_again(&mut self, now: Instant, peer: PeerId) {
        let Some(index) = self.peers.find(peer) else {
            return;
        };
        let here = self.peers.get(index);
        if let Some(key) = here.filter(|it| it.connected.is_some()).map(|it| it.room) {
            self.counters.keyframes_wanted += 1;
            self.show_picture(now, index, key);
            self.settle_peer(now, index);
        }
    }

    /// Gives a viewer a keyframe of the layer that it is shown or waits for: the cached one if it is in
    /// its join, else a new one. Until that comes, a viewer that has no picture gets another layer's.
    pub(super) fn show_picture(&mut self, now: Instant, index: PeerIndex, key: RoomKey) {
        let (Some(room), Some((_, viewer))) = (self.rooms.get(&key), self.peers.viewer(index))
        else {
            return;
        };
        if !viewer.has(Kind::Video) || viewer.is_paused() {
            return;
        }
        let shown = viewer.shown().filter(|(source, _)| room.sends(*source));
        let layer = shown.map(|(_, layer)| layer).or_else(|| viewer.target());
        let sent = room.source(layer.unwrap_or(0));
        if sent.is_some_and(|(_, format)| !viewer.plays(&format)) {
            return;
        }
        let cached = room.joinable(now, layer.unwrap_or(0));
        let rate = |start: Start| room.rate(now, Kind::Video, start.layer);
        if cached.is_some_and(|start| viewer.catch_up(now, start, rate(start))) {
            self.counters.joins_from_cache += 1;
            return;
        }
        let instead = room
            .joinable_instead(now, layer.unwrap_or(0))
            .filter(|start| {
                let sent = room.source(start.layer);
                sent.is_some_and(|(_, format)| viewer.plays(&format))
            });
        if viewer.waits_for_picture()
            && instead.is_some_and(|start| viewer.catch_up(now, start, rate(start)))
        {
            self.counters.joins_from_cache += 1;
        }
        self.request_keyframe(now, key, layer);
    }

    /// Takes what the publisher's shard has cached of a room in which viewers wait here.
    pub(super) fn handle_past(&mut self, now: Instant, key: RoomKey, past: Past) {
        let counts = |room: &mut Room| room.publisher.is_none() && room.begin_epoch(past.epoch);
        if !self.rooms.get_mut(&key).is_some_and(counts) {
            return;
        }
        for burst in &past.bursts {
            let room = self.rooms.get_mut(&key);
            // What came by itself since is newer.
            let is_wanted = |room: &&mut Room| {
                !room.has_layer(burst.kind(), burst.layer) || room.sends(burst.source)
            };
            let begins = room.filter(is_wanted).map(|room| room.accept(burst));
            if begins == Some(Begins::Coding) {
                self.name_mismatches(burst);
            }
        }
        let layers = Layers {
            publisher: past.epoch.peer,
            ranked: past.layers,
            begins: None,
        };
        self.set_layers(now, key, &layers);
        let Some(room) = self.rooms.get(&key) else {
            return;
        };
        let waiting: Vec<_> = room.viewers.clone();
        for index in waiting {
            self.show_waiting(now, index, key);
            self.settle_peer(now, index);
        }
    }

    /// Gives a viewer a keyframe if it has had none.
    pub(super) fn show_waiting(&mut self, now: Instant, index: PeerIndex, key: RoomKey) {
        let waits = self
            .peers
            .viewer(index)
            .is_some_and(|(_, viewer)| viewer.waits_for_picture());
        if waits {
            self.show_picture(now, index, key);
        }
    }

    /// Sends the step of a catch-up that is due.
    pub(super) fn send_from_cache(&mut self, now: Instant, index: PeerIndex) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let (Role::Viewer(viewer), Some(room)) = (&mut peer.role, self.rooms.get(&peer.room))
        else {
            return;
        };
        let Some(mut step) = viewer.take_step(now) else {
            return;
        };
        // While the address proves itself the viewer waits where it is.
        let Some(path) = peer.transport.media_path(now) else {
            return;
        };
        let key = peer.room;
        let Some(cache) = room.cache(Kind::Video, step.layer) else {
            return;
        };
        let (mut shown, mut missed) = (false, false);
        for _ in 0..MAX_STEP {
            if !cache.reaches(step.source, step.next) {
                viewer.end_catch_up();
                missed = step.begins;
                break;
            }
            // A hole is filled by a retransmission that comes later, or asked for by the viewer.
            let found = cache.find(step.source, step.next);
            if found.is_some_and(|(_, it)| !viewer.admit_step(now, it.payload.len())) {
                break;
            }
            if let Some((burst, packet)) = found
                && let Some(sendable) = viewer.prepare_cached(room, (burst, packet), step.begins)
            {
                step.begins = false;
                let mut datagram = Vec::with_capacity(packet.payload.len() + 64);
                let payload = burst.payload(packet);
                if let Some(sealed) =
                    room::seal(&sendable, payload, &mut peer.transport, &mut datagram)
                {
                    viewer.note_sent(now, &sendable, sealed);
                    self.counters.rtp_sent += 1;
                    self.ready.push(path, datagram);
                    shown |= sendable.first;
                }
            }
            step.next.0 += 1;
            viewer.continue_catch_up(step);
        }
        if shown {
            self.note_shown(now, index, Kind::Video);
        }
        if missed {
            // The keyframe went out of the cache while the viewer waited.
            self.request_keyframe(now, key, Some(step.layer));
        }
        self.note_layer(now, index);
    }
}
