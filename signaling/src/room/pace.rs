//! How often something goes to everybody, whatever happens meanwhile.

use std::time::{Duration, Instant};

/// Something that goes to everybody, so often at most.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    /// When it goes next; `None` while there is nothing new.
    due: Option<Instant>,
    /// `None` until it went first.
    sent: Option<Instant>,
}

impl Pace {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            due: None,
            sent: None,
        }
    }

    /// Takes note that there is something new.
    pub(super) fn note(&mut self, now: Instant) {
        let next = self.sent.map_or(now, |sent| now.max(sent + self.every));
        self.due.get_or_insert(next);
    }

    /// Returns when it goes; `None` while there is nothing new.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns whether it goes now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let due = self.due.take_if(|due| *due <= now).is_some();
        if due {
            self.sent = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_goes_at_once_and_those_after_it_together() {
        let every = Duration::from_millis(250);
        let (mut pace, now) = (Pace::new(every), Instant::now());
        assert_eq!(pace.due(), None);
        pace.note(now);
        assert!(pace.take(now));
        assert!(!pace.take(now));
        pace.note(now + every / 4);
        pace.note(now + every / 2);
        assert_eq!(pace.due(), Some(now + every));
        assert!(!pace.take(now + every / 2));
        assert!(pace.take(now + every));
        pace.note(now + every * 9);
        assert_eq!(pace.due(), Some(now + every * 9));
    }
}
