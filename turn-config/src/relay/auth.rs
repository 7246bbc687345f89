//! Who may use the relay: nonces that go stale, and credentials that carry their own end (RFC 8489, section 9.2.4).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::wire::{self, Incoming};
use super::{Client, Clock};
use crate::credential::password;
use crate::{REALM, Secret};

/// What proves and refuses.
#[derive(Debug)]
pub(crate) struct Authority {
    secret: Secret,
    /// Makes nonces; another after each start.
    key: hmac::Key,
    begun: Instant,
}

/// Somebody who has shown that they hold a credential.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) username: String,
    /// The part of the name that quotas go by.
    pub(crate) identity: String,
    /// When the credential ends.
    pub(crate) until: Instant,
    /// Seals the answers.
    pub(crate) key: Vec<u8>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Why somebody is not let in; a label of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// They have not shown anything yet, as the first request of all does.
    Anonymous,
    /// The user name, the realm or the nonce is missing.
    Incomplete,
    /// The nonce is old, another address's, or none of ours.
    StaleNonce,
    /// The user name is none of ours.
    Malformed,
    /// The credential has run out.
    Expired,
    /// The password is wrong.
    Wrong,
}

impl Denied {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Incomplete => "incomplete",
            Self::StaleNonce => "stale_nonce",
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::Wrong => "wrong_password",
        }
    }

    /// Returns the code, and whether realm and nonce go with it.
    pub(crate) fn code(self) -> (u16, bool) {
        match self {
            Self::Incomplete => (400, false),
            Self::StaleNonce => (438, true),
            Self::Anonymous | Self::Malformed | Self::Expired | Self::Wrong => (401, true),
        }
    }
}

impl Authority {
    /// # Errors
    /// There is no randomness.
    pub(crate) fn new(secret: Secret, now: Instant) -> Result<Self, Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        Ok(Self {
            secret,
            key,
            begun: now,
        })
    }

    /// Returns a nonce for a client: twelve characters, so that the answer that carries it is short.
    pub(crate) fn nonce(&self, now: Instant, client: Client) -> String {
        URL_SAFE_NO_PAD.encode(self.nonce_of(self.minute(now), client))
    }

    /// Returns who sent the request.
    ///
    /// # Errors
    /// Why they are not let in.
    pub(crate) fn authenticate(
        &self,
        clock: Clock,
        client: Client,
        request: &Incoming<'_>,
    ) -> Result<Login, Denied> {
        if !request.has_integrity {
            return Err(Denied::Anonymous);
        }
        let (Some(username), Some(nonce), true) =
            (request.username, request.nonce, request.has_realm)
        else {
            return Err(Denied::Incomplete);
        };
        if !self.is_fresh(clock.now, client, nonce) {
            return Err(Denied::StaleNonce);
        }
        let (expires_at_s, identity) = username.split_once(':').ok_or(Denied::Malformed)?;
        let expires_at_s: u64 = expires_at_s.parse().map_err(|_| Denied::Malformed)?;
        let password = password(&self.secret, username);
        let key = wire::key(username, REALM, password).ok_or(Denied::Wrong)?;
        if !request.is_authentic(&key) {
            return Err(Denied::Wrong);
        }
        let left_s = expires_at_s.saturating_sub(clock.unix_s);
        if left_s == 0 {
            return Err(Denied::Expired);
        }
        Ok(Login {
            username: username.to_owned(),
            identity: identity.to_owned(),
            until: clock.now + Duration::from_secs(left_s.min(FAR_S)),
            key,
        })
    }

    fn is_fresh(&self, now: Instant, client: Client, nonce: &[u8]) -> bool {
        let Ok(nonce) = URL_SAFE_NO_PAD.decode(nonce) else {
            return false;
        };
        let Some(&[m0, m1]) = nonce.first_chunk() else {
            return false;
        };
        let minute = u16::from_be_bytes([m0, m1]);
        let expected = self.nonce_of(minute, client);
        let age = self.minute(now).wrapping_sub(minute);
        age < NONCE_MINUTES
            && aws_lc_rs::constant_time::verify_slices_are_equal(&nonce, &expected).is_ok()
    }

    /// Whoever has it has received something at that address lately: no state is kept for it.
    fn nonce_of(&self, minute: u16, client: Client) -> [u8; NONCE_LEN] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&minute.to_be_bytes());
        match client.remote.ip().to_canonical() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.update(&client.remote.port().to_be_bytes());
        context.update(&client.connection.unwrap_or(0).to_be_bytes());
        let tag = context.sign();
        let mut nonce = [0; NONCE_LEN];
        let parts = minute
            .to_be_bytes()
            .into_iter()
            .chain(tag.as_ref().iter().copied());
        for (place, byte) in nonce.iter_mut().zip(parts) {
            *place = byte;
        }
        nonce
    }

    fn minute(&self, now: Instant) -> u16 {
        let minutes = now.saturating_duration_since(self.begun).as_secs() / 60;
        // It begins anew after 45 days, when whatever was made before is old.
        u16::try_from(minutes % (1 << 16)).unwrap_or(0)
    }
}

/// Two bytes of time and seven that nobody else can make.
const NONCE_LEN: usize = 9;

/// A nonce holds for nine to ten minutes.
const NONCE_MINUTES: u16 = 10;

/// Nothing is planned further ahead.
const FAR_S: u64 = 30 * 24 * 60 * 60;
