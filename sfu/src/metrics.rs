//! What the forwarding unit shows at `/metrics`.

use klieg_sfu_core::node::Counters;
use klieg_sfu_core::{DisconnectReason, Event};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Buckets of the join times, in seconds.
const JOIN_BUCKETS: [f64; 11] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// What one shard has shown so far, so that only the difference is added.
#[derive(Debug, Default)]
pub(crate) struct ShardTotals {
    /// Runs that the kernel refused.
    pub(crate) refused: u64,
    /// Times the kernel's send buffer was full.
    pub(crate) send_waits: u64,
    /// Runs dropped because it stayed full.
    pub(crate) dropped_full: u64,
    /// Media for other shards dropped because their inbox was full.
    pub(crate) dropped_messages: u64,
    /// Peers and rooms here now.
    pub(crate) population: (usize, usize),
    /// The core's counters and the four above, as last shown.
    shown: (Counters, [u64; 4]),
    shown_population: (usize, usize),
}

/// All metrics of the forwarding unit. Help texts and names stand in [`Metrics::register`].
#[derive(Debug)]
pub(crate) struct Metrics {
    datagrams_received: IntCounter,
    bytes_received: IntCounter,
    rtp_received: IntCounter,
    rtcp_received: IntCounter,
    probes_received: IntCounter,
    datagrams_sent: IntCounter,
    rtp_sent: IntCounter,
    runs_sent: IntCounter,
    bytes_sent: IntCounter,
    rtcp_sent: IntCounter,
    nacked_by_viewers: IntCounter,
    resent: IntCounter,
    resend_missing: IntCounter,
    resend_refused: IntCounter,
    nacked_to_publishers: IntCounter,
    keyframes_wanted: IntCounter,
    keyframes_requested: IntCounter,
    path_changes: IntCounter,
    dropped: IntCounterVec,
    send_waits: IntCounter,
    peers: IntGauge,
    rooms: IntGauge,
    connect_seconds: Histogram,
    first_media_seconds: Histogram,
    disconnects: IntCounterVec,
    codec_mismatches: IntCounter,
}

impl Metrics {
    #[expect(clippy::too_many_lines, reason = "one entry for each metric")]
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(format!("klieg_sfu_{name}_total"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let by_reason = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let opts = Opts::new(format!("klieg_sfu_{name}_total"), help);
            let counter = IntCounterVec::new(opts, &["reason"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(format!("klieg_sfu_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let seconds = |name: &str, help: &str| -> Result<Histogram, prometheus::Error> {
            let opts = HistogramOpts::new(format!("klieg_sfu_{name}_seconds"), help);
            let histogram = Histogram::with_opts(opts.buckets(JOIN_BUCKETS.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        Ok(Self {
            datagrams_received: counter("datagrams_received", "Datagrams from the socket.")?,
            bytes_received: counter("bytes_received", "Bytes from the socket.")?,
            rtp_received: counter("rtp_received", "Decrypted media packets from publishers.")?,
            rtcp_received: counter("rtcp_received", "Decrypted RTCP compounds.")?,
            probes_received: counter(
                "probes_received",
                "Empty retransmissions, with which a publisher probes its path.",
            )?,
            datagrams_sent: counter(
                "datagrams_sent",
                "Datagrams to the socket that are no media.",
            )?,
            rtp_sent: counter("rtp_sent", "Media packets to viewers.")?,
            runs_sent: counter("runs_sent", "Runs that these packets left in.")?,
            bytes_sent: counter("bytes_sent", "Bytes to the socket.")?,
            rtcp_sent: counter("rtcp_sent", "RTCP compounds sent.")?,
            nacked_by_viewers: counter(
                "nacked_by_viewers",
                "Packets that viewers asked for again.",
            )?,
            resent: counter("resent", "Packets sent again.")?,
            resend_missing: counter(
                "resend_missing",
                "Packets asked for again that are no longer kept.",
            )?,
            resend_refused: counter(
                "resend_refused",
                "Packets not sent again because they were too often, or too many.",
            )?,
            nacked_to_publishers: counter(
                "nacked_to_publishers",
                "Packets asked for again from publishers.",
            )?,
            keyframes_wanted: counter("keyframes_wanted", "Keyframe requests from viewers.")?,
            keyframes_requested: counter(
                "keyframes_requested",
                "Keyframe requests to publishers.",
            )?,
            path_changes: counter(
                "path_changes",
                "Times a peer's media moved to another address.",
            )?,
            dropped: by_reason("dropped", "Datagrams, packets or runs dropped, by reason.")?,
            send_waits: counter("send_waits", "Times the kernel's send buffer was full.")?,
            peers: gauge("peers", "Peers whose first check has come.")?,
            rooms: gauge(
                "rooms",
                "Rooms with a connected peer, counted on each shard.",
            )?,
            connect_seconds: seconds(
                "connect",
                "From a peer's announcement to its finished handshake.",
            )?,
            first_media_seconds: seconds(
                "first_media",
                "From a viewer's finished handshake to its first keyframe.",
            )?,
            disconnects: by_reason("disconnects", "Peers gone, by reason.")?,
            codec_mismatches: counter(
                "codec_mismatches",
                "Viewers that cannot play what their room sends.",
            )?,
        })
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
            Event::PublisherMedia { .. } => {}
        }
    }

    /// Adds what a shard has counted since the last time.
    pub(crate) fn update(&self, totals: &mut ShardTotals, now: &Counters) {
        let (before, own_before) = totals.shown;
        let own = [
            totals.refused,
            totals.send_waits,
            totals.dropped_full,
            totals.dropped_messages,
        ];
        let [refused, send_waits, full, messages] = std::array::from_fn(|at| {
            own.get(at)
                .zip(own_before.get(at))
                .map_or(0, |(now, before)| now - before)
        });
        totals.shown = (*now, own);
        self.datagrams_received
            .inc_by(now.datagrams_received - before.datagrams_received);
        self.bytes_received
            .inc_by(now.bytes_received - before.bytes_received);
        self.rtp_received
            .inc_by(now.rtp_received - before.rtp_received);
        self.rtcp_received
            .inc_by(now.rtcp_received - before.rtcp_received);
        self.probes_received
            .inc_by(now.probes_received - before.probes_received);
        self.datagrams_sent
            .inc_by(now.datagrams_sent - before.datagrams_sent);
        self.rtp_sent.inc_by(now.rtp_sent - before.rtp_sent);
        self.runs_sent.inc_by(now.runs_sent - before.runs_sent);
        self.bytes_sent.inc_by(now.bytes_sent - before.bytes_sent);
        self.rtcp_sent.inc_by(now.rtcp_sent - before.rtcp_sent);
        self.nacked_by_viewers
            .inc_by(now.nacked_by_viewers - before.nacked_by_viewers);
        self.resent.inc_by(now.resent - before.resent);
        self.resend_missing
            .inc_by(now.resend_missing - before.resend_missing);
        self.resend_refused
            .inc_by(now.resend_refused - before.resend_refused);
        self.nacked_to_publishers
            .inc_by(now.nacked_to_publishers - before.nacked_to_publishers);
        self.keyframes_wanted
            .inc_by(now.keyframes_wanted - before.keyframes_wanted);
        self.keyframes_requested
            .inc_by(now.keyframes_requested - before.keyframes_requested);
        self.path_changes
            .inc_by(now.path_changes - before.path_changes);
        self.send_waits.inc_by(send_waits);
        let dropped = [
            ("refused", refused),
            ("send_buffer_full", full),
            ("shard_inbox_full", messages),
            (
                "unknown_protocol",
                now.dropped_unknown_protocol - before.dropped_unknown_protocol,
            ),
            (
                "unchecked",
                now.dropped_unchecked - before.dropped_unchecked,
            ),
            (
                "unknown_ufrag",
                now.dropped_unknown_ufrag - before.dropped_unknown_ufrag,
            ),
            (
                "unauthenticated",
                now.dropped_unauthenticated - before.dropped_unauthenticated,
            ),
            (
                "unprotected",
                now.dropped_unprotected - before.dropped_unprotected,
            ),
            (
                "handshake",
                now.dropped_handshake - before.dropped_handshake,
            ),
            (
                "unforwarded",
                now.dropped_unforwarded - before.dropped_unforwarded,
            ),
            (
                "duplicate",
                now.dropped_duplicate - before.dropped_duplicate,
            ),
            (
                "oversized",
                now.dropped_oversized - before.dropped_oversized,
            ),
            (
                "forwarding",
                now.dropped_forwarding - before.dropped_forwarding,
            ),
        ];
        for (reason, count) in dropped {
            self.dropped.with_label_values(&[reason]).inc_by(count);
        }
        self.peers
            .add(signed(totals.population.0) - signed(totals.shown_population.0));
        self.rooms
            .add(signed(totals.population.1) - signed(totals.shown_population.1));
        totals.shown_population = totals.population;
    }

    /// Takes the peers and rooms of a stopped shard off.
    pub(crate) fn forget(&self, totals: &ShardTotals) {
        self.peers.sub(signed(totals.shown_population.0));
        self.rooms.sub(signed(totals.shown_population.1));
    }
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
