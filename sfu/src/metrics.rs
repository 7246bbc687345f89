//! What the forwarding unit shows at `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use klieg_sfu_core::{DisconnectReason, Event};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::path_metrics::PathMetrics;
use crate::tcp::TcpMetrics;
use crate::totals::{COUNTERS, DROPPED, Totals};

/// Buckets of the times from a publisher to the last viewer, in seconds.
const LATENCY_BUCKETS: [f64; 11] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5,
];

/// Buckets of the join times, in seconds.
const JOIN_BUCKETS: [f64; 11] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// All metrics of the forwarding unit.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// In the order of [`COUNTERS`].
    counters: Vec<IntCounter>,
    /// In the order of [`DROPPED`].
    dropped: Vec<IntCounter>,
    paths: PathMetrics,
    tcp: Arc<TcpMetrics>,
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
            tcp: Arc::new(TcpMetrics::register(registry)?),
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

    /// Returns where connections are counted.
    pub(crate) fn tcp(&self) -> Arc<TcpMetrics> {
        Arc::clone(&self.tcp)
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
            | Event::TookOver { .. }
            | Event::PublisherLayers { .. }
            | Event::ViewerLayer { .. }
            | Event::ViewerLimit { .. }
            | Event::ViewerReception { .. } => {}
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
        self.tcp.add(before.connections, now.connections);
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

pub(crate) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use klieg_sfu_core::node::Counters;

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
