//! Gives the forwarding unit's core its sockets, threads and time.
//!
//! [`Sfu::start`] binds the media port and starts a thread per core; [`Handle`] is the door for commands,
//! and the receiver it returns is the door for events.

mod config;

mod events;

mod handle;

mod shard;

mod cores;

mod helpers;

mod load;

mod moment;

mod outbox;

mod tcp;

mod udp;

mod runs;

mod totals;

mod metrics;

mod kernel;

mod path_metrics;

pub use config::{Config, MAX_SHARDS, Offload, StartError, TcpListen};
pub use handle::{Busy, Handle, Sfu};
pub use klieg_sfu_core::command::*;
pub use klieg_sfu_core::framed::MAX_FRAME;
pub use udp::SOCKET_BUFFER_BYTES;
