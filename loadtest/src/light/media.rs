//! A media thread: a few sockets, a clock, and the light peers behind them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::dtls::Identity;
use super::link::Link;
use super::peer::{End, Peer};
use super::receive::{Conduct, Seen, Viewer};
use super::sdp::{Remote, Streams};
use super::send::{Plan, Sender, Sent};
use super::socket::{self, Socket};
use super::stun::Credentials;
use super::tally::Tally;

/// The door to a media thread.
#[derive(Clone)]
pub(crate) struct Media {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
}

/// What the thread lets others see.
#[derive(Default)]
pub(crate) struct Shared {
    /// Of a moment ago.
    tally: Mutex<(Tally, u64)>,
    /// Of its sockets.
    ports: Mutex<Vec<u16>>,
}

/// What to connect.
pub(crate) struct Setup {
    pub(crate) local: Credentials,
    pub(crate) remote: Remote,
    pub(crate) part: Part,
}

/// Which end a peer plays.
pub(crate) enum Part {
    Viewer(Conduct),
    /// The last is told when it is connected.
    Publisher(Plan, Streams, watch::Sender<bool>),
}

/// What a peer did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Viewer(Seen),
    Publisher(Sent),
}

enum Command {
    Add(u32, Box<Setup>),
    Remove(u32, bool, oneshot::Sender<Outcome>),
    Stall(u32),
}

impl Media {
    /// Starts a thread of this name with so many sockets for loopback.
    pub(crate) fn start(
        name: &str,
        sockets: usize,
        identity: Arc<Identity>,
    ) -> anyhow::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                LocalSet::new().block_on(&runtime, run(inbox, theirs, identity, sockets))
            })
            .context("no thread")?;
        Ok(Self { commands, shared })
    }

    /// Connects a peer. A thread that is gone takes nothing, which is seen in the figures.
    pub(crate) fn add(&self, peer: u32, setup: Setup) {
        let _ = self.commands.send(Command::Add(peer, Box::new(setup)));
    }

    /// Lets a peer fall silent: it neither reads nor answers any more.
    pub(crate) fn stall(&self, peer: u32) {
        let _ = self.commands.send(Command::Stall(peer));
    }

    /// Takes a peer away, with a goodbye or without; `None` when there is none of this number.
    pub(crate) async fn remove(&self, peer: u32, with_goodbye: bool) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        let command = Command::Remove(peer, with_goodbye, answer);
        self.commands.send(command).ok()?;
        outcome.await.ok()
    }

    /// Returns the counts and how many viewers are connected.
    pub(crate) fn tally(&self) -> (Tally, u64) {
        let tally = self.shared.tally.lock();
        tally.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the ports of its sockets.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let ports = self.shared.ports.lock();
        ports.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn run(
    mut inbox: mpsc::UnboundedReceiver<Command>,
    shared: Arc<Shared>,
    identity: Arc<Identity>,
    sockets: usize,
) {
    let engine = Rc::new(RefCell::new(Engine::new(identity, Arc::clone(&shared))));
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut common: Vec<Rc<Socket>> = Vec::new();
    loop {
        tokio::select! {
            biased;
            _ = clock.tick() => engine.borrow_mut().handle_tick(Instant::now()),
            command = inbox.recv() => match command {
                Some(Command::Add(id, setup)) => {
                    let to = setup.remote.candidate;
                    let socket = match socket_for(&engine, &mut common, sockets, id, to) {
                        Ok(socket) => socket,
                        Err(error) => {
                            warn!(%error, "no socket for a peer");
                            continue;
                        }
                    };
                    engine.borrow_mut().add(id, *setup, socket);
                }
                Some(Command::Remove(id, with_goodbye, answer)) => {
                    if let Some(outcome) = engine.borrow_mut().remove(id, with_goodbye) {
                        // Whoever asked may have gone.
                        let _ = answer.send(outcome);
                    }
                }
                Some(Command::Stall(id)) => engine.borrow_mut().stall(id),
                None => return,
            },
        }
    }
}

/// On loopback peers share sockets; elsewhere each has its own, as addresses are scarce.
fn socket_for(
    engine: &Rc<RefCell<Engine>>,
    common: &mut Vec<Rc<Socket>>,
    count: usize,
    id: u32,
    to: SocketAddr,
) -> std::io::Result<Rc<Socket>> {
    let shares = to.is_ipv4() && to.ip().is_loopback();
    let place = usize::try_from(id).unwrap_or(0) % count.max(1);
    if shares && let Some(socket) = common.get(place) {
        return Ok(Rc::clone(socket));
    }
    let missing = if shares {
        count.max(1) - common.len()
    } else {
        1
    };
    let mut last = None;
    for _ in 0..missing {
        let socket = Rc::new(Socket::bind(to)?);
        let ports = &engine.borrow().shared.ports;
        ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(socket.port());
        let owner = (!shares).then_some(id);
        spawn_local(listen(Rc::clone(engine), Rc::clone(&socket), owner));
        if shares {
            common.push(Rc::clone(&socket));
        }
        last = Some(socket);
    }
    let found = if shares {
        common.get(place).cloned()
    } else {
        last
    };
    found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

async fn listen(engine: Rc<RefCell<Engine>>, socket: Rc<Socket>, owner: Option<u32>) {
    loop {
        if let Err(error) = socket.readable().await {
            warn!(%error, "a socket cannot be read");
            return;
        }
        let is_over = {
            let mut engine = engine.borrow_mut();
            engine.receive(&socket, owner);
            owner.is_some_and(|id| !engine.peers.contains_key(&id))
        };
        if is_over {
            return;
        }
        // Others have their turn, however much there is to read.
        tokio::task::yield_now().await;
    }
}

struct Engine {
    identity: Arc<Identity>,
    shared: Arc<Shared>,
    peers: HashMap<u32, Peer>,
    /// Those who are woken one slice after the other.
    viewers: Vec<u32>,
    /// Where the next slice begins.
    slice: usize,
    publishers: Vec<u32>,
    buffers: Vec<u8>,
    /// Datagrams of the call under way.
    out: Vec<Vec<u8>>,
    tally: Tally,
    /// Faults of peers that were taken away.
    past_faults: [u64; 4],
    next_publication_at: Instant,
}

impl Engine {
    fn new(identity: Arc<Identity>, shared: Arc<Shared>) -> Self {
        Self {
            identity,
            shared,
            peers: HashMap::new(),
            viewers: Vec::new(),
            slice: 0,
            publishers: Vec::new(),
            buffers: socket::buffers(),
            out: Vec::new(),
            tally: Tally::default(),
            past_faults: [0; 4],
            next_publication_at: Instant::now(),
        }
    }

    fn add(&mut self, id: u32, setup: Setup, socket: Rc<Socket>) {
        let now = Instant::now();
        let Setup {
            local,
            remote,
            part,
        } = setup;
        let identity = Arc::clone(&self.identity);
        let link = Link::new(identity, local, &remote, now);
        let end = match part {
            Part::Viewer(conduct) => {
                self.viewers.push(id);
                End::Viewer(Box::new(Viewer::new(&remote.media, conduct, now)))
            }
            Part::Publisher(plan, streams, connected) => {
                self.publishers.push(id);
                End::Publisher(Box::new(Sender::new(plan, &streams, now)), connected)
            }
        };
        let to = remote.candidate;
        let shares = to.is_ipv4() && to.ip().is_loopback();
        let peer = Peer {
            link,
            end,
            socket,
            from: shares.then(|| socket::address(id).into()),
        };
        self.peers.insert(id, peer);
        self.wake(id, now);
    }

    fn remove(&mut self, id: u32, with_goodbye: bool) -> Option<Outcome> {
        let mut peer = self.peers.remove(&id)?;
        self.viewers.retain(|other| *other != id);
        self.publishers.retain(|other| *other != id);
        if with_goodbye {
            peer.link.close(&mut self.out);
            peer.flush(&mut self.out, &mut self.tally);
        }
        Some(match peer.end {
            End::Viewer(viewer) => {
                for (sum, more) in self.past_faults.iter_mut().zip(viewer.faults()) {
                    *sum += more;
                }
                Outcome::Viewer(viewer.seen(&peer.link))
            }
            End::Publisher(sender, _) => Outcome::Publisher(sender.sent()),
        })
    }

    fn stall(&mut self, id: u32) {
        if let Some(End::Viewer(viewer)) = self.peers.get_mut(&id).map(|peer| &mut peer.end) {
            viewer.is_stalled = true;
        }
    }

    fn receive(&mut self, socket: &Socket, owner: Option<u32>) {
        let mut buffers = std::mem::take(&mut self.buffers);
        for _ in 0..MAX_BATCHES {
            let now = Instant::now();
            let received = socket.receive(&mut buffers, |local, run, stride| {
                let id = owner.or_else(|| local.and_then(socket::peer_at));
                let Some(peer) = id.and_then(|id| self.peers.get_mut(&id)) else {
                    self.tally.stray += 1;
                    return;
                };
                for datagram in run.chunks(stride) {
                    peer.handle(datagram, now, &mut self.out, &mut self.tally);
                }
                peer.flush(&mut self.out, &mut self.tally);
            });
            if received.is_err() {
                break;
            }
        }
        self.buffers = buffers;
    }

    fn handle_tick(&mut self, now: Instant) {
        for place in 0..self.publishers.len() {
            self.wake(self.publishers[place], now);
        }
        let slice = self.viewers.len().div_ceil(SLICES);
        for _ in 0..slice {
            self.slice = (self.slice + 1) % self.viewers.len().max(1);
            if let Some(&id) = self.viewers.get(self.slice) {
                self.wake(id, now);
            }
        }
        if now >= self.next_publication_at {
            self.next_publication_at = now + BETWEEN_PUBLICATIONS;
            self.publish();
        }
    }

    fn wake(&mut self, id: u32, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.handle_timeout(now, &mut self.out);
            peer.flush(&mut self.out, &mut self.tally);
        }
    }

    /// Lets others see the counts.
    fn publish(&mut self) {
        let (mut faults, mut connected) = (self.past_faults, 0);
        for peer in self.peers.values() {
            let End::Viewer(viewer) = &peer.end else {
                continue;
            };
            connected += u64::from(peer.link.keys.is_some() && peer.link.over.is_none());
            for (sum, more) in faults.iter_mut().zip(viewer.faults()) {
                *sum += more;
            }
        }
        self.tally.faults = faults;
        let shared = self.shared.tally.lock();
        *shared.unwrap_or_else(PoisonError::into_inner) = (self.tally.clone(), connected);
    }
}

const TICK: Duration = Duration::from_millis(1);
/// Every viewer is woken once in so many ticks.
const SLICES: usize = 20;
/// Batches of one socket before others have their turn.
const MAX_BATCHES: usize = 8;
const BETWEEN_PUBLICATIONS: Duration = Duration::from_millis(250);
