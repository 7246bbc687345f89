//! Datagrams on a TCP connection, each behind its length (RFC 4571, section 2), as ICE-TCP carries them
//! (RFC 6544, section 3): what comes in parts, and what waits until the other side takes it.

mod deframer;

mod queue;

use std::num::NonZeroU32;

pub use deframer::{Deframer, FrameError, MAX_FRAME, first_frame};
pub use queue::{MAX_WAITING, SendQueue};

/// Names a TCP connection on the shard that has it, for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub NonZeroU32);

/// How much of what left for a connection still waits to be taken. A path of UDP has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backlog {
    /// Little: everything goes.
    #[default]
    Low,
    /// So much that no other frame of a picture begins.
    High,
    /// So much that nothing of a picture goes.
    Full,
}

/// Bytes in front of each datagram.
const PREFIX: usize = 2;
