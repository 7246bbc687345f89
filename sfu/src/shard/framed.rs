//! What a shard does with the connections of its peers.

use std::time::Instant;

use klieg_sfu_core::framed::first_frame;
use klieg_sfu_core::node::{Belongs, PeerIndex, Stranger};
use tokio::sync::mpsc;

use super::{Input, Shard};
use crate::tcp::{Incoming, News, Refused};

impl Shard {
    /// Reads what waits on connections, for no longer than datagrams are read.
    pub(super) fn receive_frames(&mut self, began: Instant) {
        let until = self.read_until(began);
        let node = &mut self.node;
        self.connections.receive(until, |peer, path, frame| {
            node.handle_frame(Instant::now(), peer, path, frame);
        });
        self.take_news(Instant::now());
    }

    /// Takes a connection for the peer that its first check is of, or passes it on to the shard that has that peer.
    pub(super) fn take_connection(&mut self, now: Instant, incoming: Box<Incoming>) {
        let first = first_frame(&incoming.received).ok().flatten();
        let belongs = self.node.place_connection(now, first.unwrap_or_default());
        let taken = match belongs {
            Ok(Belongs::Here(peer)) => self.keep_connection(now, *incoming, peer),
            Ok(Belongs::There(shard)) => {
                let shard = self.wiring.shards.get(usize::from(shard.0));
                let pass = |shard: &mpsc::Sender<Input>| {
                    shard.try_send(Input::Connection(incoming)).is_ok()
                };
                shard.is_some_and(pass).then_some(()).ok_or(Refused::Busy)
            }
            Err(Stranger::NoCheck) => Err(Refused::NoCheck),
            Err(Stranger::UnknownUfrag) => Err(Refused::UnknownUfrag),
            Err(Stranger::Unauthenticated) => Err(Refused::Unauthenticated),
        };
        if let Err(reason) = taken {
            self.wiring.metrics.tcp().refuse(reason);
        }
        self.take_news(now);
    }

    fn keep_connection(
        &mut self,
        now: Instant,
        incoming: Incoming,
        peer: PeerIndex,
    ) -> Result<(), Refused> {
        let node = &mut self.node;
        let take = |peer, path, frame: &[u8]| node.handle_frame(now, peer, path, frame);
        let added = self.connections.add(now, incoming, peer, take);
        let node = &self.node;
        self.connections
            .trim(peer, |peer, path| node.standing(peer, path));
        added.map_err(|_| Refused::Failed)
    }

    /// Closes connections that are of no use any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        let node = &self.node;
        self.connections
            .sweep(now, |peer, path| node.standing(peer, path));
        self.take_news(now);
    }

    /// Tells the node what has become of its connections.
    pub(super) fn take_news(&mut self, now: Instant) {
        while let Some(news) = self.connections.poll_news() {
            match news {
                News::Backlog(peer, backlog) => self.node.handle_backlog(now, peer, backlog),
                News::Closed(peer, path) => self.node.handle_closed(now, peer, path),
            }
        }
    }
}
