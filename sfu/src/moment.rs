//! When datagrams leave: looked at often enough that delays can be told by it, and not for each.

use std::time::Instant;

/// Runs that leave at what counts as one moment: some 50 microseconds.
const SAME_TIME: usize = 16;

/// The moment at which the next run leaves.
#[derive(Debug)]
pub(crate) struct Moment {
    now: Instant,
    /// Runs that still leave at it.
    left: usize,
}

impl Moment {
    /// Begins with what has just been looked at.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            now,
            left: SAME_TIME,
        }
    }

    /// Returns it for the next run. `clock` is looked at when enough have left since.
    pub(crate) fn next(&mut self, clock: impl FnOnce() -> Instant) -> Instant {
        if self.left == 0 {
            *self = Self::new(clock());
        }
        self.left -= 1;
        self.now
    }

    /// Takes note that the thread has waited: it is another moment now.
    pub(crate) fn pass(&mut self) {
        self.left = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_of_two_thousand_viewers_is_sent_to_at_its_own_time() {
        let start = Instant::now();
        let run = Duration::from_micros(3);
        let mut moment = Moment::new(start);
        let mut looks = 0;
        for sent in 0..2000 {
            let now = start + run * sent;
            let departed = moment.next(|| {
                looks += 1;
                now
            });
            assert!(now - departed < run * 16, "run {sent}");
        }
        assert_eq!(looks, 2000 / 16 - 1);
    }

    #[test]
    fn what_leaves_after_a_wait_leaves_at_another_moment() {
        let start = Instant::now();
        let mut moment = Moment::new(start);
        assert_eq!(moment.next(|| start), start);
        moment.pass();
        let later = start + Duration::from_millis(40);
        assert_eq!(moment.next(|| later), later);
        assert_eq!(moment.next(|| start), later);
    }
}
