//! A viewer's first picture: from the cache where the room has one, else by asking for a keyframe.

use std::time::Instant;

use crate::command::{Kind, PeerId, RoomKey};
use crate::node::Node;
use crate::node::peers::PeerIndex;
use crate::relay::{Layers, Past, ShardMessage};
use crate::room::{Begins, Room};
use crate::viewer::Start;

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
        if room.publisher.is_none() && sent.is_none() && room.layers().is_empty() {
            // What the publisher's shard has is on its way, or there is none: `handle_past` shows who waits.
            return;
        }
        if sent.is_some_and(|(_, format)| !viewer.plays(&format)) {
            return;
        }
        let cached = room.joinable(now, layer.unwrap_or(0));
        let rate = |start: Start| room.rate(now, start.layer);
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
        } else if sent.is_some() && viewer.joins_by_request() {
            self.counters.joins_by_request += 1;
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
            self.leave_behind(now, index, key);
            self.show_waiting(now, index, key);
            self.settle_peer(now, index);
        }
    }

    /// Takes a viewer that is shown what is not sent any more over to what is, from the cache: the keyframe with which
    /// that began does not come again.
    fn leave_behind(&mut self, now: Instant, index: PeerIndex, key: RoomKey) {
        let (Some(room), Some((_, viewer))) = (self.rooms.get(&key), self.peers.viewer(index))
        else {
            return;
        };
        let is_over = |(source, _)| !room.sends(source);
        if !viewer.shown().is_some_and(is_over) {
            return;
        }
        let layer = viewer.target().unwrap_or(0);
        let start = room.joinable(now, layer);
        let start = start.or_else(|| room.joinable_instead(now, layer));
        if let Some(start) = start {
            viewer.go_over(now, room, start);
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
        let Some((_, viewer)) = self.peers.viewer(index) else {
            return;
        };
        let Some(step) = viewer.take_step(now) else {
            return;
        };
        // While the address proves itself the viewer waits where it is.
        let Some(mut outlet) = self.outlet(now, index) else {
            return;
        };
        let done = outlet.send_step(now, step);
        if done.is_shown {
            self.note_shown(now, index, Kind::Video);
        }
        let key = self.peers.get(index).map(|peer| peer.room);
        if let Some((key, layer)) = key.zip(done.misses) {
            self.request_keyframe(now, key, Some(layer));
        }
        self.note_layer(now, index);
    }
}
