//! What a shard counts, for the metrics.

use crate::congestion::rate::Bitrate;
use crate::transport;
use crate::viewer::{Asked, Moved, Selected};

/// Bounds of the classes of estimates, in kb/s; the last class has none.
pub const ESTIMATE_CLASSES_KBPS: [u64; 7] = [150, 300, 600, 1200, 2500, 5000, 10_000];

/// Totals since the start. Each counts packets unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams from the socket.
    pub datagrams_received: u64,
    /// Bytes from the socket.
    pub bytes_received: u64,
    /// Decrypted media packets from publishers.
    pub rtp_received: u64,
    /// Decrypted RTCP compounds.
    pub rtcp_received: u64,
    /// Empty retransmissions, with which a publisher probes its path.
    pub probes_received: u64,
    /// Datagrams to the socket that are no media.
    pub datagrams_sent: u64,
    /// Media packets to viewers.
    pub rtp_sent: u64,
    /// Runs that these packets left in.
    pub runs_sent: u64,
    /// Bytes to the socket.
    pub bytes_sent: u64,
    /// RTCP compounds sent.
    pub rtcp_sent: u64,
    /// Packets that viewers asked for again.
    pub nacked_by_viewers: u64,
    /// Packets sent again.
    pub resent: u64,
    /// Packets asked for again that are no longer kept.
    pub resend_missing: u64,
    /// Packets not sent again because they were too often, or too many.
    pub resend_refused: u64,
    /// Packets of the cache that viewers who were too far behind jumped over, to a later keyframe.
    pub skipped: u64,
    /// Packets asked for again from publishers.
    pub nacked_to_publishers: u64,
    /// Packets with a dependency descriptor that could not be read.
    pub undescribed: u64,
    /// Joins, and lost pictures soon after, served from the cache.
    pub joins_from_cache: u64,
    /// Joins for which the publisher was asked for a keyframe, because nothing cached could be shown.
    pub joins_by_request: u64,
    /// Keyframe requests from viewers.
    pub keyframes_wanted: u64,
    /// Keyframe requests to publishers, each for one layer.
    pub keyframes_requested: u64,
    /// Times a viewer was shown another layer.
    pub layer_switches: u64,
    /// Packets with which the paths of viewers were probed.
    pub probe_packets: u64,
    /// Probes of paths of viewers, each of several packets.
    pub probes: u64,
    /// Times a viewer got a lesser layer because its path carried no more.
    pub layers_lowered: u64,
    /// Times a viewer got a better layer because its path carried it.
    pub layers_raised: u64,
    /// Times a viewer's picture was paused because its path carried none.
    pub pictures_paused: u64,
    /// Times such a picture came back.
    pub pictures_resumed: u64,
    /// Viewers that left while their picture was paused.
    pub left_paused: u64,
    /// What the paths of viewers carried, each looked at once a second, by [`ESTIMATE_CLASSES_KBPS`].
    pub estimates: [u64; ESTIMATE_CLASSES_KBPS.len() + 1],
    /// Times a viewer's picture was held because its connection did not take what was sent before.
    pub pictures_held: u64,
    /// Times a peer's media moved to another address.
    pub path_changes: u64,
    /// Dropped: datagrams without a byte.
    pub dropped_empty: u64,
    /// Dropped: first byte of no known protocol, or too short.
    pub dropped_unknown_protocol: u64,
    /// Dropped: no check has passed from that address.
    pub dropped_unchecked: u64,
    /// Dropped: a STUN user name that was given to nobody.
    pub dropped_unknown_ufrag: u64,
    /// Dropped: a STUN message whose integrity or fingerprint does not hold.
    pub dropped_unauthenticated: u64,
    /// Dropped: no m-line, payload type or room for it.
    pub dropped_unforwarded: u64,
    /// Dropped: media with layers, and of none that was negotiated.
    pub dropped_unknown_layer: u64,
    /// Dropped: redundant sound whose headers do not fit it.
    pub dropped_malformed_redundancy: u64,
    /// Dropped: media that came twice.
    pub dropped_duplicate: u64,
    /// Dropped: media too large to be forwarded.
    pub dropped_oversized: u64,
    /// Dropped: the queue to another shard was full.
    pub dropped_forwarding: u64,
    /// Dropped: more waited to leave than there is room for.
    pub dropped_backlog: u64,
    /// What the peers' transports dropped.
    pub transport: transport::Counters,
}

impl Counters {
    /// Counts what a viewer's compound asks for.
    pub(crate) fn note_asked(&mut self, asked: &Asked) {
        self.nacked_by_viewers += asked.named as u64;
        self.resend_refused += asked.refused as u64;
        self.resend_missing += asked.unknown as u64;
        self.keyframes_wanted += u64::from(asked.keyframe);
    }

    /// Counts what choosing anew made of a viewer's picture.
    pub(crate) fn note_selected(&mut self, selected: &Selected) {
        match selected.moved {
            None => {}
            Some(Moved::Lowered) => self.layers_lowered += 1,
            Some(Moved::Raised) => self.layers_raised += 1,
            Some(Moved::Paused) => self.pictures_paused += 1,
            Some(Moved::Resumed) => self.pictures_resumed += 1,
        }
    }

    /// Counts what a viewer's path carries, where that is known.
    pub(crate) fn note_estimate(&mut self, estimate: Option<Bitrate>) {
        let Some(estimate) = estimate else {
            return;
        };
        let class = ESTIMATE_CLASSES_KBPS.partition_point(|&kbps| Bitrate::kbps(kbps) < estimate);
        if let Some(count) = self.estimates.get_mut(class) {
            *count += 1;
        }
    }
}
