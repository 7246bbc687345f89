//! Orders that a shop writes to a topic of Apache Kafka: read in a consumer group, and counted once each, whatever comes twice
//! (docs/kafka.md).

mod message;

mod lines;

mod watcher;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::app::App;
use crate::drain::Phase;
use crate::error::{ApiError, Code};
use crate::id::RoomId;
use crate::shop::NewOrder;

use lines::Lines;
use watcher::Watcher;

type Group = StreamConsumer<Watcher>;

/// Reads orders until the server stops. One that takes no more leaves the group, so that another reads on.
pub(crate) async fn take_orders(app: Arc<App>, mut phase: watch::Receiver<Phase>) {
    let reader = Reader {
        app,
        lines: Arc::default(),
    };
    loop {
        let open = phase.wait_for(|phase| *phase != Phase::Draining).await;
        if !open.is_ok_and(|phase| *phase == Phase::Serving) {
            return;
        }
        let group = match reader.join() {
            Ok(group) => group,
            Err(error) => {
                reader.pause(&error).await;
                continue;
            }
        };
        tokio::select! {
            () = reader.read(&group) => {}
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        }
        // Where what was on its way is not said to be read, it comes again and is known. To leave takes a moment.
        let _ = tokio::task::spawn_blocking(move || drop(group)).await;
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

    /// Reads for ever: brokers that are away are waited for.
    async fn read(&self, group: &Group) {
        let mut batches = group.stream().ready_chunks(AT_ONCE);
        while let Some(batch) = batches.next().await {
            let mut messages = Vec::with_capacity(batch.len());
            let mut failed = None;
            for message in batch {
                match message {
                    Ok(message) => messages.push(message),
                    Err(error) => failed = Some(error),
                }
            }
            self.carry_out(group, &messages).await;
            if let Some(error) = failed {
                self.pause(&error).await;
            }
        }
    }

    /// Takes orders, and says that they were read once all of them are on disk or were left behind.
    async fn carry_out(&self, group: &Group, messages: &[BorrowedMessage<'_>]) {
        // Begun in their order, so that a room has them in it.
        join_all(messages.iter().map(|message| self.take(message))).await;
        for message in messages {
            // Of a partition that another server reads by now, that one says it.
            let _ = group.store_offset_from_message(message);
        }
        // The answer comes to the watcher. Where it is lost the orders come again, and are known.
        if !messages.is_empty()
            && let Err(error) = group.commit_consumer_state(CommitMode::Async)
        {
            self.trouble(&error);
        }
    }

    /// Takes what a message says, and counts what became of it.
    async fn take(&self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        // A topic that is made anew begins at 0 again, at another time.
        let time = message.timestamp().to_millis().unwrap_or(0);
        let place = format!("{}/{partition}/{offset}@{time}", message.topic());
        let taken = match message::order(message.payload().unwrap_or_default(), place) {
            Ok((room, order)) => self.order(&room, order).await,
            Err(error) => Err(error),
        };
        let outcome = match taken {
            Ok(true) => "new",
            Ok(false) => "again",
            Err(error) => {
                error.report();
                if self.lines.may_write() {
                    // Where it stands is said, and not what it says.
                    warn!(partition, offset, reason = %error.message, "a message from Kafka was left behind");
                }
                if error.code == Code::Internal {
                    "failed"
                } else {
                    "skipped"
                }
            }
        };
        self.count(outcome);
    }

    /// Takes an order as it is taken over HTTP, however long the database is away.
    async fn order(&self, room: &RoomId, order: NewOrder) -> Result<bool, ApiError> {
        let (mut pause, mut faults) = (FIRST_PAUSE, 0);
        loop {
            let taken = self.app.order(room, order.clone()).await;
            match &taken {
                Err(error) if matches!(error.code, Code::Busy | Code::Unavailable) => {}
                // One at which the server fails must not hold up all others for ever.
                Err(error) if error.code == Code::Internal && faults < MAX_FAULTS => faults += 1,
                Ok(_) | Err(_) => return taken,
            }
            self.count("retried");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Waits after an error, so that one that stays does not keep a core busy.
    async fn pause(&self, error: &KafkaError) {
        self.trouble(error);
        tokio::time::sleep(FIRST_PAUSE).await;
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

/// Orders that are taken at once.
const AT_ONCE: usize = 64;

/// How often an order is tried again at which the server fails: a minute.
const MAX_FAULTS: u32 = 10;

const FIRST_PAUSE: Duration = Duration::from_millis(200);

const LAST_PAUSE: Duration = Duration::from_secs(10);
