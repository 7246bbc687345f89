//! What the forwarding unit shows at `/metrics`.

use std::time::Duration;

use klieg_sfu_core::node::Counters;
use klieg_sfu_core::{DisconnectReason, Event};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::path_metrics::PathMetrics;

use crate::udp::Counts;

/// Reads one number out of what a shard has counted.
pub(crate) type Reading = fn(&Totals) -> u64;

/// Totals by metric: name (`klieg_sfu_…_total`), help text, reading.
const COUNTERS: [(&str, &str, Reading); 26] = [
    (
        "busy_microseconds",
        "How long the forwarding threads worked, all together.",
        |totals| totals.busy_us,
    ),
    (
        "datagrams_received",
        "Datagrams from the socket.",
        |totals| totals.core.datagrams_received,
    ),
    ("bytes_received", "Bytes from the socket.", |totals| {
        totals.core.bytes_received
    }),
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
        "nacked_to_publishers",
        "Packets asked for again from publishers.",
        |totals| totals.core.nacked_to_publishers,
    ),
    (
        "joins_from_cache",
        "Joins, and lost pictures soon after, served from the cache.",
        |totals| totals.core.joins_from_cache,
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
const DROPPED: [(&str, Reading); 30] = [
    ("refused", |totals| totals.refused),
    ("send_buffer_full", |totals| totals.dropped_full),
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
    ("duplicate", |totals| totals.core.dropped_duplicate),
    ("oversized", |totals| totals.core.dropped_oversized),
    ("forwarding", |totals| totals.core.dropped_forwarding),
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

/// Buckets of the times from a publisher to the last viewer, in seconds.
const LATENCY_BUCKETS: [f64; 11] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5,
];

/// Buckets of the join times, in seconds.
const JOIN_BUCKETS: [f64; 11] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

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
    /// Media for other shards dropped because their inbox was full.
    pub(crate) dropped_messages: u64,
    /// Peers and rooms here now.
    pub(crate) population: (usize, usize),
    /// Steps of handshakes that found no helper yet.
    pub(crate) waiting: usize,
}

/// All metrics of the forwarding unit.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// In the order of [`COUNTERS`].
    counters: Vec<IntCounter>,
    /// In the order of [`DROPPED`].
    dropped: Vec<IntCounter>,
    paths: PathMetrics,
    peers: IntGauge,
    waiting: IntGauge,
    rooms: IntGauge,
    connect_seconds: Histogram,
    first_media_seconds: Histogram,
    /// By shard.
    latency_seconds: HistogramVec,
    disconnects: IntCounterVec,
    codec_mismatches: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let dropped_by_reason = by_reason(
            registry,
            "dropped",
            "Datagrams, packets or runs dropped, by reason.",
        )?;
        let counters = COUNTERS
            .iter()
            .map(|(name, help, _)| counter(registry, name, help));
        let dropped = DROPPED
            .iter()
            .map(|(name, _)| dropped_by_reason.with_label_values(&[*name]));
        Ok(Self {
            counters: counters.collect::<Result<_, _>>()?,
            dropped: dropped.collect(),
            paths: PathMetrics::register(registry)?,
            peers: gauge(registry, "peers", "Peers whose first check has come.")?,
            waiting: gauge(
                registry,
                "handshakes_waiting",
                "Steps of handshakes that found no room at the threads for them.",
            )?,
            rooms: gauge(
                registry,
                "rooms",
                "Rooms with a peer, counted on each shard.",
            )?,
            connect_seconds: seconds(
                registry,
                "connect",
                "From a peer's announcement to its finished handshake.",
            )?,
            first_media_seconds: seconds(
                registry,
                "first_media",
                "From a viewer's finished handshake to its first keyframe.",
            )?,
            latency_seconds: latency(registry)?,
            disconnects: by_reason(registry, "disconnects", "Peers gone, by reason.")?,
            codec_mismatches: counter(
                registry,
                "codec_mismatches",
                "Viewers that cannot play what their room sends.",
            )?,
        })
    }

    /// Returns where a shard notes how long packets took.
    pub(crate) fn latency(&self, shard: usize) -> Latency {
        let shard = shard.to_string();
        Latency(self.latency_seconds.with_label_values(&[&shard]))
    }

    /// Counts what happened.
    pub(crate) fn observe(&self, event: &Event) {
        match event {
            Event::Connected { took, .. } => self.connect_seconds.observe(took.as_secs_f64()),
            Event::ViewerMedia { took, .. } => self.first_media_seconds.observe(took.as_secs_f64()),
            Event::CodecMismatch { .. } => self.codec_mismatches.inc(),
            Event::Disconnected { reason, .. } => {
                self.disconnects
                    .with_label_values(&[reason_label(*reason)])
                    .inc();
            }
            Event::PublisherMedia { .. }
            | Event::PublisherLayers { .. }
            | Event::ViewerLayer { .. }
            | Event::ViewerLimit { .. } => {}
        }
    }

    /// Adds what a shard has counted between two moments.
    pub(crate) fn add(&self, before: &Totals, now: &Totals) {
        for (counter, (_, _, read)) in self.counters.iter().zip(&COUNTERS) {
            counter.inc_by(read(now) - read(before));
        }
        for (counter, (_, read)) in self.dropped.iter().zip(&DROPPED) {
            counter.inc_by(read(now) - read(before));
        }
        self.paths.add(before, now);
        self.peers
            .add(signed(now.population.0) - signed(before.population.0));
        self.waiting
            .add(signed(now.waiting) - signed(before.waiting));
        self.rooms
            .add(signed(now.population.1) - signed(before.population.1));
    }
}

/// How long packets took from a publisher to the last of their viewers, on one shard.
#[derive(Debug)]
pub(crate) struct Latency(Histogram);

impl Latency {
    /// Notes one burst.
    pub(crate) fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

fn latency(registry: &Registry) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(
        "klieg_sfu_added_latency_seconds",
        "From a publisher's packet to the last viewer's, by shard; one sample a burst.",
    );
    let histograms = HistogramVec::new(opts.buckets(LATENCY_BUCKETS.to_vec()), &["shard"])?;
    registry.register(Box::new(histograms.clone()))?;
    Ok(histograms)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(format!("klieg_sfu_{name}_total"), help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn by_reason(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<IntCounterVec, prometheus::Error> {
    let opts = Opts::new(format!("klieg_sfu_{name}_total"), help);
    let counter = IntCounterVec::new(opts, &["reason"])?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

pub(crate) fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(format!("klieg_sfu_{name}"), help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn seconds(registry: &Registry, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let opts = HistogramOpts::new(format!("klieg_sfu_{name}_seconds"), help);
    let histogram = Histogram::with_opts(opts.buckets(JOIN_BUCKETS.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

fn reason_label(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::Removed => "removed",
        DisconnectReason::Closed => "closed",
        DisconnectReason::ConsentLost => "consent_lost",
        DisconnectReason::HandshakeTimeout => "handshake_timeout",
        DisconnectReason::HandshakeFailed => "handshake_failed",
        DisconnectReason::FingerprintMismatch => "fingerprint_mismatch",
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_shards_count_is_added_up_and_a_stopped_one_leaves_no_peers_behind() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let nothing = Totals::default();
        let core = Counters {
            rtp_sent: 5,
            pictures_paused: 3,
            pictures_resumed: 1,
            estimates: [0, 0, 2, 0, 0, 0, 0, 7],
            ..Counters::default()
        };
        let some = Totals {
            core,
            refused: 2,
            population: (3, 1),
            ..nothing
        };

        metrics.add(&nothing, &some);
        metrics.add(&nothing, &some);
        metrics.add(
            &some,
            &Totals {
                population: (0, 0),
                ..some
            },
        );

        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        assert!(text.contains("klieg_sfu_rtp_sent_total 10"), "{text}");
        assert!(
            text.contains("klieg_sfu_dropped_total{reason=\"refused\"} 4"),
            "{text}"
        );
        assert!(text.contains("klieg_sfu_peers 3"), "{text}");
        assert!(text.contains("klieg_sfu_paused_viewers 4"), "{text}");
        for estimates in ["{kbps=\"600\"} 4", "{kbps=\"more\"} 14"] {
            let line = format!("klieg_sfu_estimates_total{estimates}");
            assert!(text.contains(&line), "{text}");
        }
    }
}
