//! Is what is lost lost to a full queue? A path loses some packets by itself, Wi-Fi most of all; those say nothing
//! about its rate.
//!
//! As the loss-based estimator of libwebrtc, this tells *inherent* loss from loss by congestion. It does so by the
//! queue: a full one has made the packets before the lost ones wait. What is lost while nothing waits is inherent, up
//! to a bound beyond which there must be a limit without a queue, as a policer is. (draft-ietf-rmcat-gcc-02, section
//! 6, cuts the rate at 10 % of loss whatever its cause.)

use std::time::{Duration, Instant};

/// Loss that an empty queue does not explain away, in thousandths.
const MAX_INHERENT: u64 = 150;
/// Loss that is normal where packets wait (section 6).
const ORDINARY: u64 = 20;
/// Packets that have waited for so long were in a queue.
const QUEUE_US: u64 = 30_000;
/// Packets that a judgement needs at least.
const MIN_PACKETS: u64 = 10;
/// A judgement looks back no further than this.
const SPAN: Duration = Duration::from_secs(1);
/// Weight of what was known before in the inherent loss: one in so many.
const INERTIA: u64 = 8;

/// Judges losses.
#[derive(Debug)]
pub(super) struct LossDetector {
    /// When the packets being counted began.
    since: Instant,
    lost: u64,
    arrived: u64,
    /// Whether packets waited in a queue meanwhile.
    waited: bool,
    /// What the path loses by itself, in thousandths.
    inherent: u64,
    /// What was lost over the last whole span, in thousandths.
    fraction: u64,
}

impl LossDetector {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            lost: 0,
            arrived: 0,
            waited: false,
            inherent: 0,
            fraction: 0,
        }
    }

    /// Takes what a message said, and how long packets wait; returns whether a queue overflows.
    pub(super) fn add(&mut self, now: Instant, (lost, arrived): (u64, u64), queue_us: u64) -> bool {
        self.lost += lost;
        self.arrived += arrived;
        self.waited |= queue_us >= QUEUE_US;
        let total = self.lost + self.arrived;
        if total < MIN_PACKETS {
            return false;
        }
        let bound = if self.waited {
            (self.inherent + ORDINARY).min(MAX_INHERENT)
        } else {
            MAX_INHERENT
        };
        let overflows = exceeds(self.lost, total, bound);
        if overflows || now.saturating_duration_since(self.since) >= SPAN {
            self.fraction = self.lost * 1000 / total;
            if !self.waited && !overflows {
                let before = self.inherent * (INERTIA - 1);
                self.inherent = (before + self.fraction.min(MAX_INHERENT)) / INERTIA;
            }
            (self.lost, self.arrived, self.waited) = (0, 0, false);
            self.since = now;
        }
        overflows
    }

    /// Takes back a loss: the packet came late.
    pub(super) fn forgive(&mut self) {
        self.lost = self.lost.saturating_sub(1);
    }

    /// Returns what was lost over the last whole span, in thousandths.
    pub(super) fn fraction(&self) -> u64 {
        self.fraction
    }
}

/// Returns whether so many lost of so many are more than chance makes of a bound in thousandths: by three standard
/// deviations of a binomial distribution.
fn exceeds(lost: u64, total: u64, bound: u64) -> bool {
    let Some(excess) = (lost * 1000).checked_sub(total * bound) else {
        return false;
    };
    let variance = total * bound * (1000 - bound);
    excess.saturating_mul(excess) > 9 * variance && excess > 0
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    /// Reports so many packets of 1000 lost, each 50 ms, for 30 s; returns how often a queue is said to overflow.
    fn overflows(lost_of_1000: u64, queue_us: u64) -> usize {
        let start = Instant::now();
        let mut detector = LossDetector::new(start);
        let mut state = 7_u64;
        let mut judge = |step: u32| {
            let mut lost = 0;
            for _ in 0..12 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                lost += u64::from((state >> 33) % 1000 < lost_of_1000);
            }
            let now = start + Duration::from_millis(50) * step;
            detector.add(now, (lost, 12 - lost), queue_us)
        };
        (0..600).filter(|step| judge(*step)).count()
    }

    #[test]
    fn what_is_lost_without_a_queue_is_the_paths_own() {
        for lost in [0, 20, 50, 100] {
            assert!(overflows(lost, 3_000) <= 1, "{lost} of 1000");
        }
    }

    #[test]
    fn what_is_lost_behind_a_queue_is_congestion() {
        assert_eq!(overflows(5, 100_000), 0);
        assert!(overflows(100, 100_000) > 20);
    }

    #[test]
    fn what_no_radio_loses_is_a_limit_without_a_queue() {
        assert!(overflows(400, 0) > 100);
    }
}
