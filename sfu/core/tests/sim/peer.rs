//! A simulated WebRTC endpoint: full ICE in the controlling role, DTLS and SRTP, made of other
//! parts than the server's where there are any.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, DtlsCertificate, Output, SrtpProfile};
use klieg_sfu_core::command::{Fingerprint, IceCredentials};
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use srtp::context::Context;
use srtp::protection_profile::ProtectionProfile;
use stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
    AttrType, RawAttribute,
};
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Message, Setter, TransactionId,
};
use stun::textattrs::Username;
use stun::xoraddr::XorMappedAddress;

use super::Parcel;

static CRYPTO: AwsLcRsProvider = AwsLcRsProvider::new();

/// The wait between checks until one is answered.
const CHECK: Duration = Duration::from_millis(50);
/// The wait between checks after that: they renew consent.
const CONSENT: Duration = Duration::from_millis(2500);

/// What a peer is made of.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a test, told apart by name"
)]
#[derive(Clone, Debug)]
pub(crate) struct PeerConfig {
    /// Its own address.
    pub(crate) address: SocketAddr,
    /// The server's address.
    pub(crate) server: SocketAddr,
    /// Its own side of ICE.
    pub(crate) local: IceCredentials,
    /// The server's side of ICE.
    pub(crate) remote: IceCredentials,
    /// The server's certificate; what differs ends the peer.
    pub(crate) fingerprint: Fingerprint,
    /// Whether it sends the `ClientHello` (`a=setup:active`).
    pub(crate) is_active: bool,
    /// When it nominates.
    pub(crate) nomination: Nomination,
    /// Whether its checks carry PRIORITY.
    pub(crate) has_priority: bool,
    /// Whether it takes the controlled role, until it is told that it cannot.
    pub(crate) is_controlled: bool,
    /// Whether it stays in that role all the same.
    pub(crate) is_stubborn: bool,
}

/// When a peer sends USE-CANDIDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nomination {
    /// In every check, as Firefox.
    Aggressive,
    /// Once a check was answered, as Chromium.
    Regular,
    /// Never.
    Never,
}

/// A simulated WebRTC endpoint.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches and findings of a test, told apart by name"
)]
pub(crate) struct Peer {
    /// What it is made of; may be changed between calls: another address is a NAT rebinding,
    /// other credentials are an ICE restart.
    pub(crate) config: PeerConfig,
    /// Whether it sends checks.
    pub(crate) is_checking: bool,
    /// Whether it answers checks of the server.
    pub(crate) is_answering: bool,
    /// Decrypted RTP packets, in the order of arrival.
    pub(crate) rtp: Vec<Vec<u8>>,
    /// Decrypted RTCP compounds, in the order of arrival.
    pub(crate) rtcp: Vec<Vec<u8>>,
    /// Protected packets that came, readable or not.
    pub(crate) media_datagrams: u64,
    /// Protected packets that could not be opened.
    pub(crate) unreadable: u64,
    /// Media that came before the keys.
    pub(crate) early: u64,
    /// Success responses to its checks.
    pub(crate) answered: u64,
    /// Codes of the error responses to its checks.
    pub(crate) errors: Vec<u16>,
    /// Where the server sees it, from the last success response.
    pub(crate) mapped: Option<SocketAddr>,
    /// Whether the server said goodbye.
    pub(crate) is_closed: bool,
    /// Whether its handshake broke, or the server's certificate is another.
    pub(crate) is_failed: bool,
    certificate: DtlsCertificate,
    dtls: dimpl::Dtls,
    has_begun: bool,
    is_trusted: bool,
    srtp: Option<(Context, Context)>,
    checks: Vec<TransactionId>,
    check_at: Instant,
    dtls_at: Option<Instant>,
    outgoing: Vec<Parcel>,
}

impl Peer {
    /// Makes a peer that begins to check at `now`.
    pub(crate) fn new(now: Instant, config: PeerConfig) -> Self {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .expect("the library makes certificates");
        let dtls_config = Config::builder()
            .flight_start_rto(Duration::from_millis(200))
            .flight_retries(9)
            .use_server_cookie(false)
            .build()
            .expect("the library takes its own defaults");
        let mut dtls = dimpl::Dtls::new_12(Arc::new(dtls_config), certificate.clone(), now);
        dtls.set_active(config.is_active);
        Self {
            config,
            is_checking: true,
            is_answering: true,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            media_datagrams: 0,
            unreadable: 0,
            early: 0,
            answered: 0,
            errors: Vec::new(),
            mapped: None,
            is_closed: false,
            is_failed: false,
            certificate,
            dtls,
            has_begun: false,
            is_trusted: false,
            srtp: None,
            checks: Vec::new(),
            check_at: now,
            dtls_at: None,
            outgoing: Vec::new(),
        }
    }

    /// Returns what goes into `a=fingerprint`.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let digest = self.certificate.fingerprint();
        Fingerprint(digest.try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Returns whether it can send and receive media.
    pub(crate) fn is_connected(&self) -> bool {
        self.srtp.is_some() && !self.is_closed && !self.is_failed
    }

    /// Takes a datagram that came to its address.
    pub(crate) fn handle_datagram(&mut self, now: Instant, parcel: &Parcel) {
        match parcel.datagram.first() {
            Some(0..=3) => self.handle_stun(now, parcel),
            Some(20..=63) => {
                self.drive(now, Some(&parcel.datagram));
            }
            Some(128..=191) => self.handle_media(&parcel.datagram),
            _ => {}
        }
    }

    /// Returns a datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Parcel> {
        (!self.outgoing.is_empty()).then(|| self.outgoing.remove(0))
    }

    /// Returns when [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let check = self.is_checking.then_some(self.check_at);
        let dtls = self.dtls_at.filter(|_| self.has_begun && !self.is_failed);
        [check, dtls].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.is_checking && self.check_at <= now {
            self.check(now);
        }
        if self.has_begun && self.dtls_at.is_some_and(|at| at <= now) {
            self.drive(now, None);
        }
    }

    /// Sends a check at once, besides those that are due.
    pub(crate) fn check(&mut self, now: Instant) {
        let wait = if self.answered == 0 { CHECK } else { CONSENT };
        self.check_at = now + wait;
        let datagram = self.binding_request(&self.config.remote.pwd.clone(), &[]);
        self.send(datagram);
    }

    /// Makes a Binding request with further attributes, sealed by `pwd`.
    pub(crate) fn binding_request(&mut self, pwd: &str, more: &[(u16, &[u8])]) -> Vec<u8> {
        let username = format!("{}:{}", self.config.remote.ufrag, self.config.local.ufrag);
        let transaction = TransactionId::new();
        self.checks.push(transaction);
        let raw = |typ: AttrType, value: &[u8]| RawAttribute {
            typ,
            length: 0,
            value: value.into(),
        };
        let mut setters: Vec<Box<dyn Setter>> = vec![
            Box::new(BINDING_REQUEST),
            Box::new(transaction),
            Box::new(Username::new(ATTR_USERNAME, username)),
        ];
        if self.config.has_priority {
            setters.push(Box::new(raw(ATTR_PRIORITY, &[110, 0, 30, 255])));
        }
        let nominates = match self.config.nomination {
            Nomination::Aggressive => true,
            Nomination::Regular => self.answered > 0,
            Nomination::Never => false,
        };
        if nominates && !self.config.is_controlled {
            setters.push(Box::new(raw(ATTR_USE_CANDIDATE, &[])));
        }
        if self.config.is_controlled {
            setters.push(Box::new(raw(ATTR_ICE_CONTROLLED, &[1; 8])));
        } else if !more
            .iter()
            .any(|(typ, _)| AttrType(*typ) == ATTR_ICE_CONTROLLED)
        {
            setters.push(Box::new(raw(ATTR_ICE_CONTROLLING, &[1; 8])));
        }
        for (typ, value) in more {
            setters.push(Box::new(raw(AttrType(*typ), value)));
        }
        seal(setters, pwd)
    }

    /// Protects and sends an RTP packet.
    pub(crate) fn send_rtp(&mut self, packet: &[u8]) {
        let (_, outbound) = self.srtp.as_mut().expect("the peer is connected");
        let sealed = outbound
            .encrypt_rtp(packet)
            .expect("the packet is well formed");
        self.send(sealed.to_vec());
    }

    /// Protects and sends an RTCP compound.
    pub(crate) fn send_rtcp(&mut self, compound: &[u8]) {
        let (_, outbound) = self.srtp.as_mut().expect("the peer is connected");
        let sealed = outbound
            .encrypt_rtcp(compound)
            .expect("the compound is well formed");
        self.send(sealed.to_vec());
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, datagram: Vec<u8>) {
        let (from, to) = (self.config.address, self.config.server);
        self.outgoing.push(Parcel { from, to, datagram });
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, now: Instant) {
        self.is_checking = false;
        self.is_answering = false;
        if self.dtls.close().is_ok() {
            self.drain(now);
        }
    }

    /// Begins the handshake, if that is its to do.
    pub(crate) fn begin(&mut self, now: Instant) {
        if !self.has_begun && self.config.is_active {
            self.drive(now, None);
        }
        self.has_begun = true;
    }

    fn handle_stun(&mut self, now: Instant, parcel: &Parcel) {
        let mut message = Message::default();
        if message.unmarshal_binary(&parcel.datagram).is_err() {
            return;
        }
        let is_proved = |message: &mut Message, pwd: &str| {
            FINGERPRINT.check(message).is_ok()
                && MessageIntegrity::check(message, pwd.as_bytes(), CRYPTO.crypto()).is_ok()
        };
        if message.typ == BINDING_REQUEST {
            let own = format!("{}:", self.config.local.ufrag);
            let name = message.get(ATTR_USERNAME).unwrap_or_default();
            let is_ours =
                name.starts_with(own.as_bytes()) && is_proved(&mut message, &self.config.local.pwd);
            if is_ours && self.is_answering {
                let mapped = XorMappedAddress {
                    ip: parcel.from.ip(),
                    port: parcel.from.port(),
                };
                let setters: Vec<Box<dyn Setter>> = vec![
                    Box::new(BINDING_SUCCESS),
                    Box::new(message.transaction_id),
                    Box::new(mapped),
                ];
                self.send(seal(setters, &self.config.local.pwd));
            }
            return;
        }
        let is_ours = self.checks.contains(&message.transaction_id);
        if !is_ours || !is_proved(&mut message, &self.config.remote.pwd) {
            return;
        }
        if message.typ == BINDING_ERROR {
            let mut code = stun::error_code::ErrorCodeAttribute::default();
            if stun::message::Getter::get_from(&mut code, &message).is_ok() {
                self.errors.push(code.code.0);
                if code.code.0 == 487 && !self.config.is_stubborn {
                    let changes = std::mem::take(&mut self.config.is_controlled);
                    if changes {
                        self.check(now);
                    }
                }
            }
        } else if message.typ == BINDING_SUCCESS {
            let mut mapped = XorMappedAddress::default();
            if stun::message::Getter::get_from(&mut mapped, &message).is_ok() {
                self.mapped = Some(SocketAddr::new(mapped.ip, mapped.port));
            }
            self.answered += 1;
            if self.answered == 1 {
                // Nominates soon after the first answer, as browsers do.
                self.check_at = now + CHECK;
            }
            self.begin(now);
        }
    }

    fn handle_media(&mut self, datagram: &[u8]) {
        self.media_datagrams += 1;
        let is_rtcp = matches!(datagram.get(1), Some(192..=223));
        let Some((inbound, _)) = self.srtp.as_mut() else {
            // The flight with which the server ended its handshake was lost.
            self.early += 1;
            return;
        };
        let opened = if is_rtcp {
            inbound.decrypt_rtcp(datagram)
        } else {
            inbound.decrypt_rtp(datagram)
        };
        match opened {
            Ok(packet) if is_rtcp => self.rtcp.push(packet.to_vec()),
            Ok(packet) => self.rtp.push(packet.to_vec()),
            Err(_) => self.unreadable += 1,
        }
    }

    fn drive(&mut self, now: Instant, datagram: Option<&[u8]>) {
        if self.is_failed {
            return;
        }
        self.has_begun = true;
        let mut worked = self.dtls.handle_timeout(now);
        self.drain(now);
        if let Some(datagram) = datagram.filter(|_| worked.is_ok()) {
            worked = self.dtls.handle_packet(datagram);
            self.drain(now);
        }
        self.is_failed |= worked.is_err();
    }

    fn drain(&mut self, now: Instant) {
        let mut buffer = vec![0; 4096];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(datagram) => {
                    let datagram = datagram.to_vec();
                    self.send(datagram);
                }
                Output::PeerCert(certificate) => {
                    let digest = dimpl::certificate::calculate_fingerprint(certificate);
                    self.is_trusted = digest == self.config.fingerprint.0;
                    self.is_failed |= !self.is_trusted;
                }
                Output::KeyingMaterial(material, profile) if self.is_trusted => {
                    self.srtp = Some(contexts(profile, &material, self.config.is_active));
                }
                Output::CloseNotify => self.is_closed = true,
                Output::Timeout(at) => {
                    self.dtls_at = Some(at).filter(|&at| at < now + Duration::from_secs(600));
                    return;
                }
                Output::BufferTooSmall { .. }
                | Output::Connected
                | Output::KeyingMaterial(..)
                | Output::ApplicationData(_)
                | _ => {}
            }
        }
    }
}

/// Seals a message by its password and a fingerprint.
pub(crate) fn seal(mut setters: Vec<Box<dyn Setter>>, pwd: &str) -> Vec<u8> {
    let pwd = pwd.to_owned();
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(pwd, CRYPTO.crypto());
    setters.push(Box::new(integrity));
    setters.push(Box::new(FINGERPRINT));
    let mut message = Message::new();
    message
        .build(&setters)
        .expect("the attributes are well formed");
    message.raw
}

/// Makes the contexts for what arrives and for what is sent.
fn contexts(profile: SrtpProfile, material: &[u8], is_client: bool) -> (Context, Context) {
    let (profile, key_len, salt_len) = match profile {
        SrtpProfile::AEAD_AES_128_GCM => (ProtectionProfile::AeadAes128Gcm, 16, 12),
        SrtpProfile::AEAD_AES_256_GCM => (ProtectionProfile::AeadAes256Gcm, 32, 12),
        SrtpProfile::AES128_CM_SHA1_80 | _ => (ProtectionProfile::Aes128CmHmacSha1_80, 16, 14),
    };
    let (keys, salts) = material.split_at(2 * key_len);
    let (client, server) = (
        (&keys[..key_len], &salts[..salt_len]),
        (&keys[key_len..], &salts[salt_len..2 * salt_len]),
    );
    let (inbound, outbound) = if is_client {
        (server, client)
    } else {
        (client, server)
    };
    let context = |(key, salt): (&[u8], &[u8])| {
        Context::new(key, salt, profile, None, None, CRYPTO.crypto()).expect("the lengths fit")
    };
    (context(inbound), context(outbound))
}
