//! Every message of `klieg.v1` (docs/protocol.md), as it stands on the wire.

mod incoming;

mod outgoing;

mod views;

pub(crate) mod schema;

pub(crate) mod deeds;

pub(crate) mod floor;

pub(crate) use incoming::*;
pub(crate) use outgoing::*;
pub(crate) use views::*;

use crate::error::{ApiError, Code};

/// The subprotocol of the WebSocket.
pub(crate) const SUBPROTOCOL: &str = "klieg.v1";

/// The reactions there are.
pub(crate) const REACTIONS: [&str; 6] = ["❤", "👏", "😂", "😮", "🔥", "🎉"];

/// Returns the reaction that an emoji is.
///
/// # Errors
/// `emoji_unknown`.
pub(crate) fn reaction(emoji: &str) -> Result<&'static str, ApiError> {
    let known = REACTIONS.into_iter().find(|it| *it == emoji);
    known.ok_or_else(|| ApiError::new(Code::EmojiUnknown, "This is not one of the reactions."))
}
