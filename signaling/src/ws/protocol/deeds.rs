//! What those who keep order, and those who sell, send.

use std::time::Duration;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth;
use crate::chat::SettingsPatch;
use crate::error::ApiError;
use crate::shop::Change;
use crate::store::{self, LimitKind, User};
use crate::time::Timestamp;

use super::ClientMessage;

impl<T: Into<store::Deed>> From<T> for ClientMessage {
    fn from(deed: T) -> Self {
        Self::Deed(Box::new(deed.into()))
    }
}

/// `chat.delete`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChatDelete)]
pub(crate) struct Delete {
    message_id: String,
}

impl From<Delete> for store::Deed {
    fn from(Delete { message_id }: Delete) -> Self {
        Self::Delete {
            message: message_id,
        }
    }
}

/// `chat.pin`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChatPin)]
pub(crate) struct Pin {
    /// `null`: no message any more.
    message_id: Option<String>,
}

impl From<Pin> for store::Deed {
    fn from(Pin { message_id }: Pin) -> Self {
        Self::Pin {
            message: message_id,
        }
    }
}

/// `mod.mute`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ModMute)]
pub(crate) struct Mute {
    identity: String,
    #[serde(default)]
    name: String,
    /// 0 lifts it; left out: for good.
    seconds: Option<u32>,
    #[serde(default)]
    reason: Option<String>,
}

impl From<Mute> for store::Deed {
    fn from(mute: Mute) -> Self {
        let who = User {
            id: mute.identity,
            name: mute.name,
        };
        limit(LimitKind::Mute, who, mute.seconds, mute.reason)
    }
}

/// `mod.ban`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ModBan)]
pub(crate) struct Ban {
    identity: String,
    #[serde(default)]
    name: String,
    /// 0 lifts it; left out: for good.
    seconds: Option<u32>,
    #[serde(default)]
    reason: Option<String>,
}

impl From<Ban> for store::Deed {
    fn from(ban: Ban) -> Self {
        let who = User {
            id: ban.identity,
            name: ban.name,
        };
        limit(LimitKind::Ban, who, ban.seconds, ban.reason)
    }
}

/// Returns what keeps somebody from writing or entering for so many seconds, or lets them again.
pub(crate) fn limit(
    kind: LimitKind,
    who: User,
    seconds: Option<u32>,
    reason: Option<String>,
) -> store::Deed {
    if seconds == Some(0) {
        let identity = who.id;
        return store::Deed::Lift { kind, identity };
    }
    let until = |seconds: u32| Timestamp::now().plus(Duration::from_secs(seconds.into()));
    store::Deed::Limit(store::Limit {
        kind,
        who: User {
            name: crate::text::clean(&who.name)
                .chars()
                .take(MAX_NAME)
                .collect(),
            id: who.id,
        },
        reason: reason.map(|text| crate::text::clean(&text)),
        until: seconds.map(until),
        // The room knows them.
        addresses: Vec::new(),
    })
}

/// `mod.kick`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ModKick)]
pub(crate) struct Kick {
    identity: String,
    #[serde(default)]
    reason: Option<String>,
}

impl From<Kick> for store::Deed {
    fn from(Kick { identity, reason }: Kick) -> Self {
        let reason = reason.map(|text| crate::text::clean(&text));
        Self::Kick { identity, reason }
    }
}

/// `mod.slow`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ModSlow)]
pub(crate) struct Slow {
    /// 0 ends it.
    seconds: u32,
}

impl Slow {
    pub(crate) fn check(self) -> Result<store::Deed, ApiError> {
        let patch = SettingsPatch {
            slow_mode_sec: Some(self.seconds),
            ..SettingsPatch::default()
        };
        Ok(store::Deed::Settings(Box::new(patch.check()?)))
    }
}

/// `mod.role`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ModRole)]
pub(crate) struct Role {
    identity: String,
    #[serde(default)]
    name: String,
    /// `cohost` or `moderator`; `null` takes it.
    role: Option<auth::Role>,
}

impl From<Role> for store::Deed {
    fn from(given: Role) -> Self {
        let who = User {
            name: crate::text::clean(&given.name)
                .chars()
                .take(MAX_NAME)
                .collect(),
            id: given.identity,
        };
        Self::Role {
            who,
            role: given.role,
        }
    }
}

/// `mod.review`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ModReview)]
pub(crate) struct Review {
    held_id: String,
    approve: bool,
}

impl From<Review> for store::Deed {
    fn from(Review { held_id, approve }: Review) -> Self {
        Self::Review {
            held: held_id,
            approve,
        }
    }
}

/// `product.feature`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProductFeature)]
pub(crate) struct Feature {
    /// `null`: none any more.
    product_id: Option<String>,
}

impl From<Feature> for Change {
    fn from(Feature { product_id }: Feature) -> Self {
        match product_id {
            Some(product) => Self::Feature { product },
            None => Self::Withdraw { product: None },
        }
    }
}

/// Characters of a name that a moderator writes down.
const MAX_NAME: usize = 128;
