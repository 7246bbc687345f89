//! What the forwarding unit shows at `/metrics` of the paths of viewers.

use klieg_sfu_core::node::ESTIMATE_CLASSES_KBPS;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::metrics::gauge;
use crate::totals::{Reading, Totals};

/// What the paths of viewers did to their pictures (`klieg_sfu_bandwidth_changes_total`).
const BANDWIDTH_CHANGES: [(&str, Reading); 4] = [
    ("lowered", |totals| totals.core.layers_lowered),
    ("raised", |totals| totals.core.layers_raised),
    ("paused", |totals| totals.core.pictures_paused),
    ("resumed", |totals| totals.core.pictures_resumed),
];

/// What the paths of viewers carry, and what they did to their pictures.
#[derive(Debug)]
pub(crate) struct PathMetrics {
    /// In the order of [`BANDWIDTH_CHANGES`].
    bandwidth_changes: Vec<IntCounter>,
    /// In the order of [`ESTIMATE_CLASSES_KBPS`], and one for all above.
    estimates: Vec<IntCounter>,
    paused: IntGauge,
}

impl PathMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            bandwidth_changes: by_label(
                registry,
                (
                    "bandwidth_changes",
                    "Changes to the pictures of viewers because of what their paths carry.",
                ),
                ("change", BANDWIDTH_CHANGES.map(|(name, _)| name.to_owned())),
            )?,
            estimates: by_label(
                registry,
                (
                    "estimates",
                    "Estimates of what the paths of viewers carry, one a viewer and second, by the class that they \
                     are in: up to so many kb/s.",
                ),
                ("kbps", estimate_classes()),
            )?,
            paused: gauge(
                registry,
                "paused_viewers",
                "Viewers whose picture is paused because their paths carry none.",
            )?,
        })
    }

    /// Adds what a shard has counted between two moments.
    pub(crate) fn add(&self, before: &Totals, now: &Totals) {
        for (counter, (_, read)) in self.bandwidth_changes.iter().zip(&BANDWIDTH_CHANGES) {
            counter.inc_by(read(now) - read(before));
        }
        let estimates = now.core.estimates.iter().zip(&before.core.estimates);
        for (counter, (now, before)) in self.estimates.iter().zip(estimates) {
            counter.inc_by(now - before);
        }
        self.paused.add(paused(now) - paused(before));
    }
}

/// Returns how many viewers of a shard are without a picture because of their paths.
fn paused(totals: &Totals) -> i64 {
    let core = &totals.core;
    let over = core.pictures_resumed + core.left_paused;
    i64::try_from(core.pictures_paused.saturating_sub(over)).unwrap_or(i64::MAX)
}

fn estimate_classes() -> impl Iterator<Item = String> {
    let bounds = ESTIMATE_CLASSES_KBPS.iter().map(u64::to_string);
    bounds.chain(["more".to_owned()])
}

fn by_label(
    registry: &Registry,
    (name, help): (&str, &str),
    (label, values): (&str, impl IntoIterator<Item = String>),
) -> Result<Vec<IntCounter>, prometheus::Error> {
    let opts = Opts::new(format!("klieg_sfu_{name}_total"), help);
    let counters = IntCounterVec::new(opts, &[label])?;
    registry.register(Box::new(counters.clone()))?;
    let values = values.into_iter();
    Ok(values
        .map(|value| counters.with_label_values(&[value.as_str()]))
        .collect())
}
