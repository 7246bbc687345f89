//! The layers of a room's picture: what the publisher's shard sees of them, and which one each viewer gets.

use std::time::Instant;

use crate::command::{Event, LayerChoice, PeerId, RoomKey};
use crate::node::Node;
use crate::node::peers::{PeerIndex, Role};
use crate::relay::{Layers, ShardMessage};

impl Node {
    /// Passes on what has become of a publisher's layers. `begins` is the layer whose keyframe has just
    /// come: it reaches the viewers right behind.
    pub(super) fn pass_layers(&mut self, now: Instant, index: PeerIndex, begins: Option<u8>) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let (publisher, key) = (peer.id, peer.room);
        let Role::Publisher(role) = &mut peer.role else {
            return;
        };
        let room = self.rooms.get(&key);
        let Some(room) = room.filter(|room| room.publisher == Some(index)) else {
            // It is told when the publisher takes over.
            return;
        };
        let (change, news) = (role.poll_layers(), role.poll_news());
        if change.is_none() && news.is_none() {
            return;
        }
        if let Some(layers) = news {
            self.events.push_back(Event::PublisherLayers {
                peer: publisher,
                room: key,
                layers,
            });
        }
        if let Some(ranked) = change {
            let layers = Layers {
                publisher,
                ranked,
                begins,
            };
            let message = |&shard| (shard, ShardMessage::Layers(key, layers.clone()));
            self.messages.extend(room.wanted_by.iter().map(message));
            self.set_layers(now, key, &layers);
        }
    }

    /// Takes what the layers of a room's picture are, and chooses anew for every viewer.
    pub(super) fn set_layers(&mut self, now: Instant, key: RoomKey, layers: &Layers) {
        let room = self.rooms.get_mut(&key);
        let Some(room) = room.filter(|room| !room.viewers.is_empty() || room.publisher.is_some())
        else {
            return;
        };
        if !room.set_layers(layers) {
            return;
        }
        let viewers = room.viewers.clone();
        let mut missing = Vec::new();
        for index in viewers {
            let missed = self.choose_layer(now, index, (key, layers.begins));
            missing.extend(missed.filter(|layer| !missing.contains(layer)));
        }
        for layer in missing {
            self.request_keyframe(now, key, Some(layer));
        }
    }

    /// Chooses a viewer's layer anew; returns the one that it needs a keyframe of, if that is neither
    /// cached nor `begins` right behind.
    pub(super) fn choose_layer(
        &mut self,
        now: Instant,
        index: PeerIndex,
        (key, begins): (RoomKey, Option<u8>),
    ) -> Option<u8> {
        let room = self.rooms.get(&key)?;
        let (_, viewer) = self.peers.viewer(index)?;
        let selected = viewer.select(now, room);
        let probes = selected.goal.is_some_and(|goal| viewer.probe(now, goal));
        self.counters.note_selected(&selected);
        self.counters.probes += u64::from(probes);
        self.note_limit(index);
        if probes {
            self.set_timer(index);
        }
        let is_late = |layer: &u8| begins != Some(*layer);
        let Some(layer) = selected.layer.filter(is_late) else {
            return selected.keyframe.filter(is_late);
        };
        let room = self.rooms.get(&key)?;
        let (_, viewer) = self.peers.viewer(index)?;
        let start = room.joinable(now, layer);
        if start.is_some_and(|start| viewer.go_over(now, room, start)) {
            self.settle_peer(now, index);
            return None;
        }
        Some(layer)
    }

    /// Notes which layer a viewer wants, from now on and for all publishers to come.
    pub(super) fn select_layer(&mut self, now: Instant, peer: PeerId, choice: LayerChoice) {
        let Some(entry) = self.directory.get_mut(peer) else {
            return;
        };
        entry.choice = choice;
        let Some(index) = self.peers.find(peer) else {
            return;
        };
        if let Some((_, viewer)) = self.peers.viewer(index) {
            viewer.choose(choice);
        }
        let peer = self.peers.get(index);
        let connected = peer.filter(|peer| peer.connected.is_some());
        if let Some(key) = connected.map(|peer| peer.room)
            && let Some(layer) = self.choose_layer(now, index, (key, None))
        {
            self.request_keyframe(now, key, Some(layer));
        }
    }

    /// Asks once more for the keyframe that a viewer waits for to go over to another layer or source.
    pub(super) fn ask_again(&mut self, now: Instant, index: PeerIndex) {
        let Some(peer) = self.peers.get(index) else {
            return;
        };
        let (Role::Viewer(viewer), Some(room)) = (&peer.role, self.rooms.get(&peer.room)) else {
            return;
        };
        if let Some(layer) = viewer.overdue(now, room)
            && peer.transport.media_path(now).is_some()
        {
            self.request_keyframe(now, peer.room, Some(layer));
        }
    }

    /// Tells which layer a viewer is shown, if that is another one than was told.
    pub(super) fn note_layer(&mut self, now: Instant, index: PeerIndex) {
        let room = self.peers.get(index).map(|peer| peer.room);
        let room = room.and_then(|key| self.rooms.get(&key));
        let viewer = self.peers.viewer(index).zip(room);
        let told = viewer.and_then(|((_, viewer), room)| viewer.poll_layer(now, room));
        if let (Some((layer, before)), Some(peer)) = (told, self.peers.get(index)) {
            self.counters.layer_switches += u64::from(before.is_some());
            self.events.push_back(Event::ViewerLayer {
                peer: peer.id,
                layer,
            });
        }
    }
}
