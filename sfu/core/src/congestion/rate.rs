//! Bits per second.

use std::time::Duration;

/// A rate, in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Makes a rate of so many bits per second.
    pub const fn bps(bps: u64) -> Self {
        Self(bps)
    }

    /// Makes a rate of so many thousand bits per second.
    pub const fn kbps(kbps: u64) -> Self {
        Self(kbps * 1000)
    }

    /// Returns the rate at which so many bytes go in a span; `None` for no span.
    pub fn of(bytes: u64, span: Duration) -> Option<Self> {
        let micros = u64::try_from(span.as_micros()).ok()?;
        bytes.checked_mul(8_000_000)?.checked_div(micros).map(Self)
    }

    /// Returns the bits per second.
    pub fn as_bps(self) -> u64 {
        self.0
    }

    /// Returns so many hundredths of it.
    #[must_use]
    pub const fn percent(self, percent: u64) -> Self {
        Self(self.0.saturating_mul(percent) / 100)
    }

    /// Returns how many bytes go in a span.
    pub fn bytes_in(self, span: Duration) -> u64 {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_mul(micros) / 8_000_000
    }

    /// Returns how long so many bytes take.
    pub fn time_for(self, bytes: u64) -> Duration {
        let micros = bytes.saturating_mul(8_000_000).checked_div(self.0);
        micros.map_or(Duration::MAX, Duration::from_micros)
    }

    /// Returns what is left without another rate.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Add for Bitrate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_time_make_a_rate_and_back() {
        let second = Duration::from_secs(1);
        let rate = Bitrate::of(125_000, second).unwrap();
        assert_eq!(rate, Bitrate::kbps(1000));
        assert_eq!(rate.bytes_in(second / 2), 62_500);
        assert_eq!(rate.time_for(1250), Duration::from_millis(10));
        assert_eq!(Bitrate::of(1, Duration::ZERO), None);
        assert_eq!(Bitrate::ZERO.time_for(1), Duration::MAX);
        assert_eq!(rate.percent(85).without(rate), Bitrate::ZERO);
    }
}
