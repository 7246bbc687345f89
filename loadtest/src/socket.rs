//! A participant's WebSocket, subprotocol `klieg.v1` (docs/protocol.md).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{
    ClientRequestBuilder, Error as WsError, Message as Frame, Utf8Bytes,
};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use crate::http::retry_after;
use crate::net::{Connection, Net};
use crate::reason::{Closed, Refusal};

/// An open socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<Connection>,
    /// Counts requests: the `id` of the next one.
    next_id: u64,
    /// What came in the last frame, and how much of it was taken note of.
    frame: (Messages, usize),
    /// Bytes of text that came and were not taken note of yet.
    received: u64,
}

/// The messages of one frame.
type Messages = Arc<[Arc<Message>]>;

/// The frames that came last by any socket, at most [`KEPT`], the newest last. A room tells all of its sockets the same: who
/// reads that thousands of times measures itself.
static RECENT: Mutex<VecDeque<(Utf8Bytes, Messages)>> = Mutex::new(VecDeque::new());

/// One message of the server.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    /// Its type.
    pub(crate) t: String,
    /// Its content.
    #[serde(default)]
    pub(crate) d: Value,
    /// The number of a room event, which rises by one in its room.
    pub(crate) seq: Option<u64>,
}

impl Message {
    /// Returns a text of the content.
    pub(crate) fn text(&self, field: &str) -> anyhow::Result<&str> {
        self.d[field]
            .as_str()
            .with_context(|| format!("{} without {field}", self.t))
    }
}

impl Socket {
    /// Connects, and sends `auth` and `join` without waiting for their answers.
    pub(crate) async fn enter(
        net: &Net,
        url: &Url,
        token: &str,
        room: &str,
    ) -> anyhow::Result<Self> {
        let uri = url.as_str().parse()?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol("klieg.v1");
        // The default buffers take 128 KiB a socket.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0);
        let connection = net.connect(url).await?;
        let opened = client_async_with_config(request, connection, Some(config)).await;
        let (stream, _) = opened
            .map_err(refused)
            .with_context(|| format!("no WebSocket at {url}"))?;
        let mut socket = Self {
            stream,
            next_id: 1,
            frame: (Arc::default(), 0),
            received: 0,
        };
        socket.send("auth", json!({ "token": token })).await?;
        socket.send("join", json!({ "roomId": room })).await?;
        Ok(socket)
    }

    /// Sends one request, and returns its `id`.
    pub(crate) async fn send(&mut self, t: &str, d: Value) -> anyhow::Result<String> {
        let id = self.next_id.to_string();
        self.next_id += 1;
        let text = json!({ "t": t, "id": id, "d": d }).to_string();
        let sent = self.stream.send(Frame::text(text)).await;
        sent.with_context(|| format!("cannot send {t}"))?;
        Ok(id)
    }

    /// Says something: with an `id` that is unique beyond the socket, as those of chat messages have to be.
    pub(crate) async fn say(&mut self, t: &str, d: Value) -> anyhow::Result<()> {
        let id = format!("{t}.{:032x}", rand::random::<u128>());
        let text = json!({ "t": t, "id": id, "d": d }).to_string();
        let sent = self.stream.send(Frame::text(text)).await;
        sent.with_context(|| format!("cannot send {t}"))
    }

    /// Returns whether it was a chat message that was refused.
    pub(crate) fn is_chat(refusal: &Refusal) -> bool {
        let re = refusal.re.as_deref();
        re.is_some_and(|re| re.starts_with(CHAT))
    }

    /// Returns whether it was a chat message or a reaction that was refused.
    pub(crate) fn is_talk(refusal: &Refusal) -> bool {
        let re = refusal.re.as_deref();
        re.is_some_and(|re| re.starts_with(CHAT) || re.starts_with(REACTION))
    }

    /// Waits for the next message; `error` messages and a closed socket are errors.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Arc<Message>> {
        let message = self.next_or_refusal().await?;
        if message.t == "error" {
            return Err(Refusal::of(&message.d).into());
        }
        Ok(message)
    }

    /// Waits for the next message of any kind.
    pub(crate) async fn next_or_refusal(&mut self) -> anyhow::Result<Arc<Message>> {
        loop {
            let (messages, taken) = &mut self.frame;
            if let Some(message) = messages.get(*taken) {
                *taken += 1;
                return Ok(Arc::clone(message));
            }
            let frame = match self.stream.next().await {
                None
                | Some(Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    return Err(Closed { frame: None }.into());
                }
                Some(frame) => frame?,
            };
            if let Frame::Text(text) = &frame {
                self.received += u64::try_from(text.len()).unwrap_or(0);
            }
            match frame {
                Frame::Text(text) => self.frame = (read(text)?, 0),
                Frame::Close(frame) => {
                    let frame = frame.map(|it| (it.code.into(), it.reason.to_string()));
                    return Err(Closed { frame }.into());
                }
                Frame::Binary(_) => bail!("the server sent a binary frame"),
                Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
            }
        }
    }

    /// Returns the bytes of text that came since it was asked last.
    pub(crate) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// Says good-bye; the server's answer is not awaited.
    pub(crate) async fn close(&mut self) {
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: "done".into(),
        };
        // The socket may be gone already, which is as good.
        self.stream.close(Some(frame)).await.ok();
    }
}

/// Reads a frame: one message, or a list of them.
fn read(text: Utf8Bytes) -> anyhow::Result<Messages> {
    let recent = || RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = recent().iter().rev().find(|(known, _)| *known == text) {
        return Ok(Arc::clone(known));
    }
    let messages: Messages = if text.starts_with('[') {
        serde_json::from_str::<Vec<_>>(&text)?
            .into_iter()
            .map(Arc::new)
            .collect()
    } else {
        [Arc::new(serde_json::from_str(&text)?)].into()
    };
    let mut recent = recent();
    if recent.len() >= KEPT {
        recent.pop_front();
    }
    recent.push_back((text, Arc::clone(&messages)));
    Ok(messages)
}

/// More than differ among those that are under way to a room's sockets at once.
const KEPT: usize = 16;

/// Returns what the server said where it was not the other end of a WebSocket.
fn refused(error: WsError) -> anyhow::Error {
    let WsError::Http(response) = error else {
        return error.into();
    };
    let (parts, body) = response.into_parts();
    let mut refusal = Refusal::of_http(parts.status, body.as_deref().unwrap_or_default());
    refusal.retry_after = retry_after(&parts.headers);
    refusal.into()
}

/// What viewers say.
pub(crate) const CHAT: &str = "chat.send";
pub(crate) const REACTION: &str = "reaction.send";
