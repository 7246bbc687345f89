//! How much is written to the log of a topic that others fill.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets some lines a minute into the log; the metrics count what is left out.
#[derive(Debug)]
pub(super) struct Lines(Mutex<Minute>);

#[derive(Debug)]
struct Minute {
    since: Instant,
    written: u32,
}

impl Default for Lines {
    fn default() -> Self {
        let since = Instant::now();
        Self(Mutex::new(Minute { since, written: 0 }))
    }
}

impl Lines {
    /// Returns whether one more may be written, and counts it.
    pub(super) fn may_write(&self) -> bool {
        self.may_write_at(Instant::now())
    }

    fn may_write_at(&self, now: Instant) -> bool {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(minute.since) >= MINUTE {
            *minute = Minute {
                since: now,
                written: 0,
            };
        }
        minute.written = minute.written.saturating_add(1);
        minute.written <= MAX_LINES
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Lines a minute.
const MAX_LINES: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_of_nonsense_fills_twenty_lines_a_minute() {
        let (lines, begin) = (Lines::default(), Instant::now());
        let written = |now: Instant| (0..1000).filter(|_| lines.may_write_at(now)).count();
        assert_eq!(written(begin), 20);
        assert_eq!(written(begin + MINUTE / 2), 0);
        assert_eq!(written(begin + MINUTE * 2), 20);
    }
}
