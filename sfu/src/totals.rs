//! What a shard counts, and the names under which it is shown.

use klieg_sfu_core::node::Counters;

use crate::tcp;
use crate::udp::Counts;

/// What one shard has counted since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// What the core has counted.
    pub(crate) core: Counters,
    /// How long the thread worked, in microseconds.
    pub(crate) busy_us: u64,
    /// Runs that the kernel refused.
    pub(crate) refused: u64,
    /// Times the kernel's send buffer was full.
    pub(crate) send_waits: u64,
    /// Runs dropped because it stayed full.
    pub(crate) dropped_full: u64,
    /// Runs of which the queue of a network card, or of the kernel before it, dropped something.
    pub(crate) dropped_queue: u64,
    /// What the socket has counted.
    pub(crate) socket: Counts,
    /// What connections have counted.
    pub(crate) tcp: tcp::Counts,
    /// Connections of peers that are here now.
    pub(crate) connections: tcp::Census,
    /// Media for other shards dropped because their inbox was full.
    pub(crate) dropped_messages: u64,
    /// Peers and rooms here now.
    pub(crate) population: (usize, usize),
    /// Steps of handshakes that found no helper yet.
    pub(crate) waiting: usize,
}

/// Reads one number out of what a shard has counted.
pub(crate) type Reading = fn(&Totals) -> u64;

/// Totals by metric: name (`klieg_sfu_…_total`), help text, reading.
pub(crate) const COUNTERS: [(&str, &str, Reading); 32] = [
    (
        "busy_microseconds",
        "How long the forwarding threads worked, all together.",
        |totals| totals.busy_us,
    ),
    (
        "datagrams_received",
        "Datagrams from the socket, and from connections.",
        |totals| totals.core.datagrams_received,
    ),
    ("bytes_received", "Bytes of these datagrams.", |totals| {
        totals.core.bytes_received
    }),
    (
        "tcp_bytes_received",
        "Bytes from connections of peers.",
        |totals| totals.tcp.bytes_received,
    ),
    ("tcp_bytes_sent", "Bytes that connections took.", |totals| {
        totals.tcp.bytes_sent
    }),
    (
        "pictures_held",
        "Times a viewer's picture was held up because its connection did not take what was sent before.",
        |totals| totals.core.pictures_held,
    ),
    (
        "rtp_received",
        "Decrypted media packets from publishers.",
        |totals| totals.core.rtp_received,
    ),
    ("rtcp_received", "Decrypted RTCP compounds.", |totals| {
        totals.core.rtcp_received
    }),
    (
        "probes_received",
        "Empty retransmissions, with which a publisher probes its path.",
        |totals| totals.core.probes_received,
    ),
    (
        "datagrams_sent",
        "Datagrams to the socket that are no media.",
        |totals| totals.core.datagrams_sent,
    ),
    ("rtp_sent", "Media packets to viewers.", |totals| {
        totals.core.rtp_sent
    }),
    ("runs_sent", "Runs that these packets left in.", |totals| {
        totals.core.runs_sent
    }),
    ("bytes_sent", "Bytes to the socket.", |totals| {
        totals.core.bytes_sent
    }),
    ("rtcp_sent", "RTCP compounds sent.", |totals| {
        totals.core.rtcp_sent
    }),
    (
        "nacked_by_viewers",
        "Packets that viewers asked for again.",
        |totals| totals.core.nacked_by_viewers,
    ),
    ("resent", "Packets sent again.", |totals| totals.core.resent),
    (
        "resend_missing",
        "Packets asked for again that are no longer kept.",
        |totals| totals.core.resend_missing,
    ),
    (
        "resend_refused",
        "Packets not sent again because they were too often, or too many.",
        |totals| totals.core.resend_refused,
    ),
    (
        "skipped",
        "Packets of the cache that viewers who were too far behind jumped over, to a later keyframe.",
        |totals| totals.core.skipped,
    ),
    (
        "nacked_to_publishers",
        "Packets asked for again from publishers.",
        |totals| totals.core.nacked_to_publishers,
    ),
    (
        "undescribed",
        "Packets whose dependency descriptor could not be read: they go to all viewers, whatever layer they are of.",
        |totals| totals.core.undescribed,
    ),
    (
        "joins_from_cache",
        "Joins, and lost pictures soon after, served from the cache.",
        |totals| totals.core.joins_from_cache,
    ),
    (
        "joins_by_request",
        "Joins for which the publisher was asked for a keyframe, because nothing cached was recent or small enough to be shown.",
        |totals| totals.core.joins_by_request,
    ),
    (
        "keyframes_wanted",
        "Keyframe requests from viewers.",
        |totals| totals.core.keyframes_wanted,
    ),
    (
        "keyframes_requested",
        "Keyframe requests to publishers, each for one layer.",
        |totals| totals.core.keyframes_requested,
    ),
    (
        "layer_switches",
        "Times a viewer was shown another layer.",
        |totals| totals.core.layer_switches,
    ),
    (
        "probes",
        "Probes of the paths of viewers, each of several packets.",
        |totals| totals.core.probes,
    ),
    (
        "probe_packets",
        "Packets with which the paths of viewers were probed.",
        |totals| totals.core.probe_packets,
    ),
    (
        "path_changes",
        "Times a peer's media moved to another address.",
        |totals| totals.core.path_changes,
    ),
    (
        "send_waits",
        "Times the kernel's send buffer was full.",
        |totals| totals.send_waits,
    ),
    (
        "plain_runs",
        "Runs that left as single datagrams, because the kernel or their path takes no others.",
        |totals| totals.socket.plain_runs,
    ),
    (
        "network_errors",
        "Errors that the network reported of datagrams sent before (ICMP).",
        |totals| totals.socket.network_errors,
    ),
];

/// Totals of what was dropped: datagrams, packets or runs by reason (`klieg_sfu_dropped_total`).
pub(crate) const DROPPED: [(&str, Reading); 34] = [
    ("refused", |totals| totals.refused),
    ("send_buffer_full", |totals| totals.dropped_full),
    ("connection_full", |totals| totals.tcp.dropped_full),
    ("connection_gone", |totals| totals.tcp.dropped_gone),
    ("device_queue_full", |totals| totals.dropped_queue),
    ("shard_inbox_full", |totals| totals.dropped_messages),
    ("empty", |totals| totals.core.dropped_empty),
    ("unknown_protocol", |totals| {
        totals.core.dropped_unknown_protocol
    }),
    ("unchecked", |totals| totals.core.dropped_unchecked),
    ("unknown_ufrag", |totals| totals.core.dropped_unknown_ufrag),
    ("unauthenticated", |totals| {
        totals.core.dropped_unauthenticated
    }),
    ("unforwarded", |totals| totals.core.dropped_unforwarded),
    ("unknown_layer", |totals| totals.core.dropped_unknown_layer),
    ("malformed_redundancy", |totals| {
        totals.core.dropped_malformed_redundancy
    }),
    ("duplicate", |totals| totals.core.dropped_duplicate),
    ("oversized", |totals| totals.core.dropped_oversized),
    ("forwarding", |totals| totals.core.dropped_forwarding),
    ("backlog", |totals| totals.core.dropped_backlog),
    ("transport_unknown_protocol", |totals| {
        totals.core.transport.unknown_protocol
    }),
    ("transport_after_end", |totals| {
        totals.core.transport.after_end
    }),
    ("transport_stun_malformed", |totals| {
        totals.core.transport.stun_malformed
    }),
    ("transport_stun_forged", |totals| {
        totals.core.transport.stun_forged
    }),
    ("transport_stun_replayed", |totals| {
        totals.core.transport.stun_replayed
    }),
    ("transport_stun_refused", |totals| {
        totals.core.transport.stun_refused
    }),
    ("transport_dtls_unchecked", |totals| {
        totals.core.transport.dtls_unchecked
    }),
    ("transport_dtls_queue_full", |totals| {
        totals.core.transport.dtls_queue_full
    }),
    ("transport_dtls_late", |totals| {
        totals.core.transport.dtls_late
    }),
    ("transport_srtp_unchecked", |totals| {
        totals.core.transport.srtp_unchecked
    }),
    ("transport_srtp_early", |totals| {
        totals.core.transport.srtp_early
    }),
    ("transport_srtp_malformed", |totals| {
        totals.core.transport.srtp_malformed
    }),
    ("transport_srtp_replayed", |totals| {
        totals.core.transport.srtp_replayed
    }),
    ("transport_srtp_forged", |totals| {
        totals.core.transport.srtp_forged
    }),
    ("transport_pairs_evicted", |totals| {
        totals.core.transport.pairs_evicted
    }),
    ("transport_transmit_queue_full", |totals| {
        totals.core.transport.transmit_queue_full
    }),
];
