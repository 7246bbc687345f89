//! What a viewer's path carries, and what follows from it: the layer that it is shown, and the pace of what it gets.

use std::time::Instant;

use crate::command::{Event, PeerId};
use crate::congestion::rate::Bitrate;
use crate::node::Node;
use crate::node::peers::{PeerIndex, Role};

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

    /// Lets a viewer wait for its turn to get what is due for it alone: it is sealed just before it leaves.
    pub(super) fn pace(&mut self, now: Instant, index: PeerIndex) {
        let Some(peer) = self
            .peers
            .get_mut(index)
            .filter(|peer| !peer.queued.is_in_turn)
        else {
            return;
        };
        if let Role::Viewer(viewer) = &peer.role
            && viewer.poll_step().is_some_and(|due| due <= now)
            && peer.connected.is_some()
        {
            peer.queued.is_in_turn = true;
            self.in_turn.push_back(index);
        }
    }

    /// Seals what is due for the next viewer whose turn it is; returns whether there was one.
    pub(super) fn take_turn(&mut self, now: Instant) -> bool {
        let Some(index) = self.in_turn.pop_front() else {
            return false;
        };
        if let Some(peer) = self.peers.get_mut(index) {
            peer.queued.is_in_turn = false;
            let has_outlet = self.outlet(now, index).map(|mut it| it.send_paced(now));
            if let Some((_, viewer)) = self.peers.viewer(index) {
                if has_outlet.is_none() {
                    // It asks again when there is a way: until then its turn would come again and again.
                    viewer.forget_repairs();
                }
                viewer.end_probe_step(now);
            }
            self.send_from_cache(now, index);
            self.set_timer(index);
        }
        true
    }
}
