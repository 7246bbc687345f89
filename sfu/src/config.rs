//! Where the forwarding unit listens, and why it may not start.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// What the forwarding unit is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The one UDP port of all peers; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where peers come by TCP.
    pub tcp: TcpListen,
    /// Threads that forward, each with its own socket on the port, at most [`MAX_SHARDS`]; 0 means one for
    /// each core.
    pub shards: usize,
    /// Addresses that peers are told to send to; empty means those the machine reaches others from.
    pub addresses: Vec<IpAddr>,
    /// Whether loopback is announced beside the addresses that were found, for peers on this machine.
    pub announce_loopback: bool,
    /// Whether each thread stays on a core of its own, if there are enough of them. For machines that do nothing else: what
    /// else runs on that core holds the thread up, though another one may be idle.
    pub pin_threads: bool,
    /// How long packets wait for others to leave with, at most 10 ms; `None`: as long as the load asks for.
    pub hold: Option<Duration>,
    /// Whether the kernel gets several datagrams of a viewer in one call.
    pub offload: Offload,
}

/// Whether datagrams of equal size to one destination go to the kernel in one call (`UDP_SEGMENT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Where the kernel, the card and the path take them.
    #[default]
    Auto,
    /// Never: each datagram is a call.
    Off,
}

/// Where media comes and goes by TCP, for peers whose network lets no UDP pass (RFC 6544).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcpListen {
    /// Nowhere.
    Off,
    /// On the address and the port's number of UDP.
    #[default]
    WithUdp,
    /// There; port 0 takes a free one.
    At(SocketAddr),
    /// There, where somebody else listens and hands the connections over that are for media
    /// ([`Handle::take_connection`](crate::Handle::take_connection)).
    HandedOver(SocketAddr),
}

/// Why the forwarding unit did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The media port could not be bound.
    #[error("media port {listen}: {source}")]
    Bind {
        /// The port.
        listen: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The media port for TCP could not be bound.
    #[error("media port {listen}, TCP: {source}")]
    BindTcp {
        /// The port.
        listen: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The server's certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(String),
    /// A thread could not be started.
    #[error("thread: {0}")]
    Thread(io::Error),
    /// A metric is registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Most shards that are started; more cores than this share them.
pub const MAX_SHARDS: usize = 64;

impl Config {
    /// Returns how many shards to start.
    pub(crate) fn shard_count(&self) -> u16 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = if self.shards == 0 { cores } else { self.shards };
        // Elsewhere sockets may share a port, but only one of them receives.
        let wanted = if cfg!(target_os = "linux") { wanted } else { 1 };
        u16::try_from(wanted.min(MAX_SHARDS)).unwrap_or(1)
    }

    /// Returns the addresses that peers are told to send to, with the port that was bound.
    #[must_use]
    pub fn candidates(&self, bound: SocketAddr) -> Vec<SocketAddr> {
        let addresses = if !self.addresses.is_empty() {
            self.addresses.clone()
        } else if bound.ip().is_unspecified() {
            local_addresses(bound.is_ipv6(), self.announce_loopback)
        } else {
            vec![bound.ip()]
        };
        addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, bound.port()))
            .collect()
    }
}

/// Finds the addresses from which this machine reaches others, and loopback where there is none.
///
/// Connecting a UDP socket sends nothing; it only makes the kernel choose a source address. The
/// destinations are documentation addresses (RFC 5737, RFC 3849).
fn local_addresses(with_ipv6: bool, with_loopback: bool) -> Vec<IpAddr> {
    let chosen = |bind: &str, destination: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(destination).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let ipv4 = chosen("0.0.0.0:0", "192.0.2.1:9");
    let ipv6 = with_ipv6
        .then(|| chosen("[::]:0", "[2001:db8::1]:9"))
        .flatten();
    let mut found: Vec<_> = ipv4.into_iter().chain(ipv6).collect();
    let loopback = IpAddr::from([127, 0, 0, 1]);
    if found.is_empty() || with_loopback && !found.contains(&loopback) {
        found.push(loopback);
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn config(addresses: Vec<IpAddr>) -> Config {
        let listen = SocketAddr::from(([0, 0, 0, 0], 0));
        Config {
            listen,
            tcp: TcpListen::WithUdp,
            shards: 0,
            addresses,
            announce_loopback: false,
            pin_threads: false,
            hold: None,
            offload: Offload::Auto,
        }
    }

    #[test]
    fn configured_addresses_are_announced_with_the_bound_port() {
        let announced = config(vec![IpAddr::from([203, 0, 113, 7])])
            .candidates(SocketAddr::from(([0, 0, 0, 0], 7882)));
        assert_eq!(announced, [SocketAddr::from(([203, 0, 113, 7], 7882))]);
    }

    #[test]
    fn without_addresses_no_unspecified_one_is_announced() {
        let announced = config(Vec::new()).candidates(SocketAddr::from(([0, 0, 0, 0], 7882)));
        assert!(!announced.is_empty());
        assert!(
            announced
                .iter()
                .all(|address| !address.ip().is_unspecified())
        );
    }

    #[test]
    fn loopback_is_announced_to_peers_on_this_machine_where_that_is_wanted() {
        let bound = SocketAddr::from(([0, 0, 0, 0], 7882));
        let mut config = config(Vec::new());
        config.announce_loopback = true;
        let announced = config.candidates(bound);
        assert_eq!(
            announced.last(),
            Some(&SocketAddr::from(([127, 0, 0, 1], 7882)))
        );
    }

    #[test]
    fn a_shard_is_started_for_each_core_unless_told_otherwise() {
        let mut config = config(Vec::new());
        assert!(config.shard_count() >= 1);
        config.shards = 3;
        assert_eq!(config.shard_count(), 3);
    }
}
