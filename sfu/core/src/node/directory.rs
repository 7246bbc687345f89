//! Who may come, who is here, and who is on another shard: what a STUN user name or an address leads to.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::command::{
    IceCredentials, LayerChoice, PeerId, PeerSpec, PlayoutDelay, Remote, ShardIndex,
};
use crate::node::peers::PeerIndex;

/// How long an announced peer may take until its first authenticated check.
const EXPECTATION: Duration = Duration::from_secs(30);
/// How long an address leads to another shard after its last authenticated check.
const ROUTE_LIFETIME: Duration = Duration::from_secs(40);
/// How long after its last check an address stays with a peer although a check of another one comes
/// from there: so long that at least two checks must have been lost.
const HELD: Duration = Duration::from_secs(15);
/// Addresses that lead to other shards.
const MAX_ROUTES: usize = 65_536;

/// Where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No check of it has been authenticated.
    Expected,
    /// On this shard.
    Here(PeerIndex),
    /// On another shard.
    There(ShardIndex),
}

/// An announced peer.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As announced.
    pub(crate) spec: Arc<PeerSpec>,
    /// The peer's side, once it came.
    pub(crate) remote: Option<Arc<Remote>>,
    /// Our current side of ICE; changes at a restart.
    pub(crate) local: IceCredentials,
    /// The peer's side of ICE since the last restart; `None` before one, and until it came.
    pub(crate) restarted: Option<IceCredentials>,
    /// The user name before the last restart, still good until the next; `None` before the first.
    previous: Option<String>,
    /// The layer that it wants to be shown.
    pub(crate) choice: LayerChoice,
    /// How long its pictures are to wait; `None` while nobody said.
    pub(crate) playout_delay: Option<PlayoutDelay>,
    /// Where it is.
    pub(crate) place: Place,
    /// When it was announced.
    pub(crate) announced: Instant,
}

/// The announced peers of a shard. Every shard knows all of them.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// As many as signaling announces and has not removed: it has bounds of its own for its sessions, and those that do
    /// not come are given up after [`EXPECTATION`].
    entries: HashMap<PeerId, Entry>,
    /// User name and password, by the former; two of each peer at most.
    by_ufrag: HashMap<String, (PeerId, String)>,
    /// Where addresses lead that passed a check: those that the peers of this shard know, and [`MAX_ROUTES`].
    by_address: HashMap<SocketAddr, Route>,
    /// Peers that have not come, by when they are given up; some of those announced.
    expected: BTreeSet<(Instant, PeerId)>,
    /// Addresses that lead to other shards, by when they are forgotten; at most [`MAX_ROUTES`].
    expiring: BTreeSet<(Instant, SocketAddr)>,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug)]
enum Route {
    Here(PeerIndex),
    /// The shard that has the peer, and when the route is forgotten.
    There(ShardIndex, PeerId, Instant),
}

impl Directory {
    /// Notes an announced peer; one that is known already is left as it is.
    pub(crate) fn announce(&mut self, now: Instant, spec: Arc<PeerSpec>) {
        let peer = spec.peer;
        if self.entries.contains_key(&peer) || self.by_ufrag.contains_key(&spec.local.ufrag) {
            return;
        }
        let local = spec.local.clone();
        self.by_ufrag
            .insert(local.ufrag.clone(), (peer, local.pwd.clone()));
        self.expected.insert((now + EXPECTATION, peer));
        let place = Place::Expected;
        let entry = Entry {
            spec,
            remote: None,
            local,
            restarted: None,
            previous: None,
            choice: LayerChoice::Auto,
            playout_delay: None,
            place,
            announced: now,
        };
        self.entries.insert(peer, entry);
    }

    pub(crate) fn get(&self, peer: PeerId) -> Option<&Entry> {
        self.entries.get(&peer)
    }

    pub(crate) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Entry> {
        self.entries.get_mut(&peer)
    }

    /// Finds the peer that was given a user name, and its password.
    pub(crate) fn by_ufrag(&self, ufrag: &str) -> Option<(PeerId, &str)> {
        self.by_ufrag
            .get(ufrag)
            .map(|(peer, pwd)| (*peer, pwd.as_str()))
    }

    /// Gives a peer new credentials beside the ones it has, which stay good until the next time.
    ///
    /// Called again with the same `local` it completes the restart with the peer's side.
    pub(crate) fn restart(
        &mut self,
        peer: PeerId,
        local: IceCredentials,
        remote: Option<IceCredentials>,
    ) {
        let Some(entry) = self.entries.get_mut(&peer) else {
            return;
        };
        entry.restarted = remote;
        if self.by_ufrag.contains_key(&local.ufrag) {
            return;
        }
        self.by_ufrag
            .insert(local.ufrag.clone(), (peer, local.pwd.clone()));
        let before = std::mem::replace(&mut entry.local, local);
        if let Some(oldest) = entry.previous.replace(before.ufrag) {
            self.by_ufrag.remove(&oldest);
        }
    }

    /// Notes where a peer came.
    pub(crate) fn settle(&mut self, peer: PeerId, place: Place) {
        if let Some(entry) = self.entries.get_mut(&peer) {
            entry.place = place;
            self.expected.remove(&(entry.announced + EXPECTATION, peer));
        }
    }

    /// Forgets a peer and the addresses that led to it.
    pub(crate) fn forget(&mut self, peer: PeerId, addresses: &[SocketAddr]) -> Option<Entry> {
        let entry = self.entries.remove(&peer)?;
        self.expected.remove(&(entry.announced + EXPECTATION, peer));
        self.by_ufrag.remove(&entry.local.ufrag);
        if let Some(previous) = &entry.previous {
            self.by_ufrag.remove(previous);
        }
        if let Place::Here(index) = entry.place {
            for address in addresses {
                self.forget_address(address, index);
            }
        }
        Some(entry)
    }

    /// Forgets an address if it leads to this peer and to no other since.
    pub(crate) fn forget_address(&mut self, address: &SocketAddr, index: PeerIndex) {
        if matches!(self.by_address.get(address), Some(Route::Here(here)) if *here == index) {
            self.by_address.remove(address);
        }
    }

    /// Returns where an address leads that passed a check.
    pub(crate) fn route(&self, address: &SocketAddr) -> Option<Place> {
        self.by_address.get(address).map(|route| match *route {
            Route::Here(index) => Place::Here(index),
            Route::There(shard, ..) => Place::There(shard),
        })
    }

    /// Returns whether an address belongs to another peer than `peer`, so that a check does not take
    /// it away: whoever has a password can write any source address on its own checks. `checked`
    /// tells when the last check of a peer on this shard came from there.
    pub(crate) fn is_held(
        &self,
        now: Instant,
        address: &SocketAddr,
        peer: PeerId,
        checked: impl FnOnce(PeerIndex) -> Option<Instant>,
    ) -> bool {
        let (holder, checked) = match self.by_address.get(address) {
            None => return false,
            Some(Route::Here(index)) => (index.peer(), checked(*index)),
            Some(Route::There(_, holder, until)) => (*holder, until.checked_sub(ROUTE_LIFETIME)),
        };
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < HELD;
        holder != peer && self.entries.contains_key(&holder) && checked.is_some_and(is_fresh)
    }

    /// Notes that a check of a peer on this shard came from an address.
    pub(crate) fn route_here(&mut self, address: SocketAddr, index: PeerIndex) {
        self.drop_route(&address);
        self.by_address.insert(address, Route::Here(index));
    }

    /// Notes that a check of a peer on another shard came from an address. When there are too many
    /// such addresses, the one nearest its end goes.
    pub(crate) fn route_there(
        &mut self,
        now: Instant,
        address: SocketAddr,
        (shard, peer): (ShardIndex, PeerId),
    ) {
        self.drop_route(&address);
        if self.expiring.len() >= MAX_ROUTES
            && let Some((_, oldest)) = self.expiring.pop_first()
        {
            self.by_address.remove(&oldest);
        }
        let until = now + ROUTE_LIFETIME;
        self.by_address
            .insert(address, Route::There(shard, peer, until));
        self.expiring.insert((until, address));
    }

    /// Returns when [`Self::expire`] has something next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let peer = self.expected.first().map(|(at, _)| *at);
        let route = self.expiring.first().map(|(at, _)| *at);
        peer.into_iter().chain(route).min()
    }

    /// Forgets old routes and returns a peer that has not come in time; to be called until `None`.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<PeerId> {
        while let Some(&(at, address)) = self.expiring.first().filter(|(at, _)| *at <= now) {
            self.expiring.remove(&(at, address));
            self.by_address.remove(&address);
        }
        let &(at, peer) = self.expected.first().filter(|(at, _)| *at <= now)?;
        self.expected.remove(&(at, peer));
        Some(peer)
    }

    fn drop_route(&mut self, address: &SocketAddr) {
        if let Some(Route::There(_, _, until)) = self.by_address.remove(address) {
            self.expiring.remove(&(until, *address));
        }
    }
}
