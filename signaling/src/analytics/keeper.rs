//! Takes the names from viewers that are old: some at once, so that who writes something else waits for no more than those.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use crate::drain::Phase;
use crate::id::RoomId;
use crate::metrics::Metrics;
use crate::store::{AnalyticsStore, Names, StoreError};
use crate::time::Timestamp;

/// Looks for old viewers until the server closes. They are kept for so long after the last that is known of their event.
pub(crate) async fn take_old_names(
    store: Arc<dyn AnalyticsStore>,
    kept: Duration,
    metrics: Arc<Metrics>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut every = tokio::time::interval_at(Instant::now() + FIRST_LOOK, LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
        }
        // What is left is found after the next start.
        let events = tokio::select! {
            events = take_names(&*store, Timestamp::now().minus(kept)) => events,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
        };
        if events > 0 {
            metrics.analytics.anonymised.inc_by(events);
            info!(events, "viewers of old events have no names any more");
        }
    }
}

/// Takes the names of all that is older than a moment; returns of how many events.
pub(crate) async fn take_names(store: &dyn AnalyticsStore, before: Timestamp) -> u64 {
    let aged = store
        .aged(before, EVENTS_A_LOOK)
        .await
        .unwrap_or_else(|error| {
            warn!(%error, "old viewers keep their names until the next look");
            Vec::new()
        });
    let mut done = 0;
    for (room, started_at) in aged {
        match take_names_of(store, (&room, started_at), before).await {
            Ok(is_done) => done += u64::from(is_done),
            Err(error) => {
                warn!(%error, %room, "viewers of one event keep their names until the next look");
                if error.is_away() {
                    break;
                }
            }
        }
    }
    done
}

/// Takes the names of an event's viewers; returns whether it was to be done.
async fn take_names_of(
    store: &dyn AnalyticsStore,
    (room, started_at): (&RoomId, u64),
    before: Timestamp,
) -> Result<bool, StoreError> {
    loop {
        match store.anonymise(room, started_at, before).await? {
            Names::More => tokio::time::sleep(PAUSE).await,
            Names::Gone => return Ok(true),
            Names::Kept => return Ok(false),
        }
    }
}

/// How soon after the start, and then how often, it is looked for old viewers.
const FIRST_LOOK: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Events in one look.
const EVENTS_A_LOOK: u32 = 10_000;

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(20);
