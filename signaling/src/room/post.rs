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
    /// When the last frame left; `None` before the first.
    sent: Option<Instant>,
}

impl Post {
    /// Returns when what waits leaves; `None` while nothing does.
    pub(super) fn due(&self) -> Option<Instant> {
        let sent = self.sent.filter(|_| !self.waiting.is_empty());
        sent.map(|sent| sent + EVERY)
    }

    /// Takes an event; returns whether what is here has to leave now.
    fn push(&mut self, text: Utf8Bytes, now: Instant) -> bool {
        self.bytes += text.len();
        self.waiting.push(text);
        self.bytes >= MAX_BYTES || self.sent.is_none_or(|sent| sent + EVERY <= now)
    }

    /// Returns the frame that leaves; `None` when nothing waits.
    fn take(&mut self, now: Instant) -> Option<Utf8Bytes> {
        let frame = match self.waiting.as_slice() {
            [] => return None,
            [alone] => alone.clone(),
            several => protocol::batch(several),
        };
        self.waiting.clear();
        self.bytes = 0;
        self.sent = Some(now);
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
        if let Some(frame) = self.post.take(Instant::now()) {
            self.context.metrics.talk.frames.inc();
            self.deliver(&frame);
        }
    }
}

/// Forty frames of events a second at most.
const EVERY: Duration = Duration::from_millis(25);

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
        assert_eq!(post.take(now).unwrap().as_str(), "{1}");
        assert_eq!(post.due(), None);
        assert!(!post.push(event("{2}"), now));
        assert!(!post.push(event("{3}"), now + EVERY / 2));
        assert_eq!(post.due(), Some(now + EVERY));
        assert!(post.push(event("{4}"), now + EVERY));
        assert_eq!(post.take(now + EVERY).unwrap().as_str(), "[{2},{3},{4}]");
        assert!(post.take(now + EVERY).is_none());
    }

    #[test]
    fn what_would_fill_the_queues_of_sockets_does_not_wait() {
        let (mut post, now) = (Post::default(), Instant::now());
        let long: Utf8Bytes = "x".repeat(MAX_BYTES / 2).into();
        post.push(long.clone(), now);
        post.take(now);
        assert!(!post.push(long.clone(), now));
        assert!(post.push(long, now));
    }
}
