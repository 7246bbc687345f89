//! The one task that writes roll-ups.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::metrics::Metrics;
use crate::store::{AnalyticsStore, RoomRollup, StoreError};

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
    orders: mpsc::Receiver<Order>,
}

impl Desk {
    /// Makes the task, to be run, and the way to it.
    pub(crate) fn new(store: Arc<dyn AnalyticsStore>, metrics: Arc<Metrics>) -> (Self, Writer) {
        let (sender, orders) = mpsc::channel(WAITING);
        let writer = Writer {
            store,
            metrics,
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
        loop {
            let mut orders = Vec::with_capacity(AT_ONCE);
            if self.orders.recv_many(&mut orders, AT_ONCE).await == 0 {
                return;
            }
            let mut rollups = Vec::with_capacity(orders.len());
            let mut finish = None;
            for order in orders {
                match order {
                    Order::Write(rollup) => rollups.push(*rollup),
                    Order::Finish(done) => finish = Some(done),
                }
            }
            for batch in cut(rollups) {
                self.write(&batch).await;
            }
            if let Some(done) = finish {
                let _ = done.send(());
                return;
            }
        }
    }

    /// Writes roll-ups, however long the database is away. What it refuses for what stands in it is given up, alone.
    async fn write(&self, rollups: &[RoomRollup]) {
        if self.write_once(rollups).await {
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
}

/// Cuts roll-ups into transactions, each so small that who writes something else waits for no more than one; what is
/// written stays written, whatever becomes of those behind it. Of several roll-ups of a room the later one stays behind.
fn cut(mut rollups: Vec<RoomRollup>) -> Vec<Vec<RoomRollup>> {
    // Two servers that write of the same rooms do it in the same order.
    rollups.sort_by(|one, other| one.room.as_str().cmp(other.room.as_str()));
    let cut = rollups.into_iter().map(|it| it.cut(ROWS_AT_ONCE));
    let (events, viewers): (Vec<_>, Vec<_>) = cut.unzip();
    let mut batches = filled(events);
    batches.extend(filled(viewers.into_iter().flatten()));
    batches
}

/// Puts roll-ups together, in their order, until there are [`ROWS_AT_ONCE`].
fn filled(rollups: impl IntoIterator<Item = RoomRollup>) -> Vec<Vec<RoomRollup>> {
    let mut batches: Vec<Vec<RoomRollup>> = Vec::new();
    let mut rows = 0;
    for rollup in rollups {
        rows += rollup.rollup.rows();
        match batches.last_mut().filter(|_| rows <= ROWS_AT_ONCE) {
            Some(batch) => batch.push(rollup),
            None => {
                rows = rollup.rollup.rows();
                batches.push(vec![rollup]);
            }
        }
    }
    batches
}

/// Roll-ups that may wait; each is of 2000 viewers at most. Rooms keep what finds no room.
const WAITING: usize = 64;

/// Roll-ups that are taken up at once.
const AT_ONCE: usize = 16;

/// Rows in one transaction: some milliseconds, and another's turn behind each.
const ROWS_AT_ONCE: usize = 500;

/// How long one transaction may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How soon it is tried again while the database is away.
const AGAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::super::Script;
    use super::super::script::Taken;
    use super::*;
    use crate::analytics::{Origin, Rollup, Viewer, ViewerRow};
    use crate::id::RoomId;
    use crate::store::{RoomStatus, RoomUpdate};
    use crate::time::Timestamp;

    fn rollup(room: &str, viewers: u128) -> RoomRollup {
        let viewers = (0..viewers).map(|number| ViewerRow {
            viewer: Viewer::parse(&format!("{number:032x}")).unwrap(),
            watched_ms: 1,
            origin: Origin::default(),
            engaged: false,
        });
        RoomRollup {
            room: RoomId::parse(room).unwrap(),
            rollup: Rollup {
                started_at: 1,
                run: "run".to_owned(),
                at: 2,
                watching: 0,
                minutes: Vec::new(),
                viewers: viewers.collect(),
            },
            row: RoomUpdate {
                status: RoomStatus::Live,
                started_at: None,
                ended_at: None,
                changed_at: Timestamp::from_millis(0),
                peak_viewers: 0,
                total_viewers: 0,
            },
        }
    }

    /// Hands in roll-ups and waits until all is done; returns what was taken and how often something failed.
    async fn written(
        rollups: Vec<RoomRollup>,
        answers: Vec<Result<(), StoreError>>,
    ) -> (Vec<Vec<Taken>>, u64) {
        let store = Arc::new(Script::default());
        *store.answers.lock().unwrap() = answers.into();
        let metrics = Arc::new(Metrics::new(Registry::new()).unwrap());
        let (desk, writer) = Desk::new(store.clone(), Arc::clone(&metrics));
        // All are there when the task begins.
        for rollup in rollups {
            desk.slip().unwrap().write(rollup);
        }
        let task = writer.start();
        desk.finish(Duration::from_secs(60)).await;
        task.await.unwrap();
        let taken = store.taken.lock().unwrap().clone();
        (taken, metrics.analytics.failures.get())
    }

    fn both() -> Vec<RoomRollup> {
        vec![rollup("b", 0), rollup("a", 0)]
    }

    fn taken(room: &str, viewers: usize) -> Taken {
        (room.to_owned(), viewers)
    }

    #[tokio::test]
    async fn what_waits_is_one_transaction_and_all_of_it_is_written_before_the_end() {
        let all = vec![vec![taken("a", 0), taken("b", 0)]];
        assert_eq!(written(both(), Vec::new()).await, (all, 0));
    }

    #[tokio::test]
    async fn while_the_database_is_away_nothing_is_lost() {
        let away = Err(StoreError::Deadline(Duration::ZERO));
        let all = vec![vec![taken("a", 0), taken("b", 0)]];
        assert_eq!(written(both(), vec![away]).await, (all, 1));
    }

    #[tokio::test]
    async fn many_viewers_are_many_transactions_of_which_one_that_fails_comes_again_alone() {
        let large = vec![rollup("b", 1_100), rollup("a", 3), rollup("c", 400)];
        let away = Err(StoreError::Deadline(Duration::ZERO));
        let answers = vec![Ok(()), Ok(()), away, Ok(())];
        let all = vec![
            vec![taken("a", 0), taken("b", 0), taken("c", 0)],
            vec![taken("a", 3)],
            vec![taken("b", 500)],
            vec![taken("b", 500)],
            vec![taken("b", 100)],
            vec![taken("c", 400)],
        ];
        assert_eq!(written(large, answers).await, (all, 1));
    }

    #[tokio::test]
    async fn what_the_database_refuses_is_given_up_alone() {
        let refusals = ["both", "a"].map(|what| Err(StoreError::Unreadable(what)));
        let left = vec![vec![taken("b", 0)]];
        assert_eq!(written(both(), refusals.into()).await, (left, 2));
    }

    #[tokio::test]
    async fn where_too_much_waits_there_is_no_place() {
        let metrics = Arc::new(Metrics::new(Registry::new()).unwrap());
        let (desk, writer) = Desk::new(Arc::new(Script::default()), metrics);
        for _ in 0..WAITING {
            desk.slip().unwrap().write(rollup("a", 0));
        }
        assert!(desk.slip().is_none());
        writer.start();
        desk.finish(Duration::from_secs(60)).await;
    }
}
