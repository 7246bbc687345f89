//! What clients may send, and how it is read.

use klieg_sfu::Kind;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::analytics::{Report, Trouble};
use crate::chat::Said;
use crate::error::{ApiError, Code};
use crate::json::{self, Strict, unfit};
use crate::sdp::is_rid;
use crate::shop::Change;
use crate::store::Deed;

use super::deeds;
use super::floor::{PollMessage, QuestionMessage};

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
    RtcKeyframe(SessionName),
    RtcReport(RtcReport),
    RtcTrouble(RtcTrouble),
    RtcRestart(SessionName),
    RtcMute(RtcMute),
    RtcClose(SessionName),
    ChatSend(Said),
    ChatReport(ChatReport),
    /// What is for those who keep order.
    Deed(Box<Deed>),
    /// What is for those who sell.
    Sell(Change),
    Poll(PollMessage),
    Question(QuestionMessage),
    LikeToggle,
    RoomStart,
    RoomEnd,
    ReactionSend(ReactionSend),
    Stats,
}

/// `auth`.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Auth {
    pub(crate) token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}

/// `join`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Join {
    pub(crate) room_id: String,
}

/// `resume`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resume {
    pub(crate) room_id: String,
    pub(crate) last_seq: u64,
}

/// `rtc.subscribe`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RtcSubscribe {
    /// `auto`, the name of a layer, or that with `:0` to `:3` behind it.
    #[serde(default)]
    #[schema(value_type = String)]
    pub(crate) layer: WantedLayer,
}

/// What a viewer asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum WantedLayer {
    /// Whatever the server finds best.
    #[default]
    Auto,
    /// The layer of this name: 1 to 16 characters of `A–Z a–z 0–9 - _`, as a RID has them.
    Named(String),
    /// The same, of no higher temporal layer than this, 0 to 3: `:` and the number behind the name.
    Reduced(String, u8),
}

impl WantedLayer {
    /// Returns the name; `None` where there is none.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Auto => None,
            Self::Named(name) | Self::Reduced(name, _) => Some(name),
        }
    }
}

impl TryFrom<String> for WantedLayer {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "auto" => Ok(Self::Auto),
            name if is_rid(name) => Ok(Self::Named(name.to_owned())),
            name => reduced(name).ok_or("no layer can have this name"),
        }
    }
}

fn reduced(text: &str) -> Option<WantedLayer> {
    let (name, temporal) = text.split_once(':')?;
    let temporal = temporal.parse().ok().filter(|temporal| *temporal < 4)?;
    is_rid(name).then(|| WantedLayer::Reduced(name.to_owned(), temporal))
}

/// `rtc.answer`, in both directions.
#[derive(Deserialize, ToSchema)]
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
#[derive(Deserialize, ToSchema)]
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
#[derive(Deserialize, ToSchema)]
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
pub(crate) struct Candidate(String);

impl<'de> Deserialize<'de> for Candidate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            candidate: String,
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Candidate;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or an object with `candidate`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Candidate, E> {
                Ok(Candidate(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Candidate, A::Error> {
                let object = Object::deserialize(MapAccessDeserializer::new(entries))?;
                Ok(Candidate(object.candidate))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Candidate {
    /// Returns whether it is in the form of RFC 8839, section 5.1, or the empty end of candidates.
    pub(crate) fn is_well_formed(&self) -> bool {
        let text = self.0.strip_prefix("a=").unwrap_or(&self.0);
        text.is_empty() || (text.starts_with("candidate:") && text.split(' ').count() >= 8)
    }
}

/// `rtc.keyframe`, `rtc.restart` and `rtc.close`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionName {
    pub(crate) session_id: String,
}

/// `rtc.report`: what a viewing session counted since it began.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RtcReport {
    pub(crate) session_id: String,
    #[serde(default)]
    frames_decoded: u64,
    #[serde(default)]
    stalls: u64,
    #[serde(default)]
    stalled_ms: u64,
    /// How old the picture is that is shown.
    #[serde(default)]
    pub(crate) latency_ms: Option<u16>,
    /// From its asking to its first frame.
    #[serde(default)]
    first_frame_ms: Option<u16>,
}

impl RtcReport {
    /// Returns what was counted.
    pub(crate) fn report(&self) -> Report {
        Report {
            frames: self.frames_decoded,
            stalls: self.stalls,
            stalled_ms: self.stalled_ms,
            latency_ms: self.latency_ms,
            first_frame_ms: self.first_frame_ms,
        }
    }
}

/// `rtc.trouble`: what keeps a viewer from watching.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub(crate) struct RtcTrouble {
    pub(crate) reason: Trouble,
}

/// `rtc.mute`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub(crate) struct RtcMute {
    pub(crate) kind: MediaKind,
    pub(crate) muted: bool,
}

/// Sound or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
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

/// `chat.report`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatReport {
    pub(crate) message_id: String,
    #[serde(default)]
    pub(crate) reason: String,
}

/// `reaction.send`.
#[derive(Debug, Deserialize, ToSchema)]
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
    let envelope: Envelope<'_> = match json::from_str(text) {
        Ok(envelope) => envelope,
        Err(error) if !error.is_data() => {
            return Err((None, ApiError::new(Code::BadJson, "The frame is no JSON.")));
        }
        Err(_) => return Err((None, misread::<Envelope<'_>>("The message", text))),
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
        "rtc.keyframe" => ClientMessage::RtcKeyframe(parse(d)?),
        "rtc.report" => ClientMessage::RtcReport(parse(d)?),
        "rtc.trouble" => ClientMessage::RtcTrouble(parse(d)?),
        "rtc.restart" => ClientMessage::RtcRestart(parse(d)?),
        "rtc.mute" => ClientMessage::RtcMute(parse(d)?),
        "rtc.close" => ClientMessage::RtcClose(parse(d)?),
        "chat.send" => ClientMessage::ChatSend(parse(d)?),
        "chat.report" => ClientMessage::ChatReport(parse(d)?),
        "chat.delete" => ClientMessage::from(parse::<deeds::Delete>(d)?),
        "chat.pin" => ClientMessage::from(parse::<deeds::Pin>(d)?),
        "mod.mute" => ClientMessage::from(parse::<deeds::Mute>(d)?),
        "mod.kick" => ClientMessage::from(parse::<deeds::Kick>(d)?),
        "mod.ban" => ClientMessage::from(parse::<deeds::Ban>(d)?),
        "mod.slow" => ClientMessage::from(parse::<deeds::Slow>(d)?.check()?),
        "mod.role" => ClientMessage::from(parse::<deeds::Role>(d)?),
        "mod.review" => ClientMessage::from(parse::<deeds::Review>(d)?),
        "product.feature" => ClientMessage::Sell(parse::<deeds::Feature>(d)?.into()),
        "poll.open" => ClientMessage::Poll(PollMessage::Open(parse(d)?)),
        "poll.close" => ClientMessage::Poll(PollMessage::Close(parse(d)?)),
        "poll.vote" => ClientMessage::Poll(PollMessage::Vote(parse(d)?)),
        "question.ask" => ClientMessage::Question(QuestionMessage::Ask(parse(d)?)),
        "question.vote" => ClientMessage::Question(QuestionMessage::Vote(parse(d)?)),
        "question.answer" => ClientMessage::Question(QuestionMessage::Answer(parse(d)?)),
        "question.remove" => ClientMessage::Question(QuestionMessage::Remove(parse(d)?)),
        "room.start" => empty(d, ClientMessage::RoomStart)?,
        "room.end" => empty(d, ClientMessage::RoomEnd)?,
        "like.toggle" => empty(d, ClientMessage::LikeToggle)?,
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
    if !is_object(d) {
        return Err(ApiError::new(Code::BadMessage, "`d` must be an object."));
    }
    // What can be read is read without noting where in it one is.
    json::from_str(d).map_err(|_| misread::<T>("`d`", d))
}

/// Says which field is the reason that something could not be read.
fn misread<'a, T: Deserialize<'a>>(whole: &str, text: &'a str) -> ApiError {
    let json = &mut serde_json::Deserializer::from_str(text);
    let read: Result<T, _> = serde_path_to_error::deserialize(Strict(json));
    // It cannot be read the second time, either.
    read.err().map_or_else(
        || ApiError::new(Code::BadMessage, "It has wrong or missing fields."),
        |error| unfit(whole, &error, |_| None),
    )
}

fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
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
                r#"{"t":"rtc.subscribe","d":{"layer":"ä"}}"#,
                None,
                Code::BadMessage,
            ),
        ] {
            assert_eq!(code(text), (id.map(str::to_owned), expected), "{text}");
        }
    }

    #[test]
    fn a_field_that_is_not_as_expected_is_named_and_not_what_it_held() {
        let long = "x".repeat(10_000);
        let many = format!(r#"{{"question":"?","options":["a","b"],"{long}":1}}"#);
        for (t, d, said) in [
            ("auth", r#"{"token":7777}"#, "`token`: expected a text."),
            (
                "auth",
                "{}",
                "`d` has wrong or missing fields: missing field `token`.",
            ),
            (
                "join",
                r#"{"roomId":["my secret"]}"#,
                "`roomId`: expected a text.",
            ),
            (
                "resume",
                r#"{"roomId":"a","lastSeq":"my secret"}"#,
                "`lastSeq`: expected a whole number from 0 to 18446744073709551615.",
            ),
            (
                "rtc.mute",
                r#"{"kind":"my secret","muted":true}"#,
                "`kind`: expected `audio` or `video`.",
            ),
            (
                "rtc.subscribe",
                r#"{"layer":"my secret"}"#,
                "`layer`: it cannot be read.",
            ),
            (
                "rtc.candidate",
                r#"{"sessionId":"a","candidate":5}"#,
                "`candidate`: expected a text or an object with `candidate`.",
            ),
            (
                "rtc.candidate",
                r#"{"sessionId":"a","candidate":["my secret"]}"#,
                "`candidate`: expected a text or an object with `candidate`.",
            ),
            (
                "poll.vote",
                r#"{"pollId":"a","option":-7777}"#,
                "`option`: expected a whole number from 0 to 255.",
            ),
            (
                "poll.open",
                r#"{"question":"?","options":["a",7777]}"#,
                "`options[1]`: expected a text.",
            ),
            ("poll.open", &many, "`xxx"),
            ("ping", "[]", "`d` must be an object."),
        ] {
            let (_, error) = read(&format!(r#"{{"t":"{t}","id":"1","d":{d}}}"#)).unwrap_err();
            assert_eq!(error.code, Code::BadMessage, "{t}");
            assert!(error.message.starts_with(said), "{t}: {}", error.message);
            assert!(error.message.chars().count() <= 301, "{t}");
            for sent in ["secret", "7777"] {
                assert!(!error.message.contains(sent), "{t}: {}", error.message);
            }
        }
    }

    #[test]
    fn what_is_wrong_with_the_message_itself_is_named_too() {
        for (text, said) in [
            (r#"{"t":"ping","id":7777}"#, "`id`: expected a text."),
            (r#"{"t":["my secret"]}"#, "`t`: expected a text."),
            (
                r#"{"id":"1"}"#,
                "The message has wrong or missing fields: missing field `t`.",
            ),
            (
                r#"{"t":"ping","t":"ping"}"#,
                "The message has wrong or missing fields: duplicate field `t`.",
            ),
            (r#"["ping"]"#, "The message: expected an object."),
            ("7777", "The message: expected an object."),
            (
                r#"{"t":"ping","id":""}"#,
                "`id` must have 1 to 64 characters.",
            ),
        ] {
            let (_, error) = read(text).unwrap_err();
            assert_eq!((error.code, &*error.message), (Code::BadMessage, said));
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
                    layer: WantedLayer::Auto
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
