//! How far the server is on its way to its end: whether it takes more, and who is told when that changes.

use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::watch;

use crate::error::{ApiError, Code};

/// How far the server is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// It serves those who are there and takes no more; that can be taken back.
    Draining,
    /// The same, and it will close in a moment.
    Stopping,
    /// It closes what is open.
    Closing,
}

/// The phases that the server goes through.
#[derive(Debug)]
pub(crate) struct Course {
    phase: watch::Sender<Phase>,
    /// Whether it takes no more.
    draining: IntGauge,
}

impl Course {
    /// Begins with a server that serves.
    pub(crate) fn new(draining: IntGauge) -> Self {
        let phase = watch::Sender::new(Phase::Serving);
        Self { phase, draining }
    }

    /// Returns where it can be read, and waited for. The phase of this moment counts as news: it may have changed while
    /// its reader was made.
    pub(crate) fn watch(&self) -> watch::Receiver<Phase> {
        let mut phase = self.phase.subscribe();
        phase.mark_changed();
        phase
    }

    /// Returns whether the server takes no more.
    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Serving
    }

    /// Lets those through who come anew.
    ///
    /// # Errors
    /// `draining` while the server takes no more.
    pub(crate) fn check_open(&self) -> Result<(), ApiError> {
        if self.is_draining() {
            return Err(refusal("The server takes no more; another one may."));
        }
        Ok(())
    }

    /// Has the server take no more. Returns whether it did until now.
    pub(crate) fn drain(&self) -> bool {
        self.change(|now| (now == Phase::Serving).then_some(Phase::Draining))
    }

    /// Has the server take those again who come. Returns whether it did not until now.
    ///
    /// # Errors
    /// `draining` when it is about to stop: that is not taken back.
    pub(crate) fn take_back(&self) -> Result<bool, ApiError> {
        let mut stops = false;
        let taken_back = self.change(|now| {
            stops = now > Phase::Draining;
            (now == Phase::Draining).then_some(Phase::Serving)
        });
        if stops {
            return Err(refusal("The server is about to stop."));
        }
        Ok(taken_back)
    }

    /// Goes on towards the end, never back.
    pub(crate) fn advance(&self, to: Phase) {
        self.change(|now| (now < to).then_some(to));
    }

    fn change(&self, next: impl FnOnce(Phase) -> Option<Phase>) -> bool {
        self.phase.send_if_modified(|phase| {
            let Some(to) = next(*phase) else {
                return false;
            };
            *phase = to;
            // Under the lock of the phase, so that of two changes the later one is shown.
            self.draining.set(i64::from(to != Phase::Serving));
            true
        })
    }
}

fn refusal(text: &'static str) -> ApiError {
    // Not everybody at the same moment.
    let wait = Duration::from_millis(rand::random_range(AGAIN_MS));
    ApiError::new(Code::Draining, text).retry_after(wait)
}

/// When those that were refused are to try again, which is best done elsewhere.
const AGAIN_MS: std::ops::Range<u64> = 1000..3000;

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> (Course, IntGauge) {
        let gauge = IntGauge::new("draining", "draining").unwrap();
        (Course::new(gauge.clone()), gauge)
    }

    #[test]
    fn a_drain_is_told_once_and_can_be_taken_back() {
        let (course, gauge) = course();
        let mut told = course.watch();
        assert!(course.check_open().is_ok() && gauge.get() == 0);
        assert!(course.drain() && !course.drain());
        assert_eq!(*told.borrow_and_update(), Phase::Draining);
        let error = course.check_open().unwrap_err();
        assert_eq!((error.code, gauge.get()), (Code::Draining, 1));
        assert!(error.retry_after.is_some());
        assert!(course.take_back().unwrap() && !course.take_back().unwrap());
        assert_eq!(*told.borrow_and_update(), Phase::Serving);
        assert!(course.check_open().is_ok() && gauge.get() == 0);
        assert!(!told.has_changed().unwrap());
    }

    #[test]
    fn what_stops_does_not_serve_again() {
        let (course, gauge) = course();
        course.advance(Phase::Closing);
        course.advance(Phase::Stopping);
        assert!(!course.drain());
        assert_eq!(course.take_back().unwrap_err().code, Code::Draining);
        assert_eq!(*course.watch().borrow(), Phase::Closing);
        assert_eq!(gauge.get(), 1);
    }
}
