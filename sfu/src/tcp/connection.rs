//! One connection of a peer: what comes on it, and what waits to be taken.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use klieg_sfu_core::Path;
use klieg_sfu_core::framed::{Backlog, Deframer, SendQueue};
use klieg_sfu_core::node::PeerIndex;
use tokio::net::TcpStream;

use super::connections::Counts;
use super::listen;
use super::metrics::Closed;
use super::ready::Bell;

/// Reads in a row, after which others have their turn: the second mostly finds that there is no more.
const MAX_READS: usize = 2;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) path: Path,
    pub(super) peer: PeerIndex,
    pub(super) opened_at: Instant,
    /// When a frame came last.
    pub(super) heard_at: Instant,
    /// Since when its peer is gone; `None` while it is not.
    pub(super) over_at: Option<Instant>,
    /// What was told of what waits.
    pub(super) told: Backlog,
    stream: TcpStream,
    waker: Waker,
    deframer: Deframer,
    queue: SendQueue,
}

impl Connection {
    /// Takes over a socket; to be called within the shard's runtime.
    pub(super) fn new(
        now: Instant,
        stream: std::net::TcpStream,
        (path, peer): (Path, PeerIndex),
        bell: Arc<Bell>,
    ) -> io::Result<Self> {
        listen::prepare(&stream)?;
        Ok(Self {
            path,
            peer,
            opened_at: now,
            heard_at: now,
            over_at: None,
            told: Backlog::Low,
            stream: TcpStream::from_std(stream)?,
            waker: bell.into(),
            deframer: Deframer::default(),
            queue: SendQueue::default(),
        })
    }

    /// Takes bytes that have come and gives each frame to `take`.
    pub(super) fn take(
        &mut self,
        now: Instant,
        bytes: &[u8],
        take: &mut impl FnMut(PeerIndex, Path, &[u8]),
    ) -> Result<(), Closed> {
        let (peer, path, heard_at) = (self.peer, self.path, &mut self.heard_at);
        let taking = self.deframer.take(bytes, |frame| {
            *heard_at = now;
            take(peer, path, frame);
        });
        taking.map_err(|_| Closed::Oversized)
    }

    /// Reads what has come, or as much as may be read in a row; the bell rings when there is more.
    pub(super) fn read(
        &mut self,
        now: Instant,
        (buffer, counts): (&mut [u8], &mut Counts),
        take: &mut impl FnMut(PeerIndex, Path, &[u8]),
    ) -> Result<(), Closed> {
        for _ in 0..MAX_READS {
            match self.stream.try_read(buffer) {
                Ok(0) => return Err(Closed::Remote),
                Ok(read) => {
                    counts.bytes_received += read as u64;
                    self.take(now, buffer.get(..read).unwrap_or_default(), take)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut context = Context::from_waker(&self.waker);
                    match self.stream.poll_read_ready(&mut context) {
                        Poll::Pending => return Ok(()),
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Err(Closed::Remote),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Closed::Remote),
            }
        }
        self.waker.wake_by_ref();
        Ok(())
    }

    /// Adds datagrams to what waits, each of them whole or not at all; returns how many found no room.
    pub(super) fn push(&mut self, run: &[u8], segment_size: usize) -> u64 {
        let mut refused = 0;
        for datagram in run.chunks(segment_size.max(1)) {
            refused += u64::from(!self.queue.push(datagram));
        }
        refused
    }

    /// Lets the kernel take what waits, as far as it does; the bell rings when it takes more.
    pub(super) fn flush(&mut self, counts: &mut Counts) -> Result<(), Closed> {
        while !self.queue.is_empty() {
            match self.stream.try_write(self.queue.front()) {
                Ok(written) => {
                    counts.bytes_sent += written as u64;
                    self.queue.consume(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut context = Context::from_waker(&self.waker);
                    match self.stream.poll_write_ready(&mut context) {
                        Poll::Pending => return Ok(()),
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Err(Closed::Remote),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Closed::Remote),
            }
        }
        Ok(())
    }

    /// Returns how much waits, if there is something to tell: a change, or that it is still much.
    pub(super) fn poll_backlog(&mut self) -> Option<Backlog> {
        let backlog = self.queue.backlog();
        let told = std::mem::replace(&mut self.told, backlog);
        (backlog != told || backlog != Backlog::Low).then_some(backlog)
    }

    /// Has the kernel forget what has not left when the connection closes; it would try for minutes, in memory that nobody counts.
    pub(super) fn abandon(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "what waits on a closed connection is tried on");
        }
    }

    /// Returns what the kernel may keep of what leaves, in bytes as it counts them.
    #[cfg(test)]
    pub(super) fn send_buffer(&self) -> usize {
        socket2::SockRef::from(&self.stream)
            .send_buffer_size()
            .unwrap()
    }

    /// Returns whether nothing waits.
    pub(super) fn is_flushed(&self) -> bool {
        self.queue.is_empty()
    }
}
