//! When packets of a frame leave: at once, or spread as libwebrtc's pacer does.

use std::time::{Duration, Instant};

use clap::ValueEnum;

/// How a publisher sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pacing {
    /// In steps of 5 ms at two and a half times the rate, as browsers do
    Browser,
    /// At once, as encoders do
    Burst,
}

/// Says how many bytes may leave.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// `None` where everything leaves at once.
    bytes_per_step: Option<i64>,
    /// Below zero when the last packet of a step was larger than what was left.
    budget: i64,
    next_step_at: Option<Instant>,
}

impl Pacer {
    /// Paces video of this rate.
    pub(crate) fn new(pacing: Pacing, bits_per_second: u64) -> Self {
        let bytes = bits_per_second * 5 / 2 / 8 / STEPS_PER_SECOND;
        Self {
            bytes_per_step: (pacing == Pacing::Browser)
                .then(|| i64::try_from(bytes).unwrap_or(i64::MAX).max(1)),
            budget: 0,
            next_step_at: None,
        }
    }

    /// Begins a step if it is time for one, and returns by how much that is late.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Duration> {
        let bytes = self.bytes_per_step?;
        let due = self.next_step_at.unwrap_or(now);
        if now < due {
            return None;
        }
        // What a step did not use is not kept for the next.
        self.budget = (self.budget + bytes).min(bytes);
        self.next_step_at = Some((due + STEP).max(now));
        Some(now - due)
    }

    /// Returns whether a packet of this size may leave, and takes note that it does.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        if self.bytes_per_step.is_none() {
            return true;
        }
        if self.budget <= 0 {
            return false;
        }
        self.budget -= i64::try_from(bytes).unwrap_or(i64::MAX);
        true
    }
}

/// Between steps.
pub(crate) const STEP: Duration = Duration::from_millis(5);
const STEPS_PER_SECOND: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(pacing: Pacing, packets: usize) -> Vec<usize> {
        let (mut pacer, began) = (Pacer::new(pacing, 1_400_000), Instant::now());
        let (mut left, mut steps) = (packets, Vec::new());
        for step in 0..20 {
            pacer.handle_timeout(began + STEP * step);
            let before = left;
            while left > 0 && pacer.take(1000) {
                left -= 1;
            }
            if before > left {
                steps.push(before - left);
            }
        }
        steps
    }

    #[test]
    fn encoders_send_a_frame_at_once() {
        assert_eq!(steps(Pacing::Burst, 6), [6]);
    }

    #[test]
    fn browsers_spread_it_at_two_and_a_half_times_the_rate() {
        // 2187 bytes every 5 ms.
        assert_eq!(steps(Pacing::Browser, 6), [3, 2, 1]);
    }

    #[test]
    fn a_step_comes_once() {
        let (mut pacer, now) = (Pacer::new(Pacing::Browser, 800_000), Instant::now());
        assert_eq!(pacer.handle_timeout(now), Some(Duration::ZERO));
        assert!(pacer.take(2000));
        assert_eq!(pacer.handle_timeout(now + STEP / 2), None);
        assert!(!pacer.take(1));
        assert_eq!(pacer.handle_timeout(now + STEP * 3), Some(STEP * 2));
    }
}
