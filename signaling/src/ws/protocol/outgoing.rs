//! What the server sends, and how it is written.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use klieg_sfu::{Codec, DisconnectReason};
use klieg_turn::IceServer;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::auth::{Grants, Role};
use crate::error::{ApiError, Code};
use crate::room::{Reason, Summary};
use crate::shop::Shelf;
use crate::store::{
    ChatMessage, Document, ExternalLink, Poll, RoomRecord, RoomStatus, SettingsView, User,
    Visibility,
};
use crate::time::Timestamp;

/// The answer to a message that was carried out. What is `None` is not in the answer.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ack {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) identity: Option<Participant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    pub(crate) session_id: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) seq: Option<u64>,
    /// Whether a moderator looks at the message first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) held: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) poll_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) question_id: Option<String>,
    /// With how many addresses a ban goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) addresses: Option<usize>,
    /// Whether the client likes the room now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) liked: Option<bool>,
    /// How many do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) likes: Option<u64>,
    /// Sockets with a viewing session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) viewer_count: Option<u64>,
    /// The most viewers the room ever had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) peak: Option<u64>,
}

/// Somebody as others see them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Participant {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// `joined`: all there is to know about a room at this moment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Joined<'a> {
    pub(crate) room: RoomView<'a>,
    pub(crate) publisher: PublisherView,
    pub(crate) stats: Stats,
    /// The number of the last event that the snapshot contains.
    pub(crate) seq: u64,
    /// Oldest first.
    pub(crate) chat_history: Vec<&'a ChatMessage>,
    /// What everybody sees first.
    #[schema(required = true)]
    pub(crate) pinned: Option<&'a ChatMessage>,
    pub(crate) chat_settings: SettingsView,
    /// What the room sells.
    pub(crate) products: &'a Shelf,
    /// The last poll.
    #[schema(required = true)]
    pub(crate) poll: Option<&'a Poll>,
    #[schema(value_type = Vec<crate::http::openapi::IceServerBody>)]
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) you: You,
}

/// `you`, and the receiver of `joined`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct You {
    #[serde(flatten)]
    pub(crate) participant: Participant,
    pub(crate) grants: Grants,
    /// Whether a moderator took them the word.
    pub(crate) muted: bool,
    /// Until when; `None`: for good, or not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub(crate) muted_until: Option<Timestamp>,
}

/// A room on the socket.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomView<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) status: RoomStatus,
    pub(crate) visibility: Visibility,
    pub(crate) owner: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub(crate) scheduled_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub(crate) ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) category: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Document]>::is_empty")]
    pub(crate) documents: &'a [Document],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) host_avatar_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) external_link: Option<&'a ExternalLink>,
    pub(crate) allow_guest_chat: bool,
    /// How long pictures wait, in milliseconds; left out where each player chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) playout_delay_ms: Option<u16>,
    /// What the last show came to: in `joined`, for an hour after its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Summary, nullable = false)]
    pub(crate) summary: Option<&'a RawValue>,
}

impl<'a> From<&'a RoomRecord> for RoomView<'a> {
    fn from(room: &'a RoomRecord) -> Self {
        Self {
            id: room.id.as_str(),
            title: &room.title,
            status: room.status,
            visibility: room.visibility,
            owner: &room.owner,
            scheduled_at: room.scheduled_at,
            started_at: room.started_at,
            ended_at: room.ended_at,
            description: &room.description,
            category: room.category.as_deref(),
            documents: &room.documents,
            host_avatar_url: room.host_avatar_url.as_deref(),
            external_link: room.external_link.as_ref(),
            allow_guest_chat: room.allow_guest_chat,
            playout_delay_ms: room.playout_delay_ms,
            summary: None,
        }
    }
}

/// `rtc.publisher`: the one whom everybody watches.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one field on the wire"
)]
pub(crate) struct PublisherView {
    pub(crate) state: PublisherState,
    pub(crate) audio: bool,
    pub(crate) video: bool,
    pub(crate) audio_muted: bool,
    pub(crate) video_muted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) video_codec: Option<&'static str>,
}

/// Whether there is something to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PublisherState {
    None,
    Live,
    Interrupted,
}

/// `stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    /// Sockets with a viewing session.
    pub(crate) viewer_count: u64,
    pub(crate) likes: u64,
    /// The most viewers the room ever had.
    pub(crate) peak: u64,
}

impl From<Stats> for Ack {
    fn from(stats: Stats) -> Self {
        Self {
            viewer_count: Some(stats.viewer_count),
            likes: Some(stats.likes),
            peak: Some(stats.peak),
            ..Self::default()
        }
    }
}

/// `rtc.offer` and `rtc.answer` of the server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionSdp<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) sdp: &'a str,
}

/// `rtc.layers`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Layers {
    pub(crate) available: Vec<LayerView>,
    /// Which of them comes; `null` until one does, and while the network carries none.
    #[schema(required = true)]
    pub(crate) selected: Option<String>,
    pub(crate) reason: LayersReason,
    /// What the publisher sends, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) codec: Option<&'static str>,
}

/// One layer of a video.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct LayerView {
    /// Its name in `rtc.subscribe`.
    pub(crate) layer: String,
    /// Whether it comes at present.
    pub(crate) active: bool,
    /// Pixels; 0 until known.
    pub(crate) width: u16,
    /// Pixels; 0 until known.
    pub(crate) height: u16,
    /// Bits a second at this moment; 0 while it does not come.
    pub(crate) bitrate: u32,
}

/// Why a viewer gets what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LayersReason {
    Auto,
    Manual,
    /// The layer asked for does not come at present: another is shown.
    Unavailable,
    /// The network carries no better one, or none at all.
    Bandwidth,
    CodecMismatch,
}

/// `rtc.state`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionState<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) state: SessionStage,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) reason: Option<&'static str>,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionStage {
    Connected,
    /// Its first keyframe was sent.
    Media,
    Closed,
}

/// `room.status`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomStatusView {
    pub(crate) status: RoomStatus,
    pub(crate) reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    pub(crate) ended_at: Option<Timestamp>,
    /// Once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) summary: Option<Summary>,
}

/// `room.updated`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoomUpdated<'a> {
    pub(crate) room: RoomView<'a>,
}

/// `kicked`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Kicked<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) reason: Option<&'a str>,
}

/// `token.refresh`: what to show instead of the token before.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenRefresh {
    pub(crate) token: String,
    /// Until when it may be used to connect.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: Timestamp,
}

/// `server.draining`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Draining {
    pub(crate) reconnect_after_ms: u64,
}

/// Writes a message that is no room event.
pub(crate) fn message(t: &str, d: &impl Serialize) -> Utf8Bytes {
    write(&Outgoing {
        t,
        seq: None,
        ts: Timestamp::now().millis(),
        d,
    })
}

/// Writes a room event: once, for everybody.
pub(crate) fn event(t: &str, seq: Option<u64>, ts: Timestamp, d: &impl Serialize) -> Utf8Bytes {
    write(&Outgoing {
        t,
        seq,
        ts: ts.millis(),
        d,
    })
}

/// Writes a room event whose content is JSON already.
pub(crate) fn event_of_json(t: &str, seq: Option<u64>, ts: Timestamp, json: &str) -> Utf8Bytes {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(d) => event(t, seq, ts, &d),
        Err(_) => event(t, seq, ts, &serde_json::Map::new()),
    }
}

/// Puts messages that are written into one frame.
pub(crate) fn batch(messages: &[Utf8Bytes]) -> Utf8Bytes {
    let length: usize = messages.iter().map(|it| it.len() + 1).sum();
    let mut frame = String::with_capacity(length + 1);
    for (index, message) in messages.iter().enumerate() {
        frame.push(if index == 0 { '[' } else { ',' });
        frame.push_str(message);
    }
    frame.push(']');
    frame.into()
}

/// Writes the answer to a message that was carried out.
pub(crate) fn ack(re: &str, ack: &Ack) -> Utf8Bytes {
    message(
        "ack",
        &Answer {
            re: Some(re),
            content: ack,
        },
    )
}

/// Writes the answer to a message that was not.
pub(crate) fn error(re: Option<&str>, error: &ApiError) -> Utf8Bytes {
    error.report();
    let millis = |wait: std::time::Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let content = Refusal {
        code: error.code,
        message: &error.message,
        retry_after_ms: error.retry_after.map(|wait| millis(wait).max(1)),
    };
    message(
        "error",
        &Answer {
            re,
            content: &content,
        },
    )
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    t: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    ts: i64,
    d: &'a T,
}

#[derive(Serialize)]
struct Answer<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    re: Option<&'a str>,
    #[serde(flatten)]
    content: &'a T,
}

/// What an `error` says.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refusal<'a> {
    code: Code,
    /// One sentence for the person who reads it.
    message: &'a str,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_ms: Option<u64>,
}

fn write(message: &impl Serialize) -> Utf8Bytes {
    // Nothing of ours has maps with other keys than text, the one thing that JSON cannot hold.
    serde_json::to_string(message).unwrap_or_default().into()
}

/// Returns the name of a coding on the wire.
pub(crate) fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus",
        Codec::Vp8 => "vp8",
        Codec::Vp9 => "vp9",
        Codec::H264 => "h264",
        Codec::Av1 => "av1",
    }
}

/// Returns the name of a reason on the wire.
pub(crate) fn reason_name(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::Removed => "removed",
        DisconnectReason::Closed => "closed",
        DisconnectReason::ConsentLost => "consent_lost",
        DisconnectReason::HandshakeTimeout => "handshake_timeout",
        DisconnectReason::HandshakeFailed => "handshake_failed",
        DisconnectReason::FingerprintMismatch => "fingerprint_mismatch",
    }
}
