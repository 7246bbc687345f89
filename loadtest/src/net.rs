//! Connections to servers: TCP, and TLS on it where the URL says so.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

/// Makes connections.
pub(crate) struct Net {
    tls: TlsConnector,
}

/// An open connection of either kind.
pub(crate) type Connection = Box<dyn Stream>;

/// What a connection can do.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for T {}

impl Net {
    /// Trusts who this system trusts, and those whose certificates are in the file.
    pub(crate) fn new(ca: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca {
            let what = || format!("--ca {}", path.display());
            let before = roots.len();
            for certificate in CertificateDer::pem_file_iter(path).with_context(what)? {
                let certificate = certificate.with_context(what)?;
                roots.add(certificate).with_context(what)?;
            }
            ensure!(roots.len() > before, "{}: no certificate in it", what());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Returns whether nobody listens there any more; who does not answer in time may.
    pub(crate) async fn is_refused(&self, url: &Url) -> bool {
        let refused = timeout(PATIENCE, self.connect(url)).await;
        let Ok(Err(error)) = refused else {
            return false;
        };
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Connects to the host of a URL.
    pub(crate) async fn connect(&self, url: &Url) -> anyhow::Result<Connection> {
        let what = || format!("cannot reach {}", authority(url));
        let host = url
            .host_str()
            .with_context(|| format!("{url} has no host"))?;
        // An address of IPv6 stands in brackets in a URL only.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(80);
        let stream = TcpStream::connect((host, port)).await.with_context(what)?;
        stream.set_nodelay(true)?;
        match url.scheme() {
            "http" | "ws" => Ok(Box::new(stream)),
            "https" | "wss" => {
                let name = ServerName::try_from(host.to_owned())?;
                let stream = self.tls.connect(name, stream).await.with_context(what)?;
                Ok(Box::new(stream))
            }
            scheme => bail!("{scheme} is not spoken here: expected http, https, ws or wss"),
        }
    }
}

/// Returns host and port as the `Host` header carries them.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

const PATIENCE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_its_port_unless_it_is_the_usual_one() {
        let authority = |url: &str| authority(&url.parse().unwrap());
        assert_eq!(authority("http://127.0.0.1:8080/x"), "127.0.0.1:8080");
        assert_eq!(authority("http://[::1]:8080/"), "[::1]:8080");
        assert_eq!(authority("https://klieg.example/"), "klieg.example");
        assert_eq!(authority("wss://klieg.example:443/"), "klieg.example");
    }

    #[tokio::test]
    async fn a_door_is_closed_only_where_nobody_listens() {
        let net = Net::new(None).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let url = url.parse().unwrap();
        assert!(!net.is_refused(&url).await);
        drop(listener);
        assert!(net.is_refused(&url).await);
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let missing = Path::new("no such file");
        assert!(Net::new(Some(missing)).is_err());
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = Net::new(Some(&manifest)).err().unwrap();
        assert!(format!("{error:#}").contains("Cargo.toml"), "{error:#}");
    }
}
