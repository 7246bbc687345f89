//! Klieg's control plane: who may do what, in which room, and what everybody is told about it. Media is the
//! business of `klieg-sfu`; this crate tells it who comes and goes.

mod cli;

mod config;

mod server;

mod app;

mod drain;

mod router;

mod entrance;

mod tls;

mod http;

mod ws;

mod wish;

pub mod session;

pub mod sdp;

mod room;

mod chat;

mod shop;

mod analytics;

mod webhook;

#[cfg(feature = "kafka")]
mod kafka;

mod thumbnail;

mod media;

mod discovery;

mod relay;

mod shared_port;

mod admission;

mod auth;

mod data;

mod log;

mod store;

mod id;

mod time;

mod text;

mod limit;

mod fetch;

mod answers;

mod catalogue;

mod profile;

mod metrics;

mod process;

mod machine;

mod json;

mod error;

pub use auth::{AccountRole, Role, Secret, VideoGrants, mint, permission};
pub use cli::{
    BackupArguments, CheckArguments, Cli, Command, Findings, Settings, TokenArguments,
    UserArguments,
};
pub use config::{
    Config, ConfigError, Ice, IceRegion, Limits, LogFormat, MediaGso, MediaTcp, OidcProvider,
    Relay, RelayPeers, SigningAlgorithm, Webhooks,
};
pub use data::DataError;
pub use log::Log;
pub use server::{Server, StartError};
pub use store::StoreError;
pub use webhook::target::Allowed;

/// Returns the description of the REST API, as `klieg openapi` prints it.
pub fn openapi() -> &'static str {
    http::openapi::text()
}

/// Returns the schema of the messages on the WebSocket, as `klieg protocol` prints it.
pub fn protocol() -> &'static str {
    ws::protocol::schema::text()
}

/// Reads what strangers may send in place of a provider's keys, a token and its claims, and tells whether the token holds
/// and which names are shown: the door through which fuzzing reaches their readers.
#[doc(hidden)]
pub fn read_hostile_token(keys: &str, token: &str, claims: &str) -> (bool, [Option<String>; 2]) {
    auth::read_hostile(keys, token, claims)
}

/// Reads where somebody wants a webhook to go, and returns the address that it would be sent to: the door through which
/// fuzzing reaches its reader.
#[doc(hidden)]
pub fn webhook_target(url: &str) -> Option<String> {
    let target = webhook::target::read(url, &[]).ok();
    target.map(|uri| uri.to_string())
}

/// Reads the query of a list of rooms as strangers may send it, and tells whether its cursor was taken: the door through
/// which fuzzing reaches its reader.
#[doc(hidden)]
pub fn takes_cursor(query: &str) -> bool {
    http::rooms::lists::read_hostile(query)
}

/// Tells what is spoken on a stream that begins so; `None` while that takes more bytes: the door through which fuzzing reaches what
/// tells it.
#[doc(hidden)]
pub fn spoken_on(first_bytes: &[u8]) -> Option<String> {
    use shared_port::first_bytes::{Verdict, told_by};
    let verdict = told_by(first_bytes);
    (verdict != Verdict::More).then(|| format!("{verdict:?}"))
}

/// Tells whether a text frame holds a message of `klieg.v1`: the door through which fuzzing reaches its reader.
#[doc(hidden)]
pub fn is_client_message(text: &str) -> bool {
    ws::protocol::read(text).is_ok()
}
