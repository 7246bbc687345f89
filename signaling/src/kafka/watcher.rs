//! What the library tells of itself: how far behind the group is, and whether a broker answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::topic_partition_list::TopicPartitionList;
use tracing::{debug, info, warn};

use crate::metrics::Kafka;

use super::lines::Lines;

/// Takes what the library tells of itself.
pub(super) struct Watcher {
    topic: String,
    metrics: Kafka,
    lines: Arc<Lines>,
    /// How often the members of the group shared the partitions anew.
    shares: AtomicU64,
    /// How far partitions go that rest, of which the library does not hear.
    ends: Mutex<BTreeMap<i32, i64>>,
}

impl Watcher {
    pub(super) fn new(topic: &str, metrics: Kafka, lines: Arc<Lines>) -> Self {
        Self {
            topic: topic.to_owned(),
            metrics,
            lines,
            shares: AtomicU64::new(0),
            ends: Mutex::default(),
        }
    }

    /// Returns another number once this server reads other partitions, or the same from elsewhere.
    pub(super) fn shares(&self) -> u64 {
        self.shares.load(Ordering::Relaxed)
    }
}

impl Watcher {
    /// Takes note of how far partitions go.
    pub(super) fn handle_ends(&self, ends: Vec<(i32, i64)>) {
        self.ends().extend(ends);
    }

    /// Believes the library alone again.
    pub(super) fn forget_ends(&self) {
        self.ends().clear();
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<i32, i64>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many messages of a partition wait.
    fn lag(&self, number: i32, partition: &Partition) -> i64 {
        let end = self.ends().get(&number).copied();
        let read = Some(partition.committed_offset).filter(|it| *it >= 0);
        let waiting = end.zip(read).map_or(0, |(end, read)| end - read);
        // Of a partition that another server reads the library says -1.
        partition.consumer_lag.max(waiting).max(0)
    }
}

impl Drop for Watcher {
    /// Who left the group reads nothing.
    fn drop(&mut self) {
        self.metrics.connected.set(0);
        self.metrics.lag.set(0);
    }
}

impl ClientContext for Watcher {
    // Its lines are many, and for who looks for a fault.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        debug!(facility, text, "librdkafka");
    }

    fn stats(&self, statistics: Statistics) {
        let up = statistics.brokers.values().any(|it| it.state == "UP");
        let before = self.metrics.connected.get();
        self.metrics.connected.set(up.into());
        match (before, up) {
            (0, true) => info!("a broker of Kafka answers"),
            (1, false) => warn!("no broker of Kafka answers"),
            _ => {}
        }
        let topic = statistics.topics.get(&self.topic);
        let partitions = topic.into_iter().flat_map(|it| &it.partitions);
        let lag = partitions.map(|(number, it)| self.lag(*number, it)).sum();
        self.metrics.lag.set(lag);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Watcher {
    fn pre_rebalance(&self, _group: &BaseConsumer<Self>, _rebalance: &Rebalance<'_>) {
        self.shares.fetch_add(1, Ordering::Relaxed);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.metrics.failures.inc();
            if self.lines.may_write() {
                // They come again, and are known.
                warn!(%error, "Kafka does not know which orders were read");
            }
        }
    }
}
