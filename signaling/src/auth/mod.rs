//! Who somebody is, and what that allows in a room.

pub mod permission;

mod account;

mod address;

mod password;

mod secret;

mod claims;

mod grants;

mod token;

mod oidc;

mod ended;

mod sign_in;

use std::net::IpAddr;

use serde::Serialize;

pub use account::AccountRole;
pub(crate) use account::{Account, NAME_LENGTH, display_name};
pub(crate) use address::{AddressMark, Addresses, Whence};
pub(crate) use claims::API_TTL;
pub use claims::mint;
pub(crate) use ended::Ended;
pub(crate) use grants::ApiGrants;
pub use grants::VideoGrants;
pub(crate) use oidc::{Providers, signing_keys};
pub(crate) use password::{check_new, hash};
pub use permission::Role;
pub(crate) use permission::{Action, Setting};
pub use secret::Secret;
pub(crate) use secret::{hex, signing_secret};
pub(crate) use sign_in::{Lifetimes, SignIns, SignedIn};
pub(crate) use token::{Authority, Issued, Opening, Others};

use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::store::{Author, Deed, RoomRecord, Visibility};
use crate::time::Timestamp;

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

    /// Returns these and what a higher role adds to them: it gives nobody their voice back.
    pub(crate) fn raised(self, higher: Self) -> Self {
        Self {
            publish: self.publish || higher.publish,
            moderate: self.moderate || higher.moderate,
            ..self
        }
    }

    /// Says no to what they do not allow. What has no grant goes by the role alone.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check(self, action: Action) -> Result<(), ApiError> {
        let granted = match action {
            Action::Publish => self.publish,
            Action::Chat => self.chat,
            Action::React => self.react,
            Action::Moderate => self.moderate,
            Action::Watch => self.watch,
            Action::Create
            | Action::Manage
            | Action::StreamKey
            | Action::Record
            | Action::Sell
            | Action::Poll
            | Action::Analyse
            | Action::Administer => false,
        };
        permit(granted, action)
    }
}

impl Role {
    /// Returns what the role may do in a room.
    pub(crate) fn grants(self, room: &RoomRecord) -> Grants {
        let may = |action| self.may(action, room);
        Grants {
            publish: may(Action::Publish),
            chat: may(Action::Chat),
            react: may(Action::React),
            moderate: may(Action::Moderate),
            watch: may(Action::Watch),
        }
    }

    /// Says no to what the role may not do in a room.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check(self, action: Action, room: &RoomRecord) -> Result<(), ApiError> {
        permit(self.may(action, room), action)
    }

    /// Says no to what moderators may not do: who helps to keep order is for the room's owner to say.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check_deed(self, deed: &Deed) -> Result<(), ApiError> {
        if matches!(deed, Deed::Role { .. } | Deed::Member { .. }) {
            return permit(self.may_in_any_room(Action::Manage), Action::Manage);
        }
        Ok(())
    }

    /// Says no to what the role may not do, whatever the room.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check_anywhere(self, action: Action) -> Result<(), ApiError> {
        permit(self.may_in_any_room(action), action)
    }

    fn may(self, action: Action, room: &RoomRecord) -> bool {
        let setting = Setting {
            open: room.visibility != Visibility::Private,
            guests_speak: room.allow_guest_chat,
        };
        permission::allows(self, action, setting)
    }
}

fn permit(allowed: bool, action: Action) -> Result<(), ApiError> {
    if allowed {
        Ok(())
    } else {
        Err(ApiError::new(Code::Forbidden, action.refusal()))
    }
}

/// Somebody whose token held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Unique among all identities; what rate limits and duplicates go by.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Their picture; `None` where the operator's service told of none.
    pub(crate) avatar_url: Option<String>,
    /// What the token is good for.
    pub(crate) access: Access,
    /// When the token ends, in seconds since 1970; `None` for who has none.
    pub(crate) expires_at: Option<u64>,
    /// When what was granted ends, in seconds since 1970, however often the token is changed for another; `None`: with the
    /// sign-in, or when the room puts them out.
    pub(crate) granted_until: Option<u64>,
    /// When the token was minted, in seconds since 1970; 0 for one that does not say, and for who has none.
    pub(crate) minted_at: u64,
    /// The sign-in that the token came of, which may end before the token does; `None` for the tokens of others.
    pub(crate) sign_in: Option<String>,
    /// Who beside this server signed the token that it came of, as [`Authority`] marks them: it ends when the settings name
    /// them no more. `None` for those whom this server signed in itself, and for guests.
    pub(crate) signer: Option<String>,
    /// Where they come from; nothing is known of it before they came in by a door.
    pub(crate) whence: Whence,
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing was shown: whatever is open to everybody.
    Guest,
    /// Whatever the account may do, be it ours or that of an OpenID provider.
    Account(AccountRole),
    /// One room, in this role: a join token.
    Room {
        /// Which room.
        room: RoomId,
        /// As what.
        role: Role,
        /// The most it allows there, whatever the role would.
        most: Grants,
        /// When its holder had last been put out of the room as it was minted; `None`: never.
        kicked_at: Option<Timestamp>,
        /// Whether an application lets its holder in, whoever else may enter.
        invited: bool,
    },
    /// What an application signed with its API key.
    Api(ApiGrants),
}

impl Identity {
    /// Makes one that is not signed in.
    pub(crate) fn guest(name: String) -> Self {
        Self {
            id: format!("{GUEST_PREFIX}{}", crate::id::random()),
            name,
            avatar_url: None,
            access: Access::Guest,
            expires_at: None,
            granted_until: None,
            minted_at: 0,
            sign_in: None,
            signer: None,
            whence: Whence::default(),
        }
    }

    /// Makes the one to whom a room belongs, as its stream key does.
    pub(crate) fn owner(room: &RoomRecord) -> Self {
        Self {
            id: room.owner.id.clone(),
            name: room.owner.name.clone(),
            avatar_url: None,
            access: Access::Account(AccountRole::Host),
            expires_at: None,
            granted_until: None,
            minted_at: 0,
            sign_in: None,
            signer: None,
            whence: Whence::default(),
        }
    }

    /// Says from which network it comes; `None` where only a proxy of this server's is known.
    pub(crate) fn coming_from(mut self, network: Option<IpAddr>) -> Self {
        self.whence.network = network;
        self
    }

    /// Returns it as who does something in a role.
    pub(crate) fn author(&self, role: Role) -> Author {
        Author {
            id: self.id.clone(),
            name: self.name.clone(),
            avatar_url: self.avatar_url.clone(),
            role,
        }
    }

    /// Returns whether it is one of those that nobody signed in.
    pub(crate) fn is_guest(&self) -> bool {
        self.id.starts_with(GUEST_PREFIX)
    }

    /// Returns what the identity shows to others before it is in a room.
    pub(crate) fn usual_role(&self) -> Role {
        match &self.access {
            Access::Guest => Role::Guest,
            Access::Account(AccountRole::Admin) => Role::Admin,
            Access::Account(AccountRole::Host | AccountRole::Viewer) => Role::Viewer,
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
        let owns = room.owner.id == self.id;
        let role = match &self.access {
            Access::Room {
                room: granted,
                role,
                most,
                invited,
                ..
            } => {
                if *granted != room.id {
                    return Err(elsewhere());
                }
                // It may have become private since, or its holder's role there was taken.
                let enters = *invited || matches!(role, Role::Owner | Role::Admin);
                if room.visibility == Visibility::Private && !enters {
                    return Err(ApiError::no_room());
                }
                return Ok((*role, role.grants(room).at_most(*most)));
            }
            Access::Api(api) if api.room.as_deref() == Some(room.id.as_str()) => {
                return Ok((api.role(), api.grants()));
            }
            Access::Api(api) if api.room_create && owns => Role::Owner,
            Access::Api(api) if api.room_create => return Err(ApiError::no_room()),
            Access::Api(_) => return Err(elsewhere()),
            Access::Guest => Role::Guest,
            Access::Account(AccountRole::Host | AccountRole::Admin) if owns => Role::Owner,
            Access::Account(AccountRole::Admin) => Role::Admin,
            Access::Account(_) if open_to_all => Role::Cohost,
            Access::Account(_) => Role::Viewer,
        };
        // Who may host no more still sees their own rooms.
        let invited = owns || !matches!(role, Role::Viewer | Role::Cohost | Role::Guest);
        if room.visibility == Visibility::Private && !invited {
            return Err(ApiError::no_room());
        }
        Ok((role, role.grants(room)))
    }

    /// Returns role and grants in a private room to whose audience they were invited.
    pub(crate) fn enter_invited(&self, room: &RoomRecord) -> (Role, Grants) {
        match &self.access {
            Access::Room { role, most, .. } => (*role, role.grants(room).at_most(*most)),
            Access::Guest | Access::Account(_) | Access::Api(_) => {
                (Role::Viewer, Role::Viewer.grants(room))
            }
        }
    }

    /// Returns whether an owner can invite them: those whom an application names are let in by it alone, and a guest is
    /// somebody else each time.
    pub(crate) fn can_be_invited(&self) -> bool {
        match &self.access {
            Access::Account(_) => true,
            Access::Room { .. } => !self.is_guest(),
            Access::Guest | Access::Api(_) => false,
        }
    }

    /// Says no before a room is looked up, so that a token for one room tells nothing of others.
    ///
    /// # Errors
    /// `forbidden` when the token is for another room.
    pub(crate) fn may_ask_for(&self, room: &str) -> Result<(), ApiError> {
        let granted = match &self.access {
            Access::Room { room, .. } => Some(room.as_str()),
            Access::Api(api) => api.room.as_deref(),
            Access::Guest | Access::Account(_) => None,
        };
        if granted == Some(room) {
            Ok(())
        } else {
            self.may_ask_for_any()
        }
    }

    /// Says no to what is about more than the one room that a token is for.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn may_ask_for_any(&self) -> Result<(), ApiError> {
        match &self.access {
            Access::Guest | Access::Account(_) => Ok(()),
            // It may be one that the application made itself.
            Access::Api(api) if api.room_create => Ok(()),
            Access::Room { .. } | Access::Api(_) => Err(elsewhere()),
        }
    }

    /// Returns whether a token ended when its holder was put out of a room at this moment. One of this server says which
    /// time it knew of, so that no two clocks are compared, and what was minted after it holds at once. An account's opens
    /// no room by itself.
    pub(crate) fn ended_with_kick(&self, kicked: Timestamp) -> bool {
        match &self.access {
            Access::Guest | Access::Account(_) => false,
            Access::Room { kicked_at, .. } => kicked_at.is_none_or(|known| known < kicked),
            Access::Api(_) => self.minted_at <= kicked.seconds(),
        }
    }

    /// Returns whether it may create rooms.
    pub(crate) fn may_host(&self) -> bool {
        self.check(Action::Create).is_ok()
    }

    /// Says no to what it may not do outside of rooms.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check(&self, action: Action) -> Result<(), ApiError> {
        let role = match &self.access {
            Access::Guest => Some(Role::Guest),
            Access::Account(role) => Some(role.outside_rooms()),
            // What it allows is within its room.
            Access::Room { .. } => None,
            Access::Api(grants) if grants.room_create && action == Action::Create => {
                Some(Role::Owner)
            }
            Access::Api(_) => None,
        };
        let nowhere = Setting {
            open: true,
            guests_speak: false,
        };
        let allowed = role.is_some_and(|role| permission::allows(role, action, nowhere));
        permit(allowed, action)
    }
}

/// Reads what strangers may send in place of a provider's keys, a token and its claims: the door for fuzzing. Returns
/// whether the token holds that no key of theirs signed, and the names that are shown.
pub(crate) fn read_hostile(keys: &str, token: &str, said: &str) -> (bool, [Option<String>; 2]) {
    let (holds, name) = claims::read_hostile(token, said);
    (holds, [name, oidc::read_hostile(keys, token, said)])
}

fn elsewhere() -> ApiError {
    ApiError::new(Code::Forbidden, "The token is for another room.")
}

/// The ids of those that nobody signed in begin with it, and no others.
const GUEST_PREFIX: &str = "guest-";
