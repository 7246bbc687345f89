//! Takes what is due from the store and tells it: each lane (what waits for one endpoint from one room) by a task of its own,
//! so many for each endpoint at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{debug, error, info, warn};

use super::attempt::{Outcome, Patience, attempt, judge};
use super::poster::Poster;
use super::target::{self, Allowed};
use crate::config::Webhooks;
use crate::drain::Phase;
use crate::fetch::FetchError;
use crate::metrics::Metrics;
use crate::store::{DeliveryStatus, Lane, Lease, Next, StoreError, Stores, Tried, Webhook};
use crate::time::Timestamp;

/// Tells others of what happens in rooms.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    stores: Stores,
    poster: Poster,
    allowed: Arc<[Allowed]>,
    patience: Patience,
    /// Lanes of one endpoint that are told at once.
    at_once: usize,
    /// How long a lane is taken for.
    lease: Duration,
    metrics: Arc<Metrics>,
    phase: watch::Receiver<Phase>,
}

/// The lanes that are being told: 50 endpoints by 64 at most.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    /// The endpoint of each.
    endpoints: HashMap<Id, String>,
}

impl Dispatcher {
    /// Puts together what is needed.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new(
        settings: &Webhooks,
        stores: &Stores,
        metrics: &Arc<Metrics>,
        phase: watch::Receiver<Phase>,
    ) -> Result<Self, FetchError> {
        let allowed: Arc<[Allowed]> = settings.allowed_targets.clone().into();
        let deadline = Duration::from_millis(settings.delivery_timeout_ms);
        Ok(Self {
            stores: stores.clone(),
            poster: Poster::new(Arc::clone(&allowed), deadline)?,
            allowed,
            patience: Patience {
                first: Duration::from_millis(settings.retry_first_ms),
                whole: Duration::from_secs(settings.retry_for_s),
            },
            at_once: settings.deliveries_at_once,
            // A run may begin its last attempt at the end of its time, and has then to be written down.
            lease: RUN + deadline + SLACK,
            metrics: Arc::clone(metrics),
            phase,
        })
    }

    /// Tells what is due until the server closes; what is under way then may end.
    pub(crate) async fn run(self: Arc<Self>) {
        if let Err(error) = self.stores.deliveries.reclaim().await {
            warn!(%error, "what was on its way before is tried again when its lease is over");
        }
        let mut running = Running::default();
        let mut phase = self.phase.clone();
        let mut away = false;
        loop {
            match self.round(&mut running).await {
                Ok(()) => away = false,
                Err(error) if !std::mem::replace(&mut away, true) => {
                    warn!(%error, "nobody is told by webhooks while the database is away");
                }
                Err(_) => {}
            }
            // What comes in quick succession is taken together.
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                () = self.stores.deliveries.added() => {}
                Some(done) = running.tasks.join_next_with_id() => running.end(done),
                () = tokio::time::sleep(POLL) => {}
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
            }
        }
        while let Some(done) = running.tasks.join_next_with_id().await {
            running.end(done);
        }
    }

    /// Takes what is due, as far as there are free places.
    async fn round(self: &Arc<Self>, running: &mut Running) -> Result<(), StoreError> {
        while let Some(done) = running.tasks.try_join_next_with_id() {
            running.end(done);
        }
        let due = self.stores.webhooks.due(Timestamp::now()).await?;
        for webhook in due {
            let webhook = Arc::new(webhook);
            let free = self.at_once.saturating_sub(running.of(&webhook.id));
            if free == 0 {
                continue;
            }
            let now = Timestamp::now();
            let lease = Lease {
                name: crate::id::random(),
                now,
                until: now.plus(self.lease),
            };
            let limit = u32::try_from(free).unwrap_or(u32::MAX);
            let deliveries = &self.stores.deliveries;
            for lane in deliveries.claim(&webhook.id, &lease, limit).await? {
                let (this, webhook) = (Arc::clone(self), Arc::clone(&webhook));
                let id = webhook.id.clone();
                let task = running
                    .tasks
                    .spawn(async move { this.tell(&webhook, lane).await });
                running.endpoints.insert(task.id(), id);
            }
        }
        Ok(())
    }

    /// Tells what waits in a lane, one after the other, until something fails or its time is over.
    async fn tell(&self, webhook: &Webhook, lane: Lane) {
        let since = Instant::now();
        let (mut tried, mut next) = (Vec::new(), None);
        for due in &lane.due {
            let closing = *self.phase.borrow() == Phase::Closing;
            if closing || since.elapsed() >= RUN {
                next = Some(Next::At(Timestamp::now()));
                break;
            }
            let told = attempt(&self.poster, &self.allowed, webhook, due).await;
            let outcome = judge(due, told, self.patience, rand::random());
            self.note(webhook, due, &outcome);
            let Outcome { again, gone, .. } = outcome;
            tried.push(outcome.tried);
            if gone {
                self.disable(webhook).await;
                next = Some(Next::At(Timestamp::now()));
                break;
            }
            if let Some(again) = again {
                next = Some(Next::At(again));
                break;
            }
        }
        let next = match next {
            Some(next) => next,
            None if lane.more => Next::At(Timestamp::now()),
            None => Next::WhenAdded,
        };
        // Before somebody else gets the lane: what they find out is newer.
        self.note_failing(webhook, tried.last()).await;
        self.release(&lane, &tried, (next, since)).await;
    }

    /// Writes down what became of a lane. As long as the lease holds it is worth trying: otherwise all is told once more.
    async fn release(&self, lane: &Lane, tried: &[Tried], (next, since): (Next, Instant)) {
        loop {
            let written = self.stores.deliveries.release(lane, tried, next).await;
            let Err(error) = written else { return };
            if since.elapsed() + RETRY >= self.lease {
                let count = tried.len();
                warn!(webhook = %lane.webhook_id, count, %error, "told, and not written down: it is told again");
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn note(&self, webhook: &Webhook, due: &crate::store::Due, outcome: &Outcome) {
        let tried = &outcome.tried;
        let label = match tried.status {
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Pending => "retried",
            DeliveryStatus::Failed => "failed",
        };
        let metrics = &self.metrics.webhooks;
        metrics.deliveries.with_label_values(&[label]).inc();
        metrics.seconds.observe(tried.took.as_secs_f64());
        let (id, room, event) = (&webhook.id, &due.room_id, &due.event_id);
        let (attempts, error) = (tried.attempts, tried.error.as_deref().unwrap_or_default());
        if tried.status == DeliveryStatus::Failed {
            warn!(webhook = %id, %room, %event, kind = %due.kind, attempts, error, "a webhook was given up");
        } else {
            debug!(webhook = %id, %room, %event, kind = %due.kind, attempts, error, "a webhook was tried");
        }
    }

    /// Takes note of whether an endpoint can be reached, and says so when that changes.
    async fn note_failing(&self, webhook: &Webhook, last: Option<&Tried>) {
        let Some(last) = last else { return };
        let fails = last.status != DeliveryStatus::Delivered;
        if fails == webhook.failing_since.is_some() {
            return;
        }
        let since = fails.then_some(last.at);
        let changed = self.stores.webhooks.note_failing(&webhook.id, since).await;
        if !matches!(changed, Ok(true)) {
            return;
        }
        // The rest of its URL may be a secret.
        let host = target::read(&webhook.url, &self.allowed);
        let host = host.ok().and_then(|url| url.host().map(str::to_owned));
        let host = host.unwrap_or_default();
        if fails {
            let error = last.error.as_deref().unwrap_or_default();
            warn!(webhook = %webhook.id, %host, error, "a webhook fails; it is tried again");
        } else {
            info!(webhook = %webhook.id, %host, "a webhook gets through again");
        }
    }

    async fn disable(&self, webhook: &Webhook) {
        match self.stores.webhooks.disable(&webhook.id).await {
            Ok(()) => {
                warn!(webhook = %webhook.id, "a receiver is gone (410): its webhook is disabled")
            }
            Err(error) => {
                warn!(webhook = %webhook.id, %error, "a receiver is gone (410), and its webhook is not disabled")
            }
        }
    }
}

impl Running {
    /// Returns how many there are of an endpoint.
    fn of(&self, webhook: &str) -> usize {
        let all = self.endpoints.values();
        all.filter(|endpoint| *endpoint == webhook).count()
    }

    /// Takes note of one that is done.
    fn end(&mut self, done: Result<(Id, ()), JoinError>) {
        let id = match done {
            Ok((id, ())) => id,
            Err(error) => {
                error!(%error, "the task of a webhook failed");
                error.id()
            }
        };
        self.endpoints.remove(&id);
    }
}

/// How long a lane is told before what became of it is written down.
const RUN: Duration = Duration::from_secs(1);

/// What it may take to write that down.
const SLACK: Duration = Duration::from_secs(5);

/// How soon that is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How often the store is asked for what others wrote into it, and for what is due again.
const POLL: Duration = Duration::from_millis(500);

/// What is written within it is taken together.
const PAUSE: Duration = Duration::from_millis(10);
