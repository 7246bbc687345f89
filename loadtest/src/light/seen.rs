//! How a light viewer behaves, and what it saw.

use std::time::Instant;

use super::track::Counts;

/// How viewers behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conduct {
    /// This share of what comes is thrown away.
    pub(crate) loss: f64,
    /// Whether every packet is opened, not only a sample.
    pub(crate) opens_all: bool,
}

/// What one viewer saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connected_at: Option<Instant>,
    pub(crate) first_packet_at: Option<Instant>,
    /// The first keyframe was there as a whole.
    pub(crate) first_frame_at: Option<Instant>,
    pub(crate) video: Counts,
    pub(crate) audio: Counts,
    /// Audio that it threw away on purpose, for which it does not ask.
    pub(crate) audio_thrown_away: u64,
    /// Packets that the server left out without leaving a gap.
    pub(crate) left_out: u64,
    /// Why the transport was over, since when.
    pub(crate) over: Option<(&'static str, Instant)>,
    /// What it waited for at the end; `None` when it had a whole picture.
    pub(crate) waits_for: Option<&'static str>,
}
