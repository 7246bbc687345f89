//! Which peer a datagram belongs to, and which shard has that peer.

use std::sync::Arc;
use std::time::Instant;

use crate::command::{Path, PeerId, ShardIndex};
use crate::demux::{self, Protocol};
use crate::node::Node;
use crate::node::directory::Place;
use crate::node::media::MAX_MESSAGES;
use crate::node::peers::{Peer, PeerIndex};
use crate::relay::ShardMessage;
use crate::transport::{self, Transport};

/// Datagrams that are handed to another shard at once.
pub(super) const MAX_FORWARDED: usize = 1024;

impl Node {
    /// Leads a datagram to the peer whose check came from the same address, here or elsewhere.
    pub(super) fn handle_checked(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        match self.directory.route(&path.remote) {
            Some(Place::Here(index)) => self.handle_peer_datagram(now, index, path, datagram),
            Some(Place::There(shard)) => self.forward(shard, path, datagram),
            Some(Place::Expected) | None => self.counters.dropped_unchecked += 1,
        }
    }

    /// Leads a STUN message to its peer: a request by the user name we gave, a response by its address.
    pub(super) fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let Some(ufrag) = transport::local_ufrag(datagram) else {
            self.handle_checked(now, path, datagram);
            return;
        };
        let Some((peer, pwd)) = self.directory.by_ufrag(ufrag) else {
            self.counters.dropped_unknown_ufrag += 1;
            return;
        };
        let place = self
            .directory
            .get(peer)
            .map_or(Place::Expected, |entry| entry.place);
        if let Place::Here(index) = place {
            self.handle_peer_datagram(now, index, path, datagram);
            return;
        }
        // The peer is not here (yet), so its transport cannot judge the check.
        if !transport::authentic(datagram, pwd) {
            self.counters.dropped_unauthenticated += 1;
            return;
        }
        match self.claim(now, peer) {
            Some(Place::Here(index)) => self.handle_peer_datagram(now, index, path, datagram),
            Some(Place::There(shard)) => {
                if !self.is_held(now, path, peer) {
                    self.directory.route_there(now, path.remote, (shard, peer));
                }
                self.forward(shard, path, datagram);
            }
            Some(Place::Expected) | None => {}
        }
    }

    /// Takes a datagram that another shard received for a peer of ours.
    pub(super) fn handle_forwarded(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let by_name = transport::local_ufrag(datagram)
            .filter(|_| demux::protocol(datagram) == Some(Protocol::Stun))
            .and_then(|ufrag| self.directory.by_ufrag(ufrag))
            .and_then(|(peer, _)| self.peers.find(peer));
        let by_address = || match self.directory.route(&path.remote) {
            Some(Place::Here(index)) => Some(index),
            Some(Place::There(_) | Place::Expected) | None => None,
        };
        match by_name.or_else(by_address) {
            Some(index) => self.handle_peer_datagram(now, index, path, datagram),
            None => self.counters.dropped_unchecked += 1,
        }
    }

    /// Makes the peer ours, if no other shard has it.
    pub(super) fn claim(&mut self, now: Instant, peer: PeerId) -> Option<Place> {
        let entry = self.directory.get(peer)?;
        if let Err(shard) = entry.spec.claim.take(self.config.shard) {
            self.directory.settle(peer, Place::There(shard));
            return Some(Place::There(shard));
        }
        let identity = Arc::clone(&self.config.identity);
        let transport = Transport::new(now, entry.local.clone(), identity);
        let (room, announced) = (entry.spec.room, entry.announced);
        let (remote, restarted) = (entry.remote.clone(), entry.restarted.clone());
        let local = entry.local.clone();
        let index = self
            .peers
            .insert(Peer::new(announced, peer, room, transport));
        let place = Place::Here(index);
        self.directory.settle(peer, place);
        if let Some(remote) = remote {
            self.apply_remote(now, index, &remote);
        }
        if let (Some(ice), Some(peer)) = (restarted, self.peers.get_mut(index)) {
            // ICE was restarted before the first check came: the description names the old side.
            peer.transport.restart_ice(now, local, Some(ice));
        }
        Some(place)
    }

    pub(super) fn note_address(&mut self, now: Instant, index: PeerIndex, path: Path) {
        let is_known = self.directory.route(&path.remote) == Some(Place::Here(index));
        if is_known || self.is_held(now, path, index.peer()) {
            return;
        }
        self.directory.route_here(path.remote, index);
        let peer = self.peers.get_mut(index);
        for address in peer.map_or_else(Vec::new, |peer| peer.add_address(path.remote)) {
            self.directory.forget_address(&address, index);
        }
    }

    fn is_held(&self, now: Instant, path: Path, peer: PeerId) -> bool {
        let checked = |index| {
            let holder = self.peers.get(index)?;
            holder.transport.checked_at(path.remote)
        };
        self.directory.is_held(now, &path.remote, peer, checked)
    }

    fn forward(&mut self, shard: ShardIndex, path: Path, datagram: &[u8]) {
        let batch = self.forward.entry(shard).or_default();
        if batch.len() < MAX_FORWARDED {
            batch.push((path, datagram.to_vec()));
        } else if self.messages.len() < MAX_MESSAGES {
            let full = std::mem::replace(batch, vec![(path, datagram.to_vec())]);
            let message = ShardMessage::Datagrams(full);
            self.messages.push_back((shard, message));
        } else {
            self.counters.dropped_forwarding += 1;
        }
    }
}
