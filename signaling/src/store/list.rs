//! Lists of rooms: which, in which order, and where a page begins.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{RoomRecord, RoomStatus, Visibility};
use crate::time::Timestamp;

/// Which rooms to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomQuery {
    /// Only these; `None`: all but cancelled ones.
    pub status: Option<RoomStatus>,
    /// Only those at this place of [`RoomStatus::rank`].
    pub rank: Option<i64>,
    /// Only those with words that begin with these; at most 8.
    pub words: Option<Vec<String>>,
    /// Only those under it.
    pub category: Option<String>,
    /// Only this person's.
    pub owner: Option<String>,
    /// Only those that who asks may know of.
    pub seen_by: SeenBy,
    /// In which order.
    pub order: RoomOrder,
    /// Only those after this one.
    pub after: Option<RoomCursor>,
    /// How many.
    pub limit: u32,
}

/// Who asks for a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SeenBy {
    /// Anybody: public rooms.
    #[default]
    Everybody,
    /// A host: also their own unlisted and private ones.
    Host(String),
    /// Who looks after the server: all, or those of one visibility.
    Admin(Option<Visibility>),
}

/// In which order rooms are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoomOrder {
    /// Those on air first, then those to come, then those that are over; the latest of each first.
    #[default]
    Active,
    /// The last created first.
    Newest,
    /// The most viewers at once first.
    Popular,
    /// Scheduled ones, the next to begin first.
    Soonest,
}

/// The place of a room in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomCursor {
    /// In which list.
    pub order: RoomOrder,
    /// What the list goes by: [`RoomStatus::rank`] in [`RoomOrder::Active`], else 0.
    pub rank: i64,
    /// What it goes by next.
    pub key: i64,
    /// Decides between rooms of the same key.
    pub id: String,
}

impl RoomCursor {
    /// Returns the place of a room.
    pub(crate) fn of(room: &RoomRecord, order: RoomOrder) -> Self {
        let (rank, key) = match order {
            RoomOrder::Active => (room.status.rank(), room.since().millis()),
            RoomOrder::Newest => (0, room.created_at.millis()),
            RoomOrder::Popular => (0, i64::try_from(room.peak_viewers).unwrap_or(i64::MAX)),
            RoomOrder::Soonest => (0, room.scheduled_at.map_or(0, Timestamp::millis)),
        };
        Self {
            order,
            rank,
            key,
            id: room.id.as_str().to_owned(),
        }
    }

    /// Compares two places in a list.
    pub(crate) fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let key = |it: &Self| (it.rank, it.key, it.id.clone());
        match self.order {
            RoomOrder::Soonest => key(self).cmp(&key(other)),
            RoomOrder::Active | RoomOrder::Newest | RoomOrder::Popular => {
                key(other).cmp(&key(self))
            }
        }
    }
}
