//! How the authority is asked: by HTTPS, with bounds on time and size.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::fetch;

/// A client of the authority.
#[derive(Clone, Debug)]
pub(super) struct Client(legacy::Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Client {
    /// Trusts what the system trusts, or the certificates in a file instead.
    ///
    /// # Errors
    /// They cannot be read, in words.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let tls = match ca_file {
            None => fetch::tls().map_err(|error| error.to_string())?,
            Some(file) => trusting(file)
                .map_err(|error| format!("acme_ca_file: {}: {error}", file.display()))?,
        };
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(plain);
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self(client))
    }

    /// Asks for the directory.
    ///
    /// # Errors
    /// There is none, in words.
    pub(super) async fn directory(&self, url: &str) -> Result<(), String> {
        let request = Request::get(url).body(BodyWrapper::default());
        let request = request.map_err(|error| error.to_string())?;
        let answer = self.request(request).await;
        let mut answer = answer.map_err(|error| fetch::reason(&error))?;
        if answer.parts.status != StatusCode::OK {
            return Err(format!("it answered {}", answer.parts.status));
        }
        let body = answer.body.into_bytes().await;
        let body = body.map_err(|error| error.to_string())?;
        let directory: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let is_one = directory["newOrder"].is_string();
        is_one
            .then_some(())
            .ok_or_else(|| "it is no directory of ACME".to_owned())
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.0.request(request);
        Box::pin(async move {
            let whole = async {
                let (mut parts, body) = answer.await.map_err(other)?.into_parts();
                forget_long_wait(&mut parts.headers);
                let body = Limited::new(body, MAX_BYTES).collect().await;
                let body = body.map_err(Error::Other)?.to_bytes();
                let answer =
                    axum::http::Response::from_parts(parts, http_body_util::Full::new(body));
                Ok(BytesResponse::from(answer))
            };
            let whole = tokio::time::timeout(DEADLINE, whole).await;
            whole.map_err(|_| Error::Str("an answer in time"))?
        })
    }
}

/// Leaves out a pause that no order is worth: added to the clock as it is, it could be more than that holds.
fn forget_long_wait(headers: &mut HeaderMap) {
    let wait = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    let seconds: Option<u64> = wait.and_then(|it| it.trim().parse().ok());
    if seconds.is_some_and(|seconds| seconds > MAX_WAIT_S) {
        headers.remove(RETRY_AFTER);
    }
}

fn other(error: legacy::Error) -> Error {
    Error::Other(Box::new(error))
}

fn trusting(file: &Path) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

const CONNECT: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(30);
const MAX_BYTES: usize = 1024 * 1024;
const MAX_WAIT_S: u64 = 24 * 60 * 60;
