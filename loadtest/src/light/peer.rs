//! One light peer: its transport, the end it plays, and the way to its socket.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::watch;

use super::link::{Input, Link};
use super::receive::Viewer;
use super::send::Sender;
use super::socket::Socket;
use super::tally::Tally;

/// A light peer of either kind.
pub(super) struct Peer {
    pub(super) link: Link,
    pub(super) end: End,
    pub(super) socket: Rc<Socket>,
    /// Its own on loopback.
    pub(super) from: Option<IpAddr>,
}

/// Which end it plays.
pub(super) enum End {
    Viewer(Box<Viewer>),
    Publisher(Box<Sender>, watch::Sender<bool>),
}

impl Peer {
    /// Takes a datagram; answers go to `out`.
    pub(super) fn handle(
        &mut self,
        datagram: &[u8],
        now: Instant,
        out: &mut Vec<Vec<u8>>,
        tally: &mut Tally,
    ) {
        if let End::Viewer(viewer) = &self.end
            && viewer.is_stalled
        {
            return;
        }
        match (self.link.handle(datagram, now, out), &mut self.end) {
            (Input::Rtp(packet), End::Viewer(viewer)) => {
                viewer.handle_rtp(&mut self.link, packet, now, tally);
            }
            (Input::Rtcp(compound), End::Viewer(viewer)) => viewer.handle_rtcp(&compound, now),
            (Input::Rtcp(compound), End::Publisher(sender, _)) => {
                sender.handle_rtcp(&mut self.link, &compound, out);
            }
            (Input::Rtp(_) | Input::Nothing, _) => {}
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        match &mut self.end {
            End::Viewer(viewer) => {
                if !viewer.is_stalled {
                    self.link.handle_timeout(now, out);
                    viewer.handle_timeout(&mut self.link, now, out);
                }
            }
            End::Publisher(sender, connected) => {
                self.link.handle_timeout(now, out);
                sender.handle_timeout(&mut self.link, now, out);
                let is_connected = self.link.keys.is_some() && self.link.over.is_none();
                connected
                    .send_if_modified(|was| std::mem::replace(was, is_connected) != is_connected);
            }
        }
    }

    /// Sends what is in `out`.
    pub(super) fn flush(&self, out: &mut Vec<Vec<u8>>, tally: &mut Tally) {
        for datagram in out.drain(..) {
            let sent = self.socket.send(self.from, self.link.candidate, &datagram);
            tally.unsent += u64::from(sent.is_err());
        }
    }
}
