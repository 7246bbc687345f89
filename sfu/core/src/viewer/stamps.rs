//! Times of what is shown from the past: a join goes through the cache faster than its frames were captured.
//!
//! Players learn how time passes from when frames come and what times they carry, and take seconds to forget what
//! they learnt. So frames from the past carry the time at which they are sent, not the one at which they were captured.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::publisher::ticks;
use crate::viewer::rewrite::ahead;

/// Frames whose times are remembered: more than a join is given at once. Of older ones nothing goes again.
const MAX_FRAMES: usize = 1024;
/// For how long they are remembered: what is asked for later comes too late to be shown.
const REMEMBERED: Duration = Duration::from_secs(4);
/// How far the time goes on by itself while no packet of the source comes: less than from frame to frame mostly.
const MAX_ALONE: Duration = Duration::from_millis(25);
/// What is left between two frames of how far they were apart, as a divisor.
const SQUEEZE: u64 = 100;

/// The moment at which a frame from the past is sent, and where its source is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    /// Timestamp of the source's newest packet, and when that came.
    pub(crate) newest: (u64, Instant),
    /// The moment.
    pub(crate) now: Instant,
}

impl Past {
    /// Returns the time in the source with which a frame goes: almost that of what is live.
    pub(super) fn time_for(&self, timestamp: u64, clock_rate_hz: u32) -> u64 {
        let behind = self.newest.0.saturating_sub(timestamp);
        if behind == 0 {
            return timestamp;
        }
        let alone = ticks(self.alone(), clock_rate_hz);
        (self.newest.0 + alone).saturating_sub(behind / SQUEEZE)
    }

    /// Returns when what is live had that time.
    pub(super) fn at(&self) -> Instant {
        self.newest.1 + self.alone()
    }

    fn alone(&self) -> Duration {
        let passed = self.now.saturating_duration_since(self.newest.1);
        passed.min(MAX_ALONE)
    }
}

/// The times of frames that went later than they came.
#[derive(Clone, Debug)]
pub(super) struct Stamps {
    /// What frames have in their source and at the viewer, in order; at most [`MAX_FRAMES`], and none any more
    /// [`REMEMBERED`] after the last.
    times: VecDeque<(u64, u32)>,
    /// The last of them in the source, and when it was sent.
    last: (u64, Instant),
    /// The time in the source of what was sent last, and when that came; `None` once the viewer is live.
    shown: Option<(u64, Instant)>,
}

impl Stamps {
    /// Begins with a frame that goes with a time.
    pub(super) fn new(now: Instant, (timestamp, time): (u64, u32)) -> Self {
        Self {
            times: VecDeque::from([(timestamp, time)]),
            last: (timestamp, now),
            shown: None,
        }
    }

    /// Takes the time with which a frame is to go at `now`, unless it has one; it goes on from the one before.
    pub(super) fn push(&mut self, now: Instant, (timestamp, time): (u64, u32)) {
        let newest = self.times.back().copied();
        if newest.is_some_and(|(known, _)| timestamp <= known) {
            return;
        }
        let next = newest.map(|(_, latest)| latest.wrapping_add(1));
        let time = next.filter(|next| ahead(*next, time) > 0).unwrap_or(time);
        if self.times.len() == MAX_FRAMES {
            self.times.pop_front();
        }
        self.times.push_back((timestamp, time));
        self.last = (timestamp, now);
    }

    /// Notes what is shown just now.
    pub(super) fn note_shown(&mut self, shown: Option<(u64, Instant)>) {
        self.shown = shown;
    }

    /// Returns the time in the source of what was sent last, and when that came; `None` once the viewer is live.
    pub(super) fn shown(&self) -> Option<(u64, Instant)> {
        self.shown
    }

    /// Returns whether a frame behind all of them would go back in time if it went with this one.
    pub(super) fn are_ahead(&self, timestamp: u64, time: u32) -> bool {
        let is_behind =
            |(known, latest): &(u64, u32)| timestamp > *known && ahead(time, *latest) <= 0;
        self.times.back().is_some_and(is_behind)
    }

    /// Returns whether a frame is behind all of them: its time is its own.
    pub(super) fn are_before(&self, timestamp: u64) -> bool {
        timestamp > self.last.0
    }

    /// Returns the time of a frame; `None` when it is not known any more. One that was missing among them
    /// has its place between its neighbours.
    pub(super) fn time_of(&self, timestamp: u64) -> Option<u32> {
        let behind = self.times.partition_point(|(known, _)| *known < timestamp);
        let (next, later) = *self.times.get(behind)?;
        if next == timestamp {
            return Some(later);
        }
        let (known, earlier) = *self.times.get(behind.checked_sub(1)?)?;
        let apart = u64::from(later.wrapping_sub(earlier));
        let share = apart * (timestamp - known) / (next - known);
        Some(earlier.wrapping_add(u32::try_from(share).ok()?))
    }

    /// Forgets what nobody asks for any more.
    pub(super) fn forget_old(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last.1) > REMEMBERED {
            self.times = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_that_was_missing_has_its_time_between_its_neighbours() {
        let now = Instant::now();
        let mut stamps = Stamps::new(now, (1000, 50));
        stamps.push(now, (3000, 70));
        assert_eq!(stamps.time_of(2000), Some(60));
        assert_eq!(stamps.time_of(999), None);
        assert!(stamps.are_before(3001) && !stamps.are_before(3000));
    }

    #[test]
    fn times_are_forgotten_and_never_made_up() {
        let now = Instant::now();
        let mut stamps = Stamps::new(now, (1000, 50));
        for frame in 1..2000 {
            stamps.push(now, (1000 + frame, 50));
            assert!(stamps.times.len() <= MAX_FRAMES);
        }
        assert_eq!(stamps.time_of(1000), None);
        assert_eq!(stamps.time_of(2999), Some(50 + 1999));
        stamps.forget_old(now + REMEMBERED * 2);
        assert_eq!(stamps.times.capacity(), 0);
        assert_eq!(stamps.time_of(2999), None);
        assert!(!stamps.are_before(2999) && stamps.are_before(3000));
    }

    proptest! {
        #[test]
        fn the_times_of_frames_grow_and_keep_behind_what_is_live(
            steps in proptest::collection::vec((1_u64..20, 1_u64..4), 1..400),
            first in any::<u32>(),
        ) {
            let start = Instant::now();
            let (mut now, mut newest) = (start, (540_000_u64, start));
            let mut timestamp = 0;
            let time = |past: Past, timestamp| {
                first.wrapping_add(u32::try_from(past.time_for(timestamp, 90_000)).unwrap())
            };
            let past = Past { newest, now };
            let mut stamps = Stamps::new(now, (timestamp, time(past, timestamp)));
            for (ms, frames) in steps {
                now += Duration::from_millis(ms);
                while now > newest.1 + Duration::from_millis(33) {
                    newest = (newest.0 + 3000, newest.1 + Duration::from_millis(33));
                }
                for _ in 0..frames {
                    timestamp = (timestamp + 3000).min(newest.0);
                    let past = Past { newest, now };
                    let before = *stamps.times.back().unwrap();
                    stamps.push(now, (timestamp, time(past, timestamp)));
                    let (known, after) = *stamps.times.back().unwrap();
                    prop_assert!(known == before.0 || ahead(after, before.1) > 0);
                    let live = first.wrapping_add(u32::try_from(newest.0).unwrap());
                    prop_assert!(ahead(after, live) < 3000);
                    prop_assert!(ahead(live, after) < 540_000 / 100 + 3000);
                    prop_assert_eq!(stamps.time_of(known), Some(after));
                }
            }
        }
    }
}
