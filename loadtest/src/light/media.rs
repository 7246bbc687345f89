//! A media thread: a few sockets, a clock, and the light peers behind them.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::accepted::Accepted;
use super::connection::Connection;
use super::dtls::Identity;
use super::engine::{Engine, shares_sockets};
use super::peer::Path;
use super::sdp::{Protocol, Remote};
use super::seen::{Conduct, Seen};
use super::send::Plan;
use super::sent::Sent;
use super::socket::{self, Socket};
use super::stun::Credentials;
use super::tally::Tally;

/// The door to a media thread. Whoever finds its queue full waits until there is room again.
#[derive(Clone)]
pub(crate) struct Media {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

/// What the thread lets others see.
#[derive(Default)]
pub(crate) struct Shared {
    /// Of a moment ago.
    pub(super) tally: Mutex<(Tally, u64)>,
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
    /// Who began to join at this time.
    Viewer(Conduct, Instant),
    /// The last is told when it is connected.
    Publisher(Plan, Box<Accepted>, watch::Sender<bool>),
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
        let (commands, inbox) = mpsc::channel(MAX_COMMANDS);
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

    /// Connects a peer, unless it is there already. A thread that is gone takes nothing, which is seen in the figures.
    pub(crate) async fn add(&self, peer: u32, setup: Setup) {
        let command = Command::Add(peer, Box::new(setup));
        let _ = self.commands.send(command).await;
    }

    /// Lets a peer fall silent: it neither reads nor answers any more.
    pub(crate) async fn stall(&self, peer: u32) {
        let _ = self.commands.send(Command::Stall(peer)).await;
    }

    /// Takes a peer away, with a goodbye or without; `None` when there is none of this number.
    pub(crate) async fn remove(&self, peer: u32, with_goodbye: bool) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        let command = Command::Remove(peer, with_goodbye, answer);
        self.commands.send(command).await.ok()?;
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
    mut inbox: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    identity: Arc<Identity>,
    sockets: usize,
) {
    let engine = Rc::new(RefCell::new(Engine::new(identity, Arc::clone(&shared))));
    let mut sockets = Sockets {
        engine: Rc::clone(&engine),
        shared,
        common: Vec::new(),
        count: sockets.max(1),
    };
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            due = clock.tick() => engine.borrow_mut().handle_tick(due.into_std(), Instant::now()),
            command = inbox.recv() => match command {
                Some(Command::Add(id, setup)) => engine.borrow_mut().add(id, *setup),
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
        sockets.open_paths();
    }
}

/// All sockets of a thread.
struct Sockets {
    engine: Rc<RefCell<Engine>>,
    shared: Arc<Shared>,
    /// On loopback peers share sockets; elsewhere each has its own, as addresses are scarce.
    common: Vec<Rc<Socket>>,
    /// How many are shared.
    count: usize,
}

impl Sockets {
    /// Gives a socket to every peer that wants to try a candidate.
    fn open_paths(&mut self) {
        let wanted = self.engine.borrow_mut().take_wanted();
        for (id, to, protocol) in wanted {
            let path = match protocol {
                Protocol::Udp => self.socket_for(id, to).map(|socket| {
                    let from = own_address(id, to);
                    Path::Udp { socket, from, to }
                }),
                Protocol::Tcp => self.connect(id, to).map(Path::Tcp),
            };
            match path {
                Ok(path) => self.engine.borrow_mut().open_path(id, path),
                Err(error) => {
                    warn!(%error, %to, "no socket for a peer");
                    self.engine.borrow_mut().give_up(id);
                }
            }
        }
    }

    fn socket_for(&mut self, id: u32, to: SocketAddr) -> io::Result<Rc<Socket>> {
        if !shares_sockets(to) {
            let own = self.engine.borrow().own_socket(id, to);
            return own.map_or_else(|| self.bind(to, Some(id)), Ok);
        }
        while self.common.len() < self.count {
            let socket = self.bind(to, None)?;
            self.common.push(socket);
        }
        let place = usize::try_from(id).unwrap_or(0) % self.count;
        let socket = self.common.get(place).cloned();
        socket.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn connect(&self, id: u32, to: SocketAddr) -> io::Result<Rc<Connection>> {
        let connection = Rc::new(Connection::open(own_address(id, to), to)?);
        let engine = Rc::clone(&self.engine);
        spawn_local(listen_to_frames(engine, Rc::clone(&connection), id));
        Ok(connection)
    }

    fn bind(&self, to: SocketAddr, owner: Option<u32>) -> io::Result<Rc<Socket>> {
        let socket = Rc::new(Socket::bind(to)?);
        let ports = self.shared.ports.lock();
        ports
            .unwrap_or_else(PoisonError::into_inner)
            .push(socket.port());
        spawn_local(listen(Rc::clone(&self.engine), Rc::clone(&socket), owner));
        Ok(socket)
    }
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
            owner.is_some_and(|id| !engine.uses(id, &socket))
        };
        if is_over {
            return;
        }
        // Others have their turn, however much there is to read.
        tokio::task::yield_now().await;
    }
}

/// Reads a connection for as long as it lasts, and its peer reads.
async fn listen_to_frames(engine: Rc<RefCell<Engine>>, connection: Rc<Connection>, id: u32) {
    if let Err(error) = connection.connected().await {
        warn!(%error, to = %connection.remote(), "no connection for a peer");
        return;
    }
    while connection.readable().await.is_ok() {
        if !engine.borrow_mut().receive_frames(id, &connection) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Returns the address of a peer's own from which it goes there, if it has one.
fn own_address(id: u32, to: SocketAddr) -> Option<IpAddr> {
    shares_sockets(to).then(|| socket::address(id).into())
}

const TICK: Duration = Duration::from_millis(1);
/// What may wait for the thread, which takes at least one in each tick.
const MAX_COMMANDS: usize = 1024;
