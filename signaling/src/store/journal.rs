//! The numbered events of rooms, chat included.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Deed, Done, Floor, Held, Liked, Liking, NewHeld, NewReport, Ordered, PollDeed, ProductName,
    QuestionDeed, Report, RoomStatus, Stored, User,
};
use crate::auth::Role;
use crate::chat::Audience;
use crate::id::RoomId;
use crate::shop::{Change, NewOrder, Shelf, Unfit};
use crate::time::Timestamp;

/// The numbered events of rooms. The database gives the numbers, so none is ever used twice.
pub(crate) trait JournalStore: Send + Sync {
    /// Writes all of it or nothing, in one transaction; the outcomes are in the order of the entries.
    fn append<'a>(&'a self, room: &'a RoomId, entries: &'a [Entry]) -> Stored<'a, Vec<Outcome>>;
    /// Returns the room's last number and its last events, at most `limit`, in order.
    fn tail<'a>(&'a self, room: &'a RoomId, limit: u32) -> Stored<'a, (u64, Vec<Event>)>;
    /// Returns at most `limit` chat messages numbered less than `before`, the newest first.
    fn chat<'a>(
        &'a self,
        room: &'a RoomId,
        before: u64,
        limit: u32,
    ) -> Stored<'a, Vec<ChatMessage>>;
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// Somebody said something.
    Chat(NewChat),
    /// Something else happened.
    Event {
        /// The type on the wire.
        kind: &'static str,
        /// The content on the wire.
        content: Arc<str>,
        /// What it changes in the room's row.
        update: Option<RoomUpdate>,
    },
    /// Something is to be told outside, and to nobody here.
    Notice {
        /// What happened.
        kind: &'static str,
        /// What there is to say of it, JSON.
        content: Arc<str>,
    },
    /// Somebody wants to say what a moderator looks at first.
    Held(NewHeld),
    /// Somebody tells the moderators of a message.
    Report(NewReport),
    /// Somebody kept order.
    Deed {
        /// What is done.
        deed: Deed,
        /// Who does it.
        by: Author,
    },
    /// The host changed what the room sells.
    Shop(Change),
    /// Somebody bought something.
    Order(NewOrder),
    /// Somebody says whether they like the room.
    Like {
        /// Who.
        identity: String,
        /// Whether they do.
        liking: Liking,
    },
    /// Somebody does something to a poll.
    Poll(PollDeed),
    /// Somebody does something to a question.
    Question(QuestionDeed),
    /// Nothing happened, but the room's row is not as it should be.
    Row(RoomUpdate),
}

impl Entry {
    /// Returns whether it changes the room's row.
    pub(crate) fn changes_row(&self) -> bool {
        match self {
            Self::Chat(_)
            | Self::Notice { .. }
            | Self::Held(_)
            | Self::Report(_)
            | Self::Deed { .. }
            | Self::Shop(_)
            | Self::Order(_)
            | Self::Like { .. }
            | Self::Poll(_)
            | Self::Question(_) => false,
            Self::Event { update, .. } => update.is_some(),
            Self::Row(_) => true,
        }
    }
}

/// All of a room's row that its life changes: writing it once more is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoomUpdate {
    /// Where the room is in its life now.
    pub status: RoomStatus,
    /// Since when it is live.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// When the status changed last.
    pub changed_at: Timestamp,
    /// The most viewers so far.
    pub peak_viewers: u64,
    /// Viewing sessions so far.
    pub total_viewers: u64,
}

/// A chat message that has no number yet.
#[derive(Clone, Debug)]
pub(crate) struct NewChat {
    /// The sender's own id; with the sender's identity it makes the message unique in its room.
    pub client_id: Option<String>,
    /// What it is.
    pub kind: MessageKind,
    /// What was said.
    pub text: String,
    /// Who said it.
    pub from: Author,
    /// Who is meant.
    pub mentions: Vec<User>,
    /// The id of the message that it answers.
    pub reply_to: Option<String>,
    /// The product that it is about.
    pub product: Option<Box<ProductName>>,
    /// Among whom of whose audience the sender has to be; `None`: anybody may say it.
    pub audience: Option<(Audience, String)>,
    /// Of an announcement, when it came, in milliseconds since 1970 (UTC).
    pub captured_at: Option<i64>,
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is an event with this number and time.
    Event {
        /// Its number.
        seq: u64,
        /// Its time.
        ts: Timestamp,
    },
    /// It is in the chat.
    Chat(ChatMessage),
    /// It was in the chat already.
    Duplicate(ChatMessage),
    /// Order was kept.
    Deed(Box<Done>),
    /// A moderator will look at it; `None`: it waited before.
    Held(Option<Held>),
    /// The moderators are told; `None`: they were before.
    Report(Option<Box<Report>>),
    /// The sender is not among those who may write.
    NotInAudience,
    /// There is nothing that it could be done to; nothing was done.
    Missing,
    /// There are as many as there may be; nothing was done.
    Full,
    /// This is what the room sells now.
    Shop(Arc<Shelf>),
    /// It is in the chat and in the numbers.
    Ordered(Box<Ordered>),
    /// It was before.
    OrderedBefore,
    /// What the room sells cannot be so; nothing was done.
    Unfit(Unfit),
    /// So many like the room.
    Liked(Liked),
    /// This came of it.
    Floor(Box<Floor>),
    /// The row is as it should be.
    Row,
    /// Those outside will know, if they want to.
    Noticed,
}

impl Outcome {
    /// Returns what is in the chat now.
    pub(crate) fn message(self) -> Option<ChatMessage> {
        if let Self::Chat(message) = self {
            Some(message)
        } else {
            None
        }
    }
}

/// A chat message, on the wire too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatMessage {
    /// A UUID that rises with time.
    pub message_id: String,
    /// Its number among the room's events.
    pub seq: u64,
    /// Milliseconds since 1970 (UTC).
    pub ts: i64,
    /// What it is.
    pub kind: MessageKind,
    /// What was said; empty once that was taken away.
    pub text: String,
    /// Who said it.
    pub from: Author,
    /// What it refers to.
    #[serde(flatten)]
    pub details: Details,
    /// Whether its text was taken away.
    #[serde(skip_serializing_if = "is_false")]
    pub deleted: bool,
}

impl ChatMessage {
    /// Takes away what was said, and leaves that something was.
    pub(crate) fn bury(&mut self) {
        self.text = String::new();
        self.details = Details::default();
        self.deleted = true;
    }
}

/// What a chat message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MessageKind {
    /// Somebody's words.
    #[default]
    Chat,
    /// An announcement of those who keep order.
    System,
    /// Somebody bought something.
    Order,
}

impl MessageKind {
    /// Returns the name on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::System => "system",
            Self::Order => "order",
        }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No message is of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of message")]
pub(crate) struct UnknownKind;

impl FromStr for MessageKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let all = [Self::Chat, Self::System, Self::Order];
        let found = all.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(UnknownKind)
    }
}

/// What a chat message refers to, in the database and on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Details {
    /// Who is meant; ten at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<User>,
    /// What it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reply_to: Option<Answered>,
    /// The product that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub product: Option<Box<ProductName>>,
    /// Of announcements and orders: which frame was captured as it happened, in milliseconds since 1970 (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub captured_at: Option<i64>,
}

/// A message that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AnsweredMessage)]
pub(crate) struct Answered {
    /// Its id.
    pub message_id: String,
    /// Who said it.
    pub from: User,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Who said something, as of then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Author {
    /// Identity.
    pub id: String,
    /// Name.
    pub name: String,
    /// Their picture, where the server's profiles have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub avatar_url: Option<String>,
    /// Role in the room.
    pub role: Role,
}

/// A numbered event as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are chat messages: to put each in a box would cost more than it saves"
)]
pub(crate) enum Event {
    /// A chat message.
    Chat(ChatMessage),
    /// Something else.
    Other {
        /// Its number.
        seq: u64,
        /// Its time.
        ts: Timestamp,
        /// The type on the wire.
        kind: String,
        /// The content on the wire, JSON.
        content: String,
    },
}

impl Event {
    /// Returns its number.
    pub(crate) fn seq(&self) -> u64 {
        match self {
            Self::Chat(message) => message.seq,
            Self::Other { seq, .. } => *seq,
        }
    }
}
