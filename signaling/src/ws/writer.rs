//! Writes what a socket's queue holds, and how the socket ends.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::oneshot;

use super::outbox::{Item, OutboxReader};

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed it, or its connection broke.
    Gone,
    /// Nothing came for so long that the connection must be broken.
    Silent,
    /// The server stops.
    Stopping,
    /// A frame broke the WebSocket protocol (RFC 6455, section 7.4.1).
    Malformed,
    /// Text that is no UTF-8.
    NotUtf8,
    /// A binary frame.
    Binary,
    /// A message over 64 KiB.
    TooLarge,
    /// No token in time.
    NotAuthenticated,
    /// The sign-in has ended that the client came with.
    SignedOut,
    /// The application's key was taken back that the client's token came of, or the OpenID provider.
    Disowned,
    /// The client does not read.
    SlowReader,
    /// Somebody put the client out of its room.
    Kicked,
    /// The client says too much.
    Flood,
}

impl End {
    /// Returns the close code and its reason; `None` when nobody is there to read them.
    pub(super) fn close(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Gone | Self::Silent => return None,
            Self::Stopping => (1001, "the server stops"),
            Self::Malformed => (1002, "malformed frame"),
            Self::Binary => (1003, "binary frame"),
            Self::NotUtf8 => (1007, "text is no UTF-8"),
            Self::TooLarge => (1009, "message over 64 KiB"),
            Self::NotAuthenticated => (4401, "not authenticated in time"),
            Self::SignedOut => (4401, "the sign-in has ended"),
            Self::Disowned => (4401, "who signed the token is trusted no more"),
            Self::Kicked => (4403, "put out of the room"),
            Self::SlowReader => (4408, "slow reader"),
            Self::Flood => (4429, "too many messages"),
        })
    }
}

/// Writes until the socket breaks, its reader falls behind, or `end` says how to end; returns how it ended.
pub(super) async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut outbox: OutboxReader,
    end: oneshot::Receiver<End>,
) -> End {
    let (overflowed, kicked) = (outbox.overflowed(), outbox.kicked());
    let end = tokio::select! {
        end = overflowed => { let () = end; End::SlowReader }
        end = kicked => { let () = end; End::Kicked }
        end = end => end.unwrap_or(End::Gone),
        () = forward(&mut sink, &mut outbox) => return End::Gone,
    };
    if let Some((code, reason)) = end.close() {
        // What a slow reader has not read yet is of no use to it: it resumes after connecting again.
        let flush = end != End::SlowReader;
        let farewell = async {
            while let Some(item) = outbox.ready().filter(|_| flush) {
                send(&mut sink, item).await?;
            }
            sink.send(Message::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            })))
            .await
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
    end
}

async fn forward(sink: &mut SplitSink<WebSocket, Message>, outbox: &mut OutboxReader) {
    loop {
        let item = outbox.next().await;
        if send(sink, item).await.is_err() {
            return;
        }
    }
}

async fn send(sink: &mut SplitSink<WebSocket, Message>, item: Item) -> Result<(), axum::Error> {
    match item {
        Item::Text(text) => sink.send(Message::Text(text)).await,
        Item::Replay(events) => {
            for event in events {
                sink.send(Message::Text(event)).await?;
            }
            Ok(())
        }
        Item::Ping => sink.send(Message::Ping(axum::body::Bytes::new())).await,
    }
}

/// How long the close frame may take to get through.
const FAREWELL: Duration = Duration::from_secs(5);
