//! A publisher's wall clock beside the server's, by its sender reports (RFC 3550, section 6.4.1).

use std::time::{Duration, Instant};

use crate::publisher::ntp_units;

/// For how long the quickest report counts: then clocks may have drifted.
const WINDOW: Duration = Duration::from_secs(60);
/// A report that comes so much later than others, in units of 2^-32 s, was not held up: a clock was set.
const SET: i64 = 2 << 32;

/// A moment on the server's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    /// The moment.
    pub at: Instant,
    /// The same as NTP time: 32.32 seconds since 1900.
    pub ntp: u64,
}

impl WallTime {
    /// Returns what the clock says at a moment.
    fn read(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at);
        self.ntp.wrapping_add(ntp_units(passed))
    }
}

/// What has to be added to a publisher's wall clock to have the server's. How long reports are on their way is not
/// known: the quickest one is taken to have needed no time.
#[derive(Debug, Default)]
pub(super) struct WallOffset {
    /// The least difference since the window began, and in the one before; `None` before the first report.
    least: Option<i64>,
    before: Option<i64>,
    /// When the window began; `None` before the first report.
    since: Option<Instant>,
}

impl WallOffset {
    /// Takes a report that came at `now` and says `ntp`; returns what to add, modulo 2^64.
    pub(super) fn note(&mut self, now: Instant, wall: &WallTime, ntp: u64) -> u64 {
        let offset = wall.read(now).wrapping_sub(ntp).cast_signed();
        let since = *self.since.get_or_insert(now);
        if self
            .known()
            .is_some_and(|known| offset.wrapping_sub(known) > SET)
        {
            (self.least, self.before) = (None, None);
        }
        if now.saturating_duration_since(since) >= WINDOW {
            (self.before, self.least) = (self.least, None);
            self.since = Some(now);
        }
        let least = self.least.map_or(offset, |least| least.min(offset));
        self.least = Some(least);
        self.known().unwrap_or(offset).cast_unsigned()
    }

    /// Returns what to add, modulo 2^64; `None` before the first report.
    pub(super) fn to_server(&self) -> Option<u64> {
        self.known().map(i64::cast_unsigned)
    }

    fn known(&self) -> Option<i64> {
        self.least.into_iter().chain(self.before).min()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    const SECOND: u64 = 1 << 32;

    /// Returns how much too much is added, in milliseconds, after reports that came so many milliseconds after the
    /// start and took so many on their way, from a clock that is `behind` the server's by so many seconds.
    fn offsets(behind: i64, reports: &[(u64, u64)]) -> Vec<i64> {
        let start = Instant::now();
        let wall = WallTime {
            at: start,
            ntp: 4_000_000_000 * SECOND,
        };
        let mut offset = WallOffset::default();
        let note = |&(ms, took): &(u64, u64)| {
            let ntp = wall.read(start + Duration::from_millis(ms - took));
            let ntp = ntp.wrapping_sub((behind << 32).cast_unsigned());
            let added = offset.note(start + Duration::from_millis(ms), &wall, ntp);
            let error = added.wrapping_sub((behind << 32).cast_unsigned());
            let thousandfold = i128::from(error.cast_signed()) * 1000;
            i64::try_from((thousandfold + (1 << 31)) >> 32).unwrap()
        };
        reports.iter().map(note).collect()
    }

    #[test]
    fn the_quickest_report_tells_how_far_two_clocks_are_apart() {
        let reports = [(1000, 90), (2000, 30), (3000, 200)];
        // The last one is a clock that counts from the start of the machine.
        for behind in [7, -3600, 3_999_000_000] {
            assert_eq!(offsets(behind, &reports), [90, 30, 30]);
        }
    }

    #[test]
    fn what_is_known_of_clocks_that_drift_is_renewed() {
        let slow = (61..200).map(|second| (second * 1000, 80));
        let reports: Vec<_> = [(1000, 20)].into_iter().chain(slow).collect();
        let offsets = offsets(0, &reports);
        assert_eq!((offsets[0], offsets[30]), (20, 20));
        assert_eq!(offsets.last(), Some(&80));
    }

    #[test]
    fn a_clock_that_is_set_is_followed_at_once() {
        let start = Instant::now();
        let wall = WallTime {
            at: start,
            ntp: 9 * SECOND,
        };
        let mut offset = WallOffset::default();
        assert_eq!(offset.note(start, &wall, 5 * SECOND), 4 * SECOND);
        assert_eq!(offset.note(start, &wall, SECOND), 8 * SECOND);
        assert_eq!(offset.note(start, &wall, 7 * SECOND), 2 * SECOND);
    }
}
