//! Who is told outside of what happens in rooms, and what became of each telling.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CreationKey, Stored};
use crate::auth::Secret;
use crate::time::Timestamp;

/// Who is told outside of what happens in rooms.
pub(crate) trait WebhookStore: Send + Sync {
    /// Returns all endpoints, the oldest first.
    fn endpoints(&self) -> Stored<'_, Vec<Webhook>>;
    /// Returns one.
    fn endpoint<'a>(&'a self, id: &'a str) -> Stored<'a, Option<Webhook>>;
    /// Adds an endpoint, unless there are as many as there may be, or one was added under the same key.
    fn add<'a>(
        &'a self,
        webhook: &'a Webhook,
        at_most: u32,
        creation: Option<&'a CreationKey>,
    ) -> Stored<'a, Added>;
    /// Returns what was added under a key; `None`: nothing.
    fn added_before<'a>(&'a self, creation: &'a CreationKey) -> Stored<'a, Option<Added>>;
    /// Writes all of an endpoint but its secrets; returns whether there is one.
    fn change<'a>(&'a self, webhook: &'a Webhook) -> Stored<'a, bool>;
    /// Gives an endpoint another secret; the one before signs, too, until a moment. Returns whether there is one.
    fn rotate<'a>(&'a self, id: &'a str, secret: &'a Secret, until: Timestamp) -> Stored<'a, bool>;
    /// Takes an endpoint away; what was to be told to it goes with [`DeliveryLogStore::sweep`]. Returns whether there was one.
    fn remove<'a>(&'a self, id: &'a str) -> Stored<'a, bool>;
    /// Tells nothing more to an endpoint until somebody lets it be told again.
    fn disable<'a>(&'a self, id: &'a str) -> Stored<'a, ()>;
    /// Writes down since when nothing gets through to an endpoint; returns whether it was known to be otherwise.
    fn note_failing<'a>(&'a self, id: &'a str, since: Option<Timestamp>) -> Stored<'a, bool>;
    /// Returns the endpoints to which something is due.
    fn due(&self, now: Timestamp) -> Stored<'_, Vec<Webhook>>;
}

/// What is on its way. It is written by the journal, with what it tells of.
pub(crate) trait DeliveryStore: Send + Sync {
    /// Waits until something is added by this process.
    fn added(&self) -> BoxFuture<'_, ()>;
    /// Takes what is due for an endpoint, at most `limit` lanes of it, until the lease is over: until then nobody else
    /// gets them.
    fn claim<'a>(&'a self, id: &'a str, lease: &'a Lease, limit: u32) -> Stored<'a, Vec<Lane>>;
    /// Writes down what became of a lane, and gives it back.
    fn release<'a>(&'a self, lane: &'a Lane, tried: &'a [Tried], next: Next) -> Stored<'a, ()>;
    /// Gives back what another process held, in a database that only one uses at a time.
    fn reclaim(&self) -> Stored<'_, ()>;
    /// Returns what waits.
    fn backlog(&self) -> Stored<'_, Backlog>;
}

/// What became of each telling.
pub(crate) trait DeliveryLogStore: Send + Sync {
    /// Returns deliveries, the newest first.
    fn deliveries<'a>(&'a self, id: &'a str, query: &'a DeliveryQuery)
    -> Stored<'a, Vec<Delivery>>;
    /// Returns a delivery with what it tells.
    fn delivery<'a>(&'a self, id: &'a str, event: &'a str) -> Stored<'a, Option<(Delivery, Due)>>;
    /// Tells an endpoint something that is of no room.
    fn tell<'a>(&'a self, id: &'a str, event: &'a str, content: &'a str) -> Stored<'a, ()>;
    /// Tells again; returns how many deliveries wait for it.
    fn replay<'a>(&'a self, id: &'a str, which: &'a Replay) -> Stored<'a, u64>;

    /// Gives up what has waited too long, and forgets what has had its time: a bounded number at once.
    fn sweep(&self, keep: Keep) -> Stored<'_, Swept>;
}

/// Somebody outside who is told.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    /// 128 random bits.
    pub id: String,
    /// Where it listens.
    pub url: String,
    /// What it is, for people.
    pub description: String,
    /// Kinds of events, or `*` alone: all.
    pub events: Vec<String>,
    /// Only of this room; `None`: of all.
    pub room_id: Option<String>,
    /// Only of the rooms of this host; `None`: of all.
    pub owner_id: Option<String>,
    /// Whether it is told at present.
    pub enabled: bool,
    /// What it is signed with.
    pub secret: Secret,
    /// What it was signed with before, and until when it is, too.
    pub old_secret: Option<(Secret, Timestamp)>,
    /// Since when nothing gets through; `None` while the last attempt did.
    pub failing_since: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What became of an endpoint that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is there now.
    New,
    /// There are as many as there may be.
    Full,
    /// Something was created under the same key before: by the same request, or by another.
    Before {
        /// Which.
        id: String,
        /// Whether it was the same request.
        same: bool,
    },
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeliveryStatus {
    /// It is tried, or will be.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    /// Returns the name on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No status of a delivery has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown status of a delivery")]
pub(crate) struct UnknownDeliveryStatus;

impl FromStr for DeliveryStatus {
    type Err = UnknownDeliveryStatus;

    fn from_str(text: &str) -> Result<Self, UnknownDeliveryStatus> {
        let all = [Self::Pending, Self::Delivered, Self::Failed];
        let found = all.into_iter().find(|status| status.as_str() == text);
        found.ok_or(UnknownDeliveryStatus)
    }
}

/// For how long, and by whom, something is taken.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// Names who took it: 128 random bits.
    pub name: String,
    /// What is due by then.
    pub now: Timestamp,
    /// When others may take it.
    pub until: Timestamp,
}

/// What waits for one endpoint from one room, in order, taken by a lease.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// The endpoint.
    pub webhook_id: String,
    /// The room; empty for what is of none.
    pub room_id: String,
    /// Who took it.
    pub lease: String,
    /// How often something had been added when it was taken.
    pub changes: i64,
    /// The first that wait.
    pub due: Vec<Due>,
    /// Whether more wait behind them.
    pub more: bool,
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Its place: it rises.
    pub number: i64,
    /// What receivers know it by.
    pub event_id: String,
    /// What happened.
    pub kind: String,
    /// The room; empty for what is of none.
    pub room_id: String,
    /// Its number among the room's events; `None` where it has none.
    pub seq: Option<i64>,
    /// What there is to say of it, JSON.
    pub content: String,
    /// When it happened.
    pub created_at: Timestamp,
    /// Attempts since it was queued.
    pub attempts: u32,
    /// When it happened, or was replayed last.
    pub queued_at: Timestamp,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Of what.
    pub number: i64,
    /// What has become of it by now.
    pub status: DeliveryStatus,
    /// Attempts since it was queued, this one included.
    pub attempts: u32,
    /// When it began.
    pub at: Timestamp,
    /// What the receiver answered; `None`: nothing.
    pub answer: Option<u16>,
    /// What went wrong; `None`: nothing.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// When a lane is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Not before then.
    At(Timestamp),
    /// When something is added.
    WhenAdded,
}

/// Which deliveries to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeliveryQuery {
    /// Only these; `None`: all.
    pub status: Option<DeliveryStatus>,
    /// Only those numbered less.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Its place: it rises.
    pub number: i64,
    /// What receivers know the event by.
    pub event_id: String,
    /// What happened.
    pub kind: String,
    /// The room; `None` for what is of none.
    pub room_id: Option<String>,
    /// When it happened.
    pub created_at: Timestamp,
    /// What became of it.
    pub status: DeliveryStatus,
    /// Attempts since it was queued.
    pub attempts: u32,
    /// When the next is due; `None` where there is none, or others of its room come first.
    pub next_at: Option<Timestamp>,
    /// When the last attempt was; `None`: there was none.
    pub last_at: Option<Timestamp>,
    /// What was answered to it.
    pub last_status: Option<u16>,
    /// What went wrong with it.
    pub last_error: Option<String>,
    /// How long it took, in milliseconds.
    pub last_ms: Option<i64>,
}

/// What to tell again.
#[derive(Clone, Debug)]
pub(crate) enum Replay {
    /// One event.
    One(String),
    /// What happened from one moment until before another, at most `at_most` of it, the oldest first.
    Between {
        /// Since when.
        from: Timestamp,
        /// Until before when.
        until: Timestamp,
        /// Only what became this; what waits is left as it is.
        status: Option<DeliveryStatus>,
        /// At most so many.
        at_most: u32,
    },
}

/// What is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// What was queued before is given up.
    pub queued_since: Timestamp,
    /// What happened before, and does not wait, is forgotten.
    pub since: Timestamp,
    /// Deliveries of one endpoint; the oldest make room, also those that wait.
    pub at_most: u32,
}

/// What came of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Given up: they had waited too long.
    pub expired: u64,
    /// Forgotten while they waited: there were too many.
    pub dropped: u64,
    /// Forgotten: they had had their time.
    pub forgotten: u64,
    /// Whether there may be more to do.
    pub more: bool,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// How many.
    pub count: u64,
    /// Since when the first of them does; `None`: there is none.
    pub oldest: Option<Timestamp>,
}
