//! What an application's token allows: grants in the shape that `LiveKit` made common.

use serde::{Deserialize, Serialize};

use super::{Grants, Role};

/// What an application signs with its API key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one grant of the token"
)]
pub(crate) struct ApiGrants {
    /// The one room; `None`: no room, only the REST API.
    pub room: Option<String>,
    /// Send media.
    pub publish: bool,
    /// Receive media.
    pub subscribe: bool,
    /// Chat and react.
    pub data: bool,
    /// Keep order.
    pub admin: bool,
    /// Create rooms.
    pub room_create: bool,
}

impl ApiGrants {
    pub(crate) fn role(&self) -> Role {
        if self.publish {
            Role::Cohost
        } else if self.admin {
            Role::Moderator
        } else {
            Role::Viewer
        }
    }

    pub(crate) fn grants(&self) -> Grants {
        Grants {
            publish: self.publish,
            chat: self.data,
            react: self.data,
            moderate: self.admin,
            watch: self.subscribe,
        }
    }
}

/// The `video` claim as the libraries of `LiveKit` write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VideoGrants {
    /// The room it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Without it `room` is no permission to enter.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_join: bool,
    /// Left out means no: here most participants watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// Left out means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// Chat and reactions. Left out means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Keeps order in the room.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_admin: bool,
    /// May create rooms.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_create: bool,
}
