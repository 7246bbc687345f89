//! One socket: reads what the client sends, within its limits, until one of the two has had enough.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::sync::{oneshot, watch};
use tokio_tungstenite::tungstenite;
use tracing::{Instrument, debug, debug_span};

use crate::app::App;
use crate::auth::Identity;
use crate::drain::Phase;
use crate::error::{ApiError, Code};
use crate::http::visitor::Visitor;
use crate::limit::{Rate, TokenBucket};

use super::handlers::Conversation;
use super::outbox::outbox;
use super::protocol::{self, Draining};
use super::writer::{End, write};

/// Serves a socket to its end.
pub(super) async fn serve(app: Arc<App>, who: (Option<Identity>, Visitor), websocket: WebSocket) {
    app.metrics.sockets.inc();
    app.metrics.sockets_opened.inc();
    let id = app.next_socket();
    let span = debug_span!("socket", socket = id.0);
    let work = async {
        let (sink, mut stream) = websocket.split();
        let (sender, queue) = outbox();
        let (ending, end) = oneshot::channel();
        let (written, mut written_out) = oneshot::channel();
        let conversation = Conversation::new(Arc::clone(&app), id, who, sender);
        let mut reader = Reader::new(&app, conversation);
        // Neither half is dropped before its end: a message that is being carried out when the connection
        // breaks is carried out whole, or a room would keep somebody whom nobody shows out.
        let writing = async {
            let _ = written.send(write(sink, queue, end).await);
        };
        // A task of its own: what is said to thousands wakes their writers, and not what waits for each to say something.
        let writing = tokio::spawn(writing.in_current_span());
        let end = reader.read(&mut stream, &mut written_out).await;
        let _ = ending.send(end);
        let _ = writing.await;
        reader.conversation.close().await;
        if let Some((code, _)) = end.close() {
            app.metrics
                .sockets_closed
                .with_label_values(&[&code.to_string()])
                .inc();
            // The client's own close frame must be read, or the kernel resets the connection and the
            // client may never see ours.
            let drain = async { while let Some(Ok(_)) = stream.next().await {} };
            let linger = if end == End::Stopping {
                LINGER / 4
            } else {
                LINGER
            };
            let _ = tokio::time::timeout(linger, drain).await;
        }
        debug!(?end, "socket closed");
    };
    work.instrument(span).await;
    app.metrics.sockets.dec();
}

/// The reading half.
struct Reader {
    conversation: Conversation,
    phase: watch::Receiver<Phase>,
    /// Changes after tokens have ended before their time.
    ended: watch::Receiver<()>,
    bucket: TokenBucket,
    /// When the client first said too much, and was told; `None` when it did not lately.
    warned_at: Option<Instant>,
    /// When anything came last.
    heard_at: Instant,
    opened_at: Instant,
    auth_timeout: Duration,
    ping_every: Duration,
}

impl Reader {
    fn new(app: &App, conversation: Conversation) -> Self {
        let now = Instant::now();
        Self {
            conversation,
            phase: app.course.watch(),
            ended: app.authority.ended_lately(),
            bucket: TokenBucket::new(Rate::per_second(MESSAGES_PER_SECOND), now),
            warned_at: None,
            heard_at: now,
            opened_at: now,
            auth_timeout: Duration::from_millis(app.config.auth_timeout_ms),
            ping_every: Duration::from_millis(app.config.socket_ping_ms),
        }
    }

    /// Reads until one of the two has had enough; `written` says that it was the writer, and why.
    async fn read(
        &mut self,
        stream: &mut SplitStream<WebSocket>,
        written: &mut oneshot::Receiver<End>,
    ) -> End {
        let mut ping = tokio::time::interval(self.ping_every);
        ping.reset();
        let auth_ends = tokio::time::Instant::from(self.opened_at + self.auth_timeout);
        loop {
            let anonymous = !self.conversation.is_authenticated();
            tokio::select! {
                frame = stream.next() => {
                    self.heard_at = Instant::now();
                    let end = match frame {
                        Some(Ok(message)) => self.handle(message).await,
                        Some(Err(error)) => Some(self.handle_error(error)),
                        None => Some(End::Gone),
                    };
                    if let Some(end) = end {
                        return end;
                    }
                }
                () = tokio::time::sleep_until(auth_ends), if anonymous => {
                    return End::NotAuthenticated;
                }
                _ = ping.tick() => {
                    if self.heard_at.elapsed() >= 3 * self.ping_every {
                        return End::Silent;
                    }
                    if let Some(end) = self.conversation.ended() {
                        return end;
                    }
                    self.conversation.outbox.ping();
                    // On the heap, as below.
                    Box::pin(self.conversation.refresh_token()).await;
                }
                Ok(()) = self.ended.changed() => {
                    if let Some(end) = self.conversation.ended() {
                        return end;
                    }
                }
                end = &mut *written => return end.unwrap_or(End::Gone),
                phase = next_phase(&mut self.phase) => match phase {
                    Phase::Serving => {}
                    Phase::Draining | Phase::Stopping => self.announce_end(),
                    Phase::Closing => return End::Stopping,
                },
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Option<End> {
        if let Some(end) = self.conversation.ended() {
            return Some(end);
        }
        let refusal = match self.meter() {
            Ok(()) => None,
            Err(Metered::Refused(error)) => Some(error),
            Err(Metered::Flood) => return Some(End::Flood),
        };
        match message {
            Message::Text(text) if text.len() > MAX_MESSAGE_BYTES => Some(self.refuse_length()),
            Message::Text(text) => {
                match refusal {
                    Some(error) => self.conversation.refuse_unread(&text, &error),
                    // On the heap, so that sockets which say nothing have no room for it.
                    None => Box::pin(self.conversation.handle(&text)).await,
                }
                None
            }
            Message::Binary(_) => Some(End::Binary),
            Message::Ping(_) | Message::Pong(_) => None,
            Message::Close(_) => Some(End::Gone),
        }
    }

    /// Counts a frame. Who says too much is told once; who still does a second later has to go.
    fn meter(&mut self) -> Result<(), Metered> {
        let now = Instant::now();
        let Err(wait) = self.bucket.take(now) else {
            return Ok(());
        };
        match self.warned_at.map(|at| now.duration_since(at)) {
            Some(since) if (OFFENCE..FORGIVEN).contains(&since) => return Err(Metered::Flood),
            Some(since) if since < OFFENCE => {}
            Some(_) | None => self.warned_at = Some(now),
        }
        let text = "Slow down: twenty messages a second.";
        Err(Metered::Refused(
            ApiError::new(Code::RateLimited, text).retry_after(wait),
        ))
    }

    fn handle_error(&self, error: axum::Error) -> End {
        match error.into_inner().downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Capacity(_)) => self.refuse_length(),
            Some(tungstenite::Error::Utf8(_)) => End::NotUtf8,
            Some(tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => End::Gone,
            Some(tungstenite::Error::Protocol(_)) => End::Malformed,
            Some(_) | None => End::Gone,
        }
    }

    fn refuse_length(&self) -> End {
        let text = "The message has more than 64 KiB; the socket closes.";
        self.conversation
            .refuse(None, &ApiError::new(Code::TooLarge, text));
        End::TooLarge
    }

    fn announce_end(&self) {
        // Spread over two seconds, so that not everybody knocks at the next server at once.
        let reconnect_after_ms = rand::random_range(500..2500);
        let draining = Draining { reconnect_after_ms };
        self.conversation
            .outbox
            .send(protocol::message("server.draining", &draining));
    }
}

/// Why a frame is not looked at.
enum Metered {
    Refused(ApiError),
    Flood,
}

/// Waits for the next phase; a server whose main task is gone is closing.
async fn next_phase(phase: &mut watch::Receiver<Phase>) -> Phase {
    match phase.changed().await {
        Ok(()) => *phase.borrow_and_update(),
        Err(_) => Phase::Closing,
    }
}

/// What a client may send at once.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// What is read of a message before the connection is given up.
pub(super) const MAX_READ_BYTES: usize = 256 * 1024;

const MESSAGES_PER_SECOND: u32 = 20;

/// Refusals within a second of the first are the same offence.
const OFFENCE: Duration = Duration::from_secs(1);

/// After a minute the first offence is forgotten.
const FORGIVEN: Duration = Duration::from_secs(60);

/// How long the client has to answer a close frame; a server that stops waits a quarter of it.
const LINGER: Duration = Duration::from_secs(2);
