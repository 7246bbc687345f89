//! Commands from signaling, and the coming and going of peers.

use std::sync::Arc;
use std::time::Instant;

use crate::command::{
    Command, DisconnectReason, Event, IceCredentials, Media, PeerId, PlayoutDelay, Remote,
};
use crate::node::Node;
use crate::node::directory::Place;
use crate::node::peers::{Peer, PeerIndex, Role};
use crate::publisher::Publisher;
use crate::relay::ShardMessage;
use crate::transport::TransportEvent;
use crate::viewer::Viewer;

impl Node {
    /// Takes a command from signaling. Every shard gets every command.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::AddPeer(spec) => self.directory.announce(now, spec),
            Command::SetRemote(peer, remote) => self.set_remote(now, peer, remote),
            Command::RestartIce {
                peer,
                local,
                remote,
            } => {
                self.restart_ice(now, peer, local, remote);
            }
            Command::SelectLayer(peer, choice) => self.select_layer(now, peer, choice),
            Command::SetPlayoutDelay(peer, delay) => self.set_playout_delay(peer, delay),
            Command::RequestKeyframe(peer) => self.show_again(now, peer),
            Command::TakeOver(peer) => self.let_take_over(now, peer),
            Command::RemovePeer(peer) => self.remove_announced(now, peer),
        }
    }

    fn set_remote(&mut self, now: Instant, peer: PeerId, remote: Arc<Remote>) {
        let Some(entry) = self
            .directory
            .get_mut(peer)
            .filter(|entry| entry.remote.is_none())
        else {
            return;
        };
        entry.remote = Some(Arc::clone(&remote));
        if let Place::Here(index) = entry.place {
            self.apply_remote(now, index, &remote);
            self.settle_peer(now, index);
        }
    }

    /// Notes how long a viewer is to let pictures wait.
    fn set_playout_delay(&mut self, peer: PeerId, delay: PlayoutDelay) {
        if let Some(entry) = self.directory.get_mut(peer) {
            entry.playout_delay = Some(delay);
        }
        let index = self.peers.find(peer);
        if let Some((_, viewer)) = index.and_then(|index| self.peers.viewer(index)) {
            viewer.set_playout_delay(delay);
        }
    }

    /// Tells a peer of this shard what it is here for.
    pub(super) fn apply_remote(&mut self, now: Instant, index: PeerIndex, remote: &Remote) {
        let entry = self.directory.get(index.peer());
        let choice = entry.map(|entry| entry.choice).unwrap_or_default();
        let delay = entry.and_then(|entry| entry.playout_delay);
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        peer.role = match &remote.media {
            Media::Publish(tracks) => {
                Role::Publisher(Box::new(Publisher::new(now, peer.id, tracks.clone())))
            }
            Media::View(tracks) => {
                peer.transport.be_lean();
                let tracks = tracks.clone();
                let mut viewer = Viewer::new(now, peer.id, tracks, choice);
                if remote.is_prompt {
                    viewer.be_prompt();
                }
                if let Some(delay) = delay {
                    viewer.set_playout_delay(delay);
                }
                Role::Viewer(Box::new(viewer))
            }
        };
        let ice = remote.ice.clone();
        peer.transport
            .set_remote(now, ice, &remote.fingerprints, remote.dtls_role);
    }

    fn restart_ice(
        &mut self,
        now: Instant,
        peer: PeerId,
        local: IceCredentials,
        remote: Option<IceCredentials>,
    ) {
        self.directory.restart(peer, local.clone(), remote.clone());
        let Some(index) = self.peers.find(peer) else {
            return;
        };
        if let Some(here) = self.peers.get_mut(index) {
            here.transport.restart_ice(now, local, remote);
            self.settle_peer(now, index);
        }
    }

    fn remove_announced(&mut self, now: Instant, peer: PeerId) {
        match self.peers.find(peer) {
            Some(index) => self.remove_peer(now, index, DisconnectReason::Removed),
            None => self.forget_expected(peer, DisconnectReason::Removed),
        }
    }

    /// Shows every peer of this shard out.
    pub fn handle_stop(&mut self, now: Instant) {
        for index in self.peers.indices() {
            self.remove_peer(now, index, DisconnectReason::Removed);
        }
    }

    /// Gives up a peer that has not come in time.
    pub(super) fn give_up_expected(&mut self, peer: PeerId) {
        self.forget_expected(peer, DisconnectReason::HandshakeTimeout);
    }

    /// Forgets a peer that is not here. The shard that can still claim it reports its end.
    fn forget_expected(&mut self, peer: PeerId, reason: DisconnectReason) {
        let Some(entry) = self.directory.get(peer) else {
            return;
        };
        match (entry.spec.claim.take(self.config.shard), reason) {
            (Ok(()), _) => {
                self.directory.forget(peer, &[]);
                self.broadcast(&ShardMessage::Gone(peer));
                self.events.push_back(Event::Disconnected { peer, reason });
            }
            (Err(_), DisconnectReason::Removed) => {
                self.directory.forget(peer, &[]);
            }
            (Err(shard), _) => self.directory.settle(peer, Place::There(shard)),
        }
    }

    /// Acts on what happened to a peer's transport.
    pub(super) fn take_transport_events(&mut self, now: Instant, index: PeerIndex) {
        while let Some(peer) = self.peers.get_mut(index) {
            match peer.transport.poll_event() {
                Some(TransportEvent::Connected) => self.connect_peer(now, index),
                Some(TransportEvent::PathChanged(path)) => {
                    self.counters.path_changes += 1;
                    tracing::debug!(peer = peer.id.0, remote = %path.remote, "path changed");
                    let key = peer.room;
                    if let Role::Viewer(viewer) = &mut peer.role
                        && viewer.handle_path_change(now)
                    {
                        self.show_picture(now, index, key);
                    }
                    // A keyframe that came while the address proved itself was not sent.
                    self.show_waiting(now, index, key);
                }
                Some(TransportEvent::Closed) => {
                    self.remove_peer(now, index, DisconnectReason::Closed);
                }
                Some(TransportEvent::Failed(reason)) => self.remove_peer(now, index, reason),
                None => return,
            }
        }
    }

    fn connect_peer(&mut self, now: Instant, index: PeerIndex) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        peer.connected = Some(now);
        let took = now.saturating_duration_since(peer.announced);
        self.events.push_back(Event::Connected {
            peer: peer.id,
            took,
        });
        let key = peer.room;
        match &mut peer.role {
            Role::Publisher(publisher) => publisher.request_keyframe(None),
            Role::Viewer(_) => self.enter_viewer(now, index, key),
            Role::Unknown => {}
        }
    }

    /// Forgets a peer of this shard; what it still has to say leaves first.
    fn remove_peer(&mut self, now: Instant, index: PeerIndex, reason: DisconnectReason) {
        let Some(mut peer) = self.peers.remove(index) else {
            return;
        };
        self.counters.transport += peer.transport.counters();
        if let Role::Viewer(viewer) = &peer.role {
            self.counters.left_paused += u64::from(viewer.is_paused());
        }
        peer.transport.close();
        let mut datagram = Vec::new();
        while let Some(path) = peer.transport.poll_transmit(&mut datagram) {
            if self.ready.has_room() {
                self.ready.push(path, &datagram);
            } else {
                self.counters.dropped_backlog += 1;
            }
        }
        self.timers.set(index, None);
        self.directory.forget(peer.id, &peer.addresses);
        self.broadcast(&ShardMessage::Gone(peer.id));
        self.leave_room(&peer, index);
        self.events.push_back(Event::Disconnected {
            peer: peer.id,
            reason,
        });
        let connected = peer.connected.map(|at| now.saturating_duration_since(at));
        tracing::debug!(peer = peer.id.0, ?reason, ?connected, "peer removed");
    }

    fn leave_room(&mut self, peer: &Peer, index: PeerIndex) {
        let Some(room) = self.rooms.get_mut(&peer.room) else {
            return;
        };
        let (key, here) = (peer.room, self.config.shard);
        let watched = !room.viewers.is_empty();
        room.viewers.retain(|&viewer| viewer != index);
        let is_watched = !room.viewers.is_empty();
        let published = room.publisher == Some(index);
        if published {
            room.publisher = None;
            // Who wants the next one says so when it comes.
            room.wanted_by.clear();
        }
        if room.is_empty() {
            self.rooms.remove(&key);
        }
        if watched && !is_watched {
            self.broadcast(&ShardMessage::Unwanted(key, here));
        }
    }
}
