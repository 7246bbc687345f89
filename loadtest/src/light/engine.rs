//! The light peers of one media thread: who gets a datagram, and whose turn it is.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::BETWEEN_PUBLICATIONS;
use super::connection::Connection;
use super::dtls::Identity;
use super::link::Link;
use super::media::{Outcome, Part, Setup, Shared};
use super::peer::{End, Path, Peer};
use super::receive::Viewer;
use super::sdp::Protocol;
use super::send::Sender;
use super::socket::{self, Socket};
use super::tally::{Faults, Tally};

/// Everything of a thread but its clock and its sockets.
pub(super) struct Engine {
    identity: Arc<Identity>,
    shared: Arc<Shared>,
    peers: HashMap<u32, Peer>,
    /// Those who are woken one slice after the other.
    viewers: Vec<u32>,
    /// Where the next slice begins.
    slice: usize,
    publishers: Vec<u32>,
    /// Who wants a path to a candidate, and by what.
    wanted: Vec<(u32, SocketAddr, Protocol)>,
    buffers: Vec<u8>,
    /// Datagrams of the call under way.
    out: Vec<Vec<u8>>,
    tally: Tally,
    /// Faults of peers that were taken away.
    past_faults: Faults,
    next_publication_at: Instant,
}

impl Engine {
    pub(super) fn new(identity: Arc<Identity>, shared: Arc<Shared>) -> Self {
        Self {
            identity,
            shared,
            peers: HashMap::new(),
            viewers: Vec::new(),
            slice: 0,
            publishers: Vec::new(),
            wanted: Vec::new(),
            buffers: socket::buffers(),
            out: Vec::new(),
            tally: Tally::default(),
            past_faults: Faults::default(),
            next_publication_at: Instant::now(),
        }
    }

    /// Takes a peer, which first of all wants a path; one that is there stays as it is.
    pub(super) fn add(&mut self, id: u32, setup: Setup) {
        if self.peers.contains_key(&id) {
            return;
        }
        let now = Instant::now();
        let Setup {
            local,
            remote,
            part,
        } = setup;
        let link = Link::new(Arc::clone(&self.identity), local, &remote, now);
        let end = match part {
            Part::Viewer(conduct, began) => {
                self.viewers.push(id);
                let viewer = Viewer::new(&remote.media, conduct, (began, now));
                End::Viewer(Box::new(viewer))
            }
            Part::Publisher(plan, accepted, connected) => {
                self.publishers.push(id);
                End::Publisher(Box::new(Sender::new(plan, &accepted, now)), connected)
            }
        };
        let peer = Peer {
            link,
            end,
            paths: Vec::new(),
            protocol: remote.protocol,
        };
        self.peers.insert(id, peer);
        self.wake(id, now);
    }

    /// Takes a peer away, and tells what it did; `None` when there is none of this number.
    pub(super) fn remove(&mut self, id: u32, with_goodbye: bool) -> Option<Outcome> {
        let mut peer = self.peers.remove(&id)?;
        self.viewers.retain(|other| *other != id);
        self.publishers.retain(|other| *other != id);
        if with_goodbye {
            peer.link.close(&mut self.out);
            peer.flush(&mut self.out, &mut self.tally);
        }
        Some(match peer.end {
            End::Viewer(viewer) => {
                self.past_faults.add(viewer.faults());
                Outcome::Viewer(viewer.seen(&peer.link))
            }
            End::Publisher(sender, _) => Outcome::Publisher(sender.sent()),
        })
    }

    /// Lets a viewer fall silent.
    pub(super) fn stall(&mut self, id: u32) {
        if let Some(End::Viewer(viewer)) = self.peers.get_mut(&id).map(|peer| &mut peer.end) {
            viewer.is_stalled = true;
        }
    }

    /// Returns who wants a path, and where to.
    pub(super) fn take_wanted(&mut self) -> Vec<(u32, SocketAddr, Protocol)> {
        std::mem::take(&mut self.wanted)
    }

    /// Returns the socket of its own that a peer has for addresses of this kind.
    pub(super) fn own_socket(&self, id: u32, to: SocketAddr) -> Option<Rc<Socket>> {
        let mut paths = self.peers.get(&id)?.paths.iter();
        let path =
            paths.find(|path| !shares_sockets(path.to()) && path.to().is_ipv4() == to.is_ipv4())?;
        path.socket().map(Rc::clone)
    }

    /// Returns whether a peer still receives on a socket of its own.
    pub(super) fn uses(&self, id: u32, socket: &Rc<Socket>) -> bool {
        let paths = self.peers.get(&id).into_iter().flat_map(|peer| &peer.paths);
        let mut sockets = paths.filter_map(Path::socket);
        sockets.any(|other| Rc::ptr_eq(other, socket))
    }

    /// Gives a peer the path it wanted.
    pub(super) fn open_path(&mut self, id: u32, path: Path) {
        let now = Instant::now();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.paths.push(path);
            peer.link.handle_open_path(now);
        }
        self.wake(id, now);
    }

    /// Ends a peer for which there is no socket.
    pub(super) fn give_up(&mut self, id: u32) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.link.over = Some(("no socket was to be had", Instant::now()));
        }
    }

    /// Reads a socket, which belongs to `owner` or to all.
    pub(super) fn receive(&mut self, socket: &Socket, owner: Option<u32>) {
        let mut buffers = std::mem::take(&mut self.buffers);
        for _ in 0..MAX_BATCHES {
            let now = Instant::now();
            let received = socket.receive(&mut buffers, |run| {
                let id = owner.or_else(|| run.local.and_then(socket::peer_at));
                let Some(peer) = id.and_then(|id| self.peers.get_mut(&id)) else {
                    self.tally.stray += 1;
                    return;
                };
                for datagram in run.bytes.chunks(run.stride) {
                    let origin = (run.remote, now);
                    peer.handle(datagram, origin, &mut self.out, &mut self.tally);
                    peer.flush(&mut self.out, &mut self.tally);
                }
            });
            if received.is_err() {
                break;
            }
        }
        self.buffers = buffers;
    }

    /// Reads a connection of a peer's; returns whether there may be more on it. From who has fallen silent it stays unread.
    pub(super) fn receive_frames(&mut self, id: u32, connection: &Rc<Connection>) -> bool {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.reads()) else {
            return false;
        };
        let origin = (connection.remote(), Instant::now());
        let (out, tally) = (&mut self.out, &mut self.tally);
        let received = connection.receive(&mut self.buffers, |datagram| {
            peer.handle(datagram, origin, out, tally);
            peer.flush(out, tally);
        });
        match received {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Wakes whose turn it is, which was due then.
    pub(super) fn handle_tick(&mut self, due: Instant, now: Instant) {
        self.tally.turns.add(now.saturating_duration_since(due));
        for place in 0..self.publishers.len() {
            self.wake(self.publishers[place], now);
        }
        let slice = self.viewers.len().div_ceil(SLICES);
        for _ in 0..slice {
            self.slice = (self.slice + 1) % self.viewers.len().max(1);
            if let Some(&id) = self.viewers.get(self.slice) {
                self.wake(id, now);
            }
        }
        if now >= self.next_publication_at {
            self.next_publication_at = now + BETWEEN_PUBLICATIONS;
            self.publish();
        }
    }

    fn wake(&mut self, id: u32, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.handle_timeout(now, &mut self.out, &mut self.tally);
            peer.flush(&mut self.out, &mut self.tally);
            let wanted = peer.link.wanted_path(now);
            self.wanted.extend(wanted.map(|to| (id, to, peer.protocol)));
        }
    }

    /// Lets others see the counts.
    fn publish(&mut self) {
        let (mut faults, mut connected) = (self.past_faults, 0);
        self.tally.shares.clear();
        self.tally.stalled = 0;
        for (id, peer) in &self.peers {
            let End::Viewer(viewer) = &peer.end else {
                continue;
            };
            faults.add(viewer.faults());
            if viewer.is_stalled {
                self.tally.stalled += 1;
                continue;
            }
            self.tally.shares.push((*id, viewer.packets()));
            connected += u64::from(peer.link.keys.is_some() && peer.link.over.is_none());
        }
        self.tally.faults = faults;
        let shared = self.shared.tally.lock();
        *shared.unwrap_or_else(PoisonError::into_inner) = (self.tally.clone(), connected);
    }
}

/// Returns whether peers share sockets towards this address.
pub(super) fn shares_sockets(to: SocketAddr) -> bool {
    to.is_ipv4() && to.ip().is_loopback()
}

/// Every viewer is woken once in so many ticks.
const SLICES: usize = 20;
/// Batches of one socket before others have their turn.
const MAX_BATCHES: usize = 8;
