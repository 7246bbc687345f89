//! When to ask a publisher for a keyframe: at once, then at most once a second, until one comes.

use std::time::{Duration, Instant};

/// Between two requests for the same layer, however many viewers ask.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The one requester of a layer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyframeRequester {
    /// Whether somebody waits for a keyframe.
    wanted: bool,
    /// When the stream that carries the layer was last asked for it; `None` before the first time.
    asked: Option<Instant>,
}

impl KeyframeRequester {
    /// Notes that somebody waits.
    pub(crate) fn request(&mut self) {
        self.wanted = true;
    }

    /// Notes that a keyframe has come.
    pub(crate) fn satisfy(&mut self) {
        self.wanted = false;
    }

    /// Another stream takes the layer over: it was asked for nothing yet.
    pub(crate) fn begin_anew(&mut self) {
        self.asked = None;
    }

    /// Returns whether to ask now, and takes it as done.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let due = self
            .due()
            .is_some_and(|due| due.is_none_or(|due| due <= now));
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// Returns when to ask next; `None` while nobody waits.
    pub(crate) fn poll_timeout(&self, now_or_earlier: Instant) -> Option<Instant> {
        self.due().map(|due| due.unwrap_or(now_or_earlier))
    }

    /// `None`: nobody waits. `Some(None)`: at once.
    fn due(&self) -> Option<Option<Instant>> {
        self.wanted
            .then(|| self.asked.map(|asked| asked + MIN_INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test takes one epoch")]

    use super::*;

    #[test]
    fn the_first_request_goes_at_once_and_the_rest_once_a_second() {
        let start = Instant::now();
        let mut requester = KeyframeRequester::default();
        let mut asked = 0;
        for ms in 0..10_000 {
            requester.request();
            asked += u32::from(requester.poll(start + Duration::from_millis(ms)));
        }
        assert_eq!(asked, 10);
    }

    #[test]
    fn a_keyframe_ends_the_asking_and_the_next_wish_waits_its_second() {
        let start = Instant::now();
        let mut requester = KeyframeRequester::default();
        requester.request();
        assert!(requester.poll(start));
        requester.satisfy();
        assert_eq!(requester.poll_timeout(start), None);
        assert!(!requester.poll(start + MIN_INTERVAL * 5));

        requester.request();
        assert!(requester.poll(start + MIN_INTERVAL * 5));
        requester.satisfy();
        requester.request();
        assert!(!requester.poll(start + MIN_INTERVAL * 5 + MIN_INTERVAL / 2));
        assert!(requester.poll(start + MIN_INTERVAL * 6));
    }
}
