//! Keeps the log of deliveries within its bounds, and counts what waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, warn};

use crate::config::Webhooks;
use crate::drain::Phase;
use crate::metrics::Metrics;
use crate::store::{Keep, StoreError, Stores};
use crate::time::Timestamp;

/// Keeps the log until the server closes.
pub(crate) async fn keep_log(
    stores: Stores,
    settings: Webhooks,
    metrics: Arc<Metrics>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut round = 0_u32;
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
        }
        let kept = count(&stores, &metrics).await;
        let swept = match kept {
            Ok(()) if round.is_multiple_of(SWEEP) => sweep(&stores, &settings, &metrics).await,
            other => other,
        };
        round = round.wrapping_add(1);
        if let Err(error) = swept {
            debug!(%error, "the log of webhooks has to wait");
        }
    }
}

async fn count(stores: &Stores, metrics: &Metrics) -> Result<(), StoreError> {
    let backlog = stores.deliveries.backlog().await?;
    let age = backlog
        .oldest
        .map(|it| Timestamp::now().since(it).as_secs());
    let gauge = |value| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.webhooks.backlog.set(gauge(backlog.count));
    let oldest = &metrics.webhooks.oldest_seconds;
    oldest.set(gauge(age.unwrap_or_default()));
    Ok(())
}

async fn sweep(stores: &Stores, settings: &Webhooks, metrics: &Metrics) -> Result<(), StoreError> {
    let now = Timestamp::now();
    // Who is at the last attempt gives it up himself.
    let longest = Duration::from_secs(settings.retry_for_s) + GRACE;
    let keep = Keep {
        queued_since: now.minus(longest),
        since: now.minus(Duration::from_secs(settings.deliveries_kept_s)),
        at_most: MAX_DELIVERIES,
    };
    for _ in 0..MAX_ROUNDS {
        let swept = stores.delivery_log.sweep(keep).await?;
        let counts = &metrics.webhooks.deliveries;
        counts.with_label_values(&["expired"]).inc_by(swept.expired);
        counts.with_label_values(&["dropped"]).inc_by(swept.dropped);
        if swept.expired > 0 || swept.dropped > 0 {
            let (expired, dropped) = (swept.expired, swept.dropped);
            warn!(expired, dropped, "webhooks were given up before their turn");
        }
        if !swept.more {
            break;
        }
    }
    Ok(())
}

/// How often what waits is counted.
const EVERY: Duration = Duration::from_secs(5);

/// Every so many times the log is swept.
const SWEEP: u32 = 6;

/// What the last attempt may take.
const GRACE: Duration = Duration::from_secs(120);

/// Deliveries of one endpoint that are kept.
const MAX_DELIVERIES: u32 = 100_000;

/// Sweeps in one go, of a thousand rows each.
const MAX_ROUNDS: u32 = 100;
