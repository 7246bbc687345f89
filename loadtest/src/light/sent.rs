//! What a publisher did, and what the server said of it.

use serde::Serialize;

/// Counts of one publisher, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    /// Video packets of all layers, each once.
    pub(crate) packets: u64,
    /// Audio packets.
    pub(crate) audio_packets: u64,
    /// Video frames of the largest layer.
    pub(crate) frames: u64,
    /// Those of them that were keyframes.
    pub(crate) keyframes: u64,
    /// Requests for keyframes that came.
    pub(crate) keyframe_requests: u64,
    /// Packets that the server asked for again.
    pub(crate) asked_again: u64,
    /// Packets sent again because of that.
    pub(crate) resent: u64,
    /// Packets thrown away on purpose (`--uplink-loss`).
    pub(crate) dropped: u64,
    /// Those of them that were audio, for which nobody asks.
    pub(crate) audio_dropped: u64,
    /// Packets that the server's receiver reports call lost, by the last of each stream.
    pub(crate) reported_lost: u64,
    /// Packets that its transport-wide feedback was about, and those of them that had not come.
    pub(crate) feedback_packets: u64,
    pub(crate) feedback_lost: u64,
    /// By the last receiver report; 0 before it.
    pub(crate) round_trip_us: u64,
}

impl Sent {
    /// Adds those of another publisher; of round trips the longest stays.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            audio_packets: self.audio_packets + other.audio_packets,
            frames: self.frames + other.frames,
            keyframes: self.keyframes + other.keyframes,
            keyframe_requests: self.keyframe_requests + other.keyframe_requests,
            asked_again: self.asked_again + other.asked_again,
            resent: self.resent + other.resent,
            dropped: self.dropped + other.dropped,
            audio_dropped: self.audio_dropped + other.audio_dropped,
            reported_lost: self.reported_lost + other.reported_lost,
            feedback_packets: self.feedback_packets + other.feedback_packets,
            feedback_lost: self.feedback_lost + other.feedback_lost,
            round_trip_us: self.round_trip_us.max(other.round_trip_us),
        }
    }
}
