//! Orders that a shop writes to a topic of Apache Kafka: read in a consumer group, and counted once each, whatever comes twice
//! (docs/kafka.md).

mod message;

mod backlog;

mod rooms;

mod lines;

mod rest;

mod watcher;

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::app::App;
use crate::drain::Phase;
use crate::error::{ApiError, Code};
use crate::id::RoomId;

use backlog::{Backlog, Placed, Trouble, Waiting};
use lines::Lines;
use rest::Rest;
use watcher::Watcher;

type Group = StreamConsumer<Watcher>;

type Arrival<'a> = Result<BorrowedMessage<'a>, KafkaError>;

/// Reads orders until the server stops. One that takes no more leaves the group, so that another reads on.
pub(crate) async fn take_orders(app: Arc<App>, mut phase: watch::Receiver<Phase>) {
    let reader = Reader {
        app,
        lines: Arc::default(),
    };
    // What it knows of rooms outlives a group.
    let mut backlog = Backlog::new(Instant::now());
    loop {
        let open = phase.wait_for(|phase| *phase != Phase::Draining).await;
        if !open.is_ok_and(|phase| *phase == Phase::Serving) {
            return;
        }
        let group = match reader.join() {
            Ok(group) => Arc::new(group),
            Err(error) => {
                reader.pause(&error).await;
                continue;
            }
        };
        tokio::select! {
            () = reader.read(&group, &mut backlog) => {}
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        }
        // Where what was on its way is not said to be read, it comes again and is known. To leave takes a moment.
        let _ = tokio::task::spawn_blocking(move || drop_within(TO_LEAVE, Alone(group))).await;
    }
}

/// A member of the group.
struct Reader {
    app: Arc<App>,
    lines: Arc<Lines>,
}

impl Reader {
    fn join(&self) -> Result<Group, KafkaError> {
        let config = &self.app.config;
        let metrics = self.app.metrics.kafka.clone();
        let watcher = Watcher::new(&config.kafka_topic, metrics, Arc::clone(&self.lines));
        let group: Group = ClientConfig::new()
            .set("bootstrap.servers", config.kafka_brokers.join(","))
            .set("client.id", "klieg")
            .set("group.id", &config.kafka_group)
            // An offset is for what is on disk, and said by us.
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A group that begins: what the shop sold before is in the topic.
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false")
            // So long do the orders wait of a server that died.
            .set("session.timeout.ms", "10000")
            // What is fetched ahead.
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.message.max.bytes", "1048576")
            // The library tries brokers that are away by itself.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "10000")
            .set("statistics.interval.ms", "1000")
            .create_with_context(watcher)?;
        group.subscribe(&[config.kafka_topic.as_str()])?;
        info!(topic = %config.kafka_topic, group = %config.kafka_group, "orders are read from Kafka");
        Ok(group)
    }

    /// Reads until the topic is to be read again from where Kafka was told. Brokers that are away are waited for.
    async fn read(&self, group: &Arc<Group>, backlog: &mut Backlog) {
        let mut batches = group.stream().ready_chunks(AT_ONCE);
        backlog.clear(Instant::now());
        let (mut shares, mut rest) = (group.context().shares(), Rest::new(group));
        // What comes of partitions that are new here, while nothing is to come.
        let mut early = Vec::new();
        loop {
            let batch = if early.is_empty() {
                tokio::select! {
                    batch = batches.next() => batch.unwrap_or_default(),
                    () = until(next_turn(backlog)) => Vec::new(),
                }
            } else {
                std::mem::take(&mut early)
            };
            if shares != group.context().shares() {
                shares = group.context().shares();
                backlog.clear(Instant::now());
                self.heed(rest.end());
            }
            self.take(batch, backlog).await;
            {
                let mut again = pin!(self.try_again(backlog));
                loop {
                    tokio::select! {
                        () = &mut again => break,
                        // Who does not ask is told no figures, and after some minutes is no member any more.
                        more = batches.next(), if rest.is_on() && early.len() < AT_ONCE => early.extend(more.unwrap_or_default()),
                    }
                }
            }
            if shares == group.context().shares() {
                self.tell(group, backlog);
                self.heed(rest.set(!backlog.takes_more(Instant::now())));
            }
            if backlog.again_at().is_some_and(|at| at <= Instant::now()) {
                return self.heed(rest.end());
            }
        }
    }

    /// Takes messages as they came.
    async fn take(&self, batch: Vec<Arrival<'_>>, backlog: &mut Backlog) {
        let (mut orders, mut failed) = (Vec::with_capacity(batch.len()), None);
        for message in batch {
            match message {
                Ok(message) => {
                    backlog.handle_message(message.partition(), message.offset());
                    let order = self.order(&message);
                    orders.extend(order.filter(|order| !self.puts_off(order, backlog)));
                }
                Err(error) => failed = Some(error),
            }
        }
        // Begun in their order, so that a room has them in it.
        let tried = orders
            .iter()
            .map(|it| self.app.order(&it.room, it.order.clone()));
        let tried = join_all(tried).await;
        for (order, tried) in orders.into_iter().zip(tried) {
            self.settle(Waiting::new(order, Instant::now()), tried, backlog);
        }
        if let Some(error) = failed {
            self.pause(&error).await;
        }
    }

    /// Returns whether an order is put off: too many of its room wait.
    fn puts_off(&self, order: &Placed, backlog: &mut Backlog) -> bool {
        let is_put_off = backlog.puts_off(order);
        if is_put_off {
            self.tell_put_off(order);
        }
        is_put_off
    }

    fn tell_put_off(&self, order: &Placed) {
        self.count("put_off");
        if self.lines.may_write() {
            let (partition, offset, room) = (order.partition, order.offset, &order.room);
            warn!(partition, offset, %room, "an order from Kafka is put off");
        }
    }

    /// Tries orders again whose time has come, one after the other: what is written together fails together. So many at a
    /// time that those who come meanwhile need not wait for all.
    async fn try_again(&self, backlog: &mut Backlog) {
        for _ in 0..AT_ONCE {
            let Some(order) = backlog.poll_due(Instant::now()) else {
                return;
            };
            let placed = &order.placed;
            let tried = self.app.order(&placed.room, placed.order.clone()).await;
            self.settle(order, tried, backlog);
        }
    }

    /// Says that messages were read once all before them are on disk or were left behind.
    fn tell(&self, group: &Group, backlog: &mut Backlog) {
        let offsets = backlog.poll_offsets();
        for (partition, offset) in &offsets {
            // The library has the last offset that was read, and not the next. Of a partition that another server reads by
            // now, that one says it.
            let _ = group.store_offset(&self.app.config.kafka_topic, *partition, offset - 1);
        }
        // The answer comes to the watcher. Where it is lost the orders come again, and are known.
        if !offsets.is_empty() {
            self.heed(group.commit_consumer_state(CommitMode::Async));
        }
    }

    /// Reads what a message says; one that is no order is left behind.
    fn order(&self, message: &BorrowedMessage<'_>) -> Option<Placed> {
        let (partition, offset) = (message.partition(), message.offset());
        // A topic that is made anew begins at 0 again, at another time.
        let time = message.timestamp().to_millis().unwrap_or(0);
        let place = format!("{}/{partition}/{offset}@{time}", message.topic());
        match message::order(message.payload().unwrap_or_default(), place) {
            Ok((room, order)) => Some(Placed {
                partition,
                offset,
                room,
                order,
            }),
            Err(error) => {
                self.leave_behind((partition, offset), None, &error);
                None
            }
        }
    }

    /// Counts what became of an order, which waits where it may go later.
    fn settle(&self, order: Waiting, tried: Result<bool, ApiError>, backlog: &mut Backlog) {
        let error = match tried {
            Ok(true) => {
                backlog.handle_written(&order.placed.room);
                return self.count("new");
            }
            Ok(false) => return self.count("again"),
            Err(error) => error,
        };
        let place = (order.placed.partition, order.placed.offset);
        let room = order.placed.room.clone();
        let trouble = Trouble::of(&error);
        if trouble.is_some_and(|trouble| backlog.has_no_room(&order, trouble, Instant::now())) {
            return self.tell_put_off(&order.placed);
        }
        let waits =
            trouble.is_some_and(|trouble| backlog.handle_trouble(order, trouble, Instant::now()));
        if !waits {
            return self.leave_behind(place, Some(&room), &error);
        }
        self.count("retried");
        if trouble == Some(Trouble::Fault) && self.lines.may_write() {
            error.report();
            let (partition, offset) = place;
            warn!(partition, offset, %room, "an order from Kafka waits");
        }
    }

    /// Gives a message up; `room` is that of an order at which the server fails.
    fn leave_behind(
        &self,
        (partition, offset): (i32, i64),
        room: Option<&RoomId>,
        error: &ApiError,
    ) {
        let is_fault = error.code == Code::Internal;
        if is_fault {
            // Each has its line: with it the order can be read again.
            error.report();
            let room = room.map(tracing::field::display);
            error!(
                partition,
                offset, room, "an order from Kafka was left behind"
            );
        } else if self.lines.may_write() {
            // Where it stands is said, and not what it says.
            warn!(partition, offset, reason = %error.message, "a message from Kafka was left behind");
        }
        self.count(if is_fault { "failed" } else { "skipped" });
    }

    /// Waits after an error, so that one that stays does not keep a core busy.
    async fn pause(&self, error: &KafkaError) {
        self.trouble(error);
        tokio::time::sleep(PAUSE).await;
    }

    fn heed(&self, done: Result<(), KafkaError>) {
        if let Err(error) = done {
            self.trouble(&error);
        }
    }

    fn trouble(&self, error: &KafkaError) {
        self.app.metrics.kafka.failures.inc();
        if self.lines.may_write() {
            warn!(%error, "Kafka cannot be read");
        }
    }

    fn count(&self, outcome: &str) {
        let messages = &self.app.metrics.kafka.messages;
        messages.with_label_values(&[outcome]).inc();
    }
}

/// A group that is dropped by who holds it last, and that is this one.
struct Alone(Arc<Group>);

impl Drop for Alone {
    fn drop(&mut self) {
        while Arc::strong_count(&self.0) > 1 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Drops what takes as long as others please, and goes on without it after some time: a server that stops waits for it.
fn drop_within<T: Send + 'static>(limit: Duration, it: T) {
    let (held, dropped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        drop(it);
        drop(held);
    });
    // Nothing is ever sent, so this ends with the other end, or too late.
    let _ = dropped.recv_timeout(limit);
}

/// Returns when there is something to do, whatever comes; `None` while there is not.
fn next_turn(backlog: &Backlog) -> Option<Instant> {
    let times = [backlog.next_at(), backlog.again_at()];
    times.into_iter().flatten().min()
}

/// Waits until then; for ever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Orders that are taken at once.
const AT_ONCE: usize = 64;

/// A group whose broker does not answer is left without a word; the others notice after ten seconds.
const TO_LEAVE: Duration = Duration::from_secs(5);

/// After an error of the library.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_leave_is_not_waited_for() {
        struct Slow(mpsc::Receiver<()>);
        impl Drop for Slow {
            fn drop(&mut self) {
                let _ = self.0.recv();
            }
        }
        let (held, slow) = mpsc::channel();
        let (since, limit) = (Instant::now(), Duration::from_millis(50));
        drop_within(limit, Slow(slow));
        assert!(since.elapsed() >= limit);
        drop(held);

        drop_within(Duration::from_secs(600), ());
        assert!(since.elapsed() < Duration::from_secs(60));
    }
}
