//! Whether a peer still consents to what is sent to it (RFC 7675), and its goodbyes that nobody has proved.

use std::time::{Duration, Instant};

use super::ice::{CONSENT, LiteAgent};

/// The peer said goodbye, unproved: it has this long to show that it is still there.
const LEAVING: Duration = Duration::from_secs(12);

impl LiteAgent {
    /// Returns when the peer is taken for gone, `None` before the first check: when consent ends both
    /// where media goes and where it waits to go.
    pub(super) fn consent_until(&self) -> Option<Instant> {
        let checked = self.pairs.selected()?.checked_at;
        let wanted = self.pairs.wanted().map(|pair| pair.checked_at);
        let consent = wanted.map_or(checked, |wanted| wanted.max(checked)) + CONSENT;
        Some(
            self.leaving_at
                .map_or(consent, |since| consent.min(since + LEAVING)),
        )
    }

    /// Returns whether the peer still consents to what goes to the selected path.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        let is_left = self
            .leaving_at
            .is_some_and(|since| now.saturating_duration_since(since) >= LEAVING);
        !is_left && self.pairs.selected().is_some_and(|pair| pair.consents(now))
    }

    /// Returns whether the peer said goodbye without proof and was not heard since.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving_at.is_some()
    }

    /// Notes an unproved goodbye: consent ends soon unless the peer checks again.
    pub(super) fn leave(&mut self, now: Instant) {
        self.leaving_at.get_or_insert(now);
    }
}
