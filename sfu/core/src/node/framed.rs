//! Connections of TCP (RFC 6544): which shard one belongs to, and what comes and goes on it.
//!
//! A connection belongs to the peer that its first check is of, and lives on that peer's shard. So what comes on it
//! needs no address to be looked up, and nobody else's check can lead it elsewhere.

use std::time::Instant;

use crate::command::{Path, ShardIndex};
use crate::demux::{self, Protocol};
use crate::framed::{Backlog, ConnectionId};
use crate::node::Node;
use crate::node::directory::Place;
use crate::node::peers::{PeerIndex, Role};
use crate::transport;

/// Where a connection belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// To a peer of this shard.
    Here(PeerIndex),
    /// To a peer of another shard, which is to be given it with all that came.
    There(ShardIndex),
}

/// Why a connection belongs to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// Its first frame is no check.
    #[error("no check")]
    NoCheck,
    /// Its first check names nobody who is expected or here.
    #[error("unknown user name")]
    UnknownUfrag,
    /// Its first check was not made with the password.
    #[error("not authenticated")]
    Unauthenticated,
}

/// What a connection is to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// What goes to the peer goes by it.
    Selected,
    /// Checks came on it.
    Used,
    /// None that counted, or others have taken its place.
    Unused,
    /// The peer is gone.
    Over,
}

impl Node {
    /// Says whose connection it is that begins with this frame. A peer that nobody has is taken for this shard, as by a
    /// check that comes as a datagram. The frame is not used up: it comes again by [`Self::handle_frame`].
    ///
    /// # Errors
    /// Nobody's: it is to be closed without a word.
    pub fn place_connection(&mut self, now: Instant, first: &[u8]) -> Result<Belongs, Stranger> {
        if demux::protocol(first) != Some(Protocol::Stun) {
            return Err(Stranger::NoCheck);
        }
        let ufrag = transport::local_ufrag(first).ok_or(Stranger::NoCheck)?;
        let (peer, pwd) = self
            .directory
            .by_ufrag(ufrag)
            .ok_or(Stranger::UnknownUfrag)?;
        if !transport::authentic(first, pwd) {
            return Err(Stranger::Unauthenticated);
        }
        let known = self.directory.get(peer).map(|entry| entry.place);
        let place = match known {
            Some(Place::Here(index)) => Some(Place::Here(index)),
            Some(Place::Expected | Place::There(_)) | None => self.claim(now, peer),
        };
        match place {
            Some(Place::Here(index)) => Ok(Belongs::Here(index)),
            Some(Place::There(shard)) => Ok(Belongs::There(shard)),
            Some(Place::Expected) | None => Err(Stranger::UnknownUfrag),
        }
    }

    /// Takes a frame of a connection that belongs to a peer of this shard.
    pub fn handle_frame(&mut self, now: Instant, peer: PeerIndex, path: Path, frame: &[u8]) {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += frame.len() as u64;
        if demux::protocol(frame).is_some() {
            self.handle_peer_datagram(now, peer, path, frame);
        } else if frame.is_empty() {
            self.counters.dropped_empty += 1;
        } else {
            self.counters.dropped_unknown_protocol += 1;
        }
    }

    /// Takes note that a connection has ended: its peer may go on by another path.
    pub fn handle_closed(&mut self, now: Instant, peer: PeerIndex, path: Path) {
        if let Some(here) = self.peers.get_mut(peer) {
            here.transport.handle_closed(now, path);
            self.settle_peer(now, peer);
        }
    }

    /// Takes how much waits for a connection to take it. Of no account unless its peer's media goes there.
    pub fn handle_backlog(
        &mut self,
        now: Instant,
        index: PeerIndex,
        (connection, backlog): (ConnectionId, Backlog),
    ) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let path = peer.transport.media_path(now);
        if path.and_then(|path| path.connection) != Some(connection) {
            return;
        }
        if let Role::Viewer(viewer) = &mut peer.role {
            let is_held = viewer.handle_backlog(now, backlog);
            self.counters.pictures_held += u64::from(is_held);
            self.set_timer(index);
        }
    }

    /// Returns what a connection is to its peer.
    pub fn standing(&self, peer: PeerIndex, path: Path) -> Standing {
        match self.peers.get(peer) {
            None => Standing::Over,
            Some(peer) if peer.transport.selected() == Some(path) => Standing::Selected,
            Some(peer) if peer.transport.knows(path) => Standing::Used,
            Some(_) => Standing::Unused,
        }
    }
}
