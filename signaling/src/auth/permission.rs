//! Who may do what: the one table that REST, the WebSocket, WHIP and WHEP go by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody is in a room; outside of rooms, what their account would make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks after the server.
    Admin,
    /// Created the room; outside of rooms, may create some.
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
    /// Every role, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::Admin,
        Self::Owner,
        Self::Cohost,
        Self::Moderator,
        Self::Viewer,
        Self::Guest,
    ];

    /// Returns whether those who have it keep order, and are exempt from what keeps others in order.
    pub(crate) fn keeps_order(self) -> bool {
        self.may_in_any_room(Action::Moderate)
    }

    /// Returns whether it allows something whatever the room.
    pub(crate) fn may_in_any_room(self, action: Action) -> bool {
        let closed = Setting {
            open: false,
            guests_speak: false,
        };
        allows(self, action, closed)
    }

    /// Returns whether it stands above another in the order of the table.
    pub(crate) fn outranks(self, other: Self) -> bool {
        (self as usize) < (other as usize)
    }

    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::Cohost => "cohost",
            Self::Moderator => "moderator",
            Self::Viewer => "viewer",
            Self::Guest => "guest",
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
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let mut all = Self::ALL.into_iter();
        all.find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// What somebody may want to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create a room.
    Create,
    /// Start, end, cancel and edit a room.
    Manage,
    /// Send media.
    Publish,
    /// See or rotate the stream key.
    StreamKey,
    /// Start and stop recording.
    Record,
    /// Add, remove, order and feature products.
    Sell,
    /// Open and close polls.
    Poll,
    /// Delete and pin messages, mute, kick, ban, slow mode; see who is there.
    Moderate,
    /// Look at a room, enter it and receive media.
    Watch,
    /// Write to the chat.
    Chat,
    /// React and like.
    React,
    /// Read the analytics of a room.
    Analyse,
    /// Clean-up, nodes, webhooks, audit log of the server.
    Administer,
}

/// When a role may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Never.
    No,
    /// Always.
    Yes,
    /// In rooms that are open to who has no invitation: public and unlisted ones.
    InOpenRooms,
    /// Where the room lets guests speak.
    WhereGuestsSpeak,
}

/// What the rules look at in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whether it is public or unlisted.
    pub open: bool,
    /// Whether guests may chat and react.
    pub guests_speak: bool,
}

/// Every action and, in the order of [`Role::ALL`], when each role may do it.
pub const TABLE: [(Action, [Rule; 6]); 13] = {
    use Rule::{InOpenRooms as Open, No, WhereGuestsSpeak as Speak, Yes};
    [
        //                    admin owner cohost moderator viewer guest
        (Action::Create, [Yes, Yes, No, No, No, No]),
        (Action::Manage, [Yes, Yes, No, No, No, No]),
        (Action::Publish, [No, Yes, Yes, No, No, No]),
        (Action::StreamKey, [No, Yes, No, No, No, No]),
        (Action::Record, [Yes, Yes, Yes, No, No, No]),
        (Action::Sell, [Yes, Yes, Yes, No, No, No]),
        (Action::Poll, [Yes, Yes, Yes, No, No, No]),
        (Action::Moderate, [Yes, Yes, Yes, Yes, No, No]),
        (Action::Watch, [Yes, Yes, Yes, Yes, Yes, Open]),
        (Action::Chat, [Yes, Yes, Yes, Yes, Yes, Speak]),
        (Action::React, [Yes, Yes, Yes, Yes, Yes, Speak]),
        (Action::Analyse, [Yes, Yes, Yes, No, No, No]),
        (Action::Administer, [Yes, No, No, No, No, No]),
    ]
};

impl Rule {
    fn holds(self, setting: Setting) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::InOpenRooms => setting.open,
            Self::WhereGuestsSpeak => setting.guests_speak,
        }
    }
}

/// Returns whether a role may do something in such a room.
pub fn allows(role: Role, action: Action, setting: Setting) -> bool {
    TABLE.iter().any(|(row, rules)| {
        *row == action && rules.get(role as usize).is_some_and(|it| it.holds(setting))
    })
}

impl Action {
    /// Says no to who may not.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Self::Create => "You may not create rooms.",
            Self::Manage => "You may not change this room.",
            Self::Publish => "You may not publish in this room.",
            Self::StreamKey => "The stream key is for the room's owner.",
            Self::Record => "You may not record this room.",
            Self::Sell => "You may not change the products of this room.",
            Self::Poll => "You may not ask the audience of this room.",
            Self::Moderate => "You may not keep order in this room.",
            Self::Watch => "You may not watch this room.",
            Self::Chat => "You may not write in this room.",
            Self::React => "You may not react in this room.",
            Self::Analyse => "You may not see the numbers of this room.",
            Self::Administer => "This is for those who look after the server.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_one_row_and_every_role_its_column() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role as usize, index);
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for (action, _) in TABLE {
            let rows = TABLE.iter().filter(|(row, _)| *row == action).count();
            assert_eq!(rows, 1, "{action:?}");
            assert!(action.refusal().ends_with('.'));
        }
    }

    #[test]
    fn guests_watch_what_is_open_and_speak_where_they_may() {
        for (open, guests_speak) in [(true, true), (true, false), (false, true), (false, false)] {
            let setting = Setting { open, guests_speak };
            let may = |action| allows(Role::Guest, action, setting);
            assert_eq!(may(Action::Watch), open);
            assert_eq!(
                (may(Action::Chat), may(Action::React)),
                (guests_speak, guests_speak)
            );
            assert!(!may(Action::Publish) && !may(Action::Moderate));
            assert!(allows(Role::Viewer, Action::Watch, setting));
        }
    }

    #[test]
    fn admins_look_after_rooms_and_do_not_publish_in_them() {
        let setting = Setting {
            open: false,
            guests_speak: false,
        };
        let may = |action| allows(Role::Admin, action, setting);
        assert!(may(Action::Manage) && may(Action::Moderate) && may(Action::Administer));
        assert!(!may(Action::Publish) && !may(Action::StreamKey));
    }
}
