//! The embedded relay as a state machine: datagrams, streams' messages and the time go in, what is to be sent comes out
//! (TURN, RFC 8656). No socket, no clock.

mod wire;

mod framing;

mod credit;

mod network;

mod auth;

mod peers;

mod allocation;

mod metrics;

mod requests;

mod serve;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use aws_lc_rs::error::Unspecified;
use stun::attributes::{ATTR_LIFETIME, ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS};
use tracing::debug;

use self::allocation::Allocation;
use self::auth::Authority;
use self::credit::Credit;
use self::network::network;
use self::wire::{FromClient, Incoming, Kind, Outgoing};
use crate::url::{Scheme, parse};
use crate::{Secret, UrlError};

pub use framing::Frames;
pub use metrics::Metrics;
pub use peers::{Peers, is_public};
pub use serve::{Door, Embedded, Own, RelayConfig, StartError, Stream, TlsAcceptor, Ways};

/// What every client is told that the credentials are for (RFC 8489, section 14.9); short, as what carries it must be.
pub(crate) const REALM: &str = "klieg";

/// Checks a host that clients are to be told.
///
/// # Errors
/// It is neither a name nor an address (of IPv6 in brackets).
pub fn check_host(host: &str) -> Result<(), UrlError> {
    let url = format!("turn:{host}:1");
    parse(&url, &[Scheme::Turn]).map(|_| ())
}

/// What the relay goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What credentials are made from.
    pub secret: Secret,
    /// Whom clients may reach.
    pub peers: Peers,
    /// Whether it has relayed addresses of IPv4.
    pub v4: bool,
    /// Whether it has relayed addresses of IPv6.
    pub v6: bool,
    /// Returns whether this machine has an address, by any of its interfaces; asked with each permission.
    pub is_ours: fn(IpAddr) -> bool,
    /// How much there may be.
    pub limits: Limits,
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Allocations at once.
    pub allocations: usize,
    /// Of them, those of one identity.
    pub allocations_per_identity: usize,
    /// What passes through one of them in each direction.
    pub bytes_per_second: u64,
}

impl Limits {
    /// Returns how many allocations one network may have: an eighth of all, and no fewer than one identity.
    fn of_network(&self) -> usize {
        (self.allocations / 8).max(self.allocations_per_identity)
    }
}

/// Where a client is: an address, by UDP or on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Where it comes from.
    pub remote: SocketAddr,
    /// Its connection by TCP or TLS; `None` by UDP.
    pub connection: Option<u64>,
}

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// For everything that lasts.
    pub now: Instant,
    /// Seconds since 1970, by which credentials end.
    pub unix_s: u64,
}

/// Names an allocation; they are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AllocationId(u64);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To be sent to a client.
    ToClient(Client, Vec<u8>),
    /// To be sent from a relayed address.
    ToPeer(AllocationId, SocketAddr, Vec<u8>),
    /// A socket is to be opened; [`Relay::handle_opened`] takes what became of it.
    Open(AllocationId, Wanted),
    /// The socket of an allocation is to be closed, if there is one: it has ended.
    Close(AllocationId),
}

/// What a relayed address is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of IPv6, not of IPv4.
    pub v6: bool,
    /// With an even port.
    pub even: bool,
}

/// All allocations.
#[derive(Debug)]
pub struct Relay {
    settings: Settings,
    authority: Authority,
    credit: Credit,
    /// At most as many as the settings say.
    allocations: HashMap<AllocationId, Allocation>,
    /// The allocation of each client.
    by_client: HashMap<Client, AllocationId>,
    /// How many each identity has; no zeros.
    of_identity: HashMap<String, usize>,
    /// How many each network has, as everybody who joins may have a new identity; no zeros.
    of_network: HashMap<IpAddr, usize>,
    next: u64,
    /// What is to be done; emptied after each call.
    outputs: VecDeque<Output>,
    metrics: Metrics,
}

impl Relay {
    /// Begins without allocations.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(settings: Settings, now: Instant, metrics: Metrics) -> Result<Self, Unspecified> {
        Ok(Self {
            authority: Authority::new(settings.secret.clone(), now)?,
            settings,
            credit: Credit::new(now),
            allocations: HashMap::new(),
            by_client: HashMap::new(),
            of_identity: HashMap::new(),
            of_network: HashMap::new(),
            next: 0,
            outputs: VecDeque::new(),
            metrics,
        })
    }

    /// Takes a datagram of a client, or a message of its stream.
    pub fn handle_client(&mut self, clock: Clock, client: Client, datagram: &[u8]) {
        match wire::parse(datagram) {
            Some(FromClient::Channel(number, data)) => {
                self.send_by_channel(clock.now, client, number, data);
            }
            Some(FromClient::Stun(message)) => match message.kind {
                Kind::Send => self.send(clock.now, client, &message),
                Kind::Binding => {
                    let answer = message.success();
                    let answer = answer.address(ATTR_XORMAPPED_ADDRESS, canonical(client.remote));
                    self.answer_stranger(clock.now, client, &message, answer);
                }
                Kind::Allocate | Kind::Refresh | Kind::CreatePermission | Kind::ChannelBind => {
                    self.handle_request(clock, client, &message);
                }
            },
            None => self.metrics.dropped("malformed"),
        }
    }

    /// Takes a datagram that came to a relayed address.
    pub fn handle_peer(&mut self, now: Instant, id: AllocationId, peer: SocketAddr, data: &[u8]) {
        let allocation = self.allocations.get_mut(&id);
        let Some(allocation) = allocation.filter(|it| it.expires > now) else {
            return;
        };
        if !self.settings.peers.permits(peer) || !allocation.has_permission(now, peer.ip()) {
            return self.metrics.dropped("no_permission");
        }
        if !allocation.to_client.take(now, data.len()) {
            return self.metrics.dropped("rate");
        }
        let client = allocation.client;
        let bytes = match allocation.channel_of(now, peer) {
            Some(number) => wire::channel_data(number, data, client.connection.is_some()),
            None => Some(wire::data_indication(rand::random(), peer, data)),
        };
        let Some(bytes) = bytes else { return };
        self.metrics.to_client.inc_by(size(data));
        self.outputs.push_back(Output::ToClient(client, bytes));
    }

    /// Takes what became of a socket that was to be opened: its address; `None` where none was to be had.
    pub fn handle_opened(&mut self, now: Instant, id: AllocationId, relayed: Option<SocketAddr>) {
        let Some(allocation) = self.allocations.get_mut(&id) else {
            // It ended meanwhile, when there was nothing to close yet.
            self.outputs.push_back(Output::Close(id));
            return;
        };
        allocation.relayed = relayed;
        let client = allocation.client;
        if relayed.is_some() {
            debug!(remote = %client.remote, identity = %allocation.login.identity, "allocation made");
            self.metrics.made.inc();
            self.tell_allocation(now, id);
            return;
        }
        let refused = wire::refused(Kind::Allocate, allocation.made_by, 508);
        let bytes = refused.sealed(&allocation.login.key);
        self.metrics.refused("no_port");
        self.remove(id);
        self.outputs.push_back(Output::ToClient(client, bytes));
    }

    /// Forgets a client whose connection is gone.
    pub fn handle_closed(&mut self, client: Client) {
        if let Some(id) = self.by_client.get(&client) {
            self.remove(*id);
        }
    }

    /// Ends what has run out. To be called every second or so: what has run out does nothing in the meantime either.
    pub fn handle_timeout(&mut self, now: Instant) {
        let over = self.allocations.iter().filter(|(_, it)| it.expires <= now);
        let over: Vec<AllocationId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.remove(id);
        }
    }

    /// Returns the next thing to do; `None`: nothing, until something is handled.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns whether a client has an allocation.
    pub fn has_allocation(&self, client: Client) -> bool {
        self.by_client.contains_key(&client)
    }

    fn send(&mut self, now: Instant, client: Client, message: &Incoming<'_>) {
        let (Some(data), &[peer]) = (message.data, message.peers.as_slice()) else {
            return self.metrics.dropped("malformed");
        };
        if !message.unknown.is_empty() {
            return self.metrics.dropped("malformed");
        }
        self.forward(now, client, |_| Some(peer), data);
    }

    fn send_by_channel(&mut self, now: Instant, client: Client, number: u16, data: &[u8]) {
        self.forward(now, client, |it| it.peer_of(now, number), data);
    }

    /// Sends a client's data to the peer that it means.
    fn forward(
        &mut self,
        now: Instant,
        client: Client,
        peer: impl FnOnce(&Allocation) -> Option<SocketAddr>,
        data: &[u8],
    ) {
        let Some((id, allocation)) = self.find(now, client) else {
            return self.metrics.dropped("no_allocation");
        };
        let peer = peer(allocation).filter(|peer| allocation.has_permission(now, peer.ip()));
        let Some(peer) = peer.filter(|peer| self.settings.peers.permits(*peer)) else {
            return self.metrics.dropped("no_permission");
        };
        let allocation = self.allocations.get_mut(&id);
        if !allocation.is_some_and(|it| it.to_peers.take(now, data.len())) {
            return self.metrics.dropped("rate");
        }
        self.metrics.to_peer.inc_by(size(data));
        let output = Output::ToPeer(id, peer, data.to_vec());
        self.outputs.push_back(output);
    }

    /// Returns a client's allocation that has not run out.
    fn find(&self, now: Instant, client: Client) -> Option<(AllocationId, &Allocation)> {
        let id = *self.by_client.get(&client)?;
        let allocation = self.allocations.get(&id)?;
        (allocation.expires > now).then_some((id, allocation))
    }

    /// Answers the request that made an allocation.
    fn tell_allocation(&mut self, now: Instant, id: AllocationId) {
        let Some(allocation) = self.allocations.get(&id) else {
            return;
        };
        // Without a socket the answer follows as soon as there is one.
        let Some(relayed) = allocation.relayed else {
            return;
        };
        let client = allocation.client;
        let bytes = wire::granted(Kind::Allocate, allocation.made_by)
            .address(ATTR_XOR_RELAYED_ADDRESS, relayed)
            .address(ATTR_XORMAPPED_ADDRESS, canonical(client.remote))
            .attribute(ATTR_LIFETIME, &allocation.left_s(now).to_be_bytes())
            .sealed(&allocation.login.key);
        self.outputs.push_back(Output::ToClient(client, bytes));
    }

    /// Answers somebody whose address is not proved: with no more bytes than such requests brought from there. What is
    /// proved earns nothing, or a forged request would be answered at the cost of whose address it bears.
    fn answer_stranger(
        &mut self,
        now: Instant,
        client: Client,
        request: &Incoming<'_>,
        answer: Outgoing,
    ) {
        let bytes = answer.open();
        if client.connection.is_none() {
            let source = client.remote.ip();
            self.credit.earn(now, source, request.size_bytes());
            if !self.credit.spend(now, source, bytes.len()) {
                return self.metrics.dropped("unproved_address");
            }
        }
        self.outputs.push_back(Output::ToClient(client, bytes));
    }

    fn remove(&mut self, id: AllocationId) {
        let Some(allocation) = self.allocations.remove(&id) else {
            return;
        };
        let (client, identity) = (allocation.client, allocation.login.identity);
        self.by_client.remove(&client);
        uncount(&mut self.of_identity, &identity);
        uncount(&mut self.of_network, &network(client.remote.ip()));
        self.metrics.allocations.dec();
        debug!(remote = %client.remote, %identity, "allocation ended");
        self.outputs.push_back(Output::Close(id));
    }
}

/// Counts one less.
fn uncount<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn size(data: &[u8]) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

/// Writes an address of IPv4 as such, also where a socket of IPv6 shows it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
