//! Whose media a room is shown: a publisher takes over when it has something to show, and not before.

use std::time::{Duration, Instant};

use crate::command::{Event, PeerId, RoomKey, ShardIndex};
use crate::node::Node;
use crate::node::peers::{Peer, PeerIndex, Role};
use crate::relay::{Epoch, Past, ShardMessage};

impl Node {
    /// Lets a publisher that has connected take over, whether it has shown anything or not.
    pub(super) fn let_take_over(&mut self, now: Instant, peer: PeerId) {
        let Some(index) = self.peers.find(peer) else {
            return;
        };
        let connected = |peer: &&Peer| peer.connected.is_some();
        if self.peers.get(index).filter(connected).is_some() {
            self.take_over(now, index);
            self.pass_layers(now, index, None);
        }
    }

    /// Makes a publisher of this shard the one whose media counts, from now on.
    pub(super) fn take_over(&mut self, now: Instant, index: PeerIndex) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let (id, key) = (peer.id, peer.room);
        let Role::Publisher(publisher) = &mut peer.role else {
            return;
        };
        let room = self.rooms.entry(key).or_default();
        if room.publisher == Some(index) {
            return;
        }
        let clocks = publisher.take_turn();
        // Another shard's moment may be later than this one's, which has not looked at its clock since.
        let behind = room
            .epoch()
            .map(|known| known.since + Duration::from_nanos(1));
        let epoch = Epoch {
            since: behind.map_or(now, |behind| behind.max(now)),
            peer: id,
        };
        if room.begin_epoch(epoch) {
            room.publisher = Some(index);
            self.broadcast(&ShardMessage::Published(key, self.config.shard, epoch));
            self.events.push_back(Event::TookOver {
                peer: id,
                room: key,
            });
        }
        for clock in clocks {
            self.pass_clock(key, clock);
        }
    }

    /// Another shard has a publisher: if its turn came later than ours, ours is silent from now on; ask for
    /// its media if anybody watches here.
    pub(super) fn handle_published(
        &mut self,
        now: Instant,
        key: RoomKey,
        (shard, epoch): (ShardIndex, Epoch),
    ) {
        let Some(room) = self.rooms.get_mut(&key) else {
            return;
        };
        let here = self.config.shard;
        if !room.begin_epoch(epoch) {
            // Both took over at once and ours counts; its shard may have had no room yet to note that.
            if let Some(later) = room.epoch().filter(|_| room.publisher.is_some()) {
                let published = ShardMessage::Published(key, here, later);
                self.messages.push_back((shard, published));
            }
            return;
        }
        let before = room.publisher.take();
        room.wanted_by.clear();
        let is_gone = self.directory.get(epoch.peer).is_none();
        if let Some(ours) = before.filter(|_| is_gone) {
            // It was removed while it told of its first picture, and nobody tells ours to go on.
            self.take_over(now, ours);
            self.pass_layers(now, ours, None);
            return;
        }
        if room.is_empty() {
            self.rooms.remove(&key);
        } else {
            let wanted = ShardMessage::Wanted(key, here);
            self.messages.push_back((shard, wanted));
        }
    }

    /// Another shard has viewers: send it what our publisher sends, from the last keyframe on.
    pub(super) fn handle_wanted(&mut self, now: Instant, key: RoomKey, shard: ShardIndex) {
        let room = self.rooms.get_mut(&key);
        let Some(room) = room.filter(|room| room.publisher.is_some()) else {
            return;
        };
        let Some(epoch) = room.epoch() else {
            return;
        };
        if !room.wanted_by.contains(&shard) {
            room.wanted_by.push(shard);
        }
        let past = Past {
            epoch,
            layers: room.layers().to_vec(),
            bursts: room.since_keyframes(now),
        };
        let past = ShardMessage::Past(key, past);
        let clocks = room.clocks().map(|clock| ShardMessage::Clock(key, clock));
        self.messages.extend(
            std::iter::once(past)
                .chain(clocks)
                .map(|message| (shard, message)),
        );
    }
}
