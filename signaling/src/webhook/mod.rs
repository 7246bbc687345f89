//! Tells others of what happens in rooms, by requests to endpoints that admins name: docs/webhooks.md. The journal writes
//! what is to be told (`store/sql/outbox.rs`); what is here takes it from there.

pub(crate) mod target;

mod signature;

mod poster;

mod attempt;

mod dispatcher;

mod keeper;

pub(crate) use attempt::body;
pub(crate) use dispatcher::Dispatcher;
pub(crate) use keeper::keep_log;
pub(crate) use signature::new_secret;

/// What others can be told of, by the names on the wire.
pub(crate) const KINDS: [&str; 12] = [
    "room.status",
    "rtc.publisher",
    "viewers.milestone",
    "chat.message",
    "chat.deleted",
    "chat.pinned",
    "chat.settings",
    "chat.held",
    "chat.reported",
    "moderation",
    "order",
    "test",
];

/// Endpoints that there may be.
pub(crate) const MAX_WEBHOOKS: u32 = 50;
