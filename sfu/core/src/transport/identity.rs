//! The server's certificate, and how its handshakes go.

use std::sync::Arc;
use std::time::Duration;

use dimpl::{Config, DtlsCertificate};

use super::dtls::HANDSHAKE;
use crate::command::Fingerprint;

/// First wait before a flight is sent again; doubles. Short, because somebody waits for a picture: on a path
/// that loses one datagram in twenty, three in a row cost a second (RFC 6347, section 4.2.4.1, allows it).
const FLIGHT_WAIT: Duration = Duration::from_millis(150);
/// Repetitions of a flight: the last comes 19 s after the first.
const FLIGHT_RETRIES: usize = 7;

/// Why no certificate could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The library could not make a key or sign the certificate.
    #[error("no certificate could be made")]
    Certificate,
    /// The library refused its configuration.
    #[error("the handshake could not be configured")]
    Config,
}

/// The server's certificate and what all its handshakes share; made once a process.
pub struct Identity {
    pub(super) certificate: DtlsCertificate,
    pub(super) config: Arc<Config>,
    fingerprint: Fingerprint,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes a key and a self-signed certificate (RFC 8827, section 6.5).
    ///
    /// # Errors
    /// When the library cannot make a certificate.
    pub fn generate() -> Result<Self, IdentityError> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|_| IdentityError::Certificate)?;
        let config = Config::builder()
            // The answered connectivity check has proved the address.
            .use_server_cookie(false)
            .require_client_certificate(true)
            .flight_start_rto(FLIGHT_WAIT)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(HANDSHAKE)
            .build()
            .map_err(|_| IdentityError::Config)?;
        let fingerprint = fingerprint(&certificate.certificate);
        Ok(Self {
            certificate,
            config: Arc::new(config),
            fingerprint,
        })
    }

    /// Returns what goes into `a=fingerprint`.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// Returns what a certificate is announced by (RFC 8122).
pub(super) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let mut fingerprint = [0; 32];
    for (place, byte) in fingerprint.iter_mut().zip(digest.as_ref()) {
        *place = *byte;
    }
    Fingerprint(fingerprint)
}
