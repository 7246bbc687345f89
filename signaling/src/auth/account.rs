//! Accounts of this server: a name, a role, a password.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use super::Role;
use crate::error::{ApiError, Code};
use crate::text;
use crate::time::Timestamp;

/// Somebody who can sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// A UUID that rises with time.
    pub(crate) id: String,
    /// Unique whatever its case.
    pub(crate) name: String,
    /// What it may do on this server.
    pub(crate) role: AccountRole,
    /// When it was made.
    pub(crate) created_at: Timestamp,
}

/// What an account may do on this server, in whatever room.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AccountRole {
    /// Looks after the server and every room.
    Admin,
    /// Creates rooms and publishes in them.
    Host,
    /// Watches and chats.
    Viewer,
}

impl AccountRole {
    /// Returns the name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Host => "host",
            Self::Viewer => "viewer",
        }
    }

    /// Returns the column of the table of permissions that counts outside of rooms.
    pub(crate) fn outside_rooms(self) -> Role {
        match self {
            Self::Admin => Role::Admin,
            Self::Host => Role::Owner,
            Self::Viewer => Role::Viewer,
        }
    }
}

/// No account has this role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected admin, host or viewer")]
pub struct UnknownAccountRole;

impl FromStr for AccountRole {
    type Err = UnknownAccountRole;

    fn from_str(text: &str) -> Result<Self, UnknownAccountRole> {
        [Self::Admin, Self::Host, Self::Viewer]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(UnknownAccountRole)
    }
}

/// Cleans a name that others will see.
///
/// # Errors
/// `bad_message` when it is too long, `invalid_value` when nothing is left of it.
pub(crate) fn display_name(text: &str) -> Result<String, ApiError> {
    // Two ways to write the same letters are one name.
    let text: String = text.chars().take(MAX_GIVEN).nfc().collect();
    let bounded = (1..=NAME_LENGTH).contains(&text.chars().count());
    let name = text::clean(&text);
    if bounded && !name.is_empty() {
        return Ok(name);
    }
    let code = if bounded {
        Code::InvalidValue
    } else {
        Code::BadMessage
    };
    Err(ApiError::new(code, "A name has 1 to 40 characters."))
}

/// More than this is not looked at: no name of so many is one of forty when its letters and accents are put together.
const MAX_GIVEN: usize = 1000;

/// The most characters of a name.
pub(crate) const NAME_LENGTH: usize = 40;
