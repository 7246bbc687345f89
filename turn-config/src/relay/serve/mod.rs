//! Gives the relay sockets, tasks and time.

mod path;

mod port;

mod sockets;

mod guests;

mod stream;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{Limits, Metrics, Peers, Relay, Settings};
use crate::Secret;

use self::path::Path;
use self::sockets::Sockets;
pub use self::stream::{Door, Stream, TlsAcceptor};

/// Where the relay listens, whom it relays to, and how much.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The port that clients come to, by UDP and by TCP.
    pub listen: SocketAddr,
    /// The ports of relayed addresses.
    pub ports: RangeInclusive<u16>,
    /// The secret that credentials are made from.
    pub secret: Secret,
    /// Whom clients may reach.
    pub peers: Peers,
    /// The address that Klieg's media socket is bound to.
    pub media_listen: IpAddr,
    /// How much there may be.
    pub limits: Limits,
    /// Connections by TCP and TLS at once.
    pub max_connections: usize,
}

/// What a relay listens to by itself on its port; for the rest another does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// All of it.
    UdpAndTcp,
    /// UDP: connections are handed over ([`Embedded::door`]).
    Udp,
    /// Nothing: connections are handed over, and by UDP nobody comes.
    Nothing,
}

/// Why the relay does not start; one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be bound.
    #[error("relay port {listen} ({protocol}): {source}; choose another with relay.listen")]
    Bind {
        /// Which.
        listen: SocketAddr,
        /// UDP or TCP.
        protocol: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// There is no randomness.
    #[error("relay: no randomness")]
    Randomness,
    /// A metric is registered twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A relay that runs; it ends with its drop.
pub struct Embedded {
    ways: Ways,
    door: Door,
    sockets: Arc<Sockets>,
    tasks: Vec<JoinHandle<()>>,
}

impl Embedded {
    /// Binds the port and lets clients in. What begins as TLS on a connection goes to `tls` first.
    ///
    /// # Errors
    /// The port is taken, or not ours to take.
    pub fn start(
        config: RelayConfig,
        tls: Option<Arc<dyn TlsAcceptor>>,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        Self::start_sharing(config, Own::UdpAndTcp, tls, registry)
    }

    /// Does the same with what is the relay's own of the port. What is handed over has its TLS behind it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_sharing(
        config: RelayConfig,
        own: Own,
        tls: Option<Arc<dyn TlsAcceptor>>,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let metrics = Metrics::register(registry)?;
        let port::Port { udp, tcp, at } = port::bind(config.listen, own)?;
        let paths = Path::all(&config.peers.media, config.media_listen);
        let settings = Settings {
            secret: config.secret.clone(),
            peers: config.peers.clone(),
            v4: paths.iter().any(|path| path.told.is_ipv4()),
            v6: paths.iter().any(|path| path.told.is_ipv6()),
            // Where that cannot be told, nobody gets there.
            is_ours: |address| path::is_ours(address).unwrap_or(true),
            limits: config.limits,
        };
        let relay = Relay::new(settings, Instant::now(), metrics.clone());
        let relay = relay.map_err(|_| StartError::Randomness)?;
        let has_tls = tls.is_some();
        let ways = Ways { at, own, has_tls };
        let sockets = Arc::new(Sockets::new(relay, udp, paths, &config, metrics));
        let (door, handed_over) = Door::new(sockets.metrics.clone());
        let doors = stream::Doors::new(Arc::clone(&sockets), tls, config.max_connections);
        let tasks = vec![
            tokio::spawn(Arc::clone(&sockets).take_datagrams()),
            tokio::spawn(doors.take_connections(tcp, handed_over)),
            tokio::spawn(end_what_ran_out(Arc::clone(&sockets))),
        ];
        Ok(Self {
            ways,
            door,
            sockets,
            tasks,
        })
    }

    /// Returns where connections are handed over that another listener took.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Returns where clients come to it.
    pub fn at(&self) -> SocketAddr {
        self.ways.at
    }

    /// Returns by which ways they come.
    pub fn ways(&self) -> Ways {
        self.ways
    }
}

/// The ways by which clients come to a relay.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    at: SocketAddr,
    own: Own,
    has_tls: bool,
}

impl Ways {
    /// Returns the URLs by which clients reach it: under these names or addresses, and by TLS under the name that the
    /// certificate is for.
    pub fn urls(&self, hosts: &[String], tls_host: Option<&str>) -> Vec<String> {
        let port = self.at.port();
        let protocols: &[&str] = match self.own {
            Own::UdpAndTcp | Own::Udp => &["udp", "tcp"],
            Own::Nothing => &["tcp"],
        };
        let plain = hosts.iter().flat_map(|host| {
            let url = move |protocol| format!("turn:{host}:{port}?transport={protocol}");
            protocols.iter().map(url)
        });
        let tls_host = tls_host.filter(|_| self.has_tls);
        let tls = tls_host.map(|host| format!("turns:{host}:{port}?transport=tcp"));
        plain.chain(tls).collect()
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("Embedded");
        it.field("at", &self.ways.at).finish_non_exhaustive()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.sockets.close();
    }
}

async fn end_what_ran_out(sockets: Arc<Sockets>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        sockets.with_relay(|relay, clock| relay.handle_timeout(clock.now));
    }
}

const TICK: Duration = Duration::from_secs(1);
