//! How much went by over the last two seconds.

use std::time::{Duration, Instant};

use super::rate::Bitrate;

/// One bucket.
const BUCKET: Duration = Duration::from_millis(250);
/// Buckets that a rate is measured over: long enough that a keyframe does not stand out.
const BUCKETS: usize = 8;
/// Buckets of silence after which all is forgotten.
const FORGOTTEN: u32 = 16;
/// Buckets before there is a rate.
const LEAST: usize = 2;

/// Measures a rate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// Whole buckets, by their number.
    bytes: [u32; BUCKETS],
    /// Bytes of the bucket under way.
    current: u32,
    /// When it began; `None` before the first byte.
    began: Option<Instant>,
    /// Whole buckets so far, at most [`BUCKETS`], and the place of the next.
    filled: usize,
    place: usize,
}

impl Meter {
    /// Notes bytes.
    pub(crate) fn note(&mut self, now: Instant, bytes: usize) {
        self.advance(now);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.current = self.current.saturating_add(bytes);
    }

    /// Returns the rate; `None` before half a second has gone by.
    pub(crate) fn rate(&self, now: Instant) -> Option<Bitrate> {
        let mut until_now = *self;
        until_now.advance(now);
        if until_now.filled < LEAST {
            return None;
        }
        let bytes: u64 = until_now.bytes.iter().map(|&bytes| u64::from(bytes)).sum();
        let buckets = u32::try_from(until_now.filled).ok()?;
        Bitrate::of(bytes, BUCKET * buckets)
    }

    fn advance(&mut self, now: Instant) {
        let mut began = *self.began.get_or_insert(now);
        if now.saturating_duration_since(began) >= BUCKET * FORGOTTEN {
            *self = Self {
                began: Some(now),
                ..Self::default()
            };
            return;
        }
        while now.saturating_duration_since(began) >= BUCKET {
            if let Some(bucket) = self.bytes.get_mut(self.place) {
                *bucket = std::mem::take(&mut self.current);
            }
            self.place = (self.place + 1) % BUCKETS;
            self.filled = (self.filled + 1).min(BUCKETS);
            began += BUCKET;
        }
        self.began = Some(began);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_one_that_stops_is_forgotten() {
        let start = Instant::now();
        let mut meter = Meter::default();
        assert_eq!(meter.rate(start), None);
        for step in 0..500_u32 {
            meter.note(start + Duration::from_millis(10) * step, 1250);
        }
        let now = start + Duration::from_secs(5);
        let rate = meter.rate(now).unwrap().as_bps();
        assert!((980_000..1_020_000).contains(&rate), "{rate}");
        let later = meter.rate(now + Duration::from_secs(1)).unwrap().as_bps();
        assert!((480_000..520_000).contains(&later), "{later}");
        assert_eq!(meter.rate(now + Duration::from_secs(60)), None);
    }
}
