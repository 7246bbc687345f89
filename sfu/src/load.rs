//! How busy the forwarding threads are, and how long packets wait for each other because of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at the load.
const INTERVAL: Duration = Duration::from_millis(100);
/// Below this load, in thousandths, nothing waits; above the other one all waits as long as it may.
const IDLE: u32 = 500;
const BUSY: u32 = 700;
/// The longest wait.
const MAX_HOLD: Duration = Duration::from_millis(10);

/// The loads of all shards, as each of them last wrote it: in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Loads(Arc<[AtomicU32]>);

impl Loads {
    /// Starts with idle shards.
    pub(crate) fn new(shards: u16) -> Self {
        Self((0..shards).map(|_| AtomicU32::new(0)).collect())
    }

    /// Returns the highest: a publisher's packets are sent by every shard.
    pub(crate) fn highest(&self) -> u32 {
        let loads = self.0.iter().map(|load| load.load(Ordering::Relaxed));
        loads.max().unwrap_or(0)
    }
}

/// Measures one shard.
#[derive(Debug)]
pub(crate) struct Load {
    loads: Loads,
    index: usize,
    /// How long it worked since the last look.
    busy: Duration,
    since: Instant,
    /// Its load in thousandths, smoothed over some half a second.
    load: u32,
}

impl Load {
    /// Starts idle.
    pub(crate) fn new(now: Instant, loads: Loads, index: usize) -> Self {
        Self {
            loads,
            index,
            busy: Duration::ZERO,
            since: now,
            load: 0,
        }
    }

    /// Notes that the shard worked from `began` to `now`. Returns how long packets are to wait from here
    /// on, each time it has looked.
    pub(crate) fn note(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        self.busy += now.saturating_duration_since(began);
        let passed = now.saturating_duration_since(self.since);
        if passed < INTERVAL {
            return None;
        }
        let share = self.busy.as_micros() * 1000 / passed.as_micros().max(1);
        let share = u32::try_from(share).unwrap_or(u32::MAX).min(1000);
        self.load = (3 * self.load + share) / 4;
        (self.busy, self.since) = (Duration::ZERO, now);
        if let Some(shown) = self.loads.0.get(self.index) {
            shown.store(self.load, Ordering::Relaxed);
        }
        Some(hold(self.loads.highest()))
    }
}

/// Returns how long packets wait at a load.
fn hold(load: u32) -> Duration {
    MAX_HOLD * (load.clamp(IDLE, BUSY) - IDLE) / (BUSY - IDLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_while_there_is_time_and_nothing_ever_waits_longer_than_it_may() {
        for (load, millis) in [(0, 0), (500, 0), (600, 5), (700, 10), (1000, 10)] {
            assert_eq!(hold(load).as_micros() / 1000, millis, "{load}");
        }
    }

    #[test]
    fn packets_wait_by_the_load_of_the_busiest_shard() {
        let start = Instant::now();
        let loads = Loads::new(2);
        let mut busy = Load::new(start, loads.clone(), 0);
        let mut idle = Load::new(start, loads, 1);
        let mut told = Duration::ZERO;
        for step in 0..40 {
            let (began, now) = (start + INTERVAL * step, start + INTERVAL * (step + 1));
            busy.note(began, now);
            told = idle.note(now, now).unwrap();
        }
        assert_eq!(told, MAX_HOLD);
        assert_eq!(
            idle.note(start + INTERVAL * 40, start + INTERVAL * 40),
            None
        );
    }
}
