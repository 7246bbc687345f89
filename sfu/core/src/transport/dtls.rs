//! One peer's DTLS 1.2, whose work a helper thread does (RFC 6347; RFC 5763, section 5; RFC 5764).

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::Output;

use super::identity::{Identity, fingerprint};
use super::last_flight::LastFlight;
use super::srtp::Srtp;
use crate::command::{DtlsRole, Fingerprint};

/// Datagrams that wait for a handshake which is away on a helper; what comes on top is dropped.
pub const MAX_WAITING: usize = 16;
/// A handshake that takes longer is over.
pub const HANDSHAKE: Duration = Duration::from_secs(30);
/// Room for a datagram of a flight.
const DATAGRAM_LEN: usize = 2048;
/// Outputs of one input: far more than a flight has.
const MAX_OUTPUTS: usize = 64;

/// Where the library's state is.
enum Engine {
    /// Made by the first job.
    Unmade,
    /// At rest.
    Here(Box<dimpl::Dtls>),
    /// On a helper.
    Away,
    /// Dropped, with the sealed goodbye of that moment.
    Gone { goodbye: Vec<Vec<u8>> },
}

/// DTLS of one peer: collects work for a helper and takes back what came of it.
pub(super) struct Dtls {
    identity: Arc<Identity>,
    role: DtlsRole,
    engine: Engine,
    /// Datagrams for the next job, at most [`MAX_WAITING`].
    waiting: Vec<Vec<u8>>,
    /// When the library wants to be woken; `None` when it waits for the peer.
    wake_at: Option<Instant>,
    /// Whether the next job is due without a datagram: to begin, or because the time has come.
    is_due: bool,
    /// Whether to say goodbye when the state comes back.
    is_closing: bool,
    /// Whether the state is dropped as soon as the handshake is finished.
    is_lean: bool,
    /// What the server sent last, for a peer that has not got it.
    pub(super) last_flight: LastFlight,
}

impl Dtls {
    pub(super) fn new(identity: Arc<Identity>) -> Self {
        Self {
            identity,
            role: DtlsRole::Server,
            engine: Engine::Unmade,
            waiting: Vec::new(),
            wake_at: None,
            is_due: false,
            is_closing: false,
            is_lean: false,
            last_flight: LastFlight::default(),
        }
    }

    /// Has the state dropped as soon as the handshake is finished. A goodbye of the peer is not proved then.
    pub(super) fn be_lean(&mut self) {
        self.is_lean = true;
    }

    /// Chooses the role; ignored once the handshake has begun.
    pub(super) fn set_role(&mut self, role: DtlsRole) {
        if matches!(self.engine, Engine::Unmade) && self.waiting.is_empty() {
            self.role = role;
        }
    }

    /// Sends the `ClientHello` if that is ours to do. Called when there is a path.
    pub(super) fn begin(&mut self) {
        if self.role == DtlsRole::Client && matches!(self.engine, Engine::Unmade) {
            self.is_due = true;
        }
    }

    /// Takes a datagram for the next job; returns `false` when there is no room or no use for it.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8]) -> bool {
        if self.is_gone() || self.waiting.len() >= MAX_WAITING {
            return false;
        }
        self.waiting.push(datagram.to_vec());
        true
    }

    /// Returns whether the state was dropped.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.engine, Engine::Gone { .. })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
            .filter(|_| matches!(self.engine, Engine::Here(_)))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
            self.is_due = true;
        }
    }

    /// Returns work for a helper, at most one job at a time.
    pub(super) fn poll_job(&mut self) -> Option<HandshakeJob> {
        if self.waiting.is_empty() && !self.is_due {
            return None;
        }
        let engine = match std::mem::replace(&mut self.engine, Engine::Away) {
            Engine::Unmade => None,
            Engine::Here(engine) => Some(engine),
            other @ (Engine::Away | Engine::Gone { .. }) => {
                self.engine = other;
                return None;
            }
        };
        self.is_due = false;
        Some(HandshakeJob {
            engine,
            identity: Arc::clone(&self.identity),
            role: self.role,
            is_lean: self.is_lean,
            datagrams: std::mem::take(&mut self.waiting),
        })
    }

    /// Takes the state back; returns datagrams to send besides those of `done`.
    pub(super) fn handle_done(&mut self, done: &mut HandshakeDone) -> Vec<Vec<u8>> {
        if !matches!(self.engine, Engine::Away) {
            return Vec::new();
        }
        self.wake_at = done.wake_at;
        self.engine = match done.engine.take() {
            Some(engine) => Engine::Here(engine),
            None => Engine::Gone {
                goodbye: std::mem::take(&mut done.goodbye),
            },
        };
        if self.is_gone() {
            self.waiting = Vec::new();
        }
        if done.connected && self.role == DtlsRole::Server {
            self.last_flight.keep(&done.flight);
        }
        if self.is_closing {
            self.close()
        } else {
            Vec::new()
        }
    }

    /// Drops the state, keeping only a sealed `close_notify`; `false` while it is away.
    ///
    /// The goodbye can be sealed early because nothing else will be sent under its key.
    pub(super) fn retire(&mut self) -> bool {
        match std::mem::replace(&mut self.engine, Engine::Away) {
            Engine::Away => return false,
            Engine::Unmade => {
                self.engine = Engine::Gone {
                    goodbye: Vec::new(),
                }
            }
            Engine::Here(engine) => {
                self.engine = Engine::Gone {
                    goodbye: say_goodbye(*engine),
                }
            }
            gone @ Engine::Gone { .. } => self.engine = gone,
        }
        self.waiting = Vec::new();
        self.wake_at = None;
        self.is_due = false;
        true
    }

    /// Returns the `close_notify` to send; later, by [`Self::handle_done`], if the state is away.
    pub(super) fn close(&mut self) -> Vec<Vec<u8>> {
        self.is_closing = !self.retire();
        match &mut self.engine {
            Engine::Gone { goodbye } => std::mem::take(goodbye),
            Engine::Unmade | Engine::Here(_) | Engine::Away => Vec::new(),
        }
    }
}

/// Work on one peer's handshake, for a helper thread: signatures and key agreement, some 0.2 ms.
pub struct HandshakeJob {
    /// `None` makes it.
    engine: Option<Box<dimpl::Dtls>>,
    identity: Arc<Identity>,
    role: DtlsRole,
    /// Whether to drop the state once the handshake is finished.
    is_lean: bool,
    datagrams: Vec<Vec<u8>>,
}

impl std::fmt::Debug for HandshakeJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeJob")
            .field("role", &self.role)
            .field("datagrams", &self.datagrams.len())
            .finish_non_exhaustive()
    }
}

impl HandshakeJob {
    /// Does the work.
    pub fn run(self, now: Instant) -> HandshakeDone {
        let mut engine = self.engine.unwrap_or_else(|| {
            let config = Arc::clone(&self.identity.config);
            let certificate = self.identity.certificate.clone();
            let mut engine = Box::new(dimpl::Dtls::new_12(config, certificate, now));
            engine.set_active(self.role == DtlsRole::Client);
            engine
        });
        let mut done = HandshakeDone::default();
        let mut worked = engine.handle_timeout(now);
        done.drain(&mut engine, self.role, now);
        for datagram in &self.datagrams {
            if worked.is_err() {
                break;
            }
            worked = engine.handle_packet(datagram);
            done.drain(&mut engine, self.role, now);
        }
        done.failed = worked.is_err();
        if worked.is_ok() && done.connected && self.is_lean {
            done.goodbye = say_goodbye(*engine);
        } else {
            done.engine = worked.is_ok().then_some(engine);
        }
        done
    }
}

/// What came of a job.
#[derive(Default)]
pub struct HandshakeDone {
    /// `None` after a failure, and where it is dropped at the end of the handshake: the library's state is of
    /// no more use.
    engine: Option<Box<dimpl::Dtls>>,
    /// The sealed goodbye where the state was dropped: one record.
    goodbye: Vec<Vec<u8>>,
    /// Datagrams to send; what came of at most [`MAX_WAITING`] inputs, [`MAX_OUTPUTS`] of each.
    pub(super) flight: Vec<Vec<u8>>,
    /// The peer's certificate, when it came in this job; proved only with `connected`.
    pub(super) certificate: Option<Fingerprint>,
    /// The handshake finished in this job.
    pub(super) connected: bool,
    /// The keys of the handshake that finished; `None` without `use_srtp`.
    pub(super) srtp: Option<Box<Srtp>>,
    /// The peer said goodbye.
    pub(super) closed: bool,
    /// The handshake, or what follows it, broke.
    pub(super) failed: bool,
    /// When the library wants to be woken.
    wake_at: Option<Instant>,
}

impl std::fmt::Debug for HandshakeDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeDone")
            .field("flight", &self.flight.len())
            .field("connected", &self.connected)
            .field("closed", &self.closed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl HandshakeDone {
    fn drain(&mut self, engine: &mut dimpl::Dtls, role: DtlsRole, now: Instant) {
        let mut buffer = vec![0; DATAGRAM_LEN];
        for _ in 0..MAX_OUTPUTS {
            let mut more = 0;
            match engine.poll_output(&mut buffer) {
                Output::Packet(datagram) => self.flight.push(datagram.to_vec()),
                Output::PeerCert(certificate) => self.certificate = Some(fingerprint(certificate)),
                Output::Connected => self.connected = true,
                Output::KeyingMaterial(material, profile) => {
                    self.srtp = Srtp::new(profile, &material, role).map(Box::new);
                }
                Output::CloseNotify => self.closed = true,
                Output::BufferTooSmall { needed } => more = needed,
                Output::Timeout(at) => {
                    // Far away means never.
                    self.wake_at = Some(at).filter(|&at| at < now + HANDSHAKE * 2);
                    return;
                }
                // Data channels are not offered: what comes on one is nobody's.
                Output::ApplicationData(_) | _ => {}
            }
            if more > buffer.len() {
                buffer.resize(more, 0);
            }
        }
    }
}

/// Returns whether a datagram begins with an alert under the negotiated keys, which is what a goodbye is.
pub(super) fn is_sealed_alert(datagram: &[u8]) -> bool {
    matches!(datagram, &[21, _, _, epoch_high, epoch_low, ..] if (epoch_high, epoch_low) != (0, 0))
}

fn say_goodbye(mut engine: dimpl::Dtls) -> Vec<Vec<u8>> {
    let mut goodbye = Vec::new();
    let mut buffer = vec![0; DATAGRAM_LEN];
    if engine.close().is_ok() {
        for _ in 0..MAX_OUTPUTS {
            match engine.poll_output(&mut buffer) {
                Output::Packet(datagram) => goodbye.push(datagram.to_vec()),
                Output::Timeout(_) => break,
                Output::BufferTooSmall { .. }
                | Output::PeerCert(_)
                | Output::Connected
                | Output::KeyingMaterial(..)
                | Output::CloseNotify
                | Output::ApplicationData(_)
                | _ => {}
            }
        }
    }
    goodbye
}
