//! What those who keep order do to a room.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Author, ChatMessage, Limit, LimitKind, Membership, NewChat, Stored, User};
use crate::auth::{AddressMark, Role};
use crate::chat::{
    ChatSettings, MAX_IDENTITY, MAX_MESSAGE_ID, PublicSettings, SettingsPatch, is_name,
};
use crate::error::{ApiError, Code};
use crate::id::RoomId;

/// What those who keep order left behind.
pub(crate) trait OrderStore: Send + Sync {
    /// Returns what a room's chat has beside its messages.
    fn order<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Order>;
    /// Returns what somebody is in a room beside what their account makes them, who comes from at most two addresses.
    fn standing<'a>(
        &'a self,
        room: &'a RoomId,
        identity: &'a str,
        from: &'a [AddressMark],
    ) -> Stored<'a, Membership>;
    /// Returns what shuts somebody out of a room; `None` for who may enter.
    fn ban<'a>(&'a self, room: &'a RoomId, identity: &'a str) -> Stored<'a, Option<Limit>>;
    /// Returns at most `limit` deeds that are older than one, the newest first.
    fn audit<'a>(
        &'a self,
        room: &'a RoomId,
        before: Option<&'a str>,
        limit: u32,
    ) -> Stored<'a, Vec<Audit>>;
    /// Returns at most `limit` reports that are older than one, the newest first.
    fn reports<'a>(
        &'a self,
        room: &'a RoomId,
        before: Option<&'a str>,
        limit: u32,
    ) -> Stored<'a, Vec<Report>>;
    /// Writes down that somebody follows a host, or does no more.
    fn follow<'a>(&'a self, host: &'a str, who: &'a User, follows: bool) -> Stored<'a, ()>;
}

/// What a room's chat has beside its messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    /// The message that everybody sees first; `None` while there is none.
    pub pinned: Option<ChatMessage>,
    /// How it is set.
    pub settings: ChatSettings,
    /// Who may do more than their account would.
    pub roles: Vec<(User, Role)>,
    /// Who may not write, or not enter; what is over may be among it.
    pub limits: Vec<Limit>,
    /// What waits for a moderator, oldest first.
    pub held: Vec<Held>,
}

/// A message that a moderator looks at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    /// A UUID that rises with time.
    pub held_id: String,
    /// Milliseconds since 1970 (UTC).
    pub ts: i64,
    /// What is to be said.
    pub text: String,
    /// Who wants to say it.
    pub from: Author,
    /// Why: `link` or `word`.
    pub reason: String,
}

/// What somebody told the moderators of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// A UUID that rises with time.
    pub report_id: String,
    /// Milliseconds since 1970 (UTC).
    pub ts: i64,
    /// Who told it.
    pub by: Author,
    /// Why.
    pub reason: String,
    /// What it is about, as it is now.
    pub message: ChatMessage,
}

/// What somebody who keeps order does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Takes away what a message says.
    Delete {
        /// The id of the message.
        message: String,
    },
    /// Puts a message where everybody sees it first, or (`None`) none.
    Pin {
        /// The id of the message.
        message: Option<String>,
    },
    /// Keeps somebody from writing or entering.
    Limit(Limit),
    /// Lets somebody write or enter again.
    Lift {
        /// Which of the two.
        kind: LimitKind,
        /// The person's id.
        identity: String,
    },
    /// Puts somebody out.
    Kick {
        /// The person's id.
        identity: String,
        /// What they are told.
        reason: Option<String>,
    },
    /// Gives somebody a role, or (`None`) takes it.
    Role {
        /// Who.
        who: User,
        /// `cohost` or `moderator`.
        role: Option<Role>,
    },
    /// Makes somebody a member, or no more.
    Member {
        /// Who.
        who: User,
        /// Whether they are one.
        member: bool,
    },
    /// Sets the chat.
    Settings(Box<SettingsPatch>),
    /// Lets a held message be said, or not.
    Review {
        /// The id of what is held.
        held: String,
        /// Whether it is said.
        approve: bool,
    },
    /// Has done with a report.
    Resolve {
        /// The id of the report.
        report: String,
    },
}

impl Deed {
    /// Checks what needs no room.
    ///
    /// # Errors
    /// `bad_message`.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let long_reason = |reason: &Option<String>| {
            reason
                .as_ref()
                .is_some_and(|it| it.chars().nth(MAX_REASON).is_some() || it.contains('\0'))
        };
        let good = match self {
            Self::Delete { message } => is_name(message, MAX_MESSAGE_ID),
            Self::Pin { message } => message
                .as_ref()
                .is_none_or(|it| is_name(it, MAX_MESSAGE_ID)),
            Self::Limit(limit) => {
                is_name(&limit.who.id, MAX_IDENTITY) && !long_reason(&limit.reason)
            }
            Self::Kick { identity, reason } => {
                is_name(identity, MAX_IDENTITY) && !long_reason(reason)
            }
            Self::Lift { identity, .. } => is_name(identity, MAX_IDENTITY),
            Self::Role { who, role } => {
                let given = matches!(role, None | Some(Role::Cohost | Role::Moderator));
                given && is_name(&who.id, MAX_IDENTITY)
            }
            Self::Member { who, .. } => is_name(&who.id, MAX_IDENTITY),
            Self::Settings(_) => true,
            Self::Review { held, .. } => is_name(held, MAX_MESSAGE_ID),
            Self::Resolve { report } => is_name(report, MAX_MESSAGE_ID),
        };
        if good {
            Ok(())
        } else {
            let text = "An id or a reason is empty or too long.";
            Err(ApiError::new(Code::BadMessage, text))
        }
    }

    /// Returns its name in the audit log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Delete { .. } => "delete",
            Self::Pin { message: Some(_) } => "pin",
            Self::Pin { message: None } => "unpin",
            Self::Limit(limit) => limit.kind.as_str(),
            Self::Lift {
                kind: LimitKind::Mute,
                ..
            } => "unmute",
            Self::Lift {
                kind: LimitKind::Ban,
                ..
            } => "unban",
            Self::Kick { .. } => "kick",
            Self::Role { .. } => "role",
            Self::Member { .. } => "member",
            Self::Settings(_) => "settings",
            Self::Review { approve: true, .. } => "approve",
            Self::Review { approve: false, .. } => "refuse",
            Self::Resolve { .. } => "resolve",
        }
    }

    /// Returns the message or the person that it is done to; `None` for the room itself.
    pub(crate) fn target(&self) -> Option<&str> {
        match self {
            Self::Delete { message } => Some(message),
            Self::Pin { message } => message.as_deref(),
            Self::Review { held, .. } => Some(held),
            Self::Resolve { report } => Some(report),
            Self::Limit(_)
            | Self::Lift { .. }
            | Self::Kick { .. }
            | Self::Role { .. }
            | Self::Member { .. } => self.person(),
            Self::Settings(_) => None,
        }
    }

    /// Returns whom it puts out, and what they are told.
    pub(crate) fn puts_out(&self) -> Option<(String, Option<String>)> {
        if let Self::Kick { identity, reason } = self {
            return Some((identity.clone(), reason.clone()));
        }
        if let Self::Limit(limit) = self
            && limit.kind == LimitKind::Ban
        {
            return Some((limit.who.id.clone(), limit.reason.clone()));
        }
        None
    }

    /// Returns the person that it is done to.
    pub(crate) fn person(&self) -> Option<&str> {
        match self {
            Self::Limit(limit) => Some(&limit.who.id),
            Self::Role { who, .. } | Self::Member { who, .. } => Some(&who.id),
            Self::Lift { identity, .. } | Self::Kick { identity, .. } => Some(identity),
            Self::Delete { .. }
            | Self::Pin { .. }
            | Self::Settings(_)
            | Self::Review { .. }
            | Self::Resolve { .. } => None,
        }
    }

    /// Returns the person that it is done to, where it is done to nobody of a higher role.
    pub(crate) fn against(&self) -> Option<&str> {
        let is_for_all = matches!(self, Self::Lift { .. } | Self::Member { .. });
        self.person().filter(|_| !is_for_all)
    }

    /// Returns the person that it is about, where they are not called anything.
    pub(crate) fn unnamed(&mut self) -> Option<&mut User> {
        if let Self::Limit(Limit { who, .. }) | Self::Role { who, .. } | Self::Member { who, .. } =
            self
            && who.name.is_empty()
        {
            return Some(who);
        }
        None
    }

    /// Returns what else the audit log says of it.
    pub(crate) fn details(&self) -> Value {
        match self {
            Self::Limit(limit) => limit.details(),
            Self::Kick { reason, .. } => json!({ "reason": reason }),
            Self::Role { who, role } => json!({ "name": who.name, "role": role }),
            Self::Member { who, member } => json!({ "name": who.name, "member": member }),
            Self::Settings(patch) => json!(patch),
            Self::Delete { .. }
            | Self::Pin { .. }
            | Self::Lift { .. }
            | Self::Review { .. }
            | Self::Resolve { .. } => json!({}),
        }
    }
}

/// What a deed made of things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// What everybody is told; `None` where it concerns nobody else.
    pub event: Option<super::Event>,
    /// The message that it was about, as it is now.
    pub message: Option<ChatMessage>,
    /// How the chat is set now, where that changed.
    pub settings: Option<Box<ChatSettings>>,
    /// The version of the room's record, where that changed.
    pub version: Option<u64>,
}

/// A message that a moderator is to look at first.
#[derive(Clone, Debug)]
pub(crate) struct NewHeld {
    /// What is to be said.
    pub chat: NewChat,
    /// Why: `link` or `word`.
    pub reason: &'static str,
}

/// What somebody tells the moderators of a message.
#[derive(Clone, Debug)]
pub(crate) struct NewReport {
    /// Who tells it.
    pub by: Author,
    /// The id of the message.
    pub message: String,
    /// Why.
    pub reason: String,
}

/// `chat.deleted`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatDeleted<'a> {
    /// The message whose text is to be taken from the screen.
    pub(crate) message_id: &'a str,
    /// The number of that message.
    pub(crate) seq: u64,
}

/// `chat.pinned`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatPinned<'a> {
    /// What everybody sees first; `None` for nothing.
    #[schema(required = true)]
    pub(crate) message: Option<&'a ChatMessage>,
}

/// `chat.settings`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsView {
    /// What everybody knows of it.
    #[serde(flatten)]
    pub(crate) public: PublicSettings,
    /// Whether guests may write.
    pub(crate) guests: bool,
}

/// What somebody who keeps order did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Audit {
    /// A UUID that rises with time.
    pub id: String,
    /// Milliseconds since 1970 (UTC).
    pub ts: i64,
    /// Who did it.
    pub by: Author,
    /// What was done.
    pub action: String,
    /// The message or the person that it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub target: Option<String>,
    /// What else there is to know.
    #[schema(value_type = Object)]
    pub details: Value,
}

/// Characters of a reason.
pub(crate) const MAX_REASON: usize = 200;
