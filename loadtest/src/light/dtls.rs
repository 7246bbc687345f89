//! DTLS 1.2 of one peer and the SRTP keys that it exports (RFC 6347; RFC 5764).

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use dimpl::{Config, DtlsCertificate, Output};

use super::srtp::Keys;

/// The certificate that all peers of this process share, so that none pays for its own.
pub(crate) struct Identity {
    certificate: DtlsCertificate,
    config: Arc<Config>,
    /// As `a=fingerprint:sha-256` carries it.
    pub(crate) fingerprint: String,
}

impl Identity {
    /// Makes a key and a self-signed certificate.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .ok()
            .context("no certificate could be made")?;
        let config = Config::builder()
            .use_server_cookie(false)
            .require_client_certificate(true)
            .build()
            .ok()
            .context("DTLS could not be configured")?;
        let fingerprint = fingerprint(&certificate.certificate);
        Ok(Self {
            certificate,
            config: Arc::new(config),
            fingerprint,
        })
    }
}

/// The handshake and what follows it.
pub(crate) struct Dtls {
    engine: Box<dimpl::Dtls>,
    is_client: bool,
    /// That of the session description.
    expected: String,
    /// Whether the peer's certificate was that one.
    is_proved: bool,
    /// When the library wants to be woken; `None` when it waits for the peer.
    wake_at: Option<Instant>,
}

/// What came of a datagram or of time.
#[derive(Default)]
pub(crate) struct Progress {
    /// Datagrams to send.
    pub(crate) flight: Vec<Vec<u8>>,
    /// There once, when the handshake is done.
    pub(crate) keys: Option<Keys>,
    /// The server said goodbye.
    pub(crate) closed: bool,
    /// It will come to nothing, and why.
    pub(crate) failed: Option<&'static str>,
}

impl Dtls {
    /// Prepares a handshake with whoever has this fingerprint.
    pub(crate) fn new(
        identity: &Identity,
        is_client: bool,
        expected: String,
        now: Instant,
    ) -> Self {
        let config = Arc::clone(&identity.config);
        let mut engine = Box::new(dimpl::Dtls::new_12(
            config,
            identity.certificate.clone(),
            now,
        ));
        engine.set_active(is_client);
        Self {
            engine,
            is_client,
            expected,
            is_proved: false,
            wake_at: None,
        }
    }

    /// Takes a datagram, or begins where there is none.
    pub(crate) fn handle(&mut self, datagram: Option<&[u8]>, now: Instant) -> Progress {
        let mut progress = Progress::default();
        let mut worked = self.engine.handle_timeout(now);
        self.drain(&mut progress);
        if let (Some(datagram), Ok(())) = (datagram, &worked) {
            worked = self.engine.handle_packet(datagram);
            self.drain(&mut progress);
        }
        if worked.is_err() {
            progress.failed = Some("the DTLS handshake failed");
        }
        progress
    }

    /// Returns whether the library wants to be called.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.wake_at.is_some_and(|at| at <= now)
    }

    /// Returns the goodbye.
    pub(crate) fn close(&mut self) -> Vec<Vec<u8>> {
        let mut progress = Progress::default();
        if self.engine.close().is_ok() {
            self.drain(&mut progress);
        }
        progress.flight
    }

    fn drain(&mut self, progress: &mut Progress) {
        let mut buffer = [0; DATAGRAM_LEN];
        for _ in 0..MAX_OUTPUTS {
            match self.engine.poll_output(&mut buffer) {
                Output::Packet(datagram) => progress.flight.push(datagram.to_vec()),
                Output::PeerCert(certificate) => {
                    self.is_proved = fingerprint(certificate).eq_ignore_ascii_case(&self.expected);
                }
                Output::KeyingMaterial(material, profile) => {
                    match Keys::new(profile, &material, self.is_client) {
                        Some(keys) if self.is_proved => progress.keys = Some(keys),
                        Some(_) => progress.failed = Some("the certificate is another one"),
                        None => progress.failed = Some("the SRTP profile is unknown"),
                    }
                }
                Output::CloseNotify => progress.closed = true,
                Output::Timeout(at) => {
                    self.wake_at = Some(at);
                    return;
                }
                Output::BufferTooSmall { .. } => {
                    progress.failed = Some("a DTLS datagram is too long");
                    return;
                }
                Output::Connected | Output::ApplicationData(_) | _ => {}
            }
        }
    }
}

/// Room for a datagram of a flight.
const DATAGRAM_LEN: usize = 2048;
/// Outputs of one input: far more than a flight has.
const MAX_OUTPUTS: usize = 64;

fn fingerprint(certificate: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let pairs: Vec<_> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_export_the_same_keys() {
        let now = Instant::now();
        let identity = Identity::generate().unwrap();
        let print = identity.fingerprint.clone();
        let mut client = Dtls::new(&identity, true, print.to_lowercase(), now);
        let mut server = Dtls::new(&identity, false, print, now);
        let (mut keys, mut to_server) = (Vec::new(), client.handle(None, now).flight);
        for _ in 0..10 {
            let mut to_client = Vec::new();
            for datagram in &to_server {
                let progress = server.handle(Some(datagram), now);
                to_client.extend(progress.flight);
                keys.extend(progress.keys);
            }
            to_server.clear();
            for datagram in &to_client {
                let progress = client.handle(Some(datagram), now);
                to_server.extend(progress.flight);
                keys.extend(progress.keys);
            }
        }
        let [one, other] = &mut keys[..] else {
            panic!("{} ends have keys", keys.len());
        };
        let plain = [&[0x80, 96, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7][..], &[5; 100]].concat();
        let sealed = one.seal_rtp(&plain).unwrap();
        assert_eq!(other.open_rtp(&sealed).unwrap(), plain);
    }

    #[test]
    fn another_certificate_ends_the_handshake() {
        let now = Instant::now();
        let identity = Identity::generate().unwrap();
        let mut client = Dtls::new(&identity, true, "00:11".into(), now);
        let mut server = Dtls::new(&identity, false, identity.fingerprint.clone(), now);
        let (mut failed, mut to_server) = (None, client.handle(None, now).flight);
        for _ in 0..10 {
            let to_client: Vec<_> = to_server
                .drain(..)
                .flat_map(|datagram| server.handle(Some(&datagram), now).flight)
                .collect();
            for datagram in &to_client {
                let progress = client.handle(Some(datagram), now);
                to_server.extend(progress.flight);
                failed = failed.or(progress.failed);
                assert!(progress.keys.is_none());
            }
        }
        assert_eq!(failed, Some("the certificate is another one"));
    }
}
