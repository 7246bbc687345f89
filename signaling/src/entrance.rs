//! Where clients of HTTP come in: the ports, and what speaks TLS there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::Config;
use crate::http::listen::{self, Site};
use crate::http::redirect::{self, Destination};
use crate::metrics::Metrics;
use crate::router::router;
use crate::server::StartError;
use crate::shared_port::{self, Lodgers};
use crate::tls::front::Front;
use crate::tls::handshake::Handshakes;

/// Ports that are bound, and not served yet.
#[derive(Debug)]
pub(crate) struct Entrance {
    http: Port,
    /// From where others are sent there.
    redirect: Option<Port>,
    front: Option<Front>,
}

/// Ports that are served until the server closes.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) http: SocketAddr,
    /// Where those come who are sent to HTTPS; `None`: nowhere.
    pub(crate) redirect: Option<SocketAddr>,
    /// What speaks TLS; `None`: nothing does.
    front: Option<Front>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Port {
    listener: TcpListener,
    at: SocketAddr,
}

impl Entrance {
    /// Binds the ports and takes the certificate that there is.
    ///
    /// # Errors
    /// A port is taken, or a certificate cannot be shown.
    pub(crate) fn open(config: &Config, metrics: &Metrics) -> Result<Self, StartError> {
        let address = config.http;
        let http = Port::bind(address).map_err(|source| StartError::Http { address, source })?;
        let redirect = config.http_redirect.map(|address| {
            Port::bind(address).map_err(|source| StartError::Redirect { address, source })
        });
        Ok(Self {
            http,
            redirect: redirect.transpose()?,
            front: Front::open(config, &metrics.tls).map_err(StartError::Tls)?,
        })
    }

    /// Returns where HTTP will be served.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http.at
    }

    /// Returns what takes handshakes of TLS; `None` where it is not spoken.
    pub(crate) fn handshakes(&self) -> Option<Arc<Handshakes>> {
        self.front.as_ref().map(Front::handshakes)
    }

    /// Lets clients in, and those of others who share the port.
    pub(crate) fn serve(self, app: &Arc<App>, lodgers: Lodgers) -> Served {
        let handshakes = self.handshakes();
        let Self {
            http,
            redirect,
            front,
        } = self;
        let phase = app.course.watch();
        let site = Site {
            router: router(Arc::clone(app)),
            handshakes,
            phase: phase.clone(),
        };
        if let Some(front) = &front {
            front.keep_up(phase.clone());
        }
        let redirect = redirect.map(|Port { listener, at }| {
            let router = redirect::router(Destination {
                public_url: app.config.public_url.clone(),
                port: http.at.port(),
            });
            let site = Site {
                router,
                handshakes: None,
                phase,
            };
            tokio::spawn(listen::serve(listener, site, MAX_SENT_ON));
            at
        });
        let Port { listener, at } = http;
        Served {
            http: at,
            redirect,
            front,
            task: serve_port(listener, site, lodgers, app),
        }
    }
}

/// Serves HTTP, and what else is spoken at its port.
fn serve_port(
    listener: TcpListener,
    site: Site,
    lodgers: Lodgers,
    app: &Arc<App>,
) -> JoinHandle<()> {
    let limit = app.config.max_sockets;
    if lodgers.is_empty() {
        return tokio::spawn(listen::serve(listener, site, limit));
    }
    let metrics = app.metrics.shared_port.clone();
    tokio::spawn(shared_port::serve(
        listener,
        site,
        lodgers,
        (limit, metrics),
    ))
}

impl Served {
    /// Reads the certificate again.
    pub(crate) fn read_again(&self) {
        if let Some(front) = &self.front {
            front.read_again();
        }
    }

    /// Waits until what is under way is done, once the server closes.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Port {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = listen::bind(address)?;
        let at = listener.local_addr()?;
        Ok(Self { listener, at })
    }
}

/// Connections at once of those who are sent to HTTPS; each is answered at once.
const MAX_SENT_ON: usize = 1_000;
