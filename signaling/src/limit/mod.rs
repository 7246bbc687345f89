//! Token buckets: how often something may be done, and by whom.

mod doors;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

pub(crate) use doors::{Door, Doors, Who};

/// How often something may be done: so many at once, and the same number again in every period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// At least 1.
    count: u32,
    /// How long it takes until all of them may be done again.
    period: Duration,
}

impl Rate {
    /// Returns so many a second, at least one.
    pub(crate) const fn per_second(count: u32) -> Self {
        Self::per(count, Duration::from_secs(1))
    }

    /// Returns so many a minute, at least one.
    pub(crate) const fn per_minute(count: u32) -> Self {
        Self::per(count, Duration::from_secs(60))
    }

    /// Returns so many an hour, at least one.
    pub(crate) const fn per_hour(count: u32) -> Self {
        Self::per(count, Duration::from_secs(60 * 60))
    }

    const fn per(count: u32, period: Duration) -> Self {
        let count = if count == 0 { 1 } else { count };
        Self { count, period }
    }
}

/// What one may still do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    rate: Rate,
    /// What is left, as time: a full bucket holds one period.
    left: Duration,
    /// When `left` was true.
    at: Instant,
}

impl TokenBucket {
    /// Starts with a full bucket.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            left: rate.period,
            at: now,
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long to wait until there is one to take.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.check(now)?;
        self.left -= self.cost();
        Ok(())
    }

    /// Looks whether there is one to take, and leaves it there.
    ///
    /// # Errors
    /// How long to wait until there is.
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        match self.cost().checked_sub(self.left) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    /// Returns what is left, in hundredths of a full bucket.
    fn percent_left(&mut self, now: Instant) -> u128 {
        self.refill(now);
        self.left.as_nanos() * 100 / self.rate.period.as_nanos()
    }

    fn cost(&self) -> Duration {
        self.rate.period / self.rate.count
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.left = self.rate.period.min(self.left + passed);
        self.at = now;
    }
}

/// A bucket for each of those who do something.
#[derive(Debug)]
pub(crate) struct TokenBuckets<K> {
    /// What each of them may do.
    rate: Rate,
    /// Those who did something lately; the others' buckets are full. At most [`MAX_BUCKETS`]: beyond, those
    /// who did little are forgotten, and who comes while that many did much has to wait.
    buckets: HashMap<K, TokenBucket>,
    /// When full buckets were last looked for; `None` before the first time.
    swept: Option<Instant>,
}

impl<K: Eq + Hash> TokenBuckets<K> {
    /// Starts without any.
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: HashMap::new(),
            swept: None,
        }
    }

    /// Changes what each may do. Whoever did something under another rate starts anew.
    pub(crate) fn set_rate(&mut self, rate: Rate) {
        if self.rate != rate {
            self.rate = rate;
            self.buckets.clear();
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
                return Err(SWEEP_EVERY);
            }
        }
        let bucket = self
            .buckets
            .entry(who.to_owned())
            .or_insert_with(|| TokenBucket::new(self.rate, now));
        bucket.take(now)
    }

    /// Looks whether there is one in somebody's bucket, and leaves it there.
    ///
    /// # Errors
    /// How long to wait until there is.
    pub(crate) fn check<Q>(&mut self, who: &Q, now: Instant) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.buckets
            .get_mut(who)
            .map_or(Ok(()), |bucket| bucket.check(now))
    }

    /// Forgets full buckets, or where there are none, those that are full by half: who comes by many addresses
    /// shall not fill the table with one try of each. At most once a second, for it looks at all of them.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        for enough in [100, 50] {
            self.buckets
                .retain(|_, bucket| bucket.percent_left(now) < enough);
            if self.buckets.len() < MAX_BUCKETS {
                return;
            }
        }
    }
}

/// Two megabytes of addresses.
const MAX_BUCKETS: usize = 32_768;

const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_gives_its_number_and_then_says_how_long_to_wait() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(Rate::per_second(5), now);
        for _ in 0..5 {
            assert_eq!(bucket.take(now), Ok(()));
        }
        assert_eq!(bucket.take(now), Err(Duration::from_millis(200)));
        assert_eq!(
            bucket.take(now + Duration::from_millis(150)),
            Err(Duration::from_millis(50))
        );
        assert_eq!(bucket.take(now + Duration::from_millis(200)), Ok(()));
        assert_eq!(bucket.percent_left(now + Duration::from_secs(9)), 100);
    }

    #[test]
    fn one_who_does_too_much_delays_nobody_else() {
        let (mut buckets, now) = (
            TokenBuckets::<String>::new(Rate::per_second(5)),
            Instant::now(),
        );
        for _ in 0..5 {
            buckets.take("ann", now).unwrap();
        }
        assert_eq!(buckets.take("ann", now), Err(Duration::from_millis(200)));
        buckets.take("bob", now).unwrap();
    }

    #[test]
    fn buckets_are_bounded_and_those_who_did_little_are_forgotten_first() {
        let (mut buckets, now) = (
            TokenBuckets::<usize>::new(Rate::per_minute(2)),
            Instant::now(),
        );
        for who in 0..MAX_BUCKETS {
            for _ in 0..2 {
                buckets.take(&who, now).unwrap();
            }
        }
        assert_eq!(buckets.take(&MAX_BUCKETS, now), Err(SWEEP_EVERY));
        assert!(buckets.take(&0, now).is_err());
        let later = now + Duration::from_secs(30);
        buckets.take(&0, later).unwrap();
        assert_eq!(buckets.take(&MAX_BUCKETS, later), Ok(()));
        // The one who did something just now is remembered.
        assert_eq!(buckets.buckets.len(), 2);
        assert!(buckets.take(&0, later).is_err());
    }

    #[test]
    fn what_may_be_done_a_minute_comes_back_one_by_one() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(Rate::per_minute(3), now);
        for _ in 0..3 {
            assert_eq!(bucket.check(now), Ok(()));
            assert_eq!(bucket.take(now), Ok(()));
        }
        assert_eq!(bucket.check(now), Err(Duration::from_secs(20)));
        let later = now + Duration::from_secs(20);
        assert_eq!(bucket.take(later), Ok(()));
        assert_eq!(bucket.take(later), Err(Duration::from_secs(20)));
    }

    #[test]
    fn another_rate_holds_at_once() {
        let (mut buckets, now) = (
            TokenBuckets::<usize>::new(Rate::per_minute(1)),
            Instant::now(),
        );
        buckets.take(&1, now).unwrap();
        buckets.set_rate(Rate::per_minute(1));
        assert!(buckets.take(&1, now).is_err());
        buckets.set_rate(Rate::per_minute(2));
        buckets.take(&1, now).unwrap();
        buckets.take(&1, now).unwrap();
        assert!(buckets.check(&1, now).is_err());
        assert_eq!(buckets.check(&2, now), Ok(()));
    }
}
