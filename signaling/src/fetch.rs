//! Asks other servers for JSON: bounded in time and size, and by TLS wherever it leaves this machine.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use tracing::warn;

/// A client of other servers.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address is none, or one to which nothing is sent in the clear.
    #[error("{0:?} is no https:// address")]
    Address(String),
    /// The server did not answer in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    /// The server cannot be reached.
    #[error("{0}")]
    Connection(String),
    /// The server has another answer.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// The answer broke off or is too long.
    #[error("the answer broke off or has more than {MAX_BYTES} bytes")]
    Body,
    /// The answer is not what it should be.
    #[error("the answer cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Fetcher {
    /// Trusts the certificates that the system trusts.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, FetchError> {
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(plain);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self(client))
    }

    /// Asks for a document. Redirections are not followed.
    ///
    /// # Errors
    /// There is no such document, or not in time.
    pub(crate) async fn json<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let address = check_url(url)?;
        let body = tokio::time::timeout(DEADLINE, self.body(address)).await;
        let body = body.map_err(|_| FetchError::Deadline)??;
        Ok(serde_json::from_slice(&body)?)
    }

    async fn body(&self, url: Uri) -> Result<Bytes, FetchError> {
        let request = Request::get(url)
            .header(header::ACCEPT, "application/json")
            .header(
                header::USER_AGENT,
                concat!("klieg/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::new())
            .map_err(|error| FetchError::Connection(error.to_string()))?;
        let answer = self.0.request(request).await;
        let answer = answer.map_err(|error| FetchError::Connection(reason(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|_| FetchError::Body)
    }
}

/// Takes `https://`, and `http://` on this machine: nobody listens there who could not read our memory.
///
/// # Errors
/// It is another address.
pub(crate) fn check_url(url: &str) -> Result<Uri, FetchError> {
    let refused = || FetchError::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| refused())?;
    let local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if local => Ok(uri),
        _ => Err(refused()),
    }
}

/// Checks an address that has a place for what is asked about.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_place(url: &str) -> Result<(), String> {
    let host = url.split('/').nth(2).unwrap_or_default();
    if !url.contains(PLACE) || host.contains(PLACE) {
        return Err(format!("has no {PLACE} in its path or query"));
    }
    let checked = check_url(&about(url, "1"));
    checked.map(|_| ()).map_err(|error| error.to_string())
}

/// Writes an id into such an address, whatever it says as one part of a path (RFC 3986, section 2.1).
pub(crate) fn about(url: &str, id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Dots, too: `..` is no id.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    url.replace(PLACE, &escaped)
}

/// Returns how other servers are talked to over TLS: by the certificates that the system trusts.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn tls() -> Result<ClientConfig, FetchError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Connection(error.to_string()))?;
    let trusting = tls.clone().with_native_roots().unwrap_or_else(|error| {
        warn!(%error, "the system has no root certificates: https:// servers cannot be asked");
        tls.with_root_certificates(RootCertStore::empty())
    });
    Ok(trusting.with_no_client_auth())
}

/// Names the innermost cause: the others say no more than that something went wrong.
pub(crate) fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Where the id of what is asked about goes.
const PLACE: &str = "{id}";

const DEADLINE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(3);
const MAX_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_asked_in_the_clear_beyond_this_machine() {
        for (url, fits) in [
            ("https://id.example/realms/live", true),
            ("http://127.0.0.1:8081/x", true),
            ("http://localhost/x", true),
            ("http://id.example/x", false),
            ("http://localhost.evil.example/x", false),
            ("ftp://id.example", false),
            ("/x", false),
            ("", false),
        ] {
            assert_eq!(check_url(url).is_ok(), fits, "{url}");
        }
    }

    #[test]
    fn an_id_is_one_part_of_the_address_whatever_it_says() {
        let url = "https://shop.example/p/{id}?full";
        for (id, expected) in [
            ("sku-1", "sku-1"),
            ("a b", "a%20b"),
            ("../x?y#z", "%2E%2E%2Fx%3Fy%23z"),
            ("đ", "%C4%91"),
            ("{id}", "%7Bid%7D"),
        ] {
            let expected = format!("https://shop.example/p/{expected}?full");
            assert_eq!(about(url, id), expected);
        }
    }

    #[test]
    fn an_address_about_something_is_https_and_has_a_place_for_the_id() {
        for (url, fits) in [
            ("https://shop.example/p/{id}", true),
            ("https://shop.example/p?id={id}", true),
            ("http://127.0.0.1:8081/{id}", true),
            ("http://shop.example/p/{id}", false),
            ("https://shop.example/p", false),
            ("https://{id}.example/p", false),
            ("{id}", false),
        ] {
            assert_eq!(check_place(url).is_ok(), fits, "{url}");
        }
    }
}
