//! Gives the forwarding unit's core its sockets, threads and time.

pub use klieg_sfu_core::command::*;
