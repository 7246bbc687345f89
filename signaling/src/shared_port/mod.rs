//! One TCP port for all who want it: pages and API, media by TCP, and TURN, with TLS or without, told apart by what comes first.

pub(crate) mod first_bytes;

mod begun;

mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use klieg_sfu::Handle;
use klieg_turn::relay::Door;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use self::begun::{Begun, First};
use self::first_bytes::Protocol;
use self::waiting::{Turn, Waiting};
use crate::http::listen::{self, Site};
use crate::metrics::SharedPort;
use crate::tls;

/// Those who have no port of their own; nobody where all have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lodgers {
    /// Takes media's connections.
    pub(crate) media: Option<Handle>,
    /// Takes the relay's.
    pub(crate) relay: Option<Door>,
}

impl Lodgers {
    /// Returns whether there is nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.media.is_none() && self.relay.is_none()
    }
}

/// Why a connection is served by nobody; a label of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// Too many of its network wait, and it was the oldest.
    Crowded,
    /// Too many wait, and it was the oldest of the site that has most.
    Full,
    /// It did not say in time what it speaks.
    Late,
    /// It went before.
    Gone,
    /// It speaks nothing that anybody here does.
    Unknown,
    /// It speaks what is not served at this port.
    NotServed,
    /// It speaks HTTP in the clear, where that goes by TLS.
    NoTls,
    /// There is no place.
    Busy,
}

impl Refused {
    fn label(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Full => "full",
            Self::Late => "late",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
            Self::NotServed => "not_served",
            Self::NoTls => "no_tls",
            Self::Busy => "busy",
        }
    }
}

/// What serves a port.
#[derive(Debug)]
struct Port {
    site: Site,
    lodgers: Lodgers,
    waiting: Arc<Waiting>,
    /// For connections of HTTP, and of TLS until it is told what is within.
    places: Arc<Semaphore>,
    metrics: SharedPort,
}

/// Serves until the phase is `Closing`, and then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    site: Site,
    lodgers: Lodgers,
    (max_connections, metrics): (usize, SharedPort),
) {
    let mut phase = site.phase.clone();
    let port = Arc::new(Port {
        site,
        lodgers,
        waiting: Arc::default(),
        places: Arc::new(Semaphore::new(max_connections)),
        metrics,
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (stream, remote) = listen::accepted(&listener) => {
                let (turn, gave_way) = port.waiting.enter(remote.ip());
                if let Some(reason) = gave_way {
                    port.refuse(remote, reason);
                }
                connections.spawn(Arc::clone(&port).take(stream, remote, turn));
            }
            Some(_) = connections.join_next() => {}
            () = listen::closed(&mut phase) => break,
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(listen::FINISH, finish).await;
}

impl Port {
    async fn take(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, turn: Turn) {
        let mut phase = self.site.phase.clone();
        let served = tokio::select! {
            served = self.tell_apart(stream, turn) => served,
            () = listen::closed(&mut phase) => return,
        };
        let served = match served {
            Ok(told) => self.serve(told, remote).await,
            // Its place was another's already, who counted that.
            Err(None) => return,
            Err(Some(reason)) => Err(reason),
        };
        if let Err(reason) = served {
            self.refuse(remote, reason);
        }
    }

    /// Waits until it is told what is spoken, and where that needs a place until there is one; `None` for who was shown out.
    async fn tell_apart(&self, mut stream: TcpStream, turn: Turn) -> Result<Told, Option<Refused>> {
        let told = async {
            let read = timeout(PATIENCE, First::read(&mut stream)).await;
            let (protocol, first) = read.unwrap_or(Err(Refused::Late))?;
            let place = match protocol {
                Protocol::Tls | Protocol::Http => Some(self.place().await?),
                Protocol::Turn | Protocol::Framed => None,
            };
            Ok::<_, Refused>((protocol, first, place))
        };
        let (protocol, first, place) = tokio::select! {
            told = told => told.map_err(Some)?,
            () = turn.shown_out() => return Err(None),
        };
        Ok(Told {
            protocol,
            stream,
            first,
            place,
        })
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = timeout(PATIENCE, place).await;
        place.ok().and_then(Result::ok).ok_or(Refused::Busy)
    }

    async fn serve(&self, told: Told, remote: SocketAddr) -> Result<(), Refused> {
        let Told {
            protocol,
            stream,
            first,
            place,
        } = told;
        let has_tls = self.site.handshakes.is_some();
        match protocol {
            Protocol::Framed => self.hand_to_media(stream, remote, first),
            Protocol::Turn => {
                // Messages are small and wait for nobody.
                let _ = stream.set_nodelay(true);
                self.hand_to_relay(Begun { stream, first }, (remote, "turn"))
            }
            Protocol::Http if has_tls => Err(Refused::NoTls),
            Protocol::Http => {
                self.metrics.count("http");
                let stream = listen::prepare(stream);
                let begun = Begun { stream, first };
                self.site.clone().serve(begun, remote).await;
                drop(place);
                Ok(())
            }
            Protocol::Tls if has_tls => {
                let stream = listen::prepare(stream);
                self.serve_tls(Begun { stream, first }, remote, place).await
            }
            Protocol::Tls => Err(Refused::NotServed),
        }
    }

    /// Takes a handshake, and serves what is within.
    async fn serve_tls<S>(
        &self,
        stream: S,
        remote: SocketAddr,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Refused>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // What fails there is counted there.
        let Some(mut stream) = self.site.shake(stream).await else {
            return Ok(());
        };
        if stream.get_ref().1.alpn_protocol() == Some(tls::TURN) {
            return self.hand_to_relay(stream, (remote, "turns"));
        }
        // Few browsers say of TURN that they speak it, so that what was agreed on otherwise decides nothing.
        let mut phase = self.site.phase.clone();
        let read = tokio::select! {
            read = timeout(PATIENCE, First::read(&mut stream)) => read,
            () = listen::closed(&mut phase) => return Ok(()),
        };
        let (protocol, first) = read.unwrap_or(Err(Refused::Late))?;
        let begun = Begun { stream, first };
        match protocol {
            Protocol::Http => {
                self.metrics.count("https");
                self.site.clone().serve(begun, remote).await;
                drop(place);
                Ok(())
            }
            Protocol::Turn => self.hand_to_relay(begun, (remote, "turns")),
            Protocol::Tls | Protocol::Framed => Err(Refused::NotServed),
        }
    }

    fn hand_to_media(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        first: First,
    ) -> Result<(), Refused> {
        let media = self.lodgers.media.as_ref().ok_or(Refused::NotServed)?;
        self.metrics.count("ice_tcp");
        let stream = stream.into_std().map_err(|_| Refused::Gone)?;
        let handed = media.take_connection(stream, remote, first.rest().to_vec());
        handed.map_err(|_| Refused::Busy)
    }

    fn hand_to_relay<S>(
        &self,
        stream: S,
        (remote, protocol): (SocketAddr, &'static str),
    ) -> Result<(), Refused>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let relay = self.lodgers.relay.as_ref().ok_or(Refused::NotServed)?;
        self.metrics.count(protocol);
        relay.take(Box::new(stream), remote);
        Ok(())
    }

    fn refuse(&self, remote: SocketAddr, reason: Refused) {
        debug!(%remote, ?reason, "connection refused");
        self.metrics.refuse(reason.label());
    }
}

/// A connection of which it is told what is spoken.
#[derive(Debug)]
struct Told {
    protocol: Protocol,
    stream: TcpStream,
    first: First,
    /// For as long as it needs one; `None`: it needs none.
    place: Option<OwnedSemaphorePermit>,
}

/// How long the first bytes may take, and a place.
const PATIENCE: Duration = Duration::from_secs(10);
