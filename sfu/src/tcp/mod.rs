//! Media by TCP (RFC 6544, passive): one listener, of our own or another's, a lobby where connections wait until their
//! first frame has come, and on each shard those that belong to its peers.

mod listen;

mod lobby;

mod ready;

mod connection;

mod connections;

mod metrics;

pub(crate) use connections::{Census, Connections, Counts, News};
pub(crate) use listen::bind;
pub(crate) use lobby::{Arrival, Incoming, Lobby, Reception};
pub(crate) use metrics::{Refused, TcpMetrics};
