//! Events on their way to everybody: the first at once, those that follow within a moment in one frame. A frame to five
//! thousand sockets is five thousand calls to the kernel, whatever it holds.

use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;

use crate::ws::protocol;

use super::task::Room;

/// Events that wait for others.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// As they were written, at most 64 KiB of them.
    waiting: Vec<Utf8Bytes>,
    bytes: usize,
    /// When the next frame may leave; `None` before the first.
    free: Option<Instant>,
}

impl Post {
    /// Returns when what waits leaves; `None` while nothing does.
    pub(super) fn due(&self) -> Option<Instant> {
        self.free.filter(|_| !self.waiting.is_empty())
    }

    /// Takes an event; returns whether what is here has to leave now.
    fn push(&mut self, text: Utf8Bytes, now: Instant) -> bool {
        self.bytes += text.len();
        self.waiting.push(text);
        self.bytes >= MAX_BYTES || self.free.is_none_or(|free| free <= now)
    }

    /// Returns the frame that leaves to so many; `None` when nothing waits.
    fn take(&mut self, now: Instant, sockets: usize) -> Option<Utf8Bytes> {
        let frame = match self.waiting.as_slice() {
            [] => return None,
            [alone] => alone.clone(),
            several => protocol::batch(several),
        };
        self.waiting.clear();
        self.bytes = 0;
        self.free = Some(now + pause(sockets));
        Some(frame)
    }
}

impl Room {
    /// Sends an event to everybody, now or with others.
    pub(super) fn publish(&mut self, text: Utf8Bytes) {
        if self.post.push(text, Instant::now()) {
            self.flush();
        }
    }

    /// Sends the events that wait.
    pub(super) fn flush(&mut self) {
        if let Some(frame) = self.post.take(Instant::now(), self.sockets()) {
            self.context.metrics.talk.frames.inc();
            self.deliver(&frame);
        }
    }
}

/// Returns how long the next frame waits after one to so many.
fn pause(sockets: usize) -> Duration {
    let sockets = u32::try_from(sockets).unwrap_or(u32::MAX);
    EACH.saturating_mul(sockets).clamp(LEAST, MOST)
}

/// Somewhat more than what a frame to one socket costs, so that a core is left something for the rest.
const EACH: Duration = Duration::from_micros(14);

/// Forty frames of events a second at most, and ten where seven thousand are here.
const LEAST: Duration = Duration::from_millis(25);
const MOST: Duration = Duration::from_millis(100);

/// A quarter of what may wait for a socket.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_alone_leaves_at_once_and_what_follows_leaves_together() {
        let (mut post, now) = (Post::default(), Instant::now());
        let event = |text: &'static str| Utf8Bytes::from_static(text);
        assert!(post.push(event("{1}"), now));
        assert_eq!(post.take(now, 9).unwrap().as_str(), "{1}");
        assert_eq!(post.due(), None);
        assert!(!post.push(event("{2}"), now));
        assert!(!post.push(event("{3}"), now + LEAST / 2));
        assert_eq!(post.due(), Some(now + LEAST));
        assert!(post.push(event("{4}"), now + LEAST));
        assert_eq!(post.take(now + LEAST, 9).unwrap().as_str(), "[{2},{3},{4}]");
        assert!(post.take(now + LEAST, 9).is_none());
    }

    #[test]
    fn the_more_are_here_the_more_events_share_a_frame() {
        let (mut post, now) = (Post::default(), Instant::now());
        for (sockets, millis) in [(0, 25), (1500, 25), (5000, 70), (usize::MAX, 100)] {
            post.push("{}".into(), now);
            post.take(now, sockets);
            post.push("{}".into(), now);
            assert_eq!(
                post.due(),
                Some(now + Duration::from_millis(millis)),
                "{sockets}"
            );
            post.take(now, sockets);
        }
    }

    #[test]
    fn what_would_fill_the_queues_of_sockets_does_not_wait() {
        let (mut post, now) = (Post::default(), Instant::now());
        let long: Utf8Bytes = "x".repeat(MAX_BYTES / 2).into();
        post.push(long.clone(), now);
        post.take(now, 9);
        assert!(!post.push(long.clone(), now));
        assert!(post.push(long, now));
    }
}
