//! One server transport and one peer joined by a simulated network.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use klieg_sfu_core::command::{DtlsRole, IceCredentials, Path};
use klieg_sfu_core::transport::{Identity, Received, Transport, TransportEvent};

use super::peer::{Nomination, Peer, PeerConfig};
use super::{Link, Network, Parcel, Seed, address, epoch};

/// The server's address.
pub(crate) const SERVER: &str = "10.0.0.1:7000";
/// The peer's first address.
pub(crate) const PEER: &str = "10.9.0.2:50000";

/// A server transport, a peer and the network between them.
pub(crate) struct World {
    /// Virtual time.
    pub(crate) now: Instant,
    /// The network between the two.
    pub(crate) link: Link,
    /// The server's side.
    pub(crate) server: Transport,
    /// The other side.
    pub(crate) peer: Peer,
    /// Events of the server, with their moments.
    pub(crate) events: Vec<(Duration, TransportEvent)>,
    /// RTP that the server opened.
    pub(crate) rtp: Vec<Vec<u8>>,
    /// RTCP that the server opened.
    pub(crate) rtcp: Vec<Vec<u8>>,
    /// What the server sent, and to whom.
    pub(crate) sent: Vec<Parcel>,
    network: Network,
    _seed: Seed,
}

/// Returns a certificate shared by all tests of a process.
pub(crate) fn identity() -> Arc<Identity> {
    static IDENTITY: OnceLock<Arc<Identity>> = OnceLock::new();
    let make = || Arc::new(Identity::generate().expect("the library makes certificates"));
    Arc::clone(IDENTITY.get_or_init(make))
}

/// Returns credentials told apart by a letter.
pub(crate) fn credentials(letter: char) -> IceCredentials {
    let repeat = |count: usize| std::iter::repeat_n(letter, count).collect();
    IceCredentials {
        ufrag: repeat(8),
        pwd: repeat(24),
    }
}

impl World {
    /// Makes both sides; the server knows nothing of the peer yet.
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        Self::with(seed, link, |_| {})
    }

    /// Makes both sides after changing what the peer is made of.
    pub(crate) fn with(seed: u64, link: Link, change: impl FnOnce(&mut PeerConfig)) -> Self {
        let now = epoch();
        let mut config = PeerConfig {
            address: address(PEER),
            server: address(SERVER),
            local: credentials('p'),
            remote: credentials('s'),
            fingerprint: identity().fingerprint(),
            is_active: true,
            nomination: Nomination::Regular,
            has_priority: true,
            is_controlled: false,
            is_stubborn: false,
        };
        change(&mut config);
        Self {
            now,
            link,
            server: Transport::new(now, credentials('s'), identity()),
            peer: Peer::new(now, config),
            events: Vec::new(),
            rtp: Vec::new(),
            rtcp: Vec::new(),
            sent: Vec::new(),
            network: Network::new(seed),
            _seed: Seed(seed),
        }
    }

    /// Tells the server what the peer's description says.
    pub(crate) fn introduce(&mut self) {
        let role = if self.peer.config.is_active {
            DtlsRole::Server
        } else {
            DtlsRole::Client
        };
        let fingerprints = [self.peer.fingerprint()];
        let ice = self.peer.config.local.clone();
        self.server.set_remote(self.now, ice, &fingerprints, role);
    }

    /// Makes both sides and lets them connect over a clean link.
    pub(crate) fn connected(seed: u64) -> Self {
        let mut world = Self::new(seed, Link::round_trip(20));
        world.introduce();
        world.run(Duration::from_secs(2));
        assert!(world.is_connected(), "events: {:?}", world.events);
        world
    }

    /// Returns whether both sides can send media.
    pub(crate) fn is_connected(&self) -> bool {
        self.server.media_path(self.now).is_some() && self.peer.is_connected()
    }

    /// Returns the time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - epoch()
    }

    /// Returns whether the server reported an event.
    pub(crate) fn reported(&self, event: TransportEvent) -> bool {
        self.events.iter().any(|(_, reported)| *reported == event)
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.run_until(end, |_| false);
    }

    /// Lets time pass until a condition holds or the end has come; returns whether it holds.
    pub(crate) fn run_until(&mut self, end: Instant, is_met: impl Fn(&Self) -> bool) -> bool {
        loop {
            self.settle();
            if is_met(self) {
                return true;
            }
            let due = [
                self.network.poll_timeout(),
                self.peer.poll_timeout(),
                self.server.poll_timeout(),
            ];
            let Some(next) = due.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = self.now.max(end);
                return is_met(self);
            };
            self.now = self.now.max(next);
            if self.server.poll_timeout().is_some_and(|at| at <= self.now) {
                self.server.handle_timeout(self.now);
            }
            self.peer.handle_timeout(self.now);
            while let Some(parcel) = self.network.poll_arrival(self.now) {
                self.deliver(&parcel);
            }
        }
    }

    /// Hands a datagram to whom it is addressed.
    pub(crate) fn deliver(&mut self, parcel: &Parcel) {
        if parcel.to == self.peer.config.address {
            self.peer.handle_datagram(self.now, parcel);
        } else if parcel.to == self.peer.config.server {
            self.inject(parcel.from, &parcel.datagram);
        }
        self.settle();
    }

    /// Hands a datagram to the server at once, as if it came from `from`.
    pub(crate) fn inject(&mut self, from: std::net::SocketAddr, datagram: &[u8]) -> Received {
        let mut plaintext = Vec::new();
        let path = Path {
            local: None,
            remote: from,
            connection: None,
        };
        let received = self
            .server
            .handle_datagram(self.now, path, datagram, &mut plaintext);
        match received {
            Received::Rtp => self.rtp.push(plaintext),
            Received::Rtcp => self.rtcp.push(plaintext),
            Received::Nothing => {}
        }
        received
    }

    /// Seals a packet and sends it where media goes; returns whether it may be sent.
    pub(crate) fn send_rtp(&mut self, packet: &[u8], roc: u32) -> bool {
        let Some(path) = self.server.media_path(self.now) else {
            return false;
        };
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + klieg_sfu_core::transport::TAG_ROOM, 0);
        let Some(len) = self.server.seal_rtp(&mut buffer, 12, packet.len(), roc) else {
            return false;
        };
        buffer.truncate(len);
        self.transmit(path, buffer);
        true
    }

    /// Seals a compound and sends it where media goes; returns whether it may be sent.
    pub(crate) fn send_rtcp(&mut self, compound: &[u8]) -> bool {
        let Some(path) = self.server.media_path(self.now) else {
            return false;
        };
        let mut sealed = Vec::new();
        if !self.server.seal_rtcp(compound, &mut sealed) {
            return false;
        }
        self.transmit(path, sealed);
        true
    }

    /// Moves what is to be sent into the network, does handshake work and collects events.
    pub(crate) fn settle(&mut self) {
        while let Some(job) = self.server.poll_handshake() {
            let done = job.run(self.now);
            self.server.handle_handshake(self.now, done);
        }
        let mut datagram = Vec::new();
        while let Some(path) = self.server.poll_transmit(&mut datagram) {
            self.transmit(path, datagram.clone());
        }
        while let Some(parcel) = self.peer.poll_transmit() {
            self.network.send(self.now, &self.link, parcel);
        }
        while let Some(event) = self.server.poll_event() {
            self.events.push((self.elapsed(), event));
        }
    }

    fn transmit(&mut self, path: Path, datagram: Vec<u8>) {
        let parcel = Parcel {
            from: self.peer.config.server,
            to: path.remote,
            datagram,
        };
        self.sent.push(parcel.clone());
        self.network.send(self.now, &self.link, parcel);
    }
}

/// Makes an RTP packet of a stream.
pub(crate) fn rtp_packet(ssrc: u32, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&u32::from(seq).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// Makes an empty receiver report.
pub(crate) fn receiver_report(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet
}
