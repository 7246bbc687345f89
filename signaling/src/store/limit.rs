//! Who may not write in a room, and who may not enter it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::User;
use crate::auth::Role;
use crate::time::Timestamp;

/// What somebody is in a room beside what their account makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    /// `None`: nothing more.
    pub role: Option<Role>,
    /// Whether they may not enter.
    pub banned: bool,
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
}
