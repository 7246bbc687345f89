//! What a host learns of an audience: figures from media that was really received (docs/analytics.md). Who receives and
//! what happens goes into an [`Audience`], roll-ups come out of it, one task writes them, and whoever asks is answered
//! from them.

mod origin;

mod minute;

mod ledger;

mod event;

mod audience;

mod figures;

mod region;

mod writer;

mod keeper;

mod recent;

mod trouble;

#[cfg(test)]
mod script;

#[cfg(test)]
mod tests;

pub(crate) use audience::{Audience, Report};
pub(crate) use figures::{Beside, Classes, Live, average_sec, ratio};
#[cfg(test)]
pub(crate) use keeper::take_names;
pub(crate) use keeper::take_old_names;
pub(crate) use minute::{COLUMNS, Counts, Lines, Minute};
pub(crate) use origin::{Device, Origin, Region};
pub(crate) use recent::Recent;
pub(crate) use region::Regions;
#[cfg(test)]
pub(crate) use script::Script;
pub(crate) use trouble::{Trouble, Troubles};
pub(crate) use writer::Desk;

use aws_lc_rs::hmac;

use crate::auth::Secret;
use crate::id::RoomId;

/// Who watches: an identity in a room, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Viewer([u8; 16]);

/// What the names of viewers are made with: who has the database alone cannot try out who they are.
#[derive(Clone, Debug)]
pub(crate) struct ViewerKey(hmac::Key);

impl ViewerKey {
    /// Takes the secret of this server, and of all on the same database.
    pub(crate) fn new(secret: &Secret) -> Self {
        let secret = secret.expose().as_bytes();
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Names an identity in a room.
    pub(crate) fn name(&self, room: &RoomId, identity: &str) -> Viewer {
        // No id of a room has a line's end in it.
        let text = format!("viewer\n{room}\n{identity}");
        let tag = hmac::sign(&self.0, text.as_bytes());
        Viewer(tag.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

impl Viewer {
    /// Returns it as the database has it.
    pub(crate) fn hex(self) -> String {
        crate::auth::hex(&self.0)
    }

    /// Reads what [`hex`](Self::hex) wrote; `None` for what is no viewer any more.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok()?;
        (text.len() == 32).then(|| Self(number.to_be_bytes()))
    }
}

/// What is to be written down of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rollup {
    /// When the event began, in milliseconds since 1970; its name within the room.
    pub(crate) started_at: u64,
    /// Who adds it up, since when.
    pub(crate) run: String,
    /// When this was true, in milliseconds since 1970.
    pub(crate) at: u64,
    /// Viewers who watched then.
    pub(crate) watching: u64,
    /// Minutes by their beginning, in milliseconds since 1970, as they are now.
    pub(crate) minutes: Vec<(u64, Minute)>,
    /// Viewers as they are now.
    pub(crate) viewers: Vec<ViewerRow>,
}

impl Rollup {
    /// Returns how many rows it is in the database.
    fn rows(&self) -> usize {
        self.minutes.len() + self.viewers.len() + 1
    }
}

/// A viewer of an event, as one run knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ViewerRow {
    pub(crate) viewer: Viewer,
    pub(crate) watched_ms: u64,
    pub(crate) origin: Origin,
    pub(crate) engaged: bool,
}

/// What the runs before this one wrote down of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Earlier {
    /// The most who watched at once.
    pub(crate) peak: u64,
    pub(crate) counts: Counts,
    pub(crate) viewers: Vec<ViewerRow>,
}

/// Viewers of one event who are told apart.
pub(crate) const MAX_VIEWERS: usize = 100_000;
