//! What waits to be sent to one socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;

/// Puts messages into a socket's queue, without ever waiting.
///
/// The queue holds 256 KiB. A message beyond it is dropped and the socket is closed as a slow reader: to
/// lose one message silently would be worse than to connect again and resume.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    shared: Arc<Shared>,
}

/// The other end, for the socket's writer.
#[derive(Debug)]
pub(crate) struct OutboxReader {
    shared: Arc<Shared>,
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

/// What both ends see. Not a channel: those keep room for dozens of messages, and most sockets wait for none.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Told when there is something to send.
    filled: Notify,
    /// Told once, when a message did not fit.
    overflow: Notify,
    /// Told once, when the socket is to close after what is queued.
    kicked: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Bytes in the queue, with what each message costs beside its text.
    bytes: usize,
    /// Whether it takes no more: a message did not fit, or nobody will read it.
    is_closed: bool,
    /// Whether nobody will read it.
    is_abandoned: bool,
}

/// Makes a socket's queue.
pub(crate) fn outbox() -> (Outbox, OutboxReader) {
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue::default()),
        filled: Notify::new(),
        overflow: Notify::new(),
        kicked: Notify::new(),
    });
    let reader = OutboxReader {
        shared: Arc::clone(&shared),
    };
    (Outbox { shared }, reader)
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

    /// Closes the socket, once it was sent what is queued.
    pub(crate) fn kick(&self) {
        self.shared.kicked.notify_one();
    }

    /// Returns whether nobody reads it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.shared.queue().is_abandoned
    }

    fn push(&self, item: Item) {
        let mut queue = self.shared.queue();
        if queue.is_closed {
            // The socket is gone, or goes because of a message before this one.
            return;
        }
        let bytes = queue.bytes + item.cost();
        if bytes > CAPACITY_BYTES {
            queue.is_closed = true;
            drop(queue);
            self.shared.overflow.notify_one();
            return;
        }
        queue.bytes = bytes;
        queue.items.push_back(item);
        drop(queue);
        self.shared.filled.notify_one();
    }
}

impl OutboxReader {
    /// Waits for the next thing to send.
    pub(crate) async fn next(&mut self) -> Item {
        loop {
            if let Some(item) = self.ready() {
                return item;
            }
            self.shared.filled.notified().await;
        }
    }

    /// Returns what is queued already.
    pub(crate) fn ready(&mut self) -> Option<Item> {
        let mut queue = self.shared.queue();
        let Some(item) = queue.items.pop_front() else {
            if queue.items.capacity() > KEPT {
                queue.items = VecDeque::new();
            }
            return None;
        };
        queue.bytes -= item.cost();
        Some(item)
    }

    /// Waits until something did not fit.
    pub(crate) fn overflowed(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.overflow.notified().await }
    }

    /// Waits until the socket is to close.
    pub(crate) fn kicked(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.kicked.notified().await }
    }
}

impl Drop for OutboxReader {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.is_closed = true;
        queue.is_abandoned = true;
        queue.items = VecDeque::new();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Room for messages that an empty queue keeps.
const KEPT: usize = 16;

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
    async fn messages_come_in_order_and_none_waits_for_a_gone_reader() {
        let (outbox, mut reader) = outbox();
        let sending = outbox.clone();
        let sent = tokio::spawn(async move {
            for number in 0..100 {
                sending.send(number.to_string().into());
                tokio::task::yield_now().await;
            }
        });
        for number in 0..100 {
            let Item::Text(text) = reader.next().await else {
                panic!("a message")
            };
            assert_eq!(text.as_str(), number.to_string());
        }
        sent.await.unwrap();
        drop(reader);
        outbox.send("nobody reads this".into());
        assert!(outbox.shared.queue().items.is_empty());
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
