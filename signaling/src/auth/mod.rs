//! Who somebody is, and what that allows in a room.

mod secret;

mod token;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use secret::Secret;
pub(crate) use secret::signing_secret;
pub(crate) use token::{ApiGrants, Authority};
pub use token::{VideoGrants, mint};

use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::store::{RoomRecord, Visibility};

/// What somebody is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Looks after the server.
    Admin,
    /// Created the room.
    Owner,
    /// May publish in a room of somebody else.
    Cohost,
    /// Keeps order.
    Moderator,
    /// Signed in.
    Viewer,
    /// Not signed in.
    Guest,
}

impl Role {
    /// Returns the name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::Cohost => "cohost",
            Self::Moderator => "moderator",
            Self::Viewer => "viewer",
            Self::Guest => "guest",
        }
    }

    /// Returns what the role may do in a room.
    pub(crate) fn grants(self, room: &RoomRecord) -> Grants {
        let speaks = self != Self::Guest || room.allow_guest_chat;
        Grants {
            publish: matches!(self, Self::Owner | Self::Cohost),
            chat: speaks,
            react: speaks,
            moderate: matches!(
                self,
                Self::Admin | Self::Owner | Self::Cohost | Self::Moderator
            ),
            watch: true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No role has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown role")]
pub(crate) struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        [
            Self::Admin,
            Self::Owner,
            Self::Cohost,
            Self::Moderator,
            Self::Viewer,
            Self::Guest,
        ]
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or(UnknownRole)
    }
}

/// What somebody may do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one grant on the wire"
)]
pub(crate) struct Grants {
    /// Send media.
    pub(crate) publish: bool,
    /// Write to the chat.
    pub(crate) chat: bool,
    /// Send reactions.
    pub(crate) react: bool,
    /// Keep order.
    pub(crate) moderate: bool,
    /// Receive media.
    #[serde(skip)]
    pub(crate) watch: bool,
}

impl Grants {
    /// Returns what both allow.
    fn at_most(self, other: Self) -> Self {
        Self {
            publish: self.publish && other.publish,
            chat: self.chat && other.chat,
            react: self.react && other.react,
            moderate: self.moderate && other.moderate,
            watch: self.watch && other.watch,
        }
    }
}

/// Somebody whose token held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Unique among all identities; what rate limits and duplicates go by.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// What the token is good for.
    pub(crate) access: Access,
    /// When the token ends, in seconds since 1970; `None` for who has none.
    pub(crate) expires_at: Option<u64>,
    /// When the token was minted, in seconds since 1970; 0 for one that does not say, and for who has none.
    pub(crate) minted_at: u64,
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whatever the account may do.
    Account,
    /// One room, in this role: a join token.
    Room {
        /// Which room.
        room: RoomId,
        /// As what.
        role: Role,
        /// The most it allows there, whatever the role would.
        most: Grants,
    },
    /// What an application signed with its API key.
    Api(ApiGrants),
}

impl Identity {
    /// Makes one that is not signed in.
    pub(crate) fn guest(name: String) -> Self {
        Self {
            id: format!("guest-{}", crate::id::random()),
            name,
            access: Access::Account,
            expires_at: None,
            minted_at: 0,
        }
    }

    /// Makes the one to whom a room belongs, as its stream key does.
    pub(crate) fn owner(room: &RoomRecord) -> Self {
        Self {
            id: room.owner.id.clone(),
            name: room.owner.name.clone(),
            access: Access::Account,
            expires_at: None,
            minted_at: 0,
        }
    }

    /// Returns whether it is one of those that nobody signed in.
    pub(crate) fn is_guest(&self) -> bool {
        self.id.starts_with("guest-")
    }

    /// Returns what the identity shows to others before it is in a room.
    pub(crate) fn usual_role(&self) -> Role {
        match &self.access {
            Access::Account if self.is_guest() => Role::Guest,
            Access::Account => Role::Viewer,
            Access::Room { role, .. } => *role,
            Access::Api(grants) => grants.role(),
        }
    }

    /// Returns role and grants in a room.
    ///
    /// # Errors
    /// `not_found` when the room may not be known, `forbidden` when the token is for another one.
    pub(crate) fn enter(
        &self,
        room: &RoomRecord,
        open_to_all: bool,
    ) -> Result<(Role, Grants), ApiError> {
        let elsewhere = || ApiError::new(Code::Forbidden, "The token is for another room.");
        match &self.access {
            Access::Room {
                room: granted,
                role,
                most,
            } => {
                let granted = *granted == room.id;
                granted
                    .then(|| (*role, role.grants(room).at_most(*most)))
                    .ok_or_else(elsewhere)
            }
            Access::Api(api) => {
                let granted = api.room.as_deref() == Some(room.id.as_str());
                granted
                    .then(|| (api.role(), api.grants()))
                    .ok_or_else(elsewhere)
            }
            Access::Account => {
                let role = if self.is_guest() {
                    Role::Guest
                } else if room.owner.id == self.id {
                    Role::Owner
                } else if open_to_all {
                    Role::Cohost
                } else {
                    Role::Viewer
                };
                if room.visibility == Visibility::Private && role != Role::Owner {
                    return Err(ApiError::no_room());
                }
                Ok((role, role.grants(room)))
            }
        }
    }

    /// Says no before a room is looked up, so that a token for one room tells nothing of others.
    ///
    /// # Errors
    /// `forbidden` when the token is for another room.
    pub(crate) fn may_ask_for(&self, room: &str) -> Result<(), ApiError> {
        let granted = match &self.access {
            Access::Account => return Ok(()),
            Access::Room { room, .. } => Some(room.as_str()),
            Access::Api(api) => api.room.as_deref(),
        };
        if granted == Some(room) {
            Ok(())
        } else {
            Err(ApiError::new(
                Code::Forbidden,
                "The token is for another room.",
            ))
        }
    }

    /// Returns whether it may create rooms.
    pub(crate) fn may_host(&self) -> bool {
        match &self.access {
            Access::Account => !self.is_guest(),
            Access::Room { .. } => false,
            Access::Api(grants) => grants.room_create,
        }
    }
}
