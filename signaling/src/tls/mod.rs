//! TLS for those who come by HTTP: whose certificate they are shown, and how a handshake is bounded.

pub(crate) mod front;

pub(crate) mod certificate;

pub(crate) mod files;

pub(crate) mod handshake;

pub(crate) mod acme;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, ProducesTickets};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tracing::{error, info, warn};

use self::certificate::{Certificate, SOON};
use crate::metrics;
use crate::time::Timestamp;

/// What clients are shown.
#[derive(Debug)]
pub(crate) struct Tls {
    /// What everybody is shown; `None` until there is a certificate.
    shown: RwLock<Option<Shown>>,
    /// What an authority is shown that looks whether a name is ours, by name; empty but during an order.
    challenges: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
    /// Sessions are resumed by what clients keep: thousands that come back after a restart of the network cost no
    /// signatures.
    tickets: Arc<dyn ProducesTickets>,
    pub(crate) metrics: metrics::Tls,
}

#[derive(Debug)]
struct Shown {
    config: Arc<ServerConfig>,
    valid_until: Timestamp,
    /// When it was last said that it is about to expire; `None`: never.
    said: Option<Timestamp>,
}

impl Tls {
    /// Begins without a certificate.
    ///
    /// # Errors
    /// There is no randomness.
    pub(crate) fn new(metrics: metrics::Tls) -> Result<Self, rustls::Error> {
        Ok(Self {
            shown: RwLock::new(None),
            challenges: Mutex::default(),
            tickets: Ticketer::new()?,
            metrics,
        })
    }

    /// Shows a certificate from now on. Connections that there are go on with what they were shown.
    ///
    /// # Errors
    /// The library does not take it.
    pub(crate) fn show(&self, certificate: &Certificate) -> Result<(), rustls::Error> {
        let mut config = config(certificate.key.clone(), &[HTTP, TURN])?;
        config.ticketer = Arc::clone(&self.tickets);
        let valid_until = certificate.valid_until;
        self.metrics
            .expires
            .set(i64::try_from(valid_until.seconds()).unwrap_or(i64::MAX));
        let names = certificate.names.join(" ");
        info!(%names, %valid_until, "certificate is shown");
        let shown = Shown {
            config: Arc::new(config),
            valid_until,
            said: None,
        };
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        self.warn_of_end();
        Ok(())
    }

    /// Returns whether the certificate that is shown holds at `now`.
    fn holds(&self, now: Timestamp) -> bool {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref().is_some_and(|shown| shown.valid_until > now)
    }

    /// Says once a day that the certificate is about to expire, or has.
    pub(crate) fn warn_of_end(&self) {
        let now = Timestamp::now();
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let Some(shown) = &mut *shown else { return };
        let said_today = shown.said.is_some_and(|said| now.since(said) < DAY);
        if shown.valid_until > now.plus(SOON) || said_today {
            return;
        }
        shown.said = Some(now);
        let valid_until = shown.valid_until;
        if valid_until <= now {
            error!(%valid_until, "certificate has expired: clients refuse it");
        } else {
            warn!(%valid_until, "certificate is about to expire");
        }
    }

    /// Shows an authority that a name is ours (RFC 8737).
    ///
    /// # Errors
    /// The library does not take it.
    fn answer(&self, name: &str, certificate: CertifiedKey) -> Result<(), rustls::Error> {
        let config = Arc::new(config(Arc::new(certificate), &[CHALLENGE])?);
        let mut challenges = self.challenges();
        challenges.insert(name.to_owned(), config);
        Ok(())
    }

    fn forget_challenges(&self) {
        self.challenges().clear();
    }

    fn challenges(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<ServerConfig>>> {
        self.challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what a client is shown; `None` where there is nothing for it.
    fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if is_challenge(hello) {
            let name = hello.server_name().unwrap_or_default();
            return self.challenges().get(name).cloned();
        }
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref().map(|shown| Arc::clone(&shown.config))
    }
}

/// Returns whether an authority asks, who wants nothing but the handshake.
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    let mut protocols = hello.alpn().into_iter().flatten();
    protocols.next() == Some(CHALLENGE) && protocols.next().is_none()
}

fn config(key: Arc<CertifiedKey>, protocols: &[&[u8]]) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    Ok(config)
}

/// What is spoken here, as ALPN has it (RFC 7301).
const HTTP: &[u8] = b"http/1.1";

/// What the relay's clients say that they speak, where they say anything (RFC 7443).
pub(crate) const TURN: &[u8] = b"stun.turn";

/// What authorities speak (RFC 8737).
const CHALLENGE: &[u8] = b"acme-tls/1";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
