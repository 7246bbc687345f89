//! Token buckets: how often something may be done, and by whom.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
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

/// A bucket for each of those who do something.
#[derive(Debug)]
pub(crate) struct TokenBuckets<K> {
    /// What each of them may do at once, and in every second.
    per_second: u32,
    /// Those who did something lately; the others' buckets are full. At most [`MAX_BUCKETS`]: who comes while
    /// that many did something within the last second has to wait.
    buckets: HashMap<K, TokenBucket>,
    /// When full buckets were last looked for; `None` before the first time.
    swept: Option<Instant>,
}

impl<K: Eq + Hash> TokenBuckets<K> {
    /// Starts without any.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: HashMap::new(),
            swept: None,
        }
    }

    /// Takes one from somebody's bucket.
    ///
    /// # Errors
    /// How long to wait until there is one to take.
    pub(crate) fn take<Q>(&mut self, who: &Q, now: Instant) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Eq + Hash + ?Sized,
    {
        if self.buckets.len() >= MAX_BUCKETS && !self.buckets.contains_key(who) {
            self.sweep(now);
            if self.buckets.len() >= MAX_BUCKETS {
                return Err(FULL);
            }
        }
        let bucket = self
            .buckets
            .entry(who.to_owned())
            .or_insert_with(|| TokenBucket::new(self.per_second, now));
        bucket.take(now)
    }

    /// Forgets full buckets, at most once a second: looking at all of them takes its time.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now >= swept + FULL) {
            self.swept = Some(now);
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
    }
}

const MAX_BUCKETS: usize = 4096;

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

    #[test]
    fn one_who_does_too_much_delays_nobody_else() {
        let (mut buckets, now) = (TokenBuckets::<String>::new(5), Instant::now());
        for _ in 0..5 {
            buckets.take("ann", now).unwrap();
        }
        assert_eq!(buckets.take("ann", now), Err(Duration::from_millis(200)));
        buckets.take("bob", now).unwrap();
    }

    #[test]
    fn buckets_are_bounded_and_forgotten_when_they_are_full_again() {
        let (mut buckets, now) = (TokenBuckets::<usize>::new(5), Instant::now());
        for who in 0..MAX_BUCKETS {
            buckets.take(&who, now).unwrap();
        }
        assert_eq!(buckets.take(&MAX_BUCKETS, now), Err(FULL));
        buckets.take(&0, now).unwrap();
        assert_eq!(buckets.take(&MAX_BUCKETS, now + FULL), Ok(()));
        assert_eq!(buckets.buckets.len(), 1);
    }
}
