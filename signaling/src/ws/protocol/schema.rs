//! The JSON Schema (2020-12) of `klieg.v1`, made from the code.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::deeds::{Ban, Delete, Feature, Kick, Mute, Pin, Review, Role, Slow};
use super::floor::{
    AnswerQuestion, ClosePoll, NewPoll, NewQuestion, RemoveQuestion, VotePoll, VoteQuestion,
};
use super::incoming::Candidate;
use super::outgoing::Refusal;
use super::{
    Ack, Attendance, Auth, ChatReport, Draining, HeldReviewed, Join, Joined, Kicked, Layers,
    OrderView, PollView, PublisherView, QuestionRemoved, ReactionBatch, ReactionSend,
    ReportResolved, Resume, RoomStatusView, RoomUpdated, RtcAnswer, RtcCandidate, RtcMute,
    RtcOffer, RtcReport, RtcSubscribe, RtcTrouble, SUBPROTOCOL, SessionName, SessionSdp,
    SessionState, ShelfView, Stats, TokenRefresh, You,
};
use crate::analytics::Live;
use crate::chat::Said;
use crate::shop::Product;
use crate::store::{ChatDeleted, ChatMessage, ChatPinned, Held, Question, Report, SettingsView};

/// Returns the schema as it stands in docs/protocol.json.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
        text.push('\n');
        // Where OpenAPI, for which the parts are made, keeps them.
        text.replace("#/components/schemas/", "#/$defs/")
    });
    &TEXT
}

fn document() -> Value {
    let client = ruled(asked(Side::client()));
    let server = seen(Side::server());
    let sides = [("ClientMessage", client), ("ServerMessage", server)];
    let mut parts = BTreeMap::new();
    for (name, side) in sides {
        parts.extend(side.parts);
        parts.insert(name.to_owned(), json!({ "oneOf": side.messages }));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SUBPROTOCOL,
        "description": "A message of the WebSocket. docs/protocol.md says what each is for. A frame of the server may hold an array of them.",
        "anyOf": [{ "$ref": "#/$defs/ClientMessage" }, { "$ref": "#/$defs/ServerMessage" }],
        "$defs": parts,
    })
}

/// What everybody may send.
fn asked(side: Side) -> Side {
    side.says::<Auth>("auth")
        .calls("ping")
        .says::<Join>("join")
        .says::<Resume>("resume")
        .calls("leave")
        .calls("stats")
        .says::<RtcSubscribe>("rtc.subscribe")
        .says::<RtcAnswer>("rtc.answer")
        .says::<RtcOffer>("rtc.offer")
        .says::<RtcCandidate>("rtc.candidate")
        .says::<SessionName>("rtc.keyframe")
        .says::<RtcReport>("rtc.report")
        .says::<RtcTrouble>("rtc.trouble")
        .says::<SessionName>("rtc.restart")
        .says::<RtcMute>("rtc.mute")
        .says::<SessionName>("rtc.close")
        .says::<Said>("chat.send")
        .says::<ChatReport>("chat.report")
        .says::<ReactionSend>("reaction.send")
        .calls("like.toggle")
        .says::<VotePoll>("poll.vote")
        .says::<NewQuestion>("question.ask")
        .says::<VoteQuestion>("question.vote")
}

/// What is for those who keep order, sell or host.
fn ruled(side: Side) -> Side {
    side.says::<Delete>("chat.delete")
        .says::<Pin>("chat.pin")
        .says::<Mute>("mod.mute")
        .says::<Kick>("mod.kick")
        .says::<Ban>("mod.ban")
        .says::<Slow>("mod.slow")
        .says::<Role>("mod.role")
        .says::<Review>("mod.review")
        .calls("room.start")
        .calls("room.end")
        .says::<Feature>("product.feature")
        .says::<NewPoll>("poll.open")
        .says::<ClosePoll>("poll.close")
        .says::<AnswerQuestion>("question.answer")
        .says::<RemoveQuestion>("question.remove")
}

fn seen(side: Side) -> Side {
    side.answers::<Ack>("ack", true)
        .answers::<Refusal<'_>>("error", false)
        .says::<Joined<'_>>("joined")
        .says::<You>("you")
        .says::<SessionSdp<'_>>("rtc.offer")
        .says::<SessionSdp<'_>>("rtc.answer")
        .says::<PublisherView>("rtc.publisher")
        .says::<Layers>("rtc.layers")
        .says::<SessionState<'_>>("rtc.state")
        .says::<RoomStatusView>("room.status")
        .says::<RoomUpdated<'_>>("room.updated")
        .says::<Stats>("stats")
        .says::<Live<'_>>("analytics")
        .says::<ReactionBatch<'_>>("reaction.batch")
        .says::<ChatMessage>("chat.message")
        .says::<ChatDeleted<'_>>("chat.deleted")
        .says::<ChatPinned<'_>>("chat.pinned")
        .says::<SettingsView>("chat.settings")
        .says::<Attendance>("participant.joined")
        .says::<Attendance>("participant.left")
        .says::<Held>("mod.held")
        .says::<HeldReviewed<'_>>("mod.reviewed")
        .says::<Report>("mod.report")
        .says::<ReportResolved<'_>>("mod.resolved")
        .says::<ShelfView<'_>>("products")
        .says::<Product>("product")
        .says::<OrderView<'_>>("order")
        .says::<PollView<'_>>("poll")
        .says::<Question>("question")
        .says::<QuestionRemoved<'_>>("question.removed")
        .says::<Kicked<'_>>("kicked")
        .says::<TokenRefresh>("token.refresh")
        .says::<Draining>("server.draining")
}

/// What one side sends.
struct Side {
    /// What stands beside the content of each message.
    beside: Value,
    /// Which of that is always there.
    always: Vec<&'static str>,
    messages: Vec<Value>,
    /// What the messages are made of, each as often as it is used.
    parts: Vec<(String, Value)>,
}

impl Side {
    fn client() -> Self {
        let id = json!({ "type": "string", "minLength": 1, "maxLength": 64,
            "description": "The answer names it in `re`; without one there is none." });
        Self::new(json!({ "id": id }), Vec::new())
    }

    fn server() -> Self {
        let seq = json!({ "type": "integer", "minimum": 0, "description": "The number of a room event that `resume` replays." });
        let ts = json!({ "type": "integer", "description": "Milliseconds since 1970 (UTC) at the server." });
        Self::new(json!({ "seq": seq, "ts": ts }), vec!["ts", "d"])
    }

    fn new(beside: Value, always: Vec<&'static str>) -> Self {
        Self {
            beside,
            always,
            messages: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Adds a message with content, which may be left out where all of it may.
    fn says<T: ToSchema>(mut self, t: &str) -> Self {
        let content = self.part::<T>();
        let needed = json!(T::schema()).get("required").is_some();
        let needed = needed && !self.always.contains(&"d");
        self.add(t, content, needed)
    }

    /// Adds a message without content.
    fn calls(self, t: &str) -> Self {
        self.add(t, json!({ "type": "object" }), false)
    }

    /// Adds an answer, which names what it answers.
    fn answers<T: ToSchema>(mut self, t: &str, named: bool) -> Self {
        let mut answer = json!({ "type": "object", "properties": { "re": {
            "type": "string", "description": "The `id` of the message that it answers." } } });
        if named {
            answer["required"] = json!(["re"]);
        }
        let content = json!({ "allOf": [answer, self.part::<T>()] });
        self.add(t, content, false)
    }

    fn add(mut self, t: &str, content: Value, needed: bool) -> Self {
        let mut message = json!({ "type": "object", "properties": self.beside });
        message["properties"]["t"] = json!({ "const": t });
        message["properties"]["d"] = content;
        let mut required = vec!["t"];
        required.extend(&self.always);
        required.extend(needed.then_some("d"));
        message["required"] = json!(required);
        self.messages.push(message);
        self
    }

    /// Takes in a type and what it is made of; returns how it is referred to.
    fn part<T: ToSchema>(&mut self) -> Value {
        let mut parts = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut parts);
        let parts = parts.into_iter();
        self.parts
            .extend(parts.map(|(name, part)| (name, json!(part))));
        json!({ "$ref": format!("#/$defs/{}", T::name()) })
    }
}

impl PartialSchema for Candidate {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        let object = ObjectBuilder::new()
            .property("candidate", text())
            .required("candidate");
        OneOfBuilder::new()
            .item(text())
            .item(object)
            .description(Some("As text, or as browsers write an `RTCIceCandidate`."))
            .into()
    }
}

impl ToSchema for Candidate {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::error::Code;

    fn docs(name: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/");
        std::fs::read_to_string(format!("{folder}{name}")).unwrap()
    }

    /// To write it anew: `klieg protocol >docs/protocol.json`.
    #[test]
    fn the_schema_in_the_docs_is_what_the_code_says() {
        assert!(
            docs("protocol.json") == text(),
            "the protocol has changed; if that is meant: klieg protocol >docs/protocol.json"
        );
    }

    #[test]
    fn every_message_of_the_schema_is_in_the_tables_and_every_one_of_the_tables_in_the_schema() {
        let page = docs("protocol.md");
        let socket = page.split("\n## Errors").next().unwrap();
        let rows = socket.lines().filter_map(|line| line.strip_prefix("| `"));
        let named = rows.flat_map(|row| row.split(" | ").next().unwrap().split(", "));
        let named = named.map(|name| name.trim_matches(['`', ' ']));
        let named: BTreeSet<_> = named.filter(|name| !name.starts_with("x-")).collect();
        // Told of in prose, and rows of the table of fields.
        let prose = BTreeSet::from(["ack", "error", "joined"]);
        let fields = BTreeSet::from(["t", "id", "d", "seq", "ts"]);
        let document = document();
        let sides = ["ClientMessage", "ServerMessage"];
        let messages = sides.map(|side| document["$defs"][side]["oneOf"].as_array().unwrap());
        let types = messages.into_iter().flatten();
        let types = types.map(|it| it["properties"]["t"]["const"].as_str().unwrap());
        let types: BTreeSet<_> = types.filter(|t| !prose.contains(t)).collect();
        assert_eq!(types, &named - &fields);
    }

    #[test]
    fn every_message_of_the_schema_is_one_that_is_read() {
        let document = document();
        for message in document["$defs"]["ClientMessage"]["oneOf"]
            .as_array()
            .unwrap()
        {
            let t = message["properties"]["t"]["const"].as_str().unwrap();
            let read = super::super::read(&json!({ "t": t }).to_string());
            let unknown = read.is_err_and(|(_, error)| error.code == Code::UnknownType);
            assert!(!unknown, "{t}");
        }
    }

    #[test]
    fn a_name_stands_for_one_thing_here_and_in_the_description_of_the_rest_api() {
        let rest: Value = serde_json::from_str(crate::http::openapi::text()).unwrap();
        let rest = &rest["components"]["schemas"];
        let mut known = BTreeMap::new();
        let sides = [ruled(asked(Side::client())), seen(Side::server())];
        for (name, part) in sides.iter().flat_map(|side| &side.parts) {
            let first = *known.entry(name).or_insert(part);
            assert_eq!(first, part, "{name}");
            assert_eq!(rest.get(name).unwrap_or(part), part, "{name}");
        }
    }
}
