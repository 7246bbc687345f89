//! What the tiers of a stream with layers within take on the way to a viewer.

use std::time::Instant;

use crate::codec::{Scale, TIERS, Tier};
use crate::congestion::meter::Meter;
use crate::congestion::rate::Bitrate;

/// What the tiers of a stream take on the way to a viewer.
#[derive(Debug, Default)]
pub(super) struct TierMeters {
    /// By their place.
    rates: [Meter; TIERS],
    /// The highest temporal layer of which packets have come.
    top: u8,
    /// Whether a larger picture does without the smaller ones but where a keyframe begins: then the smaller ones
    /// cannot be gone over to elsewhere.
    is_keyed: bool,
}

impl TierMeters {
    /// Notes a packet, so many bytes long on the way.
    pub(super) fn note(&mut self, now: Instant, scale: &Scale, bytes: usize) {
        self.top = self.top.max(scale.tier.temporal());
        let above = Tier::new(scale.tier.spatial() + 1, scale.tier.temporal());
        self.is_keyed |= above.spatial() > scale.tier.spatial() && !scale.needed.contains(above);
        for (tier, meter) in Tier::all().zip(&mut self.rates) {
            if scale.needed.contains(tier) {
                meter.note(now, bytes);
            }
        }
    }

    /// Returns what a tier takes; `None` while that is not known.
    pub(super) fn rate(&self, now: Instant, tier: Tier) -> Option<Bitrate> {
        self.rates.get(usize::from(tier.place()))?.rate(now)
    }

    /// Returns the highest temporal layer of which packets have come.
    pub(super) fn top(&self) -> u8 {
        self.top
    }

    /// Returns whether a smaller picture can be gone over to at keyframes alone.
    pub(super) fn is_keyed(&self) -> bool {
        self.is_keyed
    }
}
