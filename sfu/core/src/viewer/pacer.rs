//! The pace of what would leave all at once.

use std::time::{Duration, Instant};

use crate::congestion::rate::Bitrate;

/// Bytes that may leave at once: a run of the kernel.
pub(super) const BURST: u64 = 16 * 1250;
/// A step of what is paced, at most: what is sent while the pace is not known, some 15 Mb/s.
pub(super) const STEP: Duration = Duration::from_millis(5);
const STEP_BYTES: u64 = 8 * 1250;

/// A bucket that runs out at the pace; what does not fit waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    /// Bytes in it.
    level: u64,
    /// When some ran out last.
    at: Instant,
    /// `None` while nothing is known: steps are of [`STEP_BYTES`] then.
    pub(super) pace: Option<Bitrate>,
    /// Whether the path itself has told the pace. Until it has, only what was cached is paced, by a guess.
    pub(super) is_told: bool,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            level: 0,
            at: now,
            pace: None,
            is_told: false,
        }
    }

    pub(super) fn set(&mut self, now: Instant, pace: Bitrate) {
        self.run_out(now);
        self.pace = Some(pace);
    }

    pub(super) fn admit(&mut self, now: Instant, size_bytes: usize, most: u64) -> bool {
        if !self.is_told {
            return true;
        }
        self.run_out(now);
        let level = self.level + size_bytes as u64;
        let fits = level <= most || self.level == 0;
        if fits {
            self.level = level;
        }
        fits
    }

    /// Returns whether anything may leave in a step of so many bytes: the last packet may go over them, and the next
    /// step waits.
    pub(super) fn has_room(&mut self, now: Instant, step: u64) -> bool {
        self.run_out(now);
        self.level < step.max(1)
    }

    /// Returns how many packets may leave at once.
    pub(super) fn room(&mut self, now: Instant, most: u64, size_bytes: usize) -> usize {
        if !self.is_told {
            return usize::MAX;
        }
        self.run_out(now);
        let room = most.saturating_sub(self.level) / size_bytes as u64;
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    pub(super) fn add(&mut self, size_bytes: usize) {
        self.level += size_bytes as u64;
    }

    pub(super) fn step_bytes(&self) -> u64 {
        self.pace.map_or(STEP_BYTES, |pace| pace.bytes_in(STEP))
    }

    pub(super) fn begin_step(&mut self, now: Instant) {
        if self.pace.is_none() {
            (self.level, self.at) = (0, now);
        }
    }

    fn run_out(&mut self, now: Instant) {
        if let Some(pace) = self.pace.filter(|_| now > self.at) {
            let gone = pace.bytes_in(now.saturating_duration_since(self.at));
            self.level = self.level.saturating_sub(gone);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    #[test]
    fn a_bucket_lets_a_run_pass_and_the_rest_at_its_pace() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        assert!(
            (0..1000).all(|_| pacer.admit(start, 1200, BURST)),
            "no pace"
        );
        let mut pacer = Pacer::new(start);
        pacer.set(start, Bitrate::kbps(4800));
        assert!(
            (0..1000).all(|_| pacer.admit(start, 1200, BURST)),
            "a guess"
        );
        pacer.is_told = true;
        let at_once = (0..100).filter(|_| pacer.admit(start, 1200, BURST)).count();
        assert_eq!(at_once, 16);
        let mut steps = (1..=200_u32).map(|step| {
            let now = start + STEP * step;
            let step = pacer.step_bytes();
            let mut sent = 0;
            while pacer.has_room(now, step) {
                pacer.add(1200);
                sent += 1;
            }
            sent
        });
        let sent: usize = steps.by_ref().sum();
        // A second at 4.8 Mb/s is 500 packets, sixteen of which have left before.
        assert!((480..=500).contains(&sent), "{sent}");
    }
}
