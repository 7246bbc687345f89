//! A pair of addresses between which a check arrived: what is known of it and what it is owed.

use std::time::{Duration, Instant};

use super::ice::CONSENT;
use crate::command::Path;

/// Bytes sent per byte received until an address has shown that it receives.
const AMPLIFICATION: u64 = 3;
/// First wait for the answer to a check of ours; doubles up to [`CHECK_CEILING`].
const CHECK_WAIT: Duration = Duration::from_millis(100);
/// The longest wait for the answer to a check of ours.
const CHECK_CEILING: Duration = Duration::from_secs(2);

/// Addresses between which an authenticated check arrived.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) path: Path,
    /// Which generation's credentials the newest check carried.
    pub(super) generation: u32,
    /// PRIORITY of the last check.
    pub(super) priority: u32,
    /// When the last authenticated check, or answer to a check of ours, arrived.
    pub(super) checked_at: Instant,
    /// When anything proved, or DTLS, arrived last.
    pub(super) heard_at: Instant,
    /// When USE-CANDIDATE came first; `None` while the pair is not nominated.
    pub(super) nominated_at: Option<Instant>,
    /// When media went elsewhere last; `None` while it never did.
    pub(super) left_at: Option<Instant>,
    /// Whether the address has shown that it receives what we send.
    pub(super) validated: bool,
    /// Whether its connection has ended: nothing comes or goes here any more.
    pub(super) is_closed: bool,
    /// Bytes that arrived.
    received: u64,
    /// Bytes that left.
    sent: u64,
    /// Our check under way, `None` before the first and after the answer.
    check: Option<OwnCheck>,
}

/// A check of ours that waits for its answer.
#[derive(Debug)]
struct OwnCheck {
    transaction: [u8; 12],
    /// When to ask again.
    again_at: Instant,
    /// From the check to [`Self::again_at`].
    wait: Duration,
}

impl Pair {
    pub(super) fn new(now: Instant, path: Path, priority: u32, generation: u32) -> Self {
        Self {
            path,
            generation,
            priority,
            checked_at: now,
            heard_at: now,
            nominated_at: None,
            left_at: None,
            validated: false,
            is_closed: false,
            received: 0,
            sent: 0,
            check: None,
        }
    }

    /// Notes another check. A newer generation nominates anew.
    pub(super) fn refresh(&mut self, now: Instant, priority: u32, generation: u32) {
        if self.generation < generation {
            self.generation = generation;
            self.nominated_at = None;
        }
        self.priority = priority;
        self.checked_at = now;
        self.heard_at = now;
    }

    /// Returns whether the peer has said lately that it wants to receive here.
    pub(super) fn consents(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.checked_at) < CONSENT
    }

    /// Credits the pair with what arrived.
    pub(super) fn receive(&mut self, size_bytes: usize) {
        self.received = self.received.saturating_add(size_bytes as u64);
    }

    /// Takes leave to send, or returns `false` while the credit does not reach.
    pub(super) fn spend(&mut self, size_bytes: usize) -> bool {
        let sent = self.sent.saturating_add(size_bytes as u64);
        if !self.validated && sent > self.received.saturating_mul(AMPLIFICATION) {
            return false;
        }
        self.sent = sent;
        true
    }

    /// Lifts the limit: the address has shown that it receives.
    pub(super) fn validate(&mut self) {
        self.validated = true;
        self.check = None;
    }

    /// Returns when a check of ours is due, if the pair has to prove itself.
    pub(super) fn check_at(&self) -> Instant {
        self.check
            .as_ref()
            .map_or(self.checked_at, |check| check.again_at)
    }

    /// Returns when a check of ours is due that begins at `from`.
    pub(super) fn check_again_at(&self, from: Instant) -> Instant {
        let again_at = self.check.as_ref().map(|check| check.again_at);
        again_at.map_or(from, |again_at| again_at.max(from))
    }

    /// Notes a check of ours.
    pub(super) fn ask(&mut self, now: Instant, transaction: [u8; 12]) {
        let wait = self
            .check
            .as_ref()
            .map(|check| (check.wait * 2).min(CHECK_CEILING));
        let wait = wait.unwrap_or(CHECK_WAIT);
        self.check = Some(OwnCheck {
            transaction,
            again_at: now + wait,
            wait,
        });
    }

    /// Returns whether this is the transaction of the check under way.
    pub(super) fn asked(&self, transaction: [u8; 12]) -> bool {
        self.check
            .as_ref()
            .is_some_and(|check| check.transaction == transaction)
    }
}
