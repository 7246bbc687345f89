//! Every message of `klieg.v1` (docs/protocol.md), as it stands on the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use klieg_sfu::{Codec, DisconnectReason, Kind};
use klieg_turn::IceServer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::auth::{Grants, Role};
use crate::error::{ApiError, Code};
use crate::store::{ChatMessage, RoomRecord, RoomStatus, User, Visibility};
use crate::time::Timestamp;

/// What a client may send.
#[derive(Debug)]
pub(crate) enum ClientMessage {
    Auth(Auth),
    Ping,
    Join(Join),
    Resume(Resume),
    Leave,
    RtcSubscribe(RtcSubscribe),
    RtcAnswer(RtcAnswer),
    RtcOffer(RtcOffer),
    RtcCandidate(RtcCandidate),
    RtcRestart(SessionName),
    RtcMute(RtcMute),
    RtcClose(SessionName),
    ChatSend(ChatSend),
    ReactionSend(ReactionSend),
    Stats,
}

/// `auth`.
#[derive(Deserialize)]
pub(crate) struct Auth {
    pub(crate) token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}

/// `join`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Join {
    pub(crate) room_id: String,
}

/// `resume`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resume {
    pub(crate) room_id: String,
    pub(crate) last_seq: u64,
}

/// `rtc.subscribe`.
#[derive(Debug, Deserialize)]
pub(crate) struct RtcSubscribe {
    #[serde(default)]
    pub(crate) layer: LayerChoice,
}

/// What a viewer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LayerChoice {
    /// Whatever the server finds best.
    #[default]
    Auto,
    /// The publisher's one layer.
    Full,
}

/// `rtc.answer`, in both directions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtcAnswer {
    pub(crate) session_id: String,
    pub(crate) sdp: String,
}

impl std::fmt::Debug for RtcAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RtcAnswer")
    }
}

/// `rtc.offer` of a publisher.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtcOffer {
    /// `None` opens a session.
    #[serde(default)]
    pub(crate) session_id: Option<String>,
    pub(crate) sdp: String,
}

impl std::fmt::Debug for RtcOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RtcOffer")
    }
}

/// `rtc.candidate`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtcCandidate {
    pub(crate) session_id: String,
    pub(crate) candidate: Candidate,
}

impl std::fmt::Debug for RtcCandidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RtcCandidate")
    }
}

/// A candidate as text, or as browsers write an `RTCIceCandidate`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Candidate {
    Text(String),
    Object { candidate: String },
}

impl Candidate {
    /// Returns whether it is in the form of RFC 8839, section 5.1, or the empty end of candidates.
    pub(crate) fn is_well_formed(&self) -> bool {
        let (Self::Text(text) | Self::Object { candidate: text }) = self;
        let text = text.strip_prefix("a=").unwrap_or(text);
        text.is_empty() || (text.starts_with("candidate:") && text.split(' ').count() >= 8)
    }
}

/// `rtc.restart` and `rtc.close`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionName {
    pub(crate) session_id: String,
}

/// `rtc.mute`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct RtcMute {
    pub(crate) kind: MediaKind,
    pub(crate) muted: bool,
}

/// Sound or picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MediaKind {
    Audio,
    Video,
}

impl From<MediaKind> for Kind {
    fn from(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio,
            MediaKind::Video => Self::Video,
        }
    }
}

/// `chat.send`.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatSend {
    pub(crate) text: String,
}

/// `reaction.send`.
#[derive(Debug, Deserialize)]
pub(crate) struct ReactionSend {
    pub(crate) emoji: String,
}

/// A message that could not be read, with the id to answer to, where there was one.
pub(crate) type Unreadable = (Option<String>, ApiError);

/// Reads a text frame: the client's id and the message.
///
/// # Errors
/// `bad_json`, `bad_message` or `unknown_type`.
pub(crate) fn read(text: &str) -> Result<(Option<String>, ClientMessage), Unreadable> {
    let envelope: Envelope<'_> = match serde_json::from_str(text) {
        Ok(envelope) => envelope,
        Err(error) if error.is_data() => {
            let message = "Expected an object with `t`, and `id` and `d` where needed.";
            return Err((None, ApiError::new(Code::BadMessage, message)));
        }
        Err(_) => return Err((None, ApiError::new(Code::BadJson, "The frame is no JSON."))),
    };
    if let Some(id) = &envelope.id
        && !(1..=MAX_ID_LENGTH).contains(&id.chars().count())
    {
        let message = "`id` must have 1 to 64 characters.";
        return Err((None, ApiError::new(Code::BadMessage, message)));
    }
    match content(&envelope.t, envelope.d.map_or("{}", RawValue::get)) {
        Ok(message) => Ok((envelope.id, message)),
        Err(error) => Err((envelope.id, error)),
    }
}

fn content(t: &str, d: &str) -> Result<ClientMessage, ApiError> {
    Ok(match t {
        "auth" => ClientMessage::Auth(parse(d)?),
        "ping" => empty(d, ClientMessage::Ping)?,
        "join" => ClientMessage::Join(parse(d)?),
        "resume" => ClientMessage::Resume(parse(d)?),
        "leave" => empty(d, ClientMessage::Leave)?,
        "rtc.subscribe" => ClientMessage::RtcSubscribe(parse(d)?),
        "rtc.answer" => ClientMessage::RtcAnswer(parse(d)?),
        "rtc.offer" => ClientMessage::RtcOffer(parse(d)?),
        "rtc.candidate" => ClientMessage::RtcCandidate(parse(d)?),
        "rtc.restart" => ClientMessage::RtcRestart(parse(d)?),
        "rtc.mute" => ClientMessage::RtcMute(parse(d)?),
        "rtc.close" => ClientMessage::RtcClose(parse(d)?),
        "chat.send" => ClientMessage::ChatSend(parse(d)?),
        "reaction.send" => ClientMessage::ReactionSend(parse(d)?),
        "stats" => empty(d, ClientMessage::Stats)?,
        _ => {
            return Err(ApiError::new(
                Code::UnknownType,
                "No message has this type.",
            ));
        }
    })
}

fn parse<'a, T: Deserialize<'a>>(d: &'a str) -> Result<T, ApiError> {
    // serde's own words would repeat what was sent, and that may be a token.
    serde_json::from_str(d)
        .map_err(|_| ApiError::new(Code::BadMessage, "`d` has wrong or missing fields."))
}

fn empty(d: &str, message: ClientMessage) -> Result<ClientMessage, ApiError> {
    parse::<Nothing>(d).map(|Nothing {}| message)
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Envelope<'a> {
    t: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, borrow)]
    d: Option<&'a RawValue>,
}

/// The answer to a message that was carried out. What is `None` is not in the answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ack {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<Participant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<Stats>,
}

/// Somebody as others see them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Participant {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// `joined`: all there is to know about a room at this moment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Joined<'a> {
    pub(crate) room: RoomView<'a>,
    pub(crate) publisher: PublisherView,
    pub(crate) stats: Stats,
    /// The number of the last event that the snapshot contains.
    pub(crate) seq: u64,
    /// Oldest first.
    pub(crate) chat_history: Vec<&'a ChatMessage>,
    /// The room's shop; rooms have none before the shop exists, and clients get an empty list.
    pub(crate) products: [(); 0],
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) you: You,
}

/// The receiver of `joined`.
#[derive(Debug, Serialize)]
pub(crate) struct You {
    #[serde(flatten)]
    pub(crate) participant: Participant,
    pub(crate) grants: Grants,
}

/// A room, on the socket and in REST.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomView<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) status: RoomStatus,
    pub(crate) visibility: Visibility,
    pub(crate) owner: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) allow_guest_chat: bool,
}

impl<'a> From<&'a RoomRecord> for RoomView<'a> {
    fn from(room: &'a RoomRecord) -> Self {
        Self {
            id: room.id.as_str(),
            title: &room.title,
            status: room.status,
            visibility: room.visibility,
            owner: &room.owner,
            started_at: room.started_at,
            allow_guest_chat: room.allow_guest_chat,
        }
    }
}

/// `rtc.publisher`: the one whom everybody watches.
#[derive(Clone, Debug, Serialize)]
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
    pub(crate) video_codec: Option<&'static str>,
}

/// Whether there is something to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PublisherState {
    None,
    Live,
    Interrupted,
}

/// `stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    /// Sockets with a viewing session.
    pub(crate) viewer_count: u64,
    pub(crate) likes: u64,
    /// The most viewers the room ever had.
    pub(crate) peak: u64,
}

/// `rtc.offer` and `rtc.answer` of the server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionSdp<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) sdp: &'a str,
}

/// `rtc.layers`.
#[derive(Debug, Serialize)]
pub(crate) struct Layers {
    pub(crate) available: [&'static str; 1],
    pub(crate) selected: Option<&'static str>,
    pub(crate) reason: LayersReason,
    /// What the publisher sends, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) codec: Option<&'static str>,
}

/// Why a viewer gets what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LayersReason {
    Auto,
    Manual,
    CodecMismatch,
}

/// `rtc.state`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionState<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
}

/// `room.status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomStatusView {
    pub(crate) status: RoomStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<&'static str>,
}

/// `reaction.batch`.
#[derive(Debug, Serialize)]
pub(crate) struct ReactionBatch<'a> {
    pub(crate) counts: &'a BTreeMap<&'static str, u64>,
}

/// `server.draining`.
#[derive(Debug, Serialize)]
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal<'a> {
    code: Code,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// The subprotocol of the WebSocket.
pub(crate) const SUBPROTOCOL: &str = "klieg.v1";

/// The reactions there are.
pub(crate) const REACTIONS: [&str; 6] = ["❤", "👏", "😂", "😮", "🔥", "🎉"];

const MAX_ID_LENGTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> (Option<String>, Code) {
        let (id, error) = read(text).unwrap_err();
        (id, error.code)
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        for (text, id, expected) in [
            ("", None, Code::BadJson),
            ("{", None, Code::BadJson),
            (r#"{"t":"ping"} x"#, None, Code::BadJson),
            ("[]", None, Code::BadMessage),
            (r#"{"id":"1"}"#, None, Code::BadMessage),
            (r#"{"t":"ping","id":""}"#, None, Code::BadMessage),
            (r#"{"t":"ping","id":7}"#, None, Code::BadMessage),
            (r#"{"t":"pong","id":"1"}"#, Some("1"), Code::UnknownType),
            (r#"{"t":"join","id":"1"}"#, Some("1"), Code::BadMessage),
            (
                r#"{"t":"join","id":"1","d":{"roomId":7}}"#,
                Some("1"),
                Code::BadMessage,
            ),
            (
                r#"{"t":"ping","id":"1","d":[]}"#,
                Some("1"),
                Code::BadMessage,
            ),
            (
                r#"{"t":"rtc.subscribe","d":{"layer":"9"}}"#,
                None,
                Code::BadMessage,
            ),
        ] {
            assert_eq!(code(text), (id.map(str::to_owned), expected), "{text}");
        }
    }

    #[test]
    fn content_may_be_left_out_where_it_is_empty() {
        assert!(matches!(
            read(r#"{"t":"ping"}"#),
            Ok((None, ClientMessage::Ping))
        ));
        let subscribe = read(r#"{"t":"rtc.subscribe","id":"ä"}"#).unwrap();
        assert!(matches!(
            subscribe,
            (
                Some(_),
                ClientMessage::RtcSubscribe(RtcSubscribe {
                    layer: LayerChoice::Auto
                })
            )
        ));
    }

    #[test]
    fn a_candidate_may_be_text_or_what_browsers_make_of_it() {
        let line = "candidate:1 1 UDP 2130706431 192.0.2.1 9 typ host";
        for (json, good) in [
            (serde_json::json!(line), true),
            (
                serde_json::json!({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0}),
                true,
            ),
            (serde_json::json!(""), true),
            (serde_json::json!("candidate:"), false),
            (serde_json::json!("<script>"), false),
        ] {
            let candidate: Candidate = serde_json::from_value(json).unwrap();
            assert_eq!(candidate.is_well_formed(), good);
        }
    }
}
