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

/// The subprotocol of the WebSocket.
pub(crate) const SUBPROTOCOL: &str = "klieg.v1";

/// The reactions there are.
pub(crate) const REACTIONS: [&str; 6] = ["❤", "👏", "😂", "😮", "🔥", "🎉"];
