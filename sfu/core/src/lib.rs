//! The forwarding unit as a state machine: datagrams, commands and `now` go in; datagrams and events come out.
//!
//! There is no runtime, socket, clock or lock in here, and no session description. The `sfu` crate gives it
//! sockets, threads and time; tests give it a simulated network and a virtual clock.

pub mod command;

mod event;

pub use command::*;

pub mod framed;

pub mod node;

pub mod demux;

pub mod transport;

pub mod rtp;

pub mod codec;

pub mod publisher;

pub mod room;

pub mod viewer;

pub mod congestion;

pub mod relay;
