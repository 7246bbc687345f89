//! Posts to servers of others: to addresses that may be reached, for so long and so much.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::target::{Allowed, may_reach};
use crate::fetch::{self, FetchError};

/// Posts to servers of others.
#[derive(Clone, Debug)]
pub(super) struct Poster {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    /// How long an answer may take.
    deadline: Duration,
}

/// What a receiver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// When it wants to be asked again; `None` where it does not say.
    pub(super) retry_after: Option<Duration>,
}

impl Poster {
    /// Trusts the certificates that the system trusts.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(allowed: Arc<[Allowed]>, deadline: Duration) -> Result<Self, FetchError> {
        let mut plain = HttpConnector::new_with_resolver(Resolver(allowed));
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(deadline));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(fetch::tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(plain);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        Ok(Self { client, deadline })
    }

    /// Posts JSON. Redirections are not followed: they could lead anywhere.
    ///
    /// # Errors
    /// In words, that there was no answer.
    pub(super) async fn post(
        &self,
        url: Uri,
        headers: HeaderMap,
        body: String,
    ) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        let asked = tokio::time::timeout(self.deadline, self.client.request(request)).await;
        let answer = asked
            .map_err(|_| format!("no answer within {} ms", self.deadline.as_millis()))?
            .map_err(|error| fetch::reason(&error))?;
        let said = Answer {
            status: answer.status(),
            retry_after: retry_after(answer.headers()),
        };
        // Read to its end it leaves the connection for the next; what is longer or slower costs it.
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect();
        let _ = tokio::time::timeout(DRAIN, body).await;
        Ok(said)
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// Finds the addresses of a name that may be reached. Connections are made to what it returns and to nothing else, so that a
/// name which resolves to something else a moment later gains nothing by it.
#[derive(Clone, Debug)]
struct Resolver(Arc<[Allowed]>);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str();
            let found = tokio::net::lookup_host((name, 0)).await?;
            let good = found.filter(|it| may_reach(name, it.ip(), &allowed));
            let good: Vec<SocketAddr> = good.take(MAX_ADDRESSES).collect();
            if good.is_empty() {
                return Err(io::Error::other(
                    "its name leads to no address of the internet",
                ));
            }
            Ok(good.into_iter())
        })
    }
}

/// How long a connection without requests is kept.
const IDLE: Duration = Duration::from_secs(20);

/// Connections to one receiver that wait for requests.
const MAX_IDLE: usize = 8;

/// What stands before the body of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What is read of the body; nobody looks at it.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long the body is waited for.
const DRAIN: Duration = Duration::from_millis(500);

/// Addresses that are tried, one after the other.
const MAX_ADDRESSES: usize = 4;
