//! What waits to be sent to one socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Notify, mpsc};

/// Puts messages into a socket's queue, without ever waiting.
///
/// The queue holds 256 KiB. A message beyond it is dropped and the socket is closed as a slow reader: to
/// lose one message silently would be worse than to connect again and resume.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    // Bounded by bytes, which the channel itself cannot count.
    queue: mpsc::UnboundedSender<Item>,
    level: Arc<Level>,
}

/// The other end, for the socket's writer.
#[derive(Debug)]
pub(crate) struct OutboxReader {
    queue: mpsc::UnboundedReceiver<Item>,
    level: Arc<Level>,
}

/// One thing to send.
#[derive(Debug)]
pub(crate) enum Item {
    /// A message.
    Text(Utf8Bytes),
    /// Events that the room keeps anyhow: their text is not counted again here, their list is.
    Replay(Vec<Utf8Bytes>),
    /// Asks the client whether it lives.
    Ping,
}

#[derive(Debug)]
struct Level {
    /// Bytes in the queue, with what each message costs beside its text.
    bytes: AtomicUsize,
    /// Told once, when a message did not fit.
    overflow: Notify,
}

/// Makes a socket's queue.
pub(crate) fn outbox() -> (Outbox, OutboxReader) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let level = Arc::new(Level {
        bytes: AtomicUsize::new(0),
        overflow: Notify::new(),
    });
    let reader = OutboxReader {
        queue: receiver,
        level: Arc::clone(&level),
    };
    (
        Outbox {
            queue: sender,
            level,
        },
        reader,
    )
}

impl Outbox {
    /// Queues a message.
    pub(crate) fn send(&self, text: Utf8Bytes) {
        self.push(Item::Text(text));
    }

    /// Queues events that were missed.
    pub(crate) fn replay(&self, events: Vec<Utf8Bytes>) {
        self.push(Item::Replay(events));
    }

    /// Queues a ping.
    pub(crate) fn ping(&self) {
        self.push(Item::Ping);
    }

    fn push(&self, item: Item) {
        let cost = item.cost();
        let before = self.level.bytes.fetch_add(cost, Ordering::Relaxed);
        if before + cost > CAPACITY_BYTES {
            self.level.overflow.notify_one();
            return;
        }
        // Fails only when the socket is gone, and then nobody misses the message.
        let _ = self.queue.send(item);
    }
}

impl OutboxReader {
    /// Waits for the next thing to send.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        let item = self.queue.recv().await?;
        self.level.bytes.fetch_sub(item.cost(), Ordering::Relaxed);
        Some(item)
    }

    /// Returns what is queued already.
    pub(crate) fn ready(&mut self) -> Option<Item> {
        let item = self.queue.try_recv().ok()?;
        self.level.bytes.fetch_sub(item.cost(), Ordering::Relaxed);
        Some(item)
    }

    /// Waits until something did not fit.
    pub(crate) fn overflowed(&self) -> impl Future<Output = ()> + use<> {
        let level = Arc::clone(&self.level);
        async move { level.overflow.notified().await }
    }
}

impl Item {
    fn cost(&self) -> usize {
        match self {
            Self::Text(text) => OVERHEAD_BYTES + text.len(),
            Self::Replay(events) => OVERHEAD_BYTES + events.len() * size_of::<Utf8Bytes>(),
            Self::Ping => OVERHEAD_BYTES,
        }
    }
}

/// What may wait for one socket.
const CAPACITY_BYTES: usize = 256 * 1024;

/// What a queued message costs beside its text.
const OVERHEAD_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_told_once_and_what_fitted_stays() {
        let (outbox, mut reader) = outbox();
        let text: Utf8Bytes = "x".repeat(100_000).into();
        for _ in 0..3 {
            outbox.send(text.clone());
        }
        reader.overflowed().await;
        assert!(reader.ready().is_some());
        assert!(reader.ready().is_some());
        assert!(reader.ready().is_none());
    }

    #[tokio::test]
    async fn missed_events_are_sent_again_only_so_often_to_one_who_does_not_read() {
        let (outbox, reader) = outbox();
        let events = vec![Utf8Bytes::from_static("{}"); 1000];
        outbox.replay(events.clone());
        let enough = tokio::time::timeout(Duration::from_millis(50), reader.overflowed());
        assert!(enough.await.is_err(), "one must fit");
        for _ in 0..10 {
            outbox.replay(events.clone());
        }
        reader.overflowed().await;
    }
}
