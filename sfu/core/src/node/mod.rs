//! One shard of the forwarding unit: everything a thread owns, as one state machine.
//!
//! Into it: [`Node::handle_datagram`], [`Node::handle_command`], [`Node::handle_message`],
//! [`Node::handle_handshake`], [`Node::handle_timeout`]. Out of it, to be polled until empty after a
//! batch of those: [`Node::poll_message`], [`Node::poll_handshake`], [`Node::poll_transmit`],
//! [`Node::poll_event`], [`Node::poll_timeout`].

mod bandwidth;

mod control;

mod counters;

mod directory;

mod egress;

mod framed;

mod gathering;

mod join;

mod layers;

mod media;

mod outlet;

mod publishing;

mod ready;

mod still;

mod timers;

mod route;

pub(crate) mod peers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::command::{Event, Path, RoomKey, ShardIndex};
use crate::demux::{self, Protocol};
use crate::publisher::WallTime;
use crate::relay::{Burst, ShardMessage};
use crate::room::{FanOut, Room};
use crate::transport::{HandshakeDone, HandshakeJob, Identity, Received};

pub use counters::{Counters, ESTIMATE_CLASSES_KBPS};
use directory::Directory;
pub use egress::Transmit;
pub use framed::{Belongs, Standing, Stranger};
use gathering::Gathering;
pub use peers::PeerIndex;
use peers::{Peers, Role};
use ready::Ready;
use timers::Timers;

/// Bursts of other shards that wait to be sent: as many as fit this shard's inbox.
const MAX_RELAYED: usize = 4096;

/// What a shard is told when it starts.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Which shard it is.
    pub shard: ShardIndex,
    /// How many there are.
    pub shards: u16,
    /// The server's certificate, the same on all shards.
    pub identity: Arc<Identity>,
}

/// A handshake's work for a helper thread.
#[derive(Debug)]
pub struct PeerHandshake<T> {
    /// Whose it is; to be given back with the result.
    pub peer: PeerIndex,
    /// A [`HandshakeJob`] on the way out, a [`HandshakeDone`] on the way back.
    pub work: T,
}

/// The state of one shard.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    /// The server's wall clock; `None` where nobody has told it.
    wall: Option<WallTime>,
    /// Who may come, and what leads where.
    directory: Directory,
    /// Who is here: some of those that [`Directory`] knows.
    peers: Peers,
    /// Rooms that have somebody here, so at most as many as there are peers.
    rooms: FxHashMap<RoomKey, Room>,
    /// Peers with a timer, by when it is due; one for each peer at most.
    timers: Timers,
    /// Publishers that sent media since their timers were set; the next one is asked for after a batch. Each
    /// once ([`Queued::is_heard`](peers::Queued)).
    heard: Vec<PeerIndex>,
    /// Peers with something to send besides media, each once ([`Queued::is_dirty`](peers::Queued)).
    dirty: VecDeque<PeerIndex>,
    /// What leaves besides the bursts: feedback, reports, retransmissions, what comes from the cache.
    ready: Ready,
    /// Viewers for whom something of that is due, each once.
    in_turn: VecDeque<PeerIndex>,
    /// The bursts being gathered, one for each source that sends.
    gathering: Gathering,
    /// Whether packets that are nearly as long as their neighbours are padded.
    levels: bool,
    /// Bursts of other shards that have just come. They enter the cache when they begin to be sent: between
    /// the two a viewer that catches up from there would get them twice. At most [`MAX_RELAYED`]; what comes
    /// beyond them is dropped and counted.
    relayed: VecDeque<Arc<Burst>>,
    /// The bursts being sent to this shard's viewers, at most [`media::MAX_SENDING`]. One that comes beyond them is
    /// counted and stays in the cache, whence viewers ask for what they miss.
    fan_out: VecDeque<FanOut>,
    /// How many of the first of them have been looked ahead at.
    fan_out_seen: usize,
    /// Whose run of a burst the datagrams given out last are; `None` where they are none.
    leaving: Option<(RoomKey, PeerIndex)>,
    /// Scratch for the viewers that fall behind in one run: each once.
    behind: Vec<PeerIndex>,
    /// Datagrams for other shards, gathered from this batch; at most [`route::MAX_FORWARDED`] for each, and those beyond
    /// become a message first.
    forward: BTreeMap<ShardIndex, Vec<(Path, Vec<u8>)>>,
    /// Messages for other shards, taken after each batch. Media of a batch is at most [`media::MAX_MESSAGES`], what is
    /// more is dropped and counted; the rest are a few for each input and shard, and none of them may be lost.
    messages: VecDeque<(ShardIndex, ShardMessage)>,
    /// Rooms whose publisher is elsewhere and who need a keyframe, of one layer or of any: of each room that has somebody
    /// here at most one more than [`MAX_LAYERS`](crate::relay::MAX_LAYERS), taken after each batch.
    keyframes_wanted: BTreeSet<(RoomKey, Option<u8>)>,
    /// Work for helper threads, at most one of each peer: the next is made when that comes back.
    handshakes: VecDeque<PeerHandshake<HandshakeJob>>,
    /// What happened: a few for each input, taken after each batch.
    events: VecDeque<Event>,
    /// Scratch for a decrypted datagram.
    plaintext: Vec<u8>,
    /// Scratch for one peer's reports before they are sealed.
    compound: Vec<u8>,
    counters: Counters,
}

impl Node {
    /// Starts without peers.
    pub fn new(config: NodeConfig) -> Self {
        Self {
            config,
            wall: None,
            directory: Directory::default(),
            peers: Peers::default(),
            rooms: FxHashMap::default(),
            timers: Timers::default(),
            heard: Vec::new(),
            dirty: VecDeque::new(),
            ready: Ready::default(),
            in_turn: VecDeque::new(),
            gathering: Gathering::default(),
            levels: true,
            relayed: VecDeque::new(),
            fan_out: VecDeque::new(),
            leaving: None,
            fan_out_seen: 0,
            behind: Vec::new(),
            forward: BTreeMap::new(),
            messages: VecDeque::new(),
            keyframes_wanted: BTreeSet::new(),
            handshakes: VecDeque::new(),
            events: VecDeque::new(),
            plaintext: Vec::new(),
            compound: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Takes a datagram from the socket.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        match demux::protocol(datagram) {
            Some(Protocol::Stun) => self.handle_stun(now, path, datagram),
            Some(Protocol::Dtls | Protocol::Rtp | Protocol::Rtcp) => {
                self.handle_checked(now, path, datagram);
            }
            None if datagram.is_empty() => self.counters.dropped_empty += 1,
            None => self.counters.dropped_unknown_protocol += 1,
        }
    }

    /// Takes a message from another shard.
    pub fn handle_message(&mut self, now: Instant, message: ShardMessage) {
        match message {
            ShardMessage::Datagrams(datagrams) => {
                for (path, datagram) in datagrams {
                    self.handle_forwarded(now, path, &datagram);
                }
            }
            ShardMessage::Burst(burst) if self.relayed.len() < MAX_RELAYED => {
                self.relayed.push_back(burst);
            }
            ShardMessage::Burst(burst) => {
                self.counters.dropped_backlog += burst.packets.len() as u64;
            }
            ShardMessage::Clock(room, clock) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.set_clock(clock);
                }
            }
            ShardMessage::Published(room, shard, epoch) => {
                self.handle_published(now, room, (shard, epoch));
            }
            ShardMessage::Wanted(room, shard) => self.handle_wanted(now, room, shard),
            ShardMessage::Unwanted(room, shard) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.wanted_by.retain(|&wanting| wanting != shard);
                }
            }
            ShardMessage::Layers(room, layers) => self.set_layers(now, room, &layers),
            ShardMessage::Past(room, past) => self.handle_past(now, room, past),
            ShardMessage::KeyframeWanted(room, layer) => {
                self.request_keyframe_here(now, room, layer);
            }
            ShardMessage::Gone(peer) => {
                self.directory.forget(peer, &[]);
            }
        }
    }

    /// Takes what a helper thread has done for a peer.
    pub fn handle_handshake(&mut self, now: Instant, done: PeerHandshake<HandshakeDone>) {
        if let Some(peer) = self.peers.get_mut(done.peer) {
            peer.transport.handle_handshake(now, done.work);
            self.settle_peer(now, done.peer);
        }
    }

    /// Lets packets wait for others that follow, so that they leave together: a call to the kernel costs as
    /// much as sealing sixteen packets. At most 10 ms; nothing by default. A frame that is complete waits at most for
    /// sound that is expected within that time.
    pub fn set_hold(&mut self, hold: Duration) {
        self.gathering.set_hold(hold);
    }

    /// Sets whether packets that are nearly as long as their neighbours are padded to one length, as is the default:
    /// of use where the kernel takes those in one call.
    pub fn set_leveling(&mut self, levels: bool) {
        self.levels = levels;
    }

    /// Tells what the server's wall clock says, so that sender reports to viewers tell the time on that.
    pub fn set_wall(&mut self, wall: WallTime) {
        self.wall = Some(wall);
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.set_timers();
        self.gathering.handle_timeout(now);
        while let Some((_, index)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.timers.set(index, None);
            if let Some(peer) = self.peers.get_mut(index) {
                peer.transport.handle_timeout(now);
                if let Role::Publisher(publisher) = &mut peer.role {
                    publisher.handle_timeout(now);
                    self.pass_layers(now, index, None);
                }
                self.ask_again(now, index);
                self.note_layer(now, index);
                self.send_due_reports(now, index);
                self.adapt(now, index);
                self.pace(now, index);
                self.settle_peer(now, index);
            }
        }
        while let Some(peer) = self.directory.expire(now) {
            self.give_up_expected(peer);
        }
    }

    /// Returns when [`Self::handle_timeout`] has something next.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.set_timers();
        let peer = self.timers.first().map(|(due, _)| due);
        let others = [self.directory.poll_timeout(), self.gathering.poll_timeout()];
        peer.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Returns the next message for another shard.
    pub fn poll_message(&mut self) -> Option<(ShardIndex, ShardMessage)> {
        self.close_bursts();
        if let Some((shard, datagrams)) = self.forward.pop_first() {
            return Some((shard, ShardMessage::Datagrams(datagrams)));
        }
        while let Some((room, layer)) = self.keyframes_wanted.pop_first() {
            self.broadcast(&ShardMessage::KeyframeWanted(room, layer));
        }
        self.messages.pop_front()
    }

    /// Returns the next piece of work for a helper thread.
    pub fn poll_handshake(&mut self) -> Option<PeerHandshake<HandshakeJob>> {
        self.handshakes.pop_front()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns what has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns how many peers and rooms are here.
    pub fn population(&self) -> (usize, usize) {
        (self.peers.len(), self.rooms.len())
    }

    /// Gives a datagram to its peer and acts on what comes out.
    fn handle_peer_datagram(
        &mut self,
        now: Instant,
        index: PeerIndex,
        path: Path,
        datagram: &[u8],
    ) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let mut plaintext = std::mem::take(&mut self.plaintext);
        plaintext.clear();
        match peer
            .transport
            .handle_datagram(now, path, datagram, &mut plaintext)
        {
            Received::Rtp => {
                // Of a packet of media nothing leaves but the burst, mostly.
                let is_settled = !peer.transport.has_event();
                let is_noted = is_settled && std::mem::replace(&mut peer.queued.is_heard, true);
                self.handle_rtp(now, index, &plaintext);
                self.plaintext = plaintext;
                if !is_settled {
                    self.settle_peer(now, index);
                } else if !is_noted {
                    self.heard.push(index);
                }
                return;
            }
            Received::Rtcp => self.handle_rtcp(now, index, &plaintext),
            Received::Nothing => {
                self.counters.transport += peer.transport.take_counters();
                if path.connection.is_none() && peer.transport.knows(path) {
                    self.note_address(now, index, path);
                }
            }
        }
        self.plaintext = plaintext;
        self.settle_peer(now, index);
    }

    /// Sets the timers of those who sent media: once for a batch, for most of it changes nothing.
    fn set_timers(&mut self) {
        while let Some(index) = self.heard.pop() {
            if let Some(peer) = self.peers.get_mut(index) {
                peer.queued.is_heard = false;
            }
            self.set_timer(index);
        }
    }

    /// Takes everything out of a peer that its last input has caused.
    fn settle_peer(&mut self, now: Instant, index: PeerIndex) {
        self.take_transport_events(now, index);
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        while let Some(work) = peer.transport.poll_handshake() {
            self.handshakes
                .push_back(PeerHandshake { peer: index, work });
        }
        if !std::mem::replace(&mut peer.queued.is_dirty, true) {
            self.dirty.push_back(index);
        }
        self.set_timer(index);
    }

    /// Registers when a peer has something to do next.
    fn set_timer(&mut self, index: PeerIndex) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let next = peer.next_timeout();
        self.timers.set(index, next);
    }

    fn broadcast(&mut self, message: &ShardMessage) {
        let others = (0..self.config.shards)
            .map(ShardIndex)
            .filter(|&shard| shard != self.config.shard);
        self.messages
            .extend(others.map(|shard| (shard, message.clone())));
    }
}
