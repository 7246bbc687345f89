//! What the relay shows at `/metrics`.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The counters; the field docs are the help texts.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Allocations of the relay that are there.
    pub(crate) allocations: IntGauge,
    /// Allocations that were made.
    pub(crate) made: IntCounter,
    /// Requests of known clients that the relay refused, by reason.
    refused: IntCounterVec,
    /// Requests whose sender the relay does not know, by reason; `anonymous` is each client's first.
    auth_failures: IntCounterVec,
    /// Bytes that were relayed, by direction: `to_peer`, `to_client`.
    pub(crate) to_peer: IntCounter,
    /// The other direction of the same.
    pub(crate) to_client: IntCounter,
    /// Datagrams and answers that the relay dropped, by reason.
    dropped: IntCounterVec,
    /// Connections to the relay by TCP and TLS.
    pub(crate) connections: IntGauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// One is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let by = |name: &str, help: &str, label: &str| {
            let metric = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let help = "Allocations that were made";
        let made = IntCounter::new("klieg_turn_allocations_total", help)?;
        registry.register(Box::new(made.clone()))?;
        let help = "Bytes that were relayed, by direction";
        let bytes = by("klieg_turn_bytes_total", help, "direction")?;
        Ok(Self {
            allocations: gauge(
                "klieg_turn_allocations",
                "Allocations of the relay that are there",
            )?,
            made,
            refused: by(
                "klieg_turn_refused_total",
                "Requests of known clients that the relay refused, by reason",
                "reason",
            )?,
            auth_failures: by(
                "klieg_turn_auth_failures_total",
                "Requests whose sender the relay does not know, by reason",
                "reason",
            )?,
            to_peer: bytes.with_label_values(&["to_peer"]),
            to_client: bytes.with_label_values(&["to_client"]),
            dropped: by(
                "klieg_turn_dropped_total",
                "Datagrams and answers that the relay dropped, by reason",
                "reason",
            )?,
            connections: gauge(
                "klieg_turn_connections",
                "Connections to the relay by TCP and TLS",
            )?,
        })
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(crate) fn denied(&self, reason: &'static str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    pub(crate) fn dropped(&self, reason: &'static str) {
        self.dropped.with_label_values(&[reason]).inc();
    }
}
