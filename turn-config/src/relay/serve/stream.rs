//! Clients that come by TCP, or by TLS on the same port.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout};
use tracing::{debug, warn};

use super::guests::{Guests, Room};
use super::sockets::Sockets;
use crate::relay::network::network;
use crate::relay::{Client, Frames, Metrics};

/// What is read from and written to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Takes handshakes of TLS, in a bounded time.
#[async_trait]
pub trait TlsAcceptor: Debug + Send + Sync {
    /// Returns what is within; `None` where nothing is left to be served.
    async fn accept(&self, stream: TcpStream) -> Option<Box<dyn Stream>>;
}

/// Where connections are handed over that another listener took. Each is bounded and counted as those of the relay's own.
#[derive(Clone, Debug)]
pub struct Door {
    arrivals: mpsc::Sender<Arrival>,
    metrics: Metrics,
}

/// A connection that another listener took: a client of TURN speaks on it, within TLS or without.
struct Arrival {
    stream: Box<dyn Stream>,
    remote: SocketAddr,
}

impl Door {
    pub(super) fn new(metrics: Metrics) -> (Self, Arrivals) {
        let (arrivals, arriving) = mpsc::channel(MAX_ARRIVING);
        (Self { arrivals, metrics }, Arrivals(arriving))
    }

    /// Hands one over, unless too many arrive at once. Never blocks.
    pub fn take(&self, stream: Box<dyn Stream>, remote: SocketAddr) {
        if self.arrivals.try_send(Arrival { stream, remote }).is_err() {
            self.metrics.dropped("connection");
        }
    }
}

/// The other side of the door.
pub(super) struct Arrivals(mpsc::Receiver<Arrival>);

/// A connection as it came.
enum Came {
    /// To the relay's own port: what is spoken on it is not known.
    Here(TcpStream),
    /// To another, where TURN is spoken on it.
    HandedOver(Box<dyn Stream>),
}

/// Lets connections in, no more than there is room for.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    sockets: Arc<Sockets>,
    tls: Option<Arc<dyn TlsAcceptor>>,
    /// Connections that there may be.
    limit: usize,
}

/// A connection that is counted, until its drop.
struct Place(IntGauge);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Doors {
    pub(super) fn new(
        sockets: Arc<Sockets>,
        tls: Option<Arc<dyn TlsAcceptor>>,
        limit: usize,
    ) -> Self {
        Self {
            sockets,
            tls,
            limit,
        }
    }

    /// Takes connections, of the listener where there is one and those that are handed over, until it is dropped, and they
    /// with it.
    pub(super) async fn take_connections(
        self,
        listener: Option<TcpListener>,
        mut handed_over: Arrivals,
    ) {
        let mut guests = Guests::new(self.limit);
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            let (came, remote) = tokio::select! {
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok((stream, remote)) => (Came::Here(stream), remote),
                    Err(error) => {
                        // Out of descriptors, mostly: closing connections will free some.
                        warn!(%error, "a connection to the relay was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                Some(Arrival { stream, remote }) = handed_over.0.recv() => {
                    (Came::HandedOver(stream), remote)
                }
                Some(_) = connections.join_next() => continue,
            };
            if !self.make_room(&mut guests, network(remote.ip())) {
                continue;
            }
            number += 1;
            let connection = Some(number);
            let client = Client { remote, connection };
            self.sockets.metrics.connections.inc();
            let place = Place(self.sockets.metrics.connections.clone());
            let task = connections.spawn(self.clone().take(came, client, place));
            guests.add(client, task);
        }
    }

    /// Returns whether another one of a network may come in, once whoever is in its place has gone.
    fn make_room(&self, guests: &mut Guests, network: IpAddr) -> bool {
        let sockets = &self.sockets;
        let room = guests.room(network, |client| {
            sockets.with_relay(|relay, _| relay.has_allocation(client))
        });
        match room {
            Room::Free => return true,
            Room::InPlaceOf(task) => task.abort(),
            Room::None => {
                self.sockets.metrics.dropped("connection");
                return false;
            }
        }
        self.sockets.metrics.dropped("displaced");
        true
    }

    async fn take(self, came: Came, client: Client, _place: Place) {
        let stream = match came {
            Came::Here(stream) => stream,
            Came::HandedOver(stream) => return serve(&self.sockets, stream, client).await,
        };
        let _ = stream.set_nodelay(true);
        let mut first = [0];
        let Ok(Ok(1)) = timeout(FIRST_BYTE, stream.peek(&mut first)).await else {
            return;
        };
        match (&self.tls, first) {
            // A record of TLS that holds a handshake; no message of TURN's that clients send begins so.
            (Some(tls), [0x16]) => {
                if let Some(stream) = tls.accept(stream).await {
                    serve(&self.sockets, stream, client).await;
                }
            }
            _ => serve(&self.sockets, stream, client).await,
        }
    }
}

/// Accepts the next one; without a listener there is none.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Serves a client until it goes, or has had no allocation for a while.
async fn serve(sockets: &Arc<Sockets>, stream: impl Stream, client: Client) {
    let (reader, writer) = tokio::io::split(stream);
    let (to_writer, waiting) = mpsc::channel(MAX_WAITING);
    sockets.connect(client.connection.unwrap_or(0), to_writer);
    let _gone = Gone(sockets, client);
    tokio::select! {
        () = read(sockets, reader, client) => {}
        () = write(writer, waiting) => {}
        () = idle(sockets, client) => {}
    }
    let remote: SocketAddr = client.remote;
    debug!(%remote, "connection to the relay ended");
}

/// Forgets the client, whichever way its connection ends.
struct Gone<'a>(&'a Arc<Sockets>, Client);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.disconnect(self.1);
    }
}

async fn read<S: Stream>(sockets: &Arc<Sockets>, mut reader: ReadHalf<S>, client: Client) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        frames.extend(buffer.get(..length).unwrap_or_default());
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    sockets.with_relay(|relay, clock| relay.handle_client(clock, client, &frame));
                }
                Ok(None) => break,
                Err(_) => return sockets.metrics.dropped("malformed"),
            }
        }
    }
}

async fn write<S: Stream>(mut writer: WriteHalf<S>, mut waiting: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = waiting.recv().await {
        let written = async {
            writer.write_all(&bytes).await?;
            // What TLS has not written yet would wait for the next message.
            writer.flush().await
        };
        let Ok(Ok(())) = timeout(STALLED, written).await else {
            return;
        };
    }
}

/// Waits until there is nothing that the client would stay for.
async fn idle(sockets: &Arc<Sockets>, client: Client) {
    let mut look = interval_at(Instant::now() + WITHOUT_ALLOCATION, WITHOUT_ALLOCATION);
    loop {
        look.tick().await;
        if !sockets.with_relay(|relay, _| relay.has_allocation(client)) {
            return;
        }
    }
}

/// A message that comes to a connection waits with as many others at most; one more is dropped.
const MAX_WAITING: usize = 128;

/// Connections that were handed over and that nobody has looked at; one more is dropped.
const MAX_ARRIVING: usize = 64;

const READ_BYTES: usize = 8 * 1024;
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// How long a connection may be without an allocation, and how often that is looked at.
const WITHOUT_ALLOCATION: Duration = Duration::from_secs(10);

/// A client that takes nothing for so long is gone.
const STALLED: Duration = Duration::from_secs(20);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
