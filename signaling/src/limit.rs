//! A token bucket: how often something may be done.

use std::time::{Duration, Instant};

/// So many at once, refilled at the same number a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    /// How many may be done at once, and in every second.
    per_second: u32,
    /// What is left, as time: a full bucket holds one second.
    left: Duration,
    /// When `left` was true.
    at: Instant,
}

impl TokenBucket {
    /// Starts with a full bucket.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            left: FULL,
            at: now,
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long to wait until there is one to take.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        let cost = FULL / self.per_second;
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(cost - self.left),
        }
    }

    /// Returns whether nothing was taken within the last second, so that forgetting the bucket is harmless.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left == FULL
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.left = FULL.min(self.left + passed);
        self.at = now;
    }
}

const FULL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_gives_its_number_and_then_says_how_long_to_wait() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(5, now);
        for _ in 0..5 {
            assert_eq!(bucket.take(now), Ok(()));
        }
        assert_eq!(bucket.take(now), Err(Duration::from_millis(200)));
        assert_eq!(
            bucket.take(now + Duration::from_millis(150)),
            Err(Duration::from_millis(50))
        );
        assert_eq!(bucket.take(now + Duration::from_millis(200)), Ok(()));
        assert!(bucket.is_full(now + Duration::from_secs(9)));
    }
}
