//! Sign-ins that have ended before the tokens that came of them: those of this server, of others on the same
//! database, and of the command line.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::drain::Phase;
use crate::store::IdentityStore;
use crate::time::Timestamp;

/// Ended sign-ins whose tokens might still be shown.
#[derive(Debug)]
pub(crate) struct Ended {
    /// When each may be forgotten: its last token has run out. As many as end within the life of a token, and
    /// limits on signing in bound them.
    ids: DashMap<String, Timestamp>,
    /// How long a token holds.
    ttl: Duration,
    /// How many were added so far.
    news: watch::Sender<u64>,
}

impl Ended {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ids: DashMap::new(),
            ttl,
            news: watch::Sender::new(0),
        }
    }

    /// Takes note that a sign-in ended.
    pub(crate) fn add(&self, id: String, at: Timestamp) {
        let until = at.plus(self.ttl).plus(OVERLAP);
        // The database names each several times.
        if self.ids.insert(id, until).is_none() {
            self.news.send_modify(|count| *count += 1);
        }
    }

    /// Says that tokens have ended in another way than with their sign-ins.
    pub(super) fn stir(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// Returns what changes with each sign-in that ends.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Returns whether a sign-in has ended.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    /// Asks the database once a second what others ended, until the server closes.
    pub(crate) async fn watch(
        self: Arc<Self>,
        store: Arc<dyn IdentityStore>,
        mut phase: watch::Receiver<Phase>,
    ) {
        let mut seen = Timestamp::now().minus(self.ttl);
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut away, mut forget_at) = (false, Timestamp::now());
        loop {
            tokio::select! {
                _ = every.tick() => {}
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
            }
            match store.ended_since(seen.minus(OVERLAP)).await {
                Ok(ended) => {
                    away = false;
                    for (id, at) in ended {
                        // One whose clock is ahead must not hide what others write.
                        seen = seen.max(at.min(Timestamp::now()));
                        self.add(id, at);
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        warn!(%error, "sign-ins that others end are not known while the database is away");
                    }
                }
            }
            let now = Timestamp::now();
            if now >= forget_at {
                forget_at = now.plus(FORGET_EVERY);
                self.forget(&*store, now).await;
            }
        }
    }

    async fn forget(&self, store: &dyn IdentityStore, now: Timestamp) {
        self.ids.retain(|_, until| *until > now);
        match store.forget_sign_ins(now).await {
            Ok(0) => {}
            Ok(count) => debug!(count, "old sign-ins forgotten"),
            Err(error) => debug!(%error, "old sign-ins were not forgotten"),
        }
    }
}

const EVERY: Duration = Duration::from_secs(1);

/// Clocks differ, and what is written later may be dated earlier.
const OVERLAP: Duration = Duration::from_secs(60);

const FORGET_EVERY: Duration = Duration::from_secs(600);
