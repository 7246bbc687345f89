//! The door: commands in, events out, both bounded.

use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use core_affinity::CoreId;
use klieg_sfu_core::node::{Node, NodeConfig};
use klieg_sfu_core::publisher::WallTime;
use klieg_sfu_core::transport::Identity;
use klieg_sfu_core::{Command, Event, Fingerprint, RoomKey, ShardIndex, Still, StillWish};
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, Offload, StartError};
use crate::cores;
use crate::helpers::Helpers;
use crate::kernel::ReceiveDrops;
use crate::load::Loads;
use crate::metrics::Metrics;
use crate::shard::{INBOX, Input, Shard, Wiring};
use crate::tcp::{self, Arrival, Lobby, Reception};
use crate::udp::{self, ShardSocket};

/// Events that wait for signaling. Beyond it they wait in the shards.
const EVENTS: usize = 4096;
/// From the beginning of NTP's time to that of the system's (RFC 5905, section 6).
const SINCE_1900: Duration = Duration::from_secs(2_208_988_800);
/// How long a stop may take.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// The forwarding unit refused a command because a shard is too far behind. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the forwarding unit is busy")]
pub struct Busy;

/// Starts the forwarding unit.
#[derive(Debug)]
pub struct Sfu;

/// Reaches the running forwarding unit.
#[derive(Clone, Debug)]
pub struct Handle {
    shards: Vec<mpsc::Sender<Input>>,
    /// Each is told when its shard's thread has ended.
    ended: Arc<tokio::sync::Mutex<Vec<oneshot::Receiver<()>>>>,
    candidates: Arc<[SocketAddr]>,
    tcp_candidates: Arc<[SocketAddr]>,
    /// The way to the thread where connections wait; `None` without TCP.
    lobby: Option<Arc<Reception>>,
    fingerprint: Fingerprint,
    loads: Loads,
}

impl Sfu {
    /// Binds the media port and starts the threads.
    ///
    /// # Errors
    /// When the port is taken, no certificate can be made, or a thread or metric cannot be had.
    pub fn start(
        config: Config,
        registry: &prometheus::Registry,
    ) -> Result<(Handle, mpsc::Receiver<Event>), StartError> {
        let count = config.shard_count();
        let sockets = bind_all(config.listen, count).map_err(|source| StartError::Bind {
            listen: config.listen,
            source,
        })?;
        let bound = sockets.first().and_then(|socket| socket.local_addr().ok());
        let bound = bound.unwrap_or(config.listen);
        let tcp = tcp::bind(&config, bound)?;
        let identity =
            Identity::generate().map_err(|error| StartError::Certificate(error.to_string()))?;
        let identity = Arc::new(identity);
        let metrics = Arc::new(Metrics::register(registry)?);
        ReceiveDrops::register(registry, bound.port())?;
        let helpers = Helpers::start(usize::from(count).div_ceil(2)).map_err(StartError::Thread)?;
        let (events, events_out) = mpsc::channel(EVENTS);
        let (shards, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(INBOX)).unzip();
        let wall = wall_time();
        let pinned = cores::choose(config.pin_threads, count);
        let (mut ended, loads) = (Vec::new(), Loads::new(count));
        for (index, (socket, inbox)) in (0..count).zip(sockets.into_iter().zip(inboxes)) {
            let node = node(&config, (index, count), &identity, wall);
            let wiring = Wiring {
                inbox,
                shards: shards.clone(),
                index: usize::from(index),
                events: events.clone(),
                helpers: helpers.clone(),
                metrics: Arc::clone(&metrics),
                loads: loads.clone(),
                holds_by_load: config.hold.is_none(),
                offload: config.offload,
            };
            let core = pinned.get(usize::from(index)).copied();
            let (done, end) = oneshot::channel();
            spawn(core, node, socket, wiring, done).map_err(StartError::Thread)?;
            ended.push(end);
        }
        let tcp_bound = tcp.as_ref().map(|(_, at)| *at);
        let tcp_candidates = tcp_bound
            .map(|at| config.candidates(at))
            .unwrap_or_default();
        let start = |(listener, _)| Lobby::new(shards.clone(), metrics.tcp()).start(listener);
        let lobby = tcp.map(start).transpose().map_err(StartError::Thread)?;
        let handle = Handle {
            shards,
            ended: Arc::new(tokio::sync::Mutex::new(ended)),
            candidates: config.candidates(bound).into(),
            tcp_candidates: tcp_candidates.into(),
            lobby: lobby.map(Arc::new),
            fingerprint: identity.fingerprint(),
            loads,
        };
        tracing::info!(%bound, tcp = ?tcp_bound, shards = count, pinned = pinned.len(), "media port open");
        Ok((handle, events_out))
    }
}

impl Handle {
    /// Gives a command to every shard. Never blocks.
    ///
    /// # Errors
    /// When a shard's queue is full; then no shard has the command.
    pub fn send(&self, command: Command) -> Result<(), Busy> {
        let permits: Result<Vec<_>, _> = self
            .shards
            .iter()
            .map(|shard| shard.try_reserve().map_err(|_| Busy))
            .collect();
        for permit in permits? {
            permit.send(Input::Command(command.clone()));
        }
        Ok(())
    }

    /// Returns a copy of the last keyframe of a room's smallest layer; `None` where there is none, where its coding is no
    /// picture without a decoder, and where a shard is too far behind to be asked.
    pub async fn still(&self, room: RoomKey, wish: StillWish) -> Option<Still> {
        let (reply, mut answers) = mpsc::channel(1);
        for shard in &self.shards {
            let _ = shard.try_send(Input::Still(room, wish, reply.clone()));
        }
        // Once all have dropped theirs, nobody has one.
        drop(reply);
        answers.recv().await
    }

    /// Takes a connection that another listener took, with what was read of it: a frame that begins with a check, as far as
    /// that shows. Never blocks.
    ///
    /// # Errors
    /// When too many arrive at once, or none is taken by TCP.
    pub fn take_connection(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        received: Vec<u8>,
    ) -> Result<(), Busy> {
        let lobby = self.lobby.as_ref().ok_or(Busy)?;
        let arrival = Arrival {
            stream,
            remote,
            received,
        };
        lobby.arrivals.try_send(arrival).map_err(|_| Busy)
    }

    /// Returns the addresses that peers are to send to.
    pub fn candidates(&self) -> &[SocketAddr] {
        &self.candidates
    }

    /// Returns the addresses to which peers are to connect by TCP; none where that is switched off.
    pub fn tcp_candidates(&self) -> &[SocketAddr] {
        &self.tcp_candidates
    }

    /// Returns the fingerprint of the server's certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns how much of its time the busiest thread worked lately, in thousandths.
    pub fn load_permille(&self) -> u32 {
        self.loads.highest()
    }

    /// Shows every peer out and waits until the threads have ended, at most 5 s.
    pub async fn stop(&self) {
        if let Some(lobby) = &self.lobby {
            // Fails only where it has ended already.
            let _ = lobby.stop.send(());
        }
        let all = async {
            for shard in &self.shards {
                // Fails only where the thread has ended already.
                let _ = shard.send(Input::Stop).await;
            }
            let mut ended = self.ended.lock().await;
            for end in ended.drain(..) {
                let _ = end.await;
            }
        };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::warn!("a forwarding thread did not end in time");
        }
    }
}

/// Makes the state of one of so many threads.
fn node(
    config: &Config,
    (index, shards): (u16, u16),
    identity: &Arc<Identity>,
    wall: WallTime,
) -> Node {
    let mut node = Node::new(NodeConfig {
        shard: ShardIndex(index),
        shards,
        identity: Arc::clone(identity),
    });
    node.set_hold(config.hold.unwrap_or_default());
    node.set_leveling(config.offload == Offload::Auto);
    node.set_wall(wall);
    node
}

/// Returns what the wall clock says, once for all shards: what sets it later moves no media.
fn wall_time() -> WallTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let since_1900 = since_1970.unwrap_or_default() + SINCE_1900;
    let fraction = u64::from(since_1900.subsec_nanos()) << 32;
    WallTime {
        at: Instant::now(),
        ntp: (since_1900.as_secs() << 32) + fraction / 1_000_000_000,
    }
}

/// Binds one socket for each shard on the same port.
fn bind_all(listen: SocketAddr, count: u16) -> std::io::Result<Vec<std::net::UdpSocket>> {
    // Sharing a port must be said before binding, so a port that another process shares would be
    // taken without an error; a plain bind first finds that out.
    drop(std::net::UdpSocket::bind(listen)?);
    let first = udp::bind(listen)?;
    let bound = first.local_addr()?;
    let others = (1..count).map(|_| udp::bind(bound));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn spawn(
    core: Option<CoreId>,
    node: Node,
    socket: std::net::UdpSocket,
    wiring: Wiring,
    done: oneshot::Sender<()>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Here, and not on the thread: a server that cannot use its port does not start.
    let socket = {
        let _within = runtime.enter();
        ShardSocket::new(socket, wiring.offload)?
    };
    let name = format!("klieg-shard-{}", wiring.index);
    let (begun, has_begun) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        if let Some(core) = core {
            cores::pin(core);
        }
        // Nobody waits for it only where the start has failed.
        let _ = begun.send(());
        let run = || {
            runtime.block_on(Shard::new(node, socket, wiring).run());
        };
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            // Its peers would hang without a word while everything else looks well: a supervisor's
            // restart brings them back in seconds.
            tracing::error!("a forwarding thread panicked; the process ends");
            std::process::abort();
        }
        let _ = done.send(());
    })?;
    // The server is said to be up once its threads are where they stay.
    let _ = has_begun.recv();
    Ok(thread)
}
