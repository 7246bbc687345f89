//! What outlives the process. The only place with SQL; one trait per aggregate, so that another database
//! is one more module and the rest does not notice.

mod sqlite;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub(crate) use sqlite::open;

use crate::auth::Role;
use crate::id::RoomId;
use crate::time::Timestamp;

/// The stores, one by one.
#[derive(Clone)]
pub(crate) struct Stores {
    /// People.
    pub users: Arc<dyn UserStore>,
    /// Rooms.
    pub rooms: Arc<dyn RoomStore>,
    /// What happened in rooms, chat included.
    pub journal: Arc<dyn JournalStore>,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stores")
    }
}

/// The database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What the database said.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought to this version.
    #[error("database migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row holds what this version does not know.
    #[error("database: {0} is not as this version writes it")]
    Unreadable(&'static str),
}

/// What a store answers.
pub(crate) type Stored<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// People who signed in.
pub(crate) trait UserStore: Send + Sync {
    /// Returns the person of this name, whatever its case; a new one when there is none.
    fn sign_in<'a>(&'a self, name: &'a str) -> Stored<'a, User>;
}

/// Rooms and what is said about them.
pub(crate) trait RoomStore: Send + Sync {
    /// Adds a room; `false` when there is one by this id.
    fn create<'a>(&'a self, room: &'a RoomRecord, key_hash: &'a str) -> Stored<'a, bool>;
    /// Returns one room.
    fn find<'a>(&'a self, id: &'a RoomId) -> Stored<'a, Option<RoomRecord>>;
    /// Returns one room, if this is the hash of its stream key.
    fn find_by_key<'a>(
        &'a self,
        id: &'a RoomId,
        key_hash: &'a str,
    ) -> Stored<'a, Option<RoomRecord>>;
    /// Returns a page of rooms, the newest live ones first.
    fn list<'a>(&'a self, query: &'a RoomQuery) -> Stored<'a, Vec<RoomRecord>>;
    /// Returns the rooms that the last process left live or interrupted.
    fn unfinished(&self) -> Stored<'_, Vec<RoomId>>;
}

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

/// One who signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct User {
    /// A UUID that rises with time.
    pub id: String,
    /// As it was written at the first sign-in.
    pub name: String,
}

/// Who may know of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Visibility {
    /// Everybody; it is listed.
    Public,
    /// Everybody with the link.
    Unlisted,
    /// The owner and the holders of a token for it.
    Private,
}

/// Where a room is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoomStatus {
    /// Waits for media.
    Ready,
    /// Media is coming.
    Live,
    /// The publisher was lost; viewers are kept for a while.
    Interrupted,
}

/// A room as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomRecord {
    /// Its name in the API.
    pub id: RoomId,
    /// Its name for people.
    pub title: String,
    /// Who may know of it.
    pub visibility: Visibility,
    /// Where it is in its life.
    pub status: RoomStatus,
    /// Who created it.
    pub owner: User,
    /// Whether guests may chat and react.
    pub allow_guest_chat: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it went live; `None` unless it is live or interrupted.
    pub started_at: Option<Timestamp>,
    /// The most viewers it ever had.
    pub peak_viewers: u64,
}

/// Which rooms to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomQuery {
    /// Only these; `None`: all.
    pub status: Option<RoomStatus>,
    /// Only those with this in their title, whatever its case.
    pub text: Option<String>,
    /// Also this person's own unlisted and private ones.
    pub viewer: Option<String>,
    /// Only those after this one.
    pub after: Option<RoomCursor>,
    /// How many.
    pub limit: u32,
}

/// The place of a room in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomCursor {
    /// Live and interrupted rooms come first.
    pub on_air: bool,
    /// When it went live or was created.
    pub since: Timestamp,
    /// Decides between rooms of the same moment.
    pub id: String,
}

impl RoomCursor {
    /// Returns the place of a room.
    pub(crate) fn of(room: &RoomRecord) -> Self {
        Self {
            on_air: room.status != RoomStatus::Ready,
            since: room.started_at.unwrap_or(room.created_at),
            id: room.id.as_str().to_owned(),
        }
    }
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
}

/// What changes in a room's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomUpdate {
    /// Where the room is in its life now.
    pub status: RoomStatus,
    /// Since when it is live.
    pub started_at: Option<Timestamp>,
    /// The most viewers so far.
    pub peak_viewers: u64,
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
}

/// A chat message, on the wire too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
