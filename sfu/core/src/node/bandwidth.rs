//! What a viewer's path carries, and what follows from it: the layer that it is shown, and the pace of what it gets.

use std::time::Instant;

use crate::command::{Event, PeerId};
use crate::congestion::rate::Bitrate;
use crate::node::Node;
use crate::node::peers::{PeerIndex, Role};
use crate::room;

/// Packets of one step of probing, at the most.
const MAX_PADDING: u16 = 32;

impl Node {
    /// Returns what the path of a viewer of this shard carries; `None` while that is not known.
    pub fn estimate(&self, now: Instant, peer: PeerId) -> Option<Bitrate> {
        let peer = self.peers.get(self.peers.find(peer)?)?;
        match &peer.role {
            Role::Viewer(viewer) => viewer.estimate(now),
            Role::Publisher(_) | Role::Unknown => None,
        }
    }

    /// Chooses a viewer's layer anew if its path has told something.
    pub(super) fn adapt(&mut self, now: Instant, index: PeerIndex) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let (Role::Viewer(viewer), Some(_)) = (&mut peer.role, peer.connected) else {
            return;
        };
        if viewer.take_sample() {
            self.counters.note_estimate(viewer.estimate(now));
        }
        let key = peer.room;
        if viewer.take_news()
            && let Some(layer) = self.choose_layer(now, index, (key, None))
        {
            self.request_keyframe(now, key, Some(layer));
        }
    }

    /// Tells what a viewer's path lets it see, if that has changed.
    pub(super) fn note_limit(&mut self, index: PeerIndex) {
        let viewer = self.peers.viewer(index);
        if let Some(limit) = viewer.and_then(|(_, viewer)| viewer.poll_limit()) {
            let peer = index.peer();
            tracing::debug!(peer = peer.0, ?limit, "limited by bandwidth");
            self.events.push_back(Event::ViewerLimit { peer, limit });
        }
    }

    /// Sends what had to wait for its turn: packets again, and those with which a path is probed.
    pub(super) fn send_paced(&mut self, now: Instant, index: PeerIndex) {
        let key = self.peers.get(index).map(|peer| peer.room);
        while let (Some(key), Some((_, viewer))) = (key, self.peers.viewer(index))
            && let Some(again) = viewer.take_repair(now)
        {
            self.send_again(now, index, key, &[again]);
        }
        self.send_padding(now, index);
        if let Some((_, viewer)) = self.peers.viewer(index) {
            viewer.end_probe_step(now);
        }
    }

    /// Sends a step of a probe: the last packets of the picture once more, or padding where there are none.
    fn send_padding(&mut self, now: Instant, index: PeerIndex) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let (Role::Viewer(viewer), Some(room)) = (&mut peer.role, self.rooms.get(&peer.room))
        else {
            return;
        };
        let Some(path) = peer.transport.media_path(now) else {
            return;
        };
        for back in 0..MAX_PADDING {
            if !viewer.owes_padding(now) {
                break;
            }
            let again = viewer.recent(back);
            let found = again.and_then(|again| Some((again, room::find_again(room, &again)?)));
            let repeated = found.and_then(|(again, (burst, packet))| {
                let sendable = viewer.prepare_probe(&again, burst, packet)?;
                Some((sendable, burst.payload(packet)))
            });
            let padded = || Some((viewer.prepare_padding()?, [].as_slice()));
            let Some((sendable, payload)) = repeated.or_else(padded) else {
                break;
            };
            let mut datagram = Vec::with_capacity(payload.len() + 300);
            let sealed = room::seal(&sendable, payload, &mut peer.transport, &mut datagram);
            let Some(sealed) = sealed else {
                break;
            };
            viewer.note_sent(now, &sendable, sealed);
            self.counters.probe_packets += 1;
            self.ready.push(path, datagram);
        }
    }
}
