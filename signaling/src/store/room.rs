//! Rooms and what is said about them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CreationKey, RoomQuery, Stored, User};
use crate::id::RoomId;
use crate::shop::Revenue;
use crate::time::Timestamp;

/// Rooms and what is said about them.
pub(crate) trait RoomStore: Send + Sync {
    /// Adds a room, unless the client has created one under the same key.
    fn create<'a>(
        &'a self,
        room: &'a RoomRecord,
        key_hash: &'a str,
        creation: Option<&'a CreationKey>,
    ) -> Stored<'a, Created>;
    /// Returns what a client created under this key; `None` for a key that was not used.
    fn created<'a>(&'a self, creation: &'a CreationKey) -> Stored<'a, Option<Created>>;
    /// Writes what an owner may change, if the row still has this version; the version then rises by one.
    fn update<'a>(&'a self, room: &'a RoomRecord) -> Stored<'a, bool>;
    /// Removes some of what a room has much of; returns whether there may be more.
    fn empty<'a>(&'a self, id: &'a RoomId) -> Stored<'a, bool>;
    /// Removes a room and all that was said in it.
    fn remove<'a>(&'a self, id: &'a RoomId) -> Stored<'a, ()>;
    /// Returns one room.
    fn find<'a>(&'a self, id: &'a RoomId) -> Stored<'a, Option<RoomRecord>>;
    /// Returns one room, if this is the hash of its stream key.
    fn find_by_key<'a>(
        &'a self,
        id: &'a RoomId,
        key_hash: &'a str,
    ) -> Stored<'a, Option<RoomRecord>>;
    /// Writes down that somebody was put out of a room. Returns when: at this moment, and later than every time before, so
    /// that other servers find it new whatever their clocks say.
    fn expel<'a>(
        &'a self,
        id: &'a RoomId,
        identity: &'a str,
        at: Timestamp,
    ) -> Stored<'a, Timestamp>;
    /// Returns who was put out of which room, and when; the last hundred thousand.
    fn expelled(&self) -> Stored<'_, Vec<(RoomId, String, Timestamp)>>;
    /// Returns who was put out of which room after a moment, and when; the first hundred thousand.
    fn expelled_since(&self, after: Timestamp) -> Stored<'_, Vec<(RoomId, String, Timestamp)>>;
    /// Returns what a host's rooms came to, together.
    fn totals<'a>(&'a self, owner: &'a str) -> Stored<'a, Totals>;
    /// Returns a page of rooms.
    fn list<'a>(&'a self, query: &'a RoomQuery) -> Stored<'a, Vec<RoomRecord>>;
}

/// Who may know of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Visibility {
    /// Everybody; it is listed.
    Public,
    /// Everybody with the link.
    Unlisted,
    /// The owner and the holders of a token for it.
    Private,
}

/// Where a room is in its life (docs/rooms.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoomStatus {
    /// Announced.
    Scheduled,
    /// Started by its owner; waits for media.
    Ready,
    /// Media is coming.
    Live,
    /// The publisher was lost; viewers are kept for a while.
    Interrupted,
    /// Over.
    Ended,
    /// Over; its recordings are being finished.
    Processing,
    /// Over; its recordings are ready to play.
    Archived,
    /// Over before it began.
    Cancelled,
}

/// The best picture that the host means to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum Quality {
    /// Whatever host and network carry.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// 360 lines.
    #[serde(rename = "360p")]
    P360,
    /// 480 lines.
    #[serde(rename = "480p")]
    P480,
    /// 720 lines.
    #[serde(rename = "720p")]
    P720,
    /// 1080 lines.
    #[serde(rename = "1080p")]
    P1080,
}

/// Something to read beside the picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// Its name for people.
    #[schema(min_length = 1, max_length = 120)]
    pub title: String,
    /// Where it is.
    #[schema(max_length = 2048, pattern = "^https?://[^/]")]
    pub url: String,
}

/// The same event elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExternalLink {
    /// What it is called for people.
    #[schema(min_length = 1, max_length = 40)]
    pub platform: String,
    /// Where it is.
    #[schema(max_length = 2048, pattern = "^https?://[^/]")]
    pub url: String,
}

/// A room as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomRecord {
    /// Its name in the API.
    pub id: RoomId,
    /// Its name for people.
    pub title: String,
    /// What it is about; may be empty.
    pub description: String,
    /// What it is listed under; `None`: nothing.
    pub category: Option<String>,
    /// Who may know of it.
    pub visibility: Visibility,
    /// The best picture that the host means to send.
    pub quality: Quality,
    /// How long viewers let pictures wait, in milliseconds; `None`: as long as they choose themselves.
    pub playout_delay_ms: Option<u16>,
    /// What there is to read beside the picture.
    pub documents: Vec<Document>,
    /// A picture of the host.
    pub host_avatar_url: Option<String>,
    /// The same event elsewhere.
    pub external_link: Option<ExternalLink>,
    /// Whether guests may chat and react.
    pub allow_guest_chat: bool,
    /// Whether it waits for another event when one has ended.
    pub reusable: bool,
    /// Who created it.
    pub owner: User,
    /// Rises with every change of what the owner wrote.
    pub version: u64,
    /// When its owner gave it a picture; `None`: it has none.
    pub thumbnail_at: Option<Timestamp>,
    /// Where it is in its life.
    pub status: RoomStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it is to begin; `None` where nobody said.
    pub scheduled_at: Option<Timestamp>,
    /// When media first came; `None` before.
    pub started_at: Option<Timestamp>,
    /// When it was over; `None` before.
    pub ended_at: Option<Timestamp>,
    /// When the status changed last.
    pub changed_at: Timestamp,
    /// The most viewers it ever had at once.
    pub peak_viewers: u64,
    /// Viewing sessions that there were.
    pub total_viewers: u64,
    /// What they watched, together, in milliseconds.
    pub watch_ms: u64,
    /// Chat messages.
    pub message_count: u64,
    /// Who like it.
    pub like_count: u64,
    /// Orders.
    pub order_count: u64,
    /// What they came to.
    pub revenue: Revenue,
}

/// What a host's rooms came to, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totals {
    /// Rooms that ever had media.
    pub events: u64,
    /// From the first media to the end, of those that are over.
    pub duration_sec: u64,
    /// The most viewing sessions that one of them had at once.
    pub peak_viewers: u64,
    /// Viewing sessions that there were.
    pub total_viewers: u64,
    /// What all of them watched, together.
    pub watch_time_sec: u64,
    /// Chat messages.
    pub messages: u64,
}

impl RoomRecord {
    /// Makes a room that has nothing but a name and an owner.
    pub(crate) fn new(id: RoomId, title: String, owner: User, now: Timestamp) -> Self {
        Self {
            id,
            title,
            description: String::new(),
            category: None,
            visibility: Visibility::Public,
            quality: Quality::Auto,
            playout_delay_ms: None,
            documents: Vec::new(),
            host_avatar_url: None,
            external_link: None,
            allow_guest_chat: false,
            reusable: false,
            owner,
            version: 1,
            thumbnail_at: None,
            status: RoomStatus::Scheduled,
            created_at: now,
            scheduled_at: None,
            started_at: None,
            ended_at: None,
            changed_at: now,
            peak_viewers: 0,
            total_viewers: 0,
            watch_ms: 0,
            message_count: 0,
            like_count: 0,
            order_count: 0,
            revenue: Revenue::default(),
        }
    }

    /// Returns the moment that lists go by: the last of what happened, or what is to happen.
    pub(crate) fn since(&self) -> Timestamp {
        self.started_at
            .or(self.scheduled_at)
            .unwrap_or(self.created_at)
    }

    /// Returns the words by which it is found, as they are compared.
    pub(crate) fn search_text(&self) -> String {
        let category = self.category.as_deref().unwrap_or_default();
        let parts = [&self.title, &self.owner.name, category, &self.description];
        super::words::fold(&parts.join(" "))
    }
}

impl RoomStatus {
    /// Every one of them, in the order of a life.
    pub(crate) const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Ready,
        Self::Live,
        Self::Interrupted,
        Self::Ended,
        Self::Processing,
        Self::Archived,
        Self::Cancelled,
    ];

    /// Returns the name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Live => "live",
            Self::Interrupted => "interrupted",
            Self::Ended => "ended",
            Self::Processing => "processing",
            Self::Archived => "archived",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the place in lists: on air, to come, over, never was.
    pub(crate) fn rank(self) -> i64 {
        match self {
            Self::Live | Self::Interrupted => 2,
            Self::Scheduled | Self::Ready => 1,
            Self::Ended | Self::Processing | Self::Archived => 0,
            Self::Cancelled => -1,
        }
    }

    /// Returns whether media comes, or is waited for.
    pub(crate) fn is_on_air(self) -> bool {
        matches!(self, Self::Live | Self::Interrupted)
    }

    /// Returns whether nothing can be sent there any more.
    pub(crate) fn is_over(self) -> bool {
        self.rank() < 1
    }
}

impl FromStr for RoomStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.into_iter();
        all.find(|status| status.as_str() == text).ok_or(())
    }
}

impl Visibility {
    /// Every one of them.
    pub(crate) const ALL: [Self; 3] = [Self::Public, Self::Unlisted, Self::Private];

    /// Returns the name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unlisted => "unlisted",
            Self::Private => "private",
        }
    }
}

impl FromStr for Visibility {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.into_iter();
        all.find(|visibility| visibility.as_str() == text).ok_or(())
    }
}

impl Quality {
    /// Returns the name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::P360 => "360p",
            Self::P480 => "480p",
            Self::P720 => "720p",
            Self::P1080 => "1080p",
        }
    }
}

impl FromStr for Quality {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut all = [Self::Auto, Self::P360, Self::P480, Self::P720, Self::P1080].into_iter();
        all.find(|quality| quality.as_str() == text).ok_or(())
    }
}

/// What became of a room that was to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It is there now.
    New,
    /// There is another by its id or with its stream key.
    Taken,
    /// Something else was created under the same key before.
    Other,
    /// It was created under the same key before.
    Before {
        /// Which.
        room: RoomId,
        /// The hash of its stream key.
        key_hash: Option<String>,
    },
}
