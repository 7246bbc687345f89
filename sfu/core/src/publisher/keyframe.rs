//! When to ask a publisher for a keyframe: at once, then at most once a second, until one comes.

use std::time::{Duration, Instant};

/// Between two requests for the same layer, however many viewers ask.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Between requests for different layers of one picture. libwebrtc does not hear one within 300 ms of another, whichever
/// layers they are of (`EncoderRtcpFeedback`), and on their way they come closer to each other.
pub(super) const BETWEEN_LAYERS: Duration = Duration::from_millis(320);

/// The one requester of a layer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyframeRequester {
    /// Whether somebody waits for a keyframe.
    wanted: bool,
    /// When the stream that carries the layer may be asked again; `None` before it was.
    free: Option<Instant>,
    /// Until when requests for any layer of the picture are not heard; `None` before the first.
    unheard: Option<Instant>,
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
        self.free = None;
    }

    /// Notes that some layer of the picture is asked for now.
    pub(crate) fn give_way(&mut self, now: Instant) {
        self.unheard = Some(now + BETWEEN_LAYERS);
    }

    /// Returns whether to ask now, and takes it as done.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let due = self.wanted && self.free.max(self.unheard).is_none_or(|free| free <= now);
        if due {
            self.free = Some(now + MIN_INTERVAL);
        }
        due
    }

    /// Returns when to ask next; `None` while nobody waits.
    pub(crate) fn poll_timeout(&self, now_or_earlier: Instant) -> Option<Instant> {
        let free = self.free.max(self.unheard);
        self.wanted.then(|| free.unwrap_or(now_or_earlier))
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
