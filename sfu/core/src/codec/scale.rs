//! The layers within one stream: which of them need a packet, and with which packets a viewer may go over from one to
//! another (RFC 7741, section 4.2; RFC 9628, section 4.2; AV1 RTP 1.0, appendix A).

/// Layers of each kind that are told apart; higher ones count as the highest of these.
const LAYERS: u8 = 4;

/// Tiers that a stream can have.
pub(crate) const TIERS: usize = (LAYERS * LAYERS) as usize;

/// A spatial layer at a frame rate, with all that it needs: what a viewer can be shown of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tier(u8);

impl Tier {
    /// The best one, however many there are.
    pub const BEST: Self = Self(LAYERS * LAYERS - 1);

    /// Makes one of the identifiers of its layers, which count from 0.
    pub fn new(spatial: u8, temporal: u8) -> Self {
        Self(spatial.min(LAYERS - 1) * LAYERS + temporal.min(LAYERS - 1))
    }

    /// Makes one of its place among all; those behind the last are the last.
    pub(crate) fn at(place: u8) -> Self {
        Self(place.min(Self::BEST.0))
    }

    /// Returns its place among all, below 16.
    pub(crate) fn place(self) -> u8 {
        self.0
    }

    /// Returns the spatial layer.
    pub fn spatial(self) -> u8 {
        self.0 / LAYERS
    }

    /// Returns the temporal layer.
    pub fn temporal(self) -> u8 {
        self.0 % LAYERS
    }

    /// Returns all tiers.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..=Self::BEST.0).map(Self)
    }
}

/// A set of tiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tiers(u16);

impl Tiers {
    /// Collects those for which a rule holds.
    pub(crate) fn of(rule: impl Fn(Tier) -> bool) -> Self {
        let tiers = Tier::all().filter(|tier| rule(*tier));
        Self(tiers.fold(0, |bits, tier| bits | 1 << tier.0))
    }

    /// Returns whether a tier is among them.
    pub fn contains(self, tier: Tier) -> bool {
        self.0 >> tier.0 & 1 == 1
    }

    /// Returns whether a tier of a spatial layer is among them.
    pub fn has_spatial(self, spatial: u8) -> bool {
        let row = (1 << LAYERS) - 1;
        self.0 >> (spatial.min(LAYERS - 1) * LAYERS) & row != 0
    }
}

/// Where a packet stands among the layers of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The layers of its frame.
    pub tier: Tier,
    /// Who needs its frame.
    pub needed: Tiers,
    /// Where one may go over to with its frame: all that follows there can be decoded,
    pub entry: Tiers,
    /// coming from one of these.
    pub from: Tiers,
    /// Whether it is the first packet of its frame, which is one spatial layer of a picture.
    pub begins: bool,
    /// Whether it is the last packet of its frame.
    pub ends: bool,
}

impl Scale {
    /// Returns where a viewer that is at `shown` goes with this packet to come to `wanted`.
    pub(crate) fn step(&self, shown: Tier, wanted: Tier) -> Tier {
        if !self.begins {
            return shown;
        }
        // No layer needs a higher temporal one, so those may end with any frame.
        let lowered = Tier::new(shown.spatial(), shown.temporal().min(wanted.temporal()));
        if !self.from.contains(shown) {
            return lowered;
        }
        if self.entry.contains(wanted) {
            return wanted;
        }
        let higher = (lowered.temporal() + 1..=wanted.temporal()).rev();
        let mut higher = higher.map(|temporal| Tier::new(shown.spatial(), temporal));
        higher
            .find(|tier| self.entry.contains(*tier))
            .unwrap_or(lowered)
    }
}

/// What has to be remembered of a stream to read where its packets stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scaling {
    /// The highest spatial layer.
    pub(super) spatial: u8,
    /// The highest temporal layer.
    pub(super) temporal: u8,
}

impl Scaling {
    /// Notes the layers of a frame.
    pub(super) fn note(&mut self, spatial: u8, temporal: u8) {
        self.spatial = self.spatial.max(spatial);
        self.temporal = self.temporal.max(temporal);
    }

    /// Returns the tiers at which `own` is shown and no higher layer of that kind: the highest there is stands for all
    /// above it, so that the best tier is that of the highest layers.
    pub(super) fn at_spatial(self, own: u8, tier: Tier) -> bool {
        let place = Tier::new(own, 0).spatial();
        tier.spatial() == place || (own >= self.spatial && tier.spatial() > place)
    }

    /// As [`Self::at_spatial`].
    pub(super) fn at_temporal(self, own: u8, tier: Tier) -> bool {
        let place = Tier::new(0, own).temporal();
        tier.temporal() == place || (own >= self.temporal && tier.temporal() > place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(needed: &[Tier], entry: &[Tier]) -> Scale {
        let set = |tiers: &[Tier]| Tiers::of(|tier| tiers.contains(&tier));
        Scale {
            tier: Tier::new(0, 0),
            needed: set(needed),
            entry: set(entry),
            from: set(needed),
            begins: true,
            ends: false,
        }
    }

    #[test]
    fn layers_beyond_those_told_apart_are_the_highest() {
        assert_eq!(Tier::new(7, 7), Tier::BEST);
        assert_eq!((Tier::BEST.spatial(), Tier::BEST.temporal()), (3, 3));
        assert!(Tiers::of(|tier| tier.spatial() == 2).has_spatial(2));
        assert!(!Tiers::of(|tier| tier.spatial() == 2).has_spatial(1));
    }

    #[test]
    fn a_frame_rate_falls_with_any_frame_and_rises_only_where_it_may() {
        let [low, middle, high] = [0, 1, 2].map(|temporal| Tier::new(0, temporal));
        let plain = scale(&[low, middle, high], &[low]);
        assert_eq!(plain.step(high, middle), middle);
        assert_eq!(plain.step(low, high), low);
        let switch = scale(&[low, middle, high], &[low, middle]);
        assert_eq!(switch.step(low, high), middle, "as far as it goes");
        let inside = Scale {
            begins: false,
            ..switch
        };
        assert_eq!(inside.step(low, high), low, "not within a frame");
    }

    #[test]
    fn another_size_is_gone_over_to_only_by_who_has_what_it_needs() {
        let [small, large] = [0, 1].map(|spatial| Tier::new(spatial, 0));
        let full = scale(&[small, large], &[small]);
        assert_eq!(full.step(large, small), small);
        let keyed = scale(&[small], &[small]);
        assert_eq!(keyed.step(large, small), large);
    }
}
