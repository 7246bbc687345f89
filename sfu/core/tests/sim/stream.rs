//! A client's TCP connection: bytes in order, and the other end may stop to take them.

use std::num::NonZeroU32;
use std::time::Instant;

use klieg_sfu_core::command::{ConnectionId, Path};
use klieg_sfu_core::framed::{Deframer, SendQueue};
use klieg_sfu_core::node::{Belongs, Node, PeerIndex};

/// One connection, as the shard that has it knows it.
pub(crate) struct Stream {
    /// Whether the client takes nothing.
    pub(crate) is_stalled: bool,
    /// The most that waited.
    pub(crate) most: usize,
    /// Datagrams that found no room.
    pub(crate) refused: usize,
    /// Whose it is and where; `None` until its first check came.
    pub(crate) place: Option<(usize, PeerIndex)>,
    id: ConnectionId,
    queue: SendQueue,
    deframer: Deframer,
}

impl Stream {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            is_stalled: false,
            most: 0,
            refused: 0,
            place: None,
            id: ConnectionId(NonZeroU32::new(id).unwrap()),
            queue: SendQueue::default(),
            deframer: Deframer::default(),
        }
    }

    /// Gives a frame to the shard that has the client, or finds it, beginning at `first`.
    pub(crate) fn receive(
        &mut self,
        (now, path): (Instant, Path),
        (nodes, first): (&mut [Node], usize),
        frame: &[u8],
    ) {
        let path = Path {
            connection: Some(self.id),
            ..path
        };
        if self.place.is_none() {
            self.place = match nodes[first].place_connection(now, frame) {
                Ok(Belongs::Here(index)) => Some((first, index)),
                Ok(Belongs::There(shard)) => {
                    let shard = usize::from(shard.0);
                    match nodes[shard].place_connection(now, frame) {
                        Ok(Belongs::Here(index)) => Some((shard, index)),
                        other => panic!("{other:?} of a peer that is there"),
                    }
                }
                Err(_) => None,
            };
        }
        if let Some((shard, index)) = self.place {
            nodes[shard].handle_frame(now, index, path, frame);
        }
    }

    /// Takes a datagram for the client and tells the shard how much waits.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        nodes: &mut [Node],
        datagram: &[u8],
    ) -> Vec<Vec<u8>> {
        self.refused += usize::from(!self.queue.push(datagram));
        self.most = self.most.max(self.queue.waiting());
        self.flow(now, nodes)
    }

    /// Lets the client take what waits, unless it takes nothing.
    pub(crate) fn flow(&mut self, now: Instant, nodes: &mut [Node]) -> Vec<Vec<u8>> {
        let mut came = Vec::new();
        while !self.is_stalled && !self.queue.is_empty() {
            let front = self.queue.front();
            let (taken, deframer) = (front.len(), &mut self.deframer);
            let taking = deframer.take(front, |frame| came.push(frame.to_vec()));
            taking.unwrap();
            self.queue.consume(taken);
        }
        if let Some((shard, index)) = self.place {
            let backlog = (self.id, self.queue.backlog());
            nodes[shard].handle_backlog(now, index, backlog);
        }
        came
    }

    /// Ends the connection.
    pub(crate) fn close(&mut self, (now, path): (Instant, Path), nodes: &mut [Node]) {
        let path = Path {
            connection: Some(self.id),
            ..path
        };
        if let Some((shard, index)) = self.place.take() {
            nodes[shard].handle_closed(now, index, path);
        }
    }
}
