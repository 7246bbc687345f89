//! Accepts connections and serves HTTP/1.1 on them, by TLS where there is a certificate, with a deadline for each header.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::pace::{Pace, Paced};
use crate::drain::Phase;
use crate::tls::handshake::Handshakes;

/// What is served on a port.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) router: Router,
    /// What is behind a handshake; `None`: it goes in the clear.
    pub(crate) handshakes: Option<Arc<Handshakes>>,
    pub(crate) phase: watch::Receiver<Phase>,
}

/// Binds the port.
///
/// # Errors
/// It is taken or not ours to take.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Connections inherit it. What a slow reader does not read waits in its own bounded queue, where it can
    // be counted, and not in megabytes of the kernel's.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Serves until the phase is `Closing`, and then finishes what is under way.
pub(crate) async fn serve(listener: TcpListener, site: Site, max_connections: usize) {
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(max_connections));
    let mut phase = site.phase.clone();
    loop {
        tokio::select! {
            accepted = accept(&listener, &places) => {
                let (stream, remote, place) = accepted;
                let site = site.clone();
                connections.spawn(async move {
                    site.take(stream, remote).await;
                    drop(place);
                });
            }
            Some(_) = connections.join_next() => {}
            () = closed(&mut phase) => break,
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FINISH, finish).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    let Ok(place) = Arc::clone(places).acquire_owned().await else {
        std::future::pending().await
    };
    let (stream, remote) = accepted(listener).await;
    (stream, remote, place)
}

/// Accepts the next one.
pub(crate) async fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // Out of descriptors, mostly: closing connections will free some.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Site {
    async fn take(self, stream: TcpStream, remote: SocketAddr) {
        let stream = prepare(stream);
        if self.handshakes.is_none() {
            return self.serve(stream, remote).await;
        }
        if let Some(stream) = self.shake(stream).await {
            self.serve(stream, remote).await;
        }
    }

    /// Takes a handshake; `None` where nothing is left to be served, or TLS is not spoken.
    pub(crate) async fn shake<S>(&self, stream: S) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut phase = self.phase.clone();
        tokio::select! {
            shaken = self.handshakes.as_ref()?.accept(stream) => shaken,
            () = closed(&mut phase) => None,
        }
    }

    /// Serves HTTP until the client goes, or the server closes.
    pub(crate) async fn serve<S>(self, stream: S, remote: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self {
            router, mut phase, ..
        } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(remote));
            TowerToHyperService::new(router.clone()).call(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = &mut connection => served,
            () = closed(&mut phase) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            debug!(%error, "a connection broke");
        }
    }
}

/// Prepares a connection for what is served on it.
pub(crate) fn prepare(
    stream: TcpStream,
) -> impl AsyncRead + AsyncWrite + Send + Unpin + use<> + 'static {
    // Messages are small and wait for nobody.
    let _ = stream.set_nodelay(true);
    give_up_after(&stream, UNREAD_TIMEOUT);
    // Beneath TLS: what that has taken and could not write is not taken by the client.
    Paced::new(stream, PACE)
}

/// Breaks the connection when what was sent is neither read nor acknowledged for so long. Whoever asks and never
/// reads would otherwise hold a place for ever: keepalives are answered by the client's kernel.
fn give_up_after(stream: &TcpStream, unread: Duration) {
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(unread)) {
        debug!(%error, "a connection has no time limit");
    }
}

/// Waits until the server closes what is open.
pub(crate) async fn closed(phase: &mut watch::Receiver<Phase>) {
    // An error means that the server itself is gone.
    let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
}

const SEND_BUFFER_BYTES: u32 = 128 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const UNREAD_TIMEOUT: Duration = Duration::from_secs(60);

/// What the slowest network takes that is worth serving, and more than what one gets who holds places for mischief.
const PACE: Pace = Pace {
    window: Duration::from_secs(60),
    bytes: 60 * 1024,
};
const MAX_HEADER_BYTES: usize = 64 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a request may take once the server stops.
pub(crate) const FINISH: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn who_never_reads_loses_the_connection() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let deaf = TcpSocket::new_v4().unwrap();
        deaf.set_recv_buffer_size(4096).unwrap();
        let deaf = deaf.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        give_up_after(&stream, Duration::from_secs(1));
        let since = Instant::now();
        let full = async { while stream.write_all(&[0; 4096]).await.is_ok() {} };
        let broken = tokio::time::timeout(Duration::from_secs(20), full).await;
        assert!(broken.is_ok(), "it is still there");
        assert!(since.elapsed() >= Duration::from_secs(1));
        drop(deaf);
    }
}
