//! When one of many says something.

use std::time::Duration;

use tokio::time::{Instant, Interval, interval_at, sleep_until};

/// Ticks until it ends, or never does.
#[derive(Debug)]
pub(crate) struct Clock {
    interval: Option<Interval>,
    ends: Instant,
}

impl Clock {
    /// Returns one that ticks so often a second, at times that others do not share, until shortly before the end: what
    /// is said last has to be heard before everybody goes.
    pub(crate) fn until(ends: Instant, per_second: f64) -> Self {
        let now = Instant::now();
        let quiet = QUIET_TIME.min(ends.saturating_duration_since(now) / 4);
        let interval = (per_second > 0.0).then(|| {
            let period = Duration::from_secs_f64((1.0 / per_second).min(1e6));
            interval_at(now + period.mul_f64(rand::random_range(0.0..1.0)), period)
        });
        Self {
            interval,
            ends: ends - quiet,
        }
    }

    /// Waits for the next time; forever after the end.
    pub(crate) async fn tick(&mut self) {
        if let Some(interval) = &mut self.interval
            && interval.tick().await < self.ends
        {
            return;
        }
        self.interval = None;
        std::future::pending().await
    }
}

/// Waits until then, or for ever.
pub(crate) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Before everybody goes, nobody says anything.
const QUIET_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_says_anything_in_the_last_second() {
        let ends = Instant::now() + Duration::from_secs(60);
        let clock = Clock::until(ends, 5.0);
        assert_eq!(clock.ends, ends - Duration::from_secs(1));
        let period = clock.interval.map(|interval| interval.period());
        assert_eq!(period, Some(Duration::from_millis(200)));
        assert!(Clock::until(ends, 0.0).interval.is_none());
    }
}
