//! One light peer: its transport, the end it plays, and the ways to its sockets.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::watch;

use super::connection::Connection;
use super::link::{Input, Link};
use super::receive::Viewer;
use super::rtp::Header;
use super::sdp::Protocol;
use super::send::Sender;
use super::socket::Socket;
use super::tally::Tally;

/// A light peer of either kind.
pub(super) struct Peer {
    pub(super) link: Link,
    pub(super) end: End,
    /// Those that were tried, in the order of the link's candidates.
    pub(super) paths: Vec<Path>,
    pub(super) protocol: Protocol,
}

/// Which end it plays.
pub(super) enum End {
    Viewer(Box<Viewer>),
    Publisher(Box<Sender>, watch::Sender<bool>),
}

/// A way to one of the server's addresses.
pub(super) enum Path {
    Udp {
        socket: Rc<Socket>,
        /// Its own on loopback.
        from: Option<IpAddr>,
        to: SocketAddr,
    },
    Tcp(Rc<Connection>),
}

impl Peer {
    /// Takes a datagram from this address; answers go to `out`.
    pub(super) fn handle(
        &mut self,
        datagram: &[u8],
        (remote, now): (SocketAddr, Instant),
        out: &mut Vec<Vec<u8>>,
        tally: &mut Tally,
    ) {
        if let End::Viewer(viewer) = &self.end
            && viewer.is_stalled
        {
            // It costs the server as much as one that is read.
            let header = Header::parse(datagram);
            // Numbers of RTCP, with the first bit taken for a marker (RFC 5761, section 4).
            let is_media = header.is_some_and(|it| !(64..96).contains(&it.payload_type));
            tally.unread += u64::from(is_media);
            return;
        }
        let mut paths = self.paths.iter();
        // Whoever knows the password may answer from elsewhere.
        let path = paths.position(|path| path.to() == remote);
        let path = path.unwrap_or(self.link.path);
        match (self.link.handle(datagram, path, now, out), &mut self.end) {
            (Input::Rtp(packet), End::Viewer(viewer)) => {
                viewer.handle_rtp(&mut self.link, packet, now, tally);
            }
            (Input::Rtcp(compound), End::Viewer(viewer)) => viewer.handle_rtcp(&compound, now),
            (Input::Rtcp(compound), End::Publisher(sender, _)) => {
                sender.handle_rtcp(&mut self.link, &compound, now, out);
            }
            (Input::Rtp(_) | Input::Nothing, _) => {}
        }
    }

    /// Returns whether it reads what comes.
    pub(super) fn reads(&self) -> bool {
        match &self.end {
            End::Viewer(viewer) => !viewer.is_stalled,
            End::Publisher(..) => true,
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
        tally: &mut Tally,
    ) {
        match &mut self.end {
            End::Viewer(viewer) => {
                if !viewer.is_stalled {
                    self.link.handle_timeout(now, out);
                    viewer.handle_timeout(&mut self.link, now, out);
                }
            }
            End::Publisher(sender, connected) => {
                self.link.handle_timeout(now, out);
                sender.handle_timeout(&mut self.link, now, out, tally);
                let is_connected = self.link.keys.is_some() && self.link.over.is_none();
                connected
                    .send_if_modified(|was| std::mem::replace(was, is_connected) != is_connected);
            }
        }
    }

    /// Sends what is in `out`.
    pub(super) fn flush(&self, out: &mut Vec<Vec<u8>>, tally: &mut Tally) {
        let path = self.paths.get(self.link.path);
        for datagram in out.drain(..) {
            let sent = path.is_some_and(|path| path.send(&datagram));
            tally.unsent += u64::from(!sent);
        }
    }
}

impl Path {
    /// Returns the address that it leads to.
    pub(super) fn to(&self) -> SocketAddr {
        match self {
            Self::Udp { to, .. } => *to,
            Self::Tcp(connection) => connection.remote(),
        }
    }

    /// Returns its socket of UDP.
    pub(super) fn socket(&self) -> Option<&Rc<Socket>> {
        match self {
            Self::Udp { socket, .. } => Some(socket),
            Self::Tcp(_) => None,
        }
    }

    fn send(&self, datagram: &[u8]) -> bool {
        match self {
            Self::Udp { socket, from, to } => socket.send(*from, *to, datagram).is_ok(),
            Self::Tcp(connection) => connection.send(datagram).is_ok(),
        }
    }
}
