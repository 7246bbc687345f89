//! The numbered events of rooms, chat included.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::{RoomStatus, Stored};
use crate::auth::Role;
use crate::id::RoomId;
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
    /// Nothing happened, but the room's row is not as it should be.
    Row(RoomUpdate),
}

impl Entry {
    /// Returns whether it changes the room's row.
    pub(crate) fn changes_row(&self) -> bool {
        match self {
            Self::Chat(_) => false,
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
    /// What they watched, together, in milliseconds.
    pub watch_ms: u64,
}

/// A chat message that has no number yet.
#[derive(Clone, Debug)]
pub(crate) struct NewChat {
    /// The sender's own id; with the sender's identity it makes the message unique in its room.
    pub client_id: Option<String>,
    /// What was said.
    pub text: String,
    /// Who said it.
    pub from: Author,
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
    /// The row is as it should be.
    Row,
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
    /// `chat`.
    pub kind: String,
    /// What was said.
    pub text: String,
    /// Who said it.
    pub from: Author,
}

/// Who said something, as of then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Author {
    /// Identity.
    pub id: String,
    /// Name.
    pub name: String,
    /// Role in the room.
    pub role: Role,
}

/// A numbered event as it was sent.
#[derive(Clone, Debug)]
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
