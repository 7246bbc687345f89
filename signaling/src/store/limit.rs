//! Who may not write in a room, and who may not enter it.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::User;
use crate::auth::{AddressMark, Role};
use crate::error::{ApiError, Code};
use crate::time::Timestamp;

/// What somebody is in a room beside what their account makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    /// `None`: nothing more.
    pub role: Option<Role>,
    /// Whether they are of the owner's audience, as far as the database was asked.
    pub is_member: bool,
    /// Whether they may not enter.
    pub banned: bool,
    /// Whether nobody may enter who comes from where they do, but those who keep order.
    pub address_banned: bool,
}

impl Membership {
    /// Says no to who was shut out: owner and admins cannot be, and their address shuts out nobody who keeps order.
    ///
    /// # Errors
    /// `banned`.
    pub(crate) fn check_ban(self, own: Role, now: Role) -> Result<(), ApiError> {
        let text = if self.banned && !matches!(own, Role::Owner | Role::Admin) {
            "You were shut out of this room."
        } else if self.address_banned && !now.keeps_order() {
            "Somebody was shut out of this room who came from where you do."
        } else {
            return Ok(());
        };
        Err(ApiError::new(Code::Banned, text))
    }
}

/// What somebody may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LimitKind {
    /// Write.
    Mute,
    /// Enter.
    Ban,
}

impl LimitKind {
    /// Returns the name on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Ban => "ban",
        }
    }
}

/// Somebody who may not write or enter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Limit {
    /// Which of the two.
    #[serde(skip)]
    pub kind: LimitKind,
    /// Who.
    #[serde(flatten)]
    pub who: User,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Until when; missing: for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false, required = false)]
    pub until: Option<Timestamp>,
    /// How many addresses are shut out with them; missing: none.
    #[serde(serialize_with = "count", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = u32, minimum = 1, maximum = 4, nullable = false, required = false)]
    pub addresses: Vec<AddressMark>,
}

impl Limit {
    /// Returns what the audit log says of it.
    pub(super) fn details(&self) -> Value {
        let mut details = json!({
            "name": self.who.name, "reason": self.reason, "until": self.until,
        });
        if !self.addresses.is_empty() {
            details["addresses"] = self.addresses.len().into();
        }
        details
    }
}

/// Writes how many there are: which, is nobody's to know.
fn count<S: Serializer>(addresses: &[AddressMark], serializer: S) -> Result<S::Ok, S::Error> {
    addresses.len().serialize(serializer)
}

/// Addresses that one ban goes with: those of a few devices.
pub(crate) const MAX_BAN_ADDRESSES: usize = 4;
