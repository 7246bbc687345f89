//! The connections of one shard's peers. What waits for one of them never holds up another, nor a datagram.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klieg_sfu_core::framed::Backlog;
use klieg_sfu_core::node::{PeerIndex, Standing, Transmit};
use klieg_sfu_core::{ConnectionId, Path};

use super::connection::Connection;
use super::lobby::Incoming;
use super::metrics::{Closed, TcpMetrics};
use super::ready::{Bell, Ready};

/// Connections of one peer; when there is another, one goes that it can do without. A browser opens one from each of
/// its addresses to each of ours, two by two say, and as many again while ICE restarts. Only by one of them anything
/// but checks goes: another whose queue fills is closed.
const MAX_OF_PEER: usize = 8;
/// How long one may be open on which nothing counts.
const UNUSED: Duration = Duration::from_secs(10);
/// How long one may be silent: longer than consent lasts.
const IDLE: Duration = Duration::from_secs(40);
/// How long what is left for a peer that is gone may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;

/// What connections have counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Datagrams that found no room in their connection's queue.
    pub(crate) dropped_full: u64,
    /// Datagrams whose connection had ended.
    pub(crate) dropped_gone: u64,
}

/// How many connections there are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) open: usize,
    /// Those that media goes by, as of the last sweep.
    pub(crate) selected: usize,
    /// Those of them that do not take all that is sent.
    pub(crate) stalled: usize,
}

/// What the shard's node has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// How much waits for a connection to take it.
    Backlog(PeerIndex, (ConnectionId, Backlog)),
    /// A connection has ended.
    Closed(PeerIndex, Path),
}

/// The connections of one shard.
#[derive(Debug)]
pub(crate) struct Connections {
    /// At most [`MAX_OF_PEER`] of each peer that is here, and one until its first check was judged.
    open: HashMap<ConnectionId, Connection>,
    ready: Arc<Ready>,
    metrics: Arc<TcpMetrics>,
    /// What the node has not been told: two of each connection at most, taken after each input and each run.
    news: VecDeque<News>,
    /// The number of the connection before.
    last: u32,
    /// Scratch for what is read.
    buffer: Vec<u8>,
    counts: Counts,
    census: Census,
}

impl Connections {
    /// Starts with none.
    pub(crate) fn new(metrics: Arc<TcpMetrics>) -> Self {
        Self {
            open: HashMap::new(),
            ready: Arc::default(),
            metrics,
            news: VecDeque::new(),
            last: 0,
            buffer: Vec::new(),
            counts: Counts::default(),
            census: Census::default(),
        }
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns how many there are, and of what use.
    pub(crate) fn census(&self) -> Census {
        Census {
            open: self.open.len(),
            ..self.census
        }
    }

    /// Returns what they have counted.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Waits until there is something to read, or room to write.
    pub(crate) async fn ready(&self) {
        self.ready.rung().await;
    }

    /// Returns what the node has to know next.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Takes a connection for a peer of this shard, and what came on it. [`Self::trim`] is to follow.
    ///
    /// # Errors
    /// The kernel does not let it be used.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        incoming: Incoming,
        peer: PeerIndex,
        mut take: impl FnMut(PeerIndex, Path, &[u8]),
    ) -> io::Result<()> {
        let id = self.next_id();
        let path = Path {
            connection: Some(id),
            ..incoming.path
        };
        let bell = Bell::new(id, Arc::clone(&self.ready));
        let mut connection = Connection::new(now, incoming.stream, (path, peer), bell)?;
        if self.buffer.is_empty() {
            self.buffer = vec![0; READ_BYTES];
        }
        self.counts.bytes_received += incoming.received.len() as u64;
        let taken = connection.take(now, &incoming.received, &mut take);
        self.open.insert(id, connection);
        match taken {
            Ok(()) => self.serve(now, id, &mut take),
            Err(reason) => self.close(id, reason),
        }
        Ok(())
    }

    /// Reads what has come and gives each frame to `take`, and lets go what has waited: one turn for each at most, and
    /// after `until` none. Whoever had none comes first the next time.
    pub(crate) fn receive(&mut self, until: Instant, mut take: impl FnMut(PeerIndex, Path, &[u8])) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.take() else {
                return;
            };
            let now = Instant::now();
            self.serve(now, id, &mut take);
            if now > until {
                return;
            }
        }
    }

    /// Sends a run, or has it wait: whoever does not take it holds up nobody. What comes of it is news, which the node
    /// has to know before the next one.
    pub(crate) fn send(&mut self, id: ConnectionId, transmit: &Transmit, run: &[u8]) {
        let segment_size = transmit.segment_size.unwrap_or(run.len());
        let Some(connection) = self.open.get_mut(&id) else {
            self.counts.dropped_gone += run.len().div_ceil(segment_size.max(1)) as u64;
            return;
        };
        self.counts.dropped_full += connection.push(run, segment_size);
        let flushed = connection.flush(&mut self.counts);
        let backlog = connection.poll_backlog();
        let news = backlog.map(|backlog| News::Backlog(connection.peer, (id, backlog)));
        self.news.extend(news);
        if let Err(reason) = flushed {
            self.close(id, reason);
        }
    }

    /// Lets a connection of a peer go if it has more than it may: of those that are of no use to it, else of those that
    /// nothing goes by, the one that was silent longest. Checks can be read on their way and sent again: a connection
    /// that begins with such a one is of no use, so it can only take the place of its like.
    pub(crate) fn trim(&mut self, peer: PeerIndex, standing: impl Fn(PeerIndex, Path) -> Standing) {
        let theirs = self.open.iter().filter(|(_, it)| it.peer == peer);
        if theirs.clone().count() <= MAX_OF_PEER {
            return;
        }
        let worth = |connection: &Connection| match standing(peer, connection.path) {
            Standing::Over | Standing::Unused => Some(0),
            Standing::Used => Some(1),
            Standing::Selected => None,
        };
        let spare = theirs.filter_map(|(&id, it)| Some((worth(it)?, it.heard_at, id)));
        if let Some((_, _, id)) = spare.min() {
            self.close(id, Closed::Replaced);
        }
    }

    /// Closes those that are of no use any more. `standing` tells what one is to its peer.
    pub(crate) fn sweep(&mut self, now: Instant, standing: impl Fn(PeerIndex, Path) -> Standing) {
        let (counts, mut census) = (&mut self.counts, Census::default());
        let ended = self.open.iter_mut().filter_map(|(id, connection)| {
            let age = |at: Instant| now.saturating_duration_since(at);
            let standing = standing(connection.peer, connection.path);
            if standing == Standing::Selected {
                census.selected += 1;
                census.stalled += usize::from(connection.told != Backlog::Low);
            }
            let reason = match standing {
                Standing::Over => {
                    let is_flushed = connection.flush(counts).is_err() || connection.is_flushed();
                    let since = *connection.over_at.get_or_insert(now);
                    (is_flushed || age(since) > FAREWELL).then_some(Closed::Over)
                }
                Standing::Unused if age(connection.opened_at) > UNUSED => Some(Closed::Unused),
                // What waits there is for nobody: answers to checks that are not read, or what was sent before another was selected.
                Standing::Unused | Standing::Used if connection.told != Backlog::Low => {
                    Some(Closed::Stalled)
                }
                Standing::Selected | Standing::Used | Standing::Unused => {
                    (age(connection.heard_at) > IDLE).then_some(Closed::Idle)
                }
            };
            Some((*id, reason?))
        });
        let ended: Vec<_> = ended.collect();
        self.census = census;
        for (id, reason) in ended {
            self.close(id, reason);
        }
    }

    /// Reads from a connection and lets go what waits for it.
    fn serve(
        &mut self,
        now: Instant,
        id: ConnectionId,
        take: &mut impl FnMut(PeerIndex, Path, &[u8]),
    ) {
        let Some(connection) = self.open.get_mut(&id) else {
            return;
        };
        let read = connection.read(now, (&mut self.buffer, &mut self.counts), take);
        let done = read.and_then(|()| connection.flush(&mut self.counts));
        if let Some(backlog) = connection.poll_backlog() {
            let news = News::Backlog(connection.peer, (id, backlog));
            self.news.push_back(news);
        }
        if let Err(reason) = done {
            self.close(id, reason);
        }
    }

    fn close(&mut self, id: ConnectionId, reason: Closed) {
        if let Some(connection) = self.open.remove(&id) {
            if !connection.is_flushed() {
                connection.abandon();
            }
            self.metrics.close(reason);
            tracing::debug!(remote = %connection.path.remote, ?reason, "connection closed");
            let news = News::Closed(connection.peer, connection.path);
            self.news.push_back(news);
        }
    }

    /// Returns a number that no connection has.
    fn next_id(&mut self) -> ConnectionId {
        loop {
            self.last = self.last.wrapping_add(1);
            if let Some(id) = NonZeroU32::new(self.last).map(ConnectionId)
                && !self.open.contains_key(&id)
            {
                return id;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
