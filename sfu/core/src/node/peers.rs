//! The peers of one shard, in slots that the packet path reaches by number.

use std::net::SocketAddr;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::command::{PeerId, RoomKey};
use crate::publisher::Publisher;
use crate::transport::Transport;
use crate::viewer::Viewer;

/// The place of a peer. A place that was given to another peer since does not find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerIndex {
    slot: usize,
    peer: PeerId,
}

impl PeerIndex {
    #[cfg(test)]
    pub(super) fn new(slot: usize, peer: PeerId) -> Self {
        Self { slot, peer }
    }

    /// Returns where that is: no two peers have the same at once.
    pub(super) fn slot(self) -> usize {
        self.slot
    }

    /// Returns whose place it is.
    pub(crate) fn peer(self) -> PeerId {
        self.peer
    }
}

/// One connected or connecting peer.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Who it is.
    pub(crate) id: PeerId,
    /// Where it belongs.
    pub(crate) room: RoomKey,
    /// Its ICE, DTLS and SRTP.
    pub(crate) transport: Transport,
    /// What it is here for.
    pub(crate) role: Role,
    /// When it was announced.
    pub(crate) announced: Instant,
    /// When its handshake was done; `None` until then.
    pub(crate) connected: Option<Instant>,
    /// Whether its first picture (or sound, in a room without picture) was sent.
    pub(crate) shown: bool,
    /// The addresses that lead here: those that its transport knows, at most
    /// [`MAX_PAIRS`](crate::transport::MAX_PAIRS) and those it forgot since the last one came.
    pub(crate) addresses: Vec<SocketAddr>,
    /// In which queues of its shard it stands.
    pub(crate) queued: Queued,
}

/// The queues of a shard in which a peer stands once at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queued {
    /// Whether it waits for its turn to get what is due for it alone.
    pub(crate) is_in_turn: bool,
    /// Whether its timer is to be set after this batch, because it sent media.
    pub(crate) is_heard: bool,
    /// Whether it is known to have something to send besides media.
    pub(crate) is_dirty: bool,
}

/// What a peer is here for.
#[derive(Debug)]
pub(crate) enum Role {
    /// Its answer has not come.
    Unknown,
    /// It sends.
    Publisher(Box<Publisher>),
    /// It watches.
    Viewer(Box<Viewer>),
}

impl Peer {
    pub(crate) fn new(now: Instant, id: PeerId, room: RoomKey, transport: Transport) -> Self {
        Self {
            id,
            room,
            transport,
            role: Role::Unknown,
            announced: now,
            connected: None,
            shown: false,
            addresses: Vec::new(),
            queued: Queued::default(),
        }
    }

    /// Notes an address and takes out those that the transport has forgotten since.
    pub(crate) fn add_address(&mut self, address: SocketAddr) -> Vec<SocketAddr> {
        self.addresses.push(address);
        let transport = &self.transport;
        let is_forgotten = |address: &mut SocketAddr| transport.checked_at(*address).is_none();
        self.addresses.extract_if(.., is_forgotten).collect()
    }

    /// Returns when the peer has something to do next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let role = match &self.role {
            _ if self.connected.is_none() => None,
            Role::Unknown => None,
            Role::Publisher(publisher) => publisher.poll_timeout(),
            Role::Viewer(viewer) => Some(viewer.poll_report()),
        };
        let step = match &self.role {
            Role::Viewer(viewer) if !self.queued.is_in_turn => viewer.poll_step(),
            Role::Viewer(_) | Role::Publisher(_) | Role::Unknown => None,
        };
        let own = role.into_iter().chain(step.filter(|_| role.is_some()));
        self.transport.poll_timeout().into_iter().chain(own).min()
    }
}

/// All peers of a shard; at most as many as are announced.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// As many as there were peers at once.
    slots: Vec<Option<Peer>>,
    /// The slots without a peer.
    free: Vec<usize>,
    /// The slots with one.
    by_id: FxHashMap<PeerId, PeerIndex>,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn insert(&mut self, peer: Peer) -> PeerIndex {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                // Doubling would leave half of a large table empty.
                self.slots.reserve_exact(16.max(self.slots.len() / 8));
            }
            self.slots.push(None);
            self.slots.len() - 1
        });
        let index = PeerIndex {
            slot,
            peer: peer.id,
        };
        self.by_id.insert(peer.id, index);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(peer);
        }
        index
    }

    pub(crate) fn remove(&mut self, index: PeerIndex) -> Option<Peer> {
        let peer = self
            .slots
            .get_mut(index.slot)?
            .take_if(|peer| peer.id == index.peer)?;
        self.by_id.remove(&peer.id);
        self.free.push(index.slot);
        Some(peer)
    }

    pub(crate) fn find(&self, id: PeerId) -> Option<PeerIndex> {
        self.by_id.get(&id).copied()
    }

    /// Returns all places in use.
    pub(crate) fn indices(&self) -> Vec<PeerIndex> {
        let place = |(slot, peer): (usize, &Option<Peer>)| {
            peer.as_ref().map(|peer| PeerIndex {
                slot,
                peer: peer.id,
            })
        };
        self.slots.iter().enumerate().filter_map(place).collect()
    }

    pub(crate) fn get(&self, index: PeerIndex) -> Option<&Peer> {
        self.slots
            .get(index.slot)?
            .as_ref()
            .filter(|peer| peer.id == index.peer)
    }

    pub(crate) fn get_mut(&mut self, index: PeerIndex) -> Option<&mut Peer> {
        self.slots
            .get_mut(index.slot)?
            .as_mut()
            .filter(|peer| peer.id == index.peer)
    }

    /// Returns the parts of a viewer that the fan-out needs.
    pub(crate) fn viewer(&mut self, index: PeerIndex) -> Option<(&mut Transport, &mut Viewer)> {
        let peer = self.get_mut(index)?;
        match &mut peer.role {
            Role::Viewer(viewer) => Some((&mut peer.transport, viewer)),
            Role::Unknown | Role::Publisher(_) => None,
        }
    }
}
