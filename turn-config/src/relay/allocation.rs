//! One client's allocation: its relayed address, whom it may send to, and until when (RFC 8656, section 5).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Client;
use super::auth::Login;

/// What one client has here.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) client: Client,
    /// Whose it is; nobody else's credential changes it.
    pub(crate) login: Login,
    /// The request that made it, which may come again.
    pub(crate) made_by: [u8; 12],
    /// The address at which peers see the client; `None` until a socket is open.
    pub(crate) relayed: Option<SocketAddr>,
    /// When it ends, if it is not refreshed.
    pub(crate) expires: Instant,
    /// Until when each address may be sent to and taken from; at most [`MAX_PERMISSIONS`].
    permissions: BTreeMap<IpAddr, Instant>,
    /// What channels are bound to, and until when; at most [`MAX_CHANNELS`].
    channels: BTreeMap<u16, Binding>,
    pub(crate) to_peers: Bucket,
    pub(crate) to_client: Bucket,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    peer: SocketAddr,
    until: Instant,
}

/// Why a channel or a permission cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unbound {
    /// The number belongs to another peer, or the peer has another number.
    Taken,
    /// There are as many as there may be.
    Full,
}

impl Allocation {
    /// Begins one without a socket.
    pub(crate) fn new(
        client: Client,
        login: Login,
        made_by: [u8; 12],
        now: Instant,
        bytes_per_second: u64,
    ) -> Self {
        let expires = (now + LIFETIME).min(login.until);
        Self {
            client,
            login,
            made_by,
            relayed: None,
            expires,
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            to_peers: Bucket::new(bytes_per_second, now),
            to_client: Bucket::new(bytes_per_second, now),
        }
    }

    /// Prolongs it, but not beyond the credential.
    pub(crate) fn refresh(&mut self, now: Instant) {
        self.expires = (now + LIFETIME).min(self.login.until);
    }

    /// Returns how long it has, to the nearest second.
    pub(crate) fn left_s(&self, now: Instant) -> u32 {
        let left = self.expires.saturating_duration_since(now) + Duration::from_millis(500);
        u32::try_from(left.as_secs()).unwrap_or(u32::MAX)
    }

    /// Lets all of these addresses be sent to, or none.
    ///
    /// # Errors
    /// There would be too many.
    pub(crate) fn permit(&mut self, now: Instant, addresses: &[IpAddr]) -> Result<(), Unbound> {
        self.permissions.retain(|_, until| *until > now);
        let mut permissions = self.permissions.clone();
        permissions.extend(addresses.iter().map(|ip| (*ip, now + PERMISSION)));
        if permissions.len() > MAX_PERMISSIONS {
            return Err(Unbound::Full);
        }
        self.permissions = permissions;
        Ok(())
    }

    pub(crate) fn has_permission(&self, now: Instant, address: IpAddr) -> bool {
        let until = self.permissions.get(&address);
        until.is_some_and(|until| *until > now)
    }

    /// Binds a channel, or binds it again, and permits its peer.
    ///
    /// # Errors
    /// Number or peer are bound otherwise, or there would be too many.
    pub(crate) fn bind(
        &mut self,
        now: Instant,
        number: u16,
        peer: SocketAddr,
    ) -> Result<(), Unbound> {
        self.channels.retain(|_, binding| binding.until > now);
        let of_peer = self.channel_of(now, peer);
        let of_number = self.peer_of(now, number);
        if of_peer.is_some_and(|it| it != number) || of_number.is_some_and(|it| it != peer) {
            return Err(Unbound::Taken);
        }
        if of_number.is_none() && self.channels.len() >= MAX_CHANNELS {
            return Err(Unbound::Full);
        }
        self.permit(now, &[peer.ip()])?;
        let until = now + CHANNEL;
        self.channels.insert(number, Binding { peer, until });
        Ok(())
    }

    /// Returns the peer that a channel leads to.
    pub(crate) fn peer_of(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        let binding = self.channels.get(&number)?;
        (binding.until > now).then_some(binding.peer)
    }

    /// Returns the channel that leads to a peer.
    pub(crate) fn channel_of(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let mut channels = self.channels.iter();
        let found = channels.find(|(_, it)| it.peer == peer && it.until > now);
        found.map(|(number, _)| *number)
    }
}

/// How many bytes may pass in one direction.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    /// What may pass at once; at most what a second brings.
    left: u64,
    /// When it was last filled.
    filled: Instant,
}

impl Bucket {
    fn new(per_second: u64, now: Instant) -> Self {
        Self {
            per_second,
            left: per_second,
            filled: now,
        }
    }

    /// Returns whether so many bytes may pass, and counts them if they may, with what carries them.
    pub(crate) fn take(&mut self, now: Instant, bytes: usize) -> bool {
        let since = now.saturating_duration_since(self.filled);
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let more = micros.saturating_mul(self.per_second) / 1_000_000;
        // What is less than a byte goes on growing.
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.per_second);
            self.filled = now;
        }
        let left = u64::try_from(bytes.saturating_add(HEADERS))
            .ok()
            .and_then(|it| self.left.checked_sub(it));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

/// Headers of a datagram: IP, UDP and a Data indication. Without them what carries nothing would cost nothing.
const HEADERS: usize = 64;

/// How long an allocation holds without a refresh: what RFC 8656, section 7.2, has as the least, and no client needs more.
const LIFETIME: Duration = Duration::from_secs(600);

/// RFC 8656, section 9.
const PERMISSION: Duration = Duration::from_secs(300);

/// RFC 8656, section 12.
const CHANNEL: Duration = Duration::from_secs(600);

/// A client has one for each address of the server; more are somebody's who tries addresses.
pub(crate) const MAX_PERMISSIONS: usize = 32;

/// As many peers as permissions.
pub(crate) const MAX_CHANNELS: usize = 32;
