//! How a light viewer behaves, and what it saw.

use std::time::{Duration, Instant};

use super::track::Counts;

/// How viewers behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conduct {
    /// This share of what comes is thrown away.
    pub(crate) loss: f64,
    /// Whether every packet is opened, not only a sample.
    pub(crate) opens_all: bool,
}

/// Sound or a picture of which nothing came for so long has stopped; frames are a second apart at most.
const STOPPED: Duration = Duration::from_secs(3);

/// What one viewer saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connected_at: Option<Instant>,
    pub(crate) first_packet_at: Option<Instant>,
    /// The first keyframe was there as a whole.
    pub(crate) first_frame_at: Option<Instant>,
    pub(crate) video: Counts,
    pub(crate) audio: Counts,
    /// When the last packet of sound and of the picture came; `None` where none did.
    pub(crate) last_at: [Option<Instant>; 2],
    /// Audio that it threw away on purpose, for which it does not ask.
    pub(crate) audio_thrown_away: u64,
    /// Packets that the server left out without leaving a gap.
    pub(crate) left_out: u64,
    /// Why the transport was over, since when.
    pub(crate) over: Option<(&'static str, Instant)>,
    /// What it waited for at the end; `None` when it had a whole picture.
    pub(crate) waits_for: Option<&'static str>,
}

impl Seen {
    /// Returns whether sound or a picture that had come came no more long before `end`. No later packet tells that
    /// anything is missing then.
    pub(crate) fn has_stopped(&self, end: Instant) -> bool {
        let mut last = self.last_at.iter().flatten();
        last.any(|at| end.saturating_duration_since(*at) >= STOPPED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_stops_is_noticed_though_sound_goes_on() {
        let end = Instant::now() + Duration::from_mins(1);
        let seen = |sound: u64, picture: Option<u64>| Seen {
            last_at: [Some(sound), picture].map(|ago| Some(end - Duration::from_millis(ago?))),
            ..Seen::default()
        };
        assert!(!seen(20, Some(900)).has_stopped(end));
        assert!(!seen(20, None).has_stopped(end), "there is none");
        assert!(seen(20, Some(3000)).has_stopped(end));
        assert!(seen(4000, Some(5)).has_stopped(end));
    }
}
