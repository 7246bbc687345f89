//! The one task that writes roll-ups, and takes the names from those that are old.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::store::{AnalyticsStore, RoomRollup, StoreError};
use crate::time::Timestamp;

/// The way to the task that writes.
#[derive(Clone, Debug)]
pub(crate) struct Desk(mpsc::Sender<Order>);

/// Room for one roll-up.
#[derive(Debug)]
pub(crate) struct Slip<'a>(mpsc::Permit<'a, Order>);

#[derive(Debug)]
enum Order {
    Write(Box<RoomRollup>),
    /// Nothing comes any more.
    Finish(oneshot::Sender<()>),
}

/// The task that writes.
pub(crate) struct Writer {
    store: Arc<dyn AnalyticsStore>,
    metrics: Arc<Metrics>,
    /// How long viewers are kept after the last that is known of their event.
    kept: Duration,
    orders: mpsc::Receiver<Order>,
}

impl Desk {
    /// Makes the task, to be run, and the way to it.
    pub(crate) fn new(
        store: Arc<dyn AnalyticsStore>,
        metrics: Arc<Metrics>,
        kept: Duration,
    ) -> (Self, Writer) {
        let (sender, orders) = mpsc::channel(WAITING);
        let writer = Writer {
            store,
            metrics,
            kept,
            orders,
        };
        (Self(sender), writer)
    }

    /// Returns room for one roll-up; `None` while too many wait.
    pub(crate) fn slip(&self) -> Option<Slip<'_>> {
        self.0.try_reserve().ok().map(Slip)
    }

    /// Hands in a roll-up, waiting for its turn.
    pub(crate) async fn write(&self, rollup: RoomRollup) {
        // Fails only where the task has ended, and nothing can be written any more.
        let _ = self.0.send(Order::Write(Box::new(rollup))).await;
    }

    /// Waits until all that was handed in is written, and ends the task.
    pub(crate) async fn finish(&self, at_most: Duration) {
        let (done, finished) = oneshot::channel();
        let finish = async {
            if self.0.send(Order::Finish(done)).await.is_ok() {
                let _ = finished.await;
            }
        };
        if tokio::time::timeout(at_most, finish).await.is_err() {
            warn!("the last figures of audiences could not be written in time");
        }
    }
}

impl Slip<'_> {
    /// Hands in the roll-up.
    pub(crate) fn write(self, rollup: RoomRollup) {
        self.0.send(Order::Write(Box::new(rollup)));
    }
}

impl Writer {
    /// Runs it until it is finished.
    pub(crate) fn start(self) -> JoinHandle<()> {
        tokio::spawn(self.run())
    }

    async fn run(mut self) {
        let mut age = tokio::time::interval_at(Instant::now() + FIRST_LOOK, LOOK_EVERY);
        age.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut orders = Vec::with_capacity(AT_ONCE);
            tokio::select! {
                count = self.orders.recv_many(&mut orders, AT_ONCE) => if count == 0 {
                    return;
                },
                _ = age.tick() => self.anonymise().await,
            }
            let mut rollups = Vec::with_capacity(orders.len());
            let mut finish = None;
            for order in orders {
                match order {
                    Order::Write(rollup) => rollups.push(*rollup),
                    Order::Finish(done) => finish = Some(done),
                }
            }
            // Two servers that write of the same rooms do it in the same order.
            rollups.sort_by(|one, other| one.room.as_str().cmp(other.room.as_str()));
            self.write(&rollups).await;
            if let Some(done) = finish {
                let _ = done.send(());
                return;
            }
        }
    }

    /// Writes roll-ups, however long the database is away. What it refuses for what stands in it is given up, alone.
    async fn write(&self, rollups: &[RoomRollup]) {
        if rollups.is_empty() || self.write_once(rollups).await {
            return;
        }
        for rollup in rollups {
            if !self.write_once(std::slice::from_ref(rollup)).await {
                warn!(room = %rollup.room, "figures of an audience were given up");
            }
        }
    }

    /// Writes roll-ups; returns whether they are written, and not refused.
    async fn write_once(&self, rollups: &[RoomRollup]) -> bool {
        let metrics = &self.metrics.analytics;
        let mut is_away = false;
        loop {
            let written = tokio::time::timeout(DEADLINE, self.store.write(rollups)).await;
            let error = match written.unwrap_or(Err(StoreError::Deadline(DEADLINE))) {
                Ok(()) => {
                    let rows = rollups.iter().map(|it| it.rollup.rows() as u64);
                    metrics.rows.inc_by(rows.sum());
                    return true;
                }
                Err(error) => error,
            };
            metrics.failures.inc();
            if !error.is_away() {
                warn!(%error, "figures of audiences were refused");
                return false;
            }
            if !std::mem::replace(&mut is_away, true) {
                warn!(%error, "figures of audiences wait while the database is away");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Takes the names from viewers that are old.
    async fn anonymise(&self) {
        let before = Timestamp::now().minus(self.kept);
        for _ in 0..ROUNDS {
            match self.store.anonymise(before, EVENTS_A_ROUND).await {
                Ok(0) => return,
                Ok(events) => {
                    self.metrics.analytics.anonymised.inc_by(events);
                    info!(events, "viewers of old events have no names any more");
                }
                Err(error) => {
                    warn!(%error, "old viewers keep their names until the next look");
                    return;
                }
            }
        }
    }
}

/// Roll-ups that may wait; each is of 2000 viewers at most. Rooms keep what finds no room.
const WAITING: usize = 64;

/// Roll-ups in one transaction.
const AT_ONCE: usize = 16;

/// How long one transaction may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How soon it is tried again while the database is away.
const AGAIN: Duration = Duration::from_secs(2);

/// How soon after the start, and then how often, it is looked for old viewers.
const FIRST_LOOK: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Events in one go, and goes in one look.
const EVENTS_A_ROUND: u32 = 100;

const ROUNDS: u32 = 100;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use prometheus::Registry;

    use super::*;
    use crate::analytics::{Earlier, Minute, Rollup};
    use crate::id::RoomId;
    use crate::store::{EventFigures, RoomStatus, RoomUpdate, Stored};

    /// A database that answers as it is told, and then takes everything.
    #[derive(Default)]
    struct Script {
        answers: Mutex<VecDeque<StoreError>>,
        /// The rooms of each transaction that it took.
        taken: Mutex<Vec<Vec<String>>>,
    }

    impl AnalyticsStore for Script {
        fn write<'a>(&'a self, rollups: &'a [RoomRollup]) -> Stored<'a, ()> {
            let refused = self.answers.lock().unwrap().pop_front();
            let rooms = rollups.iter().map(|it| it.room.to_string()).collect();
            let answer = refused.map_or_else(
                || {
                    self.taken.lock().unwrap().push(rooms);
                    Ok(())
                },
                Err,
            );
            Box::pin(std::future::ready(answer))
        }

        fn earlier<'a>(&'a self, _: &'a RoomId, _: u64) -> Stored<'a, Earlier> {
            Box::pin(std::future::ready(Ok(Earlier::default())))
        }

        fn event<'a>(&'a self, _: &'a RoomId) -> Stored<'a, Option<EventFigures>> {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn minutes<'a>(
            &'a self,
            _: &'a RoomId,
            _: Timestamp,
            _: u32,
        ) -> Stored<'a, Vec<(Timestamp, Minute)>> {
            Box::pin(std::future::ready(Ok(Vec::new())))
        }

        fn last_minute<'a>(&'a self, _: &'a RoomId) -> Stored<'a, Option<Timestamp>> {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn anonymise(&self, _: Timestamp, _: u32) -> Stored<'_, u64> {
            Box::pin(std::future::ready(Ok(0)))
        }
    }

    fn rollup(room: &str) -> RoomRollup {
        RoomRollup {
            room: RoomId::parse(room).unwrap(),
            rollup: Rollup {
                started_at: 1,
                run: "run".to_owned(),
                at: 2,
                watching: 0,
                minutes: Vec::new(),
                viewers: Vec::new(),
            },
            row: RoomUpdate {
                status: RoomStatus::Live,
                started_at: None,
                ended_at: None,
                changed_at: Timestamp::from_millis(0),
                peak_viewers: 0,
                total_viewers: 0,
                watch_ms: 0,
            },
        }
    }

    /// Hands in two roll-ups and waits until all is done; returns what was taken and how often something failed.
    async fn written(answers: Vec<StoreError>) -> (Vec<Vec<String>>, u64) {
        let store = Arc::new(Script::default());
        *store.answers.lock().unwrap() = answers.into();
        let metrics = Arc::new(Metrics::new(Registry::new()).unwrap());
        let kept = Duration::from_secs(3_600);
        let (desk, writer) = Desk::new(store.clone(), Arc::clone(&metrics), kept);
        // Both are there when the task begins: one transaction, in the order of their names.
        desk.slip().unwrap().write(rollup("b"));
        desk.write(rollup("a")).await;
        let task = writer.start();
        desk.finish(Duration::from_secs(60)).await;
        task.await.unwrap();
        let taken = store.taken.lock().unwrap().clone();
        (taken, metrics.analytics.failures.get())
    }

    #[tokio::test]
    async fn what_waits_is_one_transaction_and_all_of_it_is_written_before_the_end() {
        let all = vec![vec!["a".to_owned(), "b".to_owned()]];
        assert_eq!(written(Vec::new()).await, (all, 0));
    }

    #[tokio::test]
    async fn while_the_database_is_away_nothing_is_lost() {
        let away = StoreError::Deadline(Duration::ZERO);
        let all = vec![vec!["a".to_owned(), "b".to_owned()]];
        assert_eq!(written(vec![away]).await, (all, 1));
    }

    #[tokio::test]
    async fn what_the_database_refuses_is_given_up_alone() {
        let refusals = vec![StoreError::Unreadable("both"), StoreError::Unreadable("a")];
        assert_eq!(written(refusals).await, (vec![vec!["b".to_owned()]], 2));
    }

    #[tokio::test]
    async fn where_too_much_waits_there_is_no_place() {
        let metrics = Arc::new(Metrics::new(Registry::new()).unwrap());
        let (desk, writer) = Desk::new(Arc::new(Script::default()), metrics, Duration::MAX);
        for _ in 0..WAITING {
            desk.slip().unwrap().write(rollup("a"));
        }
        assert!(desk.slip().is_none());
        writer.start();
        desk.finish(Duration::from_secs(60)).await;
    }
}
