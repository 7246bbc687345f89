//! The relay with its sockets: that of clients by UDP, and one for each relayed address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::path::Path;
use super::{Metrics, RelayConfig};
use crate::relay::{AllocationId, Client, Clock, Output, Relay, Wanted};

/// What all tasks of the relay share. None of its locks is held while something is waited for.
#[derive(Debug)]
pub(super) struct Sockets {
    relay: Mutex<Relay>,
    /// Where clients come by UDP; `None` where nobody does.
    udp: Option<UdpSocket>,
    /// As many as there are allocations.
    relayed: Mutex<HashMap<AllocationId, Relayed>>,
    /// The way to each connection's writer, by its number; as many as there are connections.
    writers: Mutex<HashMap<u64, mpsc::Sender<Vec<u8>>>>,
    paths: Vec<Path>,
    ports: RangeInclusive<u16>,
    /// Whether relayed addresses reach nothing but this machine's media.
    media_alone: bool,
    pub(super) metrics: Metrics,
}

/// A relayed address.
#[derive(Debug)]
struct Relayed {
    socket: Arc<UdpSocket>,
    /// Ends the task that takes what comes there.
    reading: AbortHandle,
    /// The way to the media that its client took last; `None` before the first.
    latest: Option<Path>,
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Sockets {
    pub(super) fn new(
        relay: Relay,
        udp: Option<UdpSocket>,
        paths: Vec<Path>,
        config: &RelayConfig,
        metrics: Metrics,
    ) -> Self {
        Self {
            relay: Mutex::new(relay),
            udp,
            relayed: Mutex::default(),
            writers: Mutex::default(),
            paths,
            ports: config.ports.clone(),
            media_alone: !config.peers.public && config.peers.allowed.is_empty(),
            metrics,
        }
    }

    /// Has the relay handle something, and does what it says.
    pub(super) fn with_relay<R>(
        self: &Arc<Self>,
        handle: impl FnOnce(&mut Relay, Clock) -> R,
    ) -> R {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let clock = Clock {
            now: Instant::now(),
            unix_s: unix.map_or(u64::MAX, |since| since.as_secs()),
        };
        let (result, outputs) = {
            let mut relay = locked(&self.relay);
            let result = handle(&mut relay, clock);
            let outputs: Vec<Output> = std::iter::from_fn(|| relay.poll_output()).collect();
            (result, outputs)
        };
        for output in outputs {
            self.carry_out(output);
        }
        result
    }

    /// Takes what clients send by UDP.
    pub(super) async fn take_datagrams(self: Arc<Self>) {
        let Some(udp) = &self.udp else { return };
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let Some((data, remote)) = receive(udp, &mut buffer).await else {
                continue;
            };
            let connection = None;
            let client = Client { remote, connection };
            self.with_relay(|relay, clock| relay.handle_client(clock, client, data));
        }
    }

    /// Has what is for a connection go to its writer.
    pub(super) fn connect(&self, connection: u64, writer: mpsc::Sender<Vec<u8>>) {
        locked(&self.writers).insert(connection, writer);
    }

    /// Forgets a connection, and what its client had.
    pub(super) fn disconnect(self: &Arc<Self>, client: Client) {
        if let Some(connection) = client.connection {
            locked(&self.writers).remove(&connection);
        }
        self.with_relay(|relay, _| relay.handle_closed(client));
    }

    /// Closes all relayed addresses, whose tasks would otherwise keep this.
    pub(super) fn close(&self) {
        locked(&self.relayed).clear();
    }

    fn carry_out(self: &Arc<Self>, output: Output) {
        match output {
            Output::ToClient(client, bytes) => self.send_to_client(client, bytes),
            Output::ToPeer(allocation, peer, bytes) => self.send_to_peer(allocation, peer, &bytes),
            Output::Open(allocation, wanted) => {
                let relayed = self.open(allocation, wanted);
                self.with_relay(|relay, clock| {
                    relay.handle_opened(clock.now, allocation, relayed);
                });
            }
            Output::Close(allocation) => {
                locked(&self.relayed).remove(&allocation);
            }
        }
    }

    fn send_to_client(&self, client: Client, bytes: Vec<u8>) {
        let Some(connection) = client.connection else {
            let Some(udp) = &self.udp else { return };
            return self.send(udp, &bytes, client.remote);
        };
        let writer = locked(&self.writers).get(&connection).cloned();
        // Who does not read loses what comes meanwhile, as on a path without room.
        if writer.is_some_and(|writer| writer.try_send(bytes).is_err()) {
            self.metrics.dropped("queue");
        }
    }

    fn send_to_peer(&self, allocation: AllocationId, peer: SocketAddr, bytes: &[u8]) {
        let path = self.paths.iter().find(|path| path.told == peer);
        let to = path.map_or(peer, |path| path.via);
        let socket = locked(&self.relayed).get_mut(&allocation).map(|relayed| {
            relayed.latest = path.copied().or(relayed.latest);
            Arc::clone(&relayed.socket)
        });
        if let Some(socket) = socket {
            self.send(&socket, bytes, to);
        }
    }

    fn send(&self, socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
        // Without a look at whether there is room: what finds none is dropped, as on any path.
        if SockRef::from(socket).send_to(bytes, &to.into()).is_err() {
            self.metrics.dropped("not_sent");
        }
    }

    /// Opens a relayed address, and returns what clients are told of it.
    fn open(self: &Arc<Self>, allocation: AllocationId, wanted: Wanted) -> Option<SocketAddr> {
        let Wanted { v6, even } = wanted;
        let path = self.paths.iter().find(|path| path.told.is_ipv6() == v6)?;
        let from = match (self.media_alone, v6) {
            (true, _) => path.via.ip(),
            (false, true) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            (false, false) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let socket = Arc::new(bind_any(from, &self.ports, even)?);
        let port = socket.local_addr().ok()?.port();
        let reading = Arc::clone(self).take_from_peers(allocation, Arc::clone(&socket));
        let reading = tokio::spawn(reading).abort_handle();
        let relayed = Relayed {
            socket,
            reading,
            latest: None,
        };
        locked(&self.relayed).insert(allocation, relayed);
        Some(SocketAddr::new(path.told.ip(), port))
    }

    async fn take_from_peers(self: Arc<Self>, allocation: AllocationId, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let Some((data, from)) = receive(&socket, &mut buffer).await else {
                continue;
            };
            let peer = self.told(allocation, from);
            self.with_relay(|relay, clock| relay.handle_peer(clock.now, allocation, peer, data));
        }
    }

    /// Returns the address under which a client knows who sent something. Behind a router with several addresses all of
    /// them lead the same way, and the media answers at the one that it was sent to.
    fn told(&self, allocation: AllocationId, from: SocketAddr) -> SocketAddr {
        let latest = locked(&self.relayed)
            .get(&allocation)
            .and_then(|relayed| relayed.latest);
        let paths = latest.iter().chain(&self.paths);
        let path = paths.into_iter().find(|path| path.via == from);
        path.map_or(from, |path| path.told)
    }
}

/// Receives one datagram; `None` for one that is too long, and after an error, which others would follow at once.
async fn receive<'a>(socket: &UdpSocket, buffer: &'a mut [u8]) -> Option<(&'a [u8], SocketAddr)> {
    match socket.recv_from(buffer).await {
        Ok((length, from)) if length < buffer.len() => Some((buffer.get(..length)?, from)),
        Ok(_) => None,
        Err(_) => {
            tokio::time::sleep(AFTER_ERROR).await;
            None
        }
    }
}

/// Binds a port of the range, whichever is free: which one a client gets is not to be known before.
fn bind_any(from: IpAddr, ports: &RangeInclusive<u16>, even: bool) -> Option<UdpSocket> {
    let count = u32::from(ports.end().saturating_sub(*ports.start())) + 1;
    let first: u32 = rand::random();
    let tries = (0..count.min(MAX_TRIES)).map(|step| first.wrapping_add(step) % count);
    let mut bound = tries.filter_map(|offset| {
        let port = ports.start().checked_add(u16::try_from(offset).ok()?)?;
        let fits = !even || port.is_multiple_of(2);
        fits.then(|| bind(SocketAddr::new(from, port)).ok())?
    });
    bound.next()
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One more than the longest datagram that is relayed.
const MAX_DATAGRAM: usize = 4097;

/// Ports that are tried for one allocation.
const MAX_TRIES: u32 = 64;

const AFTER_ERROR: Duration = Duration::from_millis(10);
