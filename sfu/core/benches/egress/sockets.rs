//! Where a node's datagrams go.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use klieg_sfu_core::node::Node;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

/// Sends all that a node has to send; returns how many datagrams there were.
pub(crate) fn drain(node: &mut Node, now: Instant, run: &mut Vec<u8>, to: &Sockets) -> usize {
    let mut sent = 0;
    while let Some(transmit) = node.poll_transmit(now, run) {
        let IpAddr::V4(remote) = transmit.path.remote.ip() else {
            continue;
        };
        let [_, _, high, low] = remote.octets();
        let viewer = usize::from(u16::from_be_bytes([high, low]));
        let size = transmit.segment_size.unwrap_or(run.len());
        sent += run.len() / size;
        to.send(viewer, run, size);
    }
    sent
}

/// One that sends, and one that receives for everybody and is never read: what it cannot hold the
/// kernel drops, for the floor and for Klieg alike.
pub(crate) struct Sockets {
    sender: UdpSocket,
    state: UdpSocketState,
    _receiver: UdpSocket,
    port: u16,
    /// Whether anything is sent at all.
    pub(crate) are_open: bool,
}

impl Sockets {
    pub(crate) fn new() -> Self {
        let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        // Takes whole runs, as a network card would.
        UdpSocketState::new(UdpSockRef::from(&receiver)).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = UdpSocketState::new(UdpSockRef::from(&sender)).unwrap();
        let port = receiver.local_addr().unwrap().port();
        Self {
            sender,
            state,
            _receiver: receiver,
            port,
            are_open: true,
        }
    }

    pub(crate) fn send(&self, viewer: usize, run: &[u8], size: usize) {
        if !self.are_open {
            return;
        }
        let [high, low] = u16::try_from(viewer).unwrap().to_be_bytes();
        let destination = SocketAddr::from((Ipv4Addr::new(127, 1, high, low), self.port));
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: run,
            segment_size: (run.len() > size).then_some(size),
            src_ip: None,
        };
        let _ = self
            .state
            .try_send(UdpSockRef::from(&self.sender), &transmit);
    }
}
